"""Stopping a run on EMR and proving that its driver is gone: the ladder's rungs and the order of proofs.

Every rung may be climbed again after a crash. A rung that fails raises; the next pass repeats it.
"""

import time

from platyspark_provider.backends.base import AttemptRef, Death
from platyspark_provider.backends.emr_api import EmrApi, is_content_refusal
from platyspark_provider.backends.emr_logs import S3Logs, log_root, report_from_stderr
from platyspark_provider.backends.emr_observe import death_of_cluster
from platyspark_provider.backends.emr_states import Step, StepState, death_from_step
from platyspark_provider.backends.emr_steps import command_step
from platyspark_provider.backends.emr_yarn import EmrYarn
from platyspark_provider.backends.yarn import death_from_applications
from platyspark_provider.core.states import DeployMode
from platyspark_provider.errors import BackendRejected

_KILL_STEP_PAGES = 4
_SEARCH_PAUSE_S = 60.0  # ListSteps refills at 0.5/s, and a search reads four pages
# Fails unless nothing of the tag is left, so that its success is a proof. `for x in $(f)` would hide f's failure.
_KILL_SCRIPT = """set -euo pipefail
states=NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING
live() {{ yarn application -list -appTags '{tag}' -appStates "$states" | awk '$1 ~ /^application_/ {{print $1}}'; }}
found=$(live)
for one in $found; do yarn application -kill "$one"; done
left=$(live)
test -z "$left"
"""


def kill_step_name(attempt: AttemptRef) -> str:
    """Return the name of the step that kills this run's application; no run is ever called so."""
    return f"{attempt.name}-kill"


def kill_script(tag: str) -> str:
    """Return the script that kills every application of a tag and succeeds only if none is left."""
    return _KILL_SCRIPT.format(tag=tag)


class EmrStopper:
    """Climbs the ladder: interrupt, terminate, a kill step on the master, the cluster itself."""

    def __init__(self, api: EmrApi, yarn: EmrYarn, logs: S3Logs) -> None:
        self._api, self._yarn, self._logs = api, yarn, logs
        self._found_kills: dict[str, tuple[float, tuple[str, ...]]] = {}

    def stop(self, attempt: AttemptRef, stage: int) -> str:
        """Climb one rung and say what was done; beyond the last there is nothing more to do."""
        if attempt.cluster is None or attempt.external_id is None:
            return "nothing was sent, so there is nothing to stop"
        if stage <= 2:
            return self._cancel_and_kill(attempt.cluster, attempt, attempt.external_id, kill=stage == 2)
        if stage == 3 and attempt.spec.deploy_mode is DeployMode.CLUSTER:
            return self._yarn.kill(attempt.cluster, attempt.yarn_tag) or self._add_kill_step(attempt.cluster, attempt)
        if stage >= 4 and attempt.spec.cluster.dedicated:
            terminate(self._api, attempt.cluster)
            return f"cluster {attempt.cluster}, which serves this application alone, was told to terminate"
        return "no further means: the cluster is shared with others" if stage >= 4 else "nothing more to do for a client-mode step"

    def _cancel_and_kill(self, cluster: str, attempt: AttemptRef, step: str, *, kill: bool) -> str:
        """Cancel first, so that a queued step can't submit; kill in YARN even when that call fails."""
        done: list[str] = []
        try:
            done.append(self._cancel(cluster, step, kill=kill))
        finally:
            if attempt.spec.deploy_mode is DeployMode.CLUSTER:
                done.append(self._yarn.kill(cluster, attempt.yarn_tag) or "YARN does not answer")
        return "; ".join(done)

    def _cancel(self, cluster: str, step: str, *, kill: bool) -> str:
        option = "TERMINATE_PROCESS" if kill else "SEND_INTERRUPT"
        try:
            return f"CancelSteps {option}: {self._api.cancel_step(cluster, step, kill=kill)}"
        except BackendRejected as error:
            if not is_content_refusal(error):
                raise
            return f"CancelSteps {option} was refused: {error.message}"

    def _add_kill_step(self, cluster: str, attempt: AttemptRef) -> str:
        target = self._step(cluster, attempt)
        earlier = self._kill_steps(cluster, attempt)
        if any(not one.state.is_ended for one in earlier):
            return "YARN does not answer; the kill step is under way"
        if any(_proves(one, target) for one in earlier):
            return "YARN does not answer; the kill step has already succeeded"
        step = command_step(kill_step_name(attempt), ["bash", "-c", kill_script(attempt.yarn_tag)])
        try:
            (id_,) = self._api.add_steps(cluster, [step])
        except BackendRejected as error:
            if not is_content_refusal(error):
                raise
            return f"YARN does not answer, and the kill step was refused: {error.message}"
        self._found_kills[attempt.name] = (time.monotonic(), (id_,))
        return f"YARN does not answer; kill step {id_} was added"

    def prove_dead(self, attempt: AttemptRef) -> Death:
        """Ask in order: the step's record, YARN, the kill step, the step's log, the cluster."""
        if attempt.cluster is None or attempt.external_id is None:
            return Death(state="unknown", proof="no id is known")
        step = self._step(attempt.cluster, attempt)
        if step is not None:
            death = death_from_step(step, attempt.spec.deploy_mode, stop_stage=attempt.stop_stage)
            if death.state != "unknown":
                return death
        if attempt.spec.deploy_mode is DeployMode.CLUSTER:
            death = self._death_in_yarn(attempt.cluster, attempt, step)
            if death.state != "unknown":
                return death
        return self._death_of_cluster(attempt.cluster)

    def _death_in_yarn(self, cluster: str, attempt: AttemptRef, step: Step | None) -> Death:
        """Ask YARN, or else what its client and the kill step saw; a record that EMR no longer lists can't tell that the step ended."""
        ended = step is not None and step.state.is_ended
        applications = self._yarn.applications(cluster, [attempt.yarn_tag])
        if applications is not None:
            return death_from_applications(applications, step_ended=ended)
        if step is not None and not ended:
            return Death(state="unknown")
        proofs = [one for one in self._known_kill_steps(cluster, attempt, step) if _proves(one, step)] if ended else []
        if proofs:
            return Death(state="dead", proof=f"kill step {proofs[0].id} found nothing left of it in YARN")
        return self._death_from_log(cluster, attempt)

    def _death_from_log(self, cluster: str, attempt: AttemptRef) -> Death:
        log_uri = attempt.log_prefix
        try:
            stored = self._logs.step_stderr(log_root(log_uri, cluster), attempt.external_id or "") if log_uri else None
        except BackendRejected:
            stored = None
        report = report_from_stderr(stored.text) if stored else None
        if report is None or not report.is_ended:
            return Death(state="unknown")
        return Death(state="dead", proof=f"the step's log: {report.application_id} {report.final_state}")

    def _death_of_cluster(self, cluster: str) -> Death:
        try:
            return death_of_cluster(self._api.describe_cluster(cluster).sight)
        except BackendRejected as error:
            if not is_content_refusal(error):
                raise
            return Death(state="unknown", proof=f"EMR does not know cluster {cluster}: forgotten, or another account is asked")

    def _step(self, cluster: str, attempt: AttemptRef) -> Step | None:
        id_ = attempt.external_id or ""
        return self._api.steps_by_id(cluster, [id_]).get(id_)

    def _kill_steps(self, cluster: str, attempt: AttemptRef) -> list[Step]:
        """Find the kill steps of a run among the newest few hundred steps."""
        name, found = kill_step_name(attempt), []
        for number, page in enumerate(self._api.step_pages(cluster), 1):
            found += [step for step in page if step.name == name]
            if number == _KILL_STEP_PAGES:
                break
        self._found_kills[attempt.name] = (time.monotonic(), tuple(step.id for step in found))
        return found

    def _known_kill_steps(self, cluster: str, attempt: AttemptRef, target: Step | None) -> list[Step]:
        """Return the kill steps of a run, those found before by their ids; what another process added shows up within a minute."""
        searched_at, ids = self._found_kills.get(attempt.name, (float("-inf"), ()))
        known = list(self._api.steps_by_id(cluster, ids).values()) if ids else []
        is_told = any(not one.state.is_ended or _proves(one, target) for one in known)
        if is_told or time.monotonic() - searched_at < _SEARCH_PAUSE_S:
            return known
        return self._kill_steps(cluster, attempt)


def _proves(kill: Step, target: Step | None) -> bool:
    """Tell whether a kill step looked after the run's own step had ended: before that it could still have submitted."""
    if kill.state is not StepState.COMPLETED or target is None or kill.started_at is None or target.ended_at is None:
        return False
    return kill.started_at >= target.ended_at


def terminate(api: EmrApi, cluster: str) -> None:
    """End a cluster, its termination protection included; one that has ended or is forgotten is fine."""
    try:
        api.terminate(cluster)
    except BackendRejected as error:
        if not is_content_refusal(error):
            raise
        if _needs_unprotecting(api, cluster):
            api.unprotect(cluster)
            api.terminate(cluster)


def _needs_unprotecting(api: EmrApi, cluster: str) -> bool:
    """Say why a termination was refused: True for a protected cluster, False for one that is gone or going."""
    try:
        detail = api.describe_cluster(cluster)
    except BackendRejected as error:
        if is_content_refusal(error):
            return False
        raise
    return detail.sight.state not in {"terminating", "dead"} and detail.is_protected
