"""How clusters and steps change with time: pure decisions on records, no I/O; the engine carries out the returned effects.

Follows "cluster lifecycle" and "step lifecycle" of the EMR Management Guide; docs/emrsim-fidelity.md names the source of each rule.
"""

from dataclasses import dataclass

from platyspark_provider.emrsim import records as r
from platyspark_provider.emrsim.config import SimConfig
from platyspark_provider.emrsim.ports import StepExit
from platyspark_provider.emrsim.records import ClusterRecord, StepRecord

JOB_TERMINATED = "Job terminated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Start the step's process."""

    cluster: ClusterRecord
    step: StepRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Signal the step's own process."""

    step_id: str
    kill: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StopCluster:
    """End every process of the cluster."""

    cluster_id: str


Effect = Launch | Signal | StopCluster


def advance(cluster: ClusterRecord, now: float, config: SimConfig, *, has_live_applications: bool = False) -> list[Effect]:
    """Move the cluster and its steps as far as `now` allows."""
    effects: list[Effect] = []
    if cluster.terminate_at is not None and now >= cluster.terminate_at and cluster.state in r.ACCEPTS_STEPS:
        effects += begin_end(cluster, now, code="USER_REQUEST", message="Terminated by user request")
    _finish_cancelled_pending(cluster, now, config)
    if cluster.state == r.STARTING and now >= cluster.created + config.starting_s:
        _enter(cluster, r.BOOTSTRAPPING, now, None, "Running bootstrap actions")
    if cluster.state == r.BOOTSTRAPPING and now >= cluster.created + config.starting_s + config.bootstrapping_s:
        cluster.ready = now
        _enter(cluster, r.RUNNING, now, None, "Running step")
    if cluster.state in r.READY_CLUSTER:
        effects += _advance_ready(cluster, now, config, has_live_applications)
    if cluster.state == r.TERMINATING and now >= cluster.state_since + config.terminating_s:
        effects.append(StopCluster(cluster_id=cluster.id))
        cluster.ended = now
        _enter(cluster, cluster.end_state or r.TERMINATED, now, cluster.reason_code, cluster.reason_message)
    return effects


def _enter(cluster: ClusterRecord, state: str, now: float, code: str | None, message: str | None) -> None:
    cluster.state, cluster.state_since = state, now
    cluster.reason_code, cluster.reason_message = code, message
    cluster.changed = True


def _advance_ready(cluster: ClusterRecord, now: float, config: SimConfig, has_live_applications: bool) -> list[Effect]:
    effects: list[Effect] = [] if config.steps_stuck else _start_steps(cluster, now, config)
    if cluster.open_steps:
        first = min(step.created for step in cluster.open_steps)
        if cluster.state == r.WAITING and now >= first + config.waiting_flip_s:
            _enter(cluster, r.RUNNING, now, None, "Running step")
    elif cluster.auto_terminate:
        return effects + _end_after_last_step(cluster, now)
    elif cluster.state == r.RUNNING:
        used = bool(cluster.steps)
        _enter(cluster, r.WAITING, now, None, "Cluster ready after last step completed." if used else "Cluster ready to run steps.")
    return effects + _mind_idle_clock(cluster, now, config, has_live_applications)


def _end_after_last_step(cluster: ClusterRecord, now: float) -> list[Effect]:
    if cluster.has_failed_step:
        return begin_end(cluster, now, code="STEP_FAILURE", message="Steps completed with errors")
    return begin_end(cluster, now, code="ALL_STEPS_COMPLETED", message="Steps completed")


def _mind_idle_clock(cluster: ClusterRecord, now: float, config: SimConfig, has_live_applications: bool) -> list[Effect]:
    is_idle = not cluster.open_steps and not has_live_applications
    if not is_idle or cluster.idle_timeout_s is None:
        if cluster.idle_since is not None:
            cluster.idle_since, cluster.changed = None, True
        return []
    if cluster.idle_since is None:
        cluster.idle_since, cluster.changed = now, True
    idle_s = (now - cluster.idle_since) * config.idle_clock_speed
    if idle_s < cluster.idle_timeout_s or cluster.termination_protected:
        return []
    message = f"Cluster was idle for longer than its auto-termination policy of {cluster.idle_timeout_s} seconds allows"
    return begin_end(cluster, now, code="ALL_STEPS_COMPLETED", message=message)


def _start_steps(cluster: ClusterRecord, now: float, config: SimConfig) -> list[Effect]:
    """Start pending steps in the order of submission; a step being cancelled keeps its place until its process is gone."""
    effects: list[Effect] = []
    busy = sum(step.has_process for step in cluster.open_steps)
    for step in [step for step in cluster.open_steps if step.state == r.PENDING]:
        due = max(step.created, cluster.ready or now) + config.step_start_s
        if busy >= cluster.step_concurrency or now < due:
            break
        step.state, step.started = r.RUNNING, now
        cluster.touch_step(step)
        busy += 1
        effects.append(Launch(cluster=cluster, step=step))
    return effects


def _finish_cancelled_pending(cluster: ClusterRecord, now: float, config: SimConfig) -> None:
    for step in list(cluster.open_steps):
        if step.state == r.CANCEL_PENDING and step.started is None and now >= (step.cancelled_at or 0) + config.cancel_s:
            _end_step(cluster, step, now, r.CANCELLED, message="Cancelled by user")


def _end_step(
    cluster: ClusterRecord, step: StepRecord, now: float, state: str, *, message: str | None = None, failure: dict[str, str] | None = None
) -> None:
    step.state, step.ended, step.message, step.failure = state, now, message, failure
    cluster.touch_step(step)


def record_exit(cluster: ClusterRecord, step: StepRecord, exit_: StepExit, now: float) -> list[Effect]:
    """Take over the end of a step's process; an end that comes after the step's own changes nothing."""
    if not step.is_open:
        return []
    if exit_.exit_code == 0 and exit_.signal is None:
        _end_step(cluster, step, now, r.COMPLETED)
        return []
    if step.state == r.CANCEL_PENDING:
        _end_step(cluster, step, now, r.CANCELLED, message="Cancelled by user")
        return []
    _end_step(cluster, step, now, r.FAILED, failure=_failure_details(exit_))
    return _act_on_failure(cluster, step, now)


def _failure_details(exit_: StepExit) -> dict[str, str]:
    details = {"Reason": "Unknown Error.", "Message": exit_.message or f"Step process ended with exit code {exit_.exit_code}."}
    if exit_.log_file:
        details["LogFile"] = exit_.log_file
    return details


def _act_on_failure(cluster: ClusterRecord, step: StepRecord, now: float) -> list[Effect]:
    if cluster.step_concurrency > 1 or cluster.state not in r.READY_CLUSTER:
        return []
    match step.action_on_failure:
        case "CANCEL_AND_WAIT":
            _cancel_pending(cluster, now)
        case "TERMINATE_CLUSTER" | "TERMINATE_JOB_FLOW" if cluster.auto_terminate or not cluster.termination_protected:
            return begin_end(cluster, now, code="STEP_FAILURE", message="Shut down as step failed", end_state=r.TERMINATED_WITH_ERRORS)
        case "TERMINATE_CLUSTER" | "TERMINATE_JOB_FLOW":
            _cancel_pending(cluster, now)
    return []


def _cancel_pending(cluster: ClusterRecord, now: float) -> None:
    for step in list(cluster.open_steps):
        if step.started is None:
            _end_step(cluster, step, now, r.CANCELLED, message=JOB_TERMINATED)


def begin_end(cluster: ClusterRecord, now: float, *, code: str, message: str, end_state: str = r.TERMINATED) -> list[Effect]:
    """Enter TERMINATING: steps not yet completed are cancelled and every process ends with the cluster's instances."""
    _cancel_pending(cluster, now)
    for step in list(cluster.open_steps):
        _end_step(cluster, step, now, r.CANCELLED, message=JOB_TERMINATED)
    cluster.end_state, cluster.terminate_at, cluster.idle_since = end_state, None, None
    _enter(cluster, r.TERMINATING, now, code, message)
    return [StopCluster(cluster_id=cluster.id)]


def lose_cluster(cluster: ClusterRecord, now: float, *, code: str, message: str, error_details: list[dict[str, object]]) -> list[Effect]:
    """End the cluster at once as if its master were gone: running steps FAILED, pending ones CANCELLED without a start."""
    _cancel_pending(cluster, now)
    for step in list(cluster.open_steps):
        _end_step(cluster, step, now, r.FAILED, failure={"Reason": "Unknown Error.", "Message": message})
    cluster.error_details = list(error_details)
    cluster.end_state, cluster.ended, cluster.terminate_at = r.TERMINATED_WITH_ERRORS, now, None
    _enter(cluster, r.TERMINATED_WITH_ERRORS, now, code, message)
    return [StopCluster(cluster_id=cluster.id)]


def cancel_step(cluster: ClusterRecord, step: StepRecord, now: float, *, kill: bool) -> tuple[bool, list[Effect]]:
    """Ask for the end of one step; False when it has already ended. Asking again is allowed and may sharpen the signal."""
    if not step.is_open:
        return False, []
    if step.state != r.CANCEL_PENDING:
        step.state, step.cancelled_at = r.CANCEL_PENDING, now
    step.cancel_kills = step.cancel_kills or kill
    cluster.touch_step(step)
    return True, [Signal(step_id=step.id, kill=kill)] if step.has_process else []
