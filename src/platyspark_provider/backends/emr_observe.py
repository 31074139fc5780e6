"""One batched look at many EMR clusters and runs in as few calls as the quotas want; reads only."""

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from platyspark_provider.backends.base import AttemptRef, AttemptSight, ClusterRef, ClusterSight, Death, Sights
from platyspark_provider.backends.emr_api import MAX_STEP_IDS, EmrApi, is_content_refusal
from platyspark_provider.backends.emr_states import ACTIVE_CLUSTERS, ACTIVE_STEPS, Step, attempt_sight, death_from_step
from platyspark_provider.backends.emr_yarn import EmrYarn
from platyspark_provider.backends.yarn import YarnApplication, death_from_applications
from platyspark_provider.core.states import DeployMode
from platyspark_provider.errors import BackendRejected, BackendThrottled, PlatySparkError

log = logging.getLogger(__name__)

# DescribeCluster refills at 1/s (burst 10): more ended clusters at once wait for the next look.
_MAX_DESCRIBES = 10
_NAMED = 3


class EmrObserver:
    """Looks at clusters by one listing, and at the runs of each cluster by one more."""

    def __init__(self, api: EmrApi, yarn: EmrYarn) -> None:
        self._api, self._yarn = api, yarn

    def observe(self, clusters: Sequence[ClusterRef], attempts: Sequence[AttemptRef]) -> Sights:
        """Return what is to be seen; what could not be asked is named in `failed`, never raised."""
        by_cluster: dict[str, list[AttemptRef]] = defaultdict(list)
        for attempt in attempts:
            if attempt.cluster and attempt.external_id:
                by_cluster[attempt.cluster].append(attempt)
        wanted = {cluster.external_id for cluster in clusters} | set(by_cluster)
        try:
            seen, failures = self._look_at_clusters(wanted)
        except PlatySparkError as error:
            log.warning("clusters could not be listed: %s", error)
            return Sights(failed=frozenset(wanted), failure=str(error), is_blind=not isinstance(error, BackendThrottled))
        runs: dict[str, AttemptSight] = {}
        for cluster, refs in by_cluster.items():
            if cluster in seen:
                try:
                    runs |= self._look_at_runs(seen[cluster], refs)
                except PlatySparkError as error:
                    failures[cluster] = str(error)
        for cluster, reason in failures.items():
            log.warning("cluster %s could not be looked at: %s", cluster, reason)
        return Sights(clusters=seen, attempts=runs, failed=frozenset(failures), failure="; ".join(sorted(set(failures.values()))))

    def busy(self, cluster: str) -> str:
        """Return what works on a cluster: its active steps by EMR's list, and what YARN has running where it answers.

        EMR's own state does not tell: a WAITING cluster may run what came by SSH, Livy or an asynchronous submit (EMR guide).
        """
        try:
            steps = [step for page in self._api.step_pages(cluster, states=ACTIVE_STEPS) for step in page]
        except BackendRejected as error:
            if not is_content_refusal(error):
                raise
            return ""
        found = [f"step {step.id} ({step.name})" for step in steps] or [f"YARN's {app.id}" for app in self._yarn.living(cluster) or ()]
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        return f"{', '.join(found[:_NAMED])}{more} still run there" if found else ""

    def _look_at_clusters(self, wanted: Collection[str]) -> tuple[dict[str, ClusterSight], dict[str, str]]:
        """List the live ones, then describe those that are missing: ended, or moving while they were listed."""
        if not wanted:
            return {}, {}
        seen = {sight.external_id: sight for sight in self._api.clusters(ACTIVE_CLUSTERS) if sight.external_id in wanted}
        failures: dict[str, str] = {}
        missing = sorted(set(wanted) - set(seen))
        for cluster in missing[:_MAX_DESCRIBES]:
            try:
                seen[cluster] = self._api.describe_cluster(cluster).sight
            except PlatySparkError as error:
                if not is_content_refusal(error):
                    failures[cluster] = str(error)
        failures |= dict.fromkeys(missing[_MAX_DESCRIBES:], "more ended clusters than one look describes")
        return seen, failures

    def _look_at_runs(self, cluster: ClusterSight, refs: Sequence[AttemptRef]) -> dict[str, AttemptSight]:
        wanted = {ref.external_id: ref for ref in refs if ref.external_id}
        steps = self._steps(cluster.external_id, wanted)
        applications = self._applications(cluster, [(wanted[id_], step) for id_, step in steps.items()])
        return {id_: self._sight(cluster, wanted[id_], step, applications) for id_, step in steps.items()}

    def _steps(self, cluster: str, wanted: Collection[str]) -> dict[str, Step]:
        """Find steps by id; page through the newest while more are sought than one call by id returns."""
        found: dict[str, Step] = {}
        if len(wanted) > MAX_STEP_IDS:
            for page in self._api.step_pages(cluster):
                found |= {step.id: step for step in page if step.id in wanted}
                if len(wanted) - len(found) <= MAX_STEP_IDS:
                    break
        return found | self._api.steps_by_id(cluster, set(wanted) - set(found))

    def _applications(self, cluster: ClusterSight, runs: Sequence[tuple[AttemptRef, Step]]) -> tuple[YarnApplication, ...] | None:
        """Ask YARN once for all runs whose driver is in doubt or whose application id is not known yet."""
        if cluster.state == "dead":
            return None
        doubtful = [ref.yarn_tag for ref, step in runs if is_yarn_to_say(ref, step)]
        nameless = [
            ref.yarn_tag
            for ref, step in runs
            if step.started_at and not step.state.is_ended and not ref.external_detail.get("yarn_application_id")
        ]
        if not doubtful and (not nameless or self._yarn.was_silent(cluster.external_id)):
            return None
        return self._yarn.applications(cluster.external_id, [*doubtful, *nameless])

    def _sight(self, cluster: ClusterSight, ref: AttemptRef, step: Step, applications: tuple[YarnApplication, ...] | None) -> AttemptSight:
        own = [app for app in applications or () if ref.yarn_tag in app.tags]
        death = _own_death(ref, step)
        if death.state == "unknown" and cluster.state == "dead":
            death = death_of_cluster(cluster)
        elif applications is not None and is_yarn_to_say(ref, step):
            death = death_from_applications(own, step_ended=step.state.is_ended)
        sight = attempt_sight(step, death, _detail(own))
        return _told_by_yarn(sight, own) if own and is_yarn_to_say(ref, step) else sight


def _told_by_yarn(sight: AttemptSight, own: Sequence[YarnApplication]) -> AttemptSight:
    """Return the sight of a step that failed or was cancelled, as YARN knows better how its application ended.

    EMR fails the running steps of a lost master, and their applications go on and may succeed (EMR guide, "multiple
    primary nodes"). With several applications nobody can say which one's end counts.
    """
    (newest, *others) = sorted(own, key=lambda app: app.id, reverse=True)
    if not others and newest.has_succeeded:
        return replace(sight, state="succeeded", driver="dead", proof=f"YARN: {newest.id} SUCCEEDED")
    return replace(sight, reason=newest.why_it_ended or sight.reason)


def is_yarn_to_say(ref: AttemptRef, step: Step) -> bool:
    """Tell whether the step has ended and its driver, which lives in YARN, may not have."""
    in_yarn = ref.spec.deploy_mode is DeployMode.CLUSTER
    return in_yarn and step.state.is_ended and _own_death(ref, step).state == "unknown"


def _own_death(ref: AttemptRef, step: Step) -> Death:
    return death_from_step(step, ref.spec.deploy_mode, stop_stage=ref.stop_stage)


def death_of_cluster(cluster: ClusterSight) -> Death:
    """Return what a cluster's end proves: its machines are gone, and every driver with them."""
    if cluster.state != "dead":
        return Death(state="unknown")
    return Death(state="dead", proof=f"cluster {cluster.external_id} is {cluster.raw_state}")


def _detail(applications: Sequence[YarnApplication]) -> Mapping[str, Any]:
    if not applications:
        return {}
    newest = max(applications, key=lambda app: app.id)
    return {"yarn_application_id": newest.id} | ({"tracking_url": newest.tracking_url} if newest.tracking_url else {})
