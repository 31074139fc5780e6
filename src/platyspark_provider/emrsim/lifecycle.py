"""How clusters and steps change with time: pure decisions on records, no I/O; the engine carries out the returned effects.

Follows "cluster lifecycle" and "step lifecycle" of the EMR Management Guide; docs/emrsim-fidelity.md names the source of each rule.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from platyspark_provider.emrsim import records as r
from platyspark_provider.emrsim.config import SimConfig
from platyspark_provider.emrsim.ports import StepExit
from platyspark_provider.emrsim.records import ClusterRecord, Doom, Script, StepRecord

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


ScriptFor = Callable[[ClusterRecord, StepRecord, float], Script | None]


def run_for_real(_cluster: ClusterRecord, _step: StepRecord, _now: float) -> Script | None:
    """Give no step a script."""
    return None


def advance(
    cluster: ClusterRecord, now: float, config: SimConfig, *, has_live_applications: bool = False, script_for: ScriptFor = run_for_real
) -> list[Effect]:
    """Move the cluster and its steps as far as `now` allows, by what is due at that very time.

    :param script_for: asked for each step that starts now; a step with a script gets no process
    """
    effects = begin_asked_end(cluster, now) + _finish_without_process(cluster, now, config)
    if cluster.state in {r.STARTING, r.BOOTSTRAPPING}:
        effects += _advance_launch(cluster, now, config)
    if cluster.state in r.READY_CLUSTER:
        effects += _advance_ready(cluster, now, config, has_live_applications, script_for)
    if cluster.state == r.TERMINATING and now >= cluster.state_since + config.terminating_s:
        effects.append(StopCluster(cluster_id=cluster.id))
        cluster.ended = now
        cluster.enter(cluster.end_state or r.TERMINATED, now, code=cluster.reason_code, message=cluster.reason_message)
    return effects


def next_due(cluster: ClusterRecord, config: SimConfig) -> float:
    """Return when time alone changes something next; infinity for never.

    What it returns right after `advance` may lie in the past when that has to be called again for the same time.
    """
    times = [math.inf if cluster.terminate_at is None else cluster.terminate_at]
    match cluster.state:
        case r.STARTING:
            times.append(cluster.created + config.starting_s)
        case r.BOOTSTRAPPING:
            times.append(cluster.created + config.starting_s + config.bootstrapping_s)
        case r.TERMINATING:
            times.append(cluster.state_since + config.terminating_s)
        case r.RUNNING | r.WAITING:
            times += _ready_times(cluster, config)
    for step in cluster.open_steps:
        if step.state == r.CANCEL_PENDING and not step.has_process:
            times.append((step.cancelled_at or 0) + config.cancel_s)
        elif step.script is not None:
            times.append(step.script.ends_at)
    return min(times)


def _ready_times(cluster: ClusterRecord, config: SimConfig) -> list[float]:
    times = []
    if cluster.open_steps and cluster.state == r.WAITING:
        times.append(cluster.open_steps[0].created + config.waiting_flip_s)
    pending = next((step for step in cluster.open_steps if step.state == r.PENDING), None)
    if pending is not None and not config.steps_stuck and _busy(cluster) < cluster.step_concurrency:
        times.append(_start_time(cluster, pending, config))
    if not cluster.termination_protected:
        times.append(_idle_end(cluster, config))
    return times


def _idle_end(cluster: ClusterRecord, config: SimConfig) -> float:
    if cluster.idle_since is None or cluster.idle_timeout_s is None or not config.idle_clock_speed:
        return math.inf
    return cluster.idle_since + cluster.idle_timeout_s / config.idle_clock_speed


def begin_asked_end(cluster: ClusterRecord, now: float) -> list[Effect]:
    """Begin the end that TerminateJobFlows asked for, once its time has come."""
    if cluster.terminate_at is None or now < cluster.terminate_at or cluster.state not in r.ACCEPTS_STEPS:
        return []
    return begin_end(cluster, now, code="USER_REQUEST", message="Terminated by user request")


def _advance_launch(cluster: ClusterRecord, now: float, config: SimConfig) -> list[Effect]:
    if cluster.state == r.STARTING and now >= cluster.created + config.starting_s:
        if cluster.doom is not None and cluster.doom.state == r.STARTING:
            return _meet_doom(cluster, now, cluster.doom)
        cluster.enter(r.BOOTSTRAPPING, now, message="Running bootstrap actions")
    if cluster.state == r.BOOTSTRAPPING and now >= cluster.created + config.starting_s + config.bootstrapping_s:
        if cluster.doom is not None:
            return _meet_doom(cluster, now, cluster.doom)
        cluster.ready = now
        cluster.enter(r.RUNNING, now, message="Running step")
    return []


def _meet_doom(cluster: ClusterRecord, now: float, doom: Doom) -> list[Effect]:
    cluster.error_details = list(doom.error_details)
    return begin_end(cluster, now, code=doom.code, message=doom.message, end_state=r.TERMINATED_WITH_ERRORS)


def _advance_ready(
    cluster: ClusterRecord, now: float, config: SimConfig, has_live_applications: bool, script_for: ScriptFor
) -> list[Effect]:
    effects: list[Effect] = [] if config.steps_stuck else _start_steps(cluster, now, config, script_for)
    if cluster.open_steps:
        if cluster.state == r.WAITING and now >= cluster.open_steps[0].created + config.waiting_flip_s:
            cluster.enter(r.RUNNING, now, message="Running step")
    elif cluster.auto_terminate:
        return effects + _end_after_last_step(cluster, now)
    elif cluster.state == r.RUNNING:
        used = bool(cluster.steps)
        cluster.enter(r.WAITING, now, message="Cluster ready after last step completed." if used else "Cluster ready to run steps.")
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
    if now < _idle_end(cluster, config) or cluster.termination_protected:
        return []
    message = f"Cluster was idle for longer than its auto-termination policy of {cluster.idle_timeout_s} seconds allows"
    return begin_end(cluster, now, code="ALL_STEPS_COMPLETED", message=message)


def _start_steps(cluster: ClusterRecord, now: float, config: SimConfig, script_for: ScriptFor) -> list[Effect]:
    """Start pending steps in the order of submission; a step being cancelled keeps its place until its process is gone."""
    effects: list[Effect] = []
    free = cluster.step_concurrency - _busy(cluster)
    for step in [step for step in cluster.open_steps if step.state == r.PENDING][: max(0, free)]:
        if now < _start_time(cluster, step, config):
            break
        step.started = now
        step.script = script_for(cluster, step, now)
        cluster.move_step(step, r.RUNNING, now)
        if step.script is None:
            effects.append(Launch(cluster=cluster, step=step))
    return effects


def _busy(cluster: ClusterRecord) -> int:
    return sum(step.is_under_way for step in cluster.open_steps)


def _start_time(cluster: ClusterRecord, step: StepRecord, config: SimConfig) -> float:
    return max(step.created, cluster.ready or 0) + config.step_start_s


def _finish_without_process(cluster: ClusterRecord, now: float, config: SimConfig) -> list[Effect]:
    """End the steps that no process ends: scripted ones at their time, and cancelled ones that have no process."""
    effects: list[Effect] = []
    for step in list(cluster.open_steps):
        if step.script is not None and now >= step.script.ends_at and step.state == r.RUNNING:
            ended = StepExit(step_id=step.id, exit_code=step.script.exit_code, message=step.script.message)
            effects += record_exit(cluster, step, ended, now)
        elif step.state == r.CANCEL_PENDING and not step.has_process and now >= (step.cancelled_at or 0) + config.cancel_s:
            _end_step(cluster, step, now, r.CANCELLED, message="Cancelled by user")
    return effects


def _end_step(
    cluster: ClusterRecord, step: StepRecord, now: float, state: str, *, message: str | None = None, failure: dict[str, str] | None = None
) -> None:
    step.ended, step.message, step.failure = now, message, failure
    cluster.move_step(step, state, now)


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
    cluster.enter(r.TERMINATING, now, code=code, message=message)
    return [StopCluster(cluster_id=cluster.id)]


def lose_cluster(cluster: ClusterRecord, now: float, *, code: str, message: str, error_details: list[dict[str, object]]) -> list[Effect]:
    """End the cluster at once as if its master were gone: running steps FAILED, pending ones CANCELLED without a start."""
    _cancel_pending(cluster, now)
    for step in list(cluster.open_steps):
        _end_step(cluster, step, now, r.FAILED, failure={"Reason": "Unknown Error.", "Message": message})
    cluster.error_details = list(error_details)
    cluster.end_state, cluster.ended, cluster.terminate_at = r.TERMINATED_WITH_ERRORS, now, None
    cluster.enter(r.TERMINATED_WITH_ERRORS, now, code=code, message=message)
    return [StopCluster(cluster_id=cluster.id)]


def fail_over(cluster: ClusterRecord, now: float) -> list[Effect]:
    """Lose one of three masters: its steps are FAILED and their processes die, what runs in YARN goes on, and so does the cluster."""
    effects: list[Effect] = []
    for step in [step for step in cluster.open_steps if step.is_under_way]:
        effects += [Signal(step_id=step.id, kill=True)] if step.has_process else []
        _end_step(cluster, step, now, r.FAILED, failure={"Reason": "Unknown Error.", "Message": "The master node failed."})
    return effects


def cancel_step(cluster: ClusterRecord, step: StepRecord, now: float, *, kill: bool) -> tuple[bool, list[Effect]]:
    """Ask for the end of one step; False when it has already ended. Asking again is allowed and may sharpen the signal."""
    if not step.is_open:
        return False, []
    step.cancel_kills = step.cancel_kills or kill
    if step.state != r.CANCEL_PENDING:
        step.cancelled_at = now
        cluster.move_step(step, r.CANCEL_PENDING, now)
    cluster.changed_steps[step.id] = step
    return True, [Signal(step_id=step.id, kill=kill)] if step.has_process else []
