"""EMR on EC2 behind the `Backend` port: runs are steps, adopted by name; what each call does lies in `emr_*`.

EMR has no idempotency token, so identity goes into names and nothing here retries a call that changes something.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from platyspark_provider.backends.base import (
    AttemptRef,
    AttemptSight,
    ClusterRef,
    ClusterSight,
    Death,
    Launch,
    LogTail,
    Sights,
)
from platyspark_provider.backends.emr_api import EmrApi, EmrClients, is_content_refusal
from platyspark_provider.backends.emr_logs import S3Logs, driver_log_uri, log_root, report_from_stderr
from platyspark_provider.backends.emr_observe import EmrObserver
from platyspark_provider.backends.emr_requests import run_job_flow_request
from platyspark_provider.backends.emr_states import ACTIVE_CLUSTERS, ACTIVE_STEPS, ENDED_CLUSTERS, Step, attempt_sight, death_from_step
from platyspark_provider.backends.emr_steps import PlannedStep, planned_step
from platyspark_provider.backends.emr_stop import EmrStopper, terminate
from platyspark_provider.backends.emr_yarn import EmrYarn
from platyspark_provider.core.keys import cluster_name_from_text
from platyspark_provider.core.model import Target
from platyspark_provider.core.spec import ClusterSpec
from platyspark_provider.core.states import DeployMode
from platyspark_provider.errors import BackendRejected, BackendThrottled, ClusterGone, PlatySparkError, ReplyLost

MAX_ACTIVE_STEPS = 256  # pending and running ones of a cluster (EMR guide)
STEPS_PER_CALL = 50
_ENDED_LOOKBACK = timedelta(days=1)
_FULL_RETRY_S = 60.0


class EmrBackend:
    """One account and region of EMR.

    :param clients: of the target's connection; see `EmrClients` for what each must be configured with.
    :param put: puts a content to its S3 address unless it is there already (launch scripts, the SQL driver).
    """

    adopts_by: Literal["name", "token"] = "name"

    def __init__(self, clients: EmrClients, target: Target, *, put: Callable[[str, bytes], object]) -> None:
        self.target = target
        self._put = put
        self._api = EmrApi(clients)
        self._logs = S3Logs(clients.s3)
        self._yarn = EmrYarn(self._api, target.yarn_url)
        self._observer = EmrObserver(self._api, self._yarn)
        self._stopper = EmrStopper(self._api, self._yarn, self._logs)

    def create_cluster(self, spec: ClusterSpec, *, name: str, token: str, tags: Mapping[str, str]) -> str:
        """Create a cluster and return its id; EMR takes no token, so a lost reply is found again by `name`."""
        return self._api.run_job_flow(run_job_flow_request(spec, name=name, tags=tags))

    def find_clusters(self, prefix: str) -> Sequence[ClusterSight]:
        """List our clusters whose name begins with `prefix` (up to a delimiter), oldest first.

        Ended ones are found for a day after their creation. Two listings, because a cluster that moves from one set of
        states to the other in between must not be missed: the live ones are asked first.
        """
        recent = datetime.now(UTC) - _ENDED_LOOKBACK
        found: dict[str, ClusterSight] = {}
        for sight in (*self._api.clusters(ACTIVE_CLUSTERS), *self._api.clusters(ENDED_CLUSTERS, created_after=recent)):
            if sight.name.startswith(prefix) and cluster_name_from_text(sight.name):
                found[sight.external_id] = sight
        return sorted(found.values(), key=lambda sight: (sight.created_at or datetime.max.replace(tzinfo=UTC), sight.external_id))

    def terminate_cluster(self, external_id: str) -> None:
        """End a cluster; asking again is harmless."""
        terminate(self._api, external_id)

    def busy(self, external_id: str) -> str:
        """Return what still works on a cluster: active steps, and YARN's applications where YARN answers."""
        return self._observer.busy(external_id)

    def submit(self, cluster: str | None, launches: Sequence[Launch]) -> Sequence[str]:
        """Put what the runs need on S3, send them in one call (two for more than 50) and return their step ids in order.

        A crash after the first part leaves objects that the next send finds.

        :raises BackendRejected: also before any call of EMR, where something is to be put and there is no place for it.
        :raises ReplyLost: also when an earlier call of the same batch went through and a later one did not.
        """
        if cluster is None:
            raise BackendRejected("A run on EMR needs a cluster.")
        steps = [self._prepared(planned_step(launch)) for launch in launches]
        sent: list[str] = []
        for start in range(0, len(steps), STEPS_PER_CALL):
            sent += self._send(cluster, steps[start : start + STEPS_PER_CALL], is_first=not sent)
        return sent

    def _prepared(self, step: PlannedStep) -> Mapping[str, Any]:
        for address, content in step.objects.items():
            self._put(address, content)
        return step.request

    def _send(self, cluster: str, steps: Sequence[Mapping[str, Any]], *, is_first: bool) -> list[str]:
        try:
            return self._api.add_steps(cluster, steps)
        except PlatySparkError as error:
            if not is_first:
                raise ReplyLost(f"Only a part of the batch was sent to {cluster}: {error.message}") from error
            if is_content_refusal(error):
                self._explain_refusal(cluster, len(steps), error)
            raise

    def _explain_refusal(self, cluster: str, wanted: int, refusal: PlatySparkError) -> None:
        """Look why steps were refused and raise what it means; return when it was their content."""
        try:
            state = self._api.describe_cluster(cluster).sight.state
        except BackendRejected as error:
            if not is_content_refusal(error):
                raise refusal from error
            raise ClusterGone(f"EMR does not know cluster {cluster}.") from refusal
        if state in {"terminating", "dead"}:
            raise ClusterGone(f"Cluster {cluster} is {state} and takes no more work.") from refusal
        active = sum(len(page) for page in self._api.step_pages(cluster, states=ACTIVE_STEPS))
        if active + wanted > MAX_ACTIVE_STEPS:
            message = f"Cluster {cluster} has {active} pending and running steps; EMR takes {MAX_ACTIVE_STEPS}."
            raise BackendThrottled(message, retry_after=_FULL_RETRY_S) from refusal

    def find_attempts(self, cluster: str | None, names: Collection[str]) -> Mapping[str, Sequence[AttemptSight]]:
        """List a cluster's steps with one of these names, in any state, oldest first; all pages are read."""
        found: dict[str, list[Step]] = defaultdict(list)
        for step in self._all_steps(cluster):
            if step.name in names:
                found[step.name].append(step)
        oldest_first = {name: found[name][::-1] for name in names}
        return {name: [_adopted(step) for step in steps] for name, steps in oldest_first.items()}

    def _all_steps(self, cluster: str | None) -> Iterable[Step]:
        """List a cluster's steps, newest first; none for a cluster that EMR has forgotten."""
        if cluster is None:
            return []
        try:
            return [step for page in self._api.step_pages(cluster) for step in page]
        except BackendRejected as error:
            if not is_content_refusal(error):
                raise
            return []

    def observe(self, clusters: Sequence[ClusterRef], attempts: Sequence[AttemptRef]) -> Sights:
        """Look at clusters by one listing, and at the runs of each cluster by one more."""
        return self._observer.observe(clusters, attempts)

    def stop(self, attempt: AttemptRef, stage: int) -> str:
        """Climb a rung: 1 interrupt, 2 terminate (both with a kill in YARN), 3 kill step, 4 a dedicated cluster's end."""
        return self._stopper.stop(attempt, stage)

    def prove_dead(self, attempt: AttemptRef) -> Death:
        """Ask the step's record, YARN, the kill step, the step's log and the cluster, in this order."""
        return self._stopper.prove_dead(attempt)

    def read_log(self, attempt: AttemptRef) -> LogTail | None:
        """Return the driver's last 64 KB per stream; None while they have not arrived.

        In cluster mode the driver's log lies under its container. A run that never got an application (spark-submit
        itself failed) has only its step's log, which then says why.
        """
        root = self._log_root(attempt)
        if root is None or attempt.external_id is None:
            return None
        if attempt.spec.deploy_mode is DeployMode.CLIENT:
            return self._logs.step_log(root, attempt.external_id)
        application = self._application_id(attempt)
        if application is None:
            stored = self._logs.step_stderr(root, attempt.external_id)
            if stored is None:
                return None
            application = report_from_stderr(stored.text).application_id
        if application is None:
            return self._logs.step_log(root, attempt.external_id)
        return self._logs.container_log(root, application)

    def log_uri(self, attempt: AttemptRef) -> str | None:
        """Return where the driver's log is or will be; None before the run has an id, or without a log prefix."""
        root = self._log_root(attempt)
        if root is None or attempt.external_id is None:
            return None
        return driver_log_uri(root, attempt, _known_application(attempt))

    def _log_root(self, attempt: AttemptRef) -> str | None:
        prefix = attempt.log_prefix
        return log_root(prefix, attempt.cluster) if prefix and attempt.cluster else None

    def _application_id(self, attempt: AttemptRef) -> str | None:
        known = _known_application(attempt)
        if known is not None or attempt.cluster is None or self._yarn.was_silent(attempt.cluster):
            return known
        applications = self._yarn.applications(attempt.cluster, [attempt.yarn_tag])
        return max((app.id for app in applications), default=None) if applications else None


def _known_application(attempt: AttemptRef) -> str | None:
    known = attempt.external_detail.get("yarn_application_id")
    return str(known) if known else None


def _adopted(step: Step) -> AttemptSight:
    """Return a step as found by name: its spec is not at hand, so only what holds in either deploy mode is judged."""
    return attempt_sight(step, death_from_step(step, DeployMode.CLUSTER, stop_stage=0))
