"""EMR's clusters and steps as values, and what their words mean for us; pure: raw answers go in, sights come out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from platyspark_provider.backends.base import AttemptSight, ClusterSight, Death, failure_class_from_code
from platyspark_provider.core.states import DeployMode, FailureClass

ACTIVE_CLUSTERS = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING")
ENDED_CLUSTERS = ("TERMINATED", "TERMINATED_WITH_ERRORS")
ACTIVE_STEPS = ("PENDING", "RUNNING", "CANCEL_PENDING")

_ClusterState = Literal["starting", "ready", "terminating", "dead"]
_CLUSTER_STATE: Mapping[str, _ClusterState] = {
    "STARTING": "starting",
    "BOOTSTRAPPING": "starting",
    "RUNNING": "ready",
    "WAITING": "ready",
    "TERMINATING": "terminating",
    "TERMINATED": "dead",
    "TERMINATED_WITH_ERRORS": "dead",
}
# ClusterStateChangeReasonCode and ErrorDetail.ErrorCode of the EMR API; a bootstrap failure counts as infrastructure
# the first time, and the rules make a repeated one the owner's.
_FAILURE_CLASS: Mapping[str, FailureClass] = {
    "USER_REQUEST": FailureClass.EXTERNAL_KILL,
    "INSTANCE_FAILURE": FailureClass.INFRASTRUCTURE,
    "INSTANCE_FLEET_TIMEOUT": FailureClass.INFRASTRUCTURE,
    "INTERNAL_ERROR": FailureClass.INFRASTRUCTURE,
    "INTERNAL_ERROR_EC2_INSUFFICIENT_CAPACITY": FailureClass.CAPACITY,
    "INTERNAL_ERROR_SPOT_NO_CAPACITY": FailureClass.CAPACITY,
    "INTERNAL_ERROR_SPOT_PRICE_INCREASE": FailureClass.CAPACITY,
    "NO_SLAVES_LEFT": FailureClass.INFRASTRUCTURE,
    "BOOTSTRAP_FAILURE": FailureClass.INFRASTRUCTURE,
    "VALIDATION_ERROR": FailureClass.USER,
    "STEP_FAILURE": FailureClass.USER,
}
# Not a failure: keep-alive was off or the auto-termination policy fired.
_CLEAN_END = "ALL_STEPS_COMPLETED"


def cluster_sight(raw: Mapping[str, Any]) -> ClusterSight:
    """Return what ListClusters or DescribeCluster say of one cluster."""
    status = raw.get("Status", {})
    word = str(status.get("State", ""))
    reason = status.get("StateChangeReason", {})
    code, failure_class = _cluster_failure(word, str(reason.get("Code", "")), status.get("ErrorDetails", ()))
    return ClusterSight(
        external_id=raw["Id"],
        name=str(raw.get("Name", "")),
        state=_CLUSTER_STATE.get(word, "starting"),
        raw_state=word,
        reason_code=code,
        reason=str(reason.get("Message", "")),
        failure_class=failure_class,
        created_at=status.get("Timeline", {}).get("CreationDateTime"),
        external_detail={"master_dns": raw["MasterPublicDnsName"]} if raw.get("MasterPublicDnsName") else {},
    )


def _cluster_failure(word: str, code: str, details: Any) -> tuple[str, FailureClass | None]:
    """Return the most telling code, and whose fault the end is; None for a live cluster or a clean end.

    ErrorDetails say more than the reason code where they are known to us (`INTERNAL_ERROR` hides a lack of capacity).
    """
    if word in ACTIVE_CLUSTERS[:4] or (code == _CLEAN_END and word != "TERMINATED_WITH_ERRORS"):
        return code, None
    for detail in details:
        finer = str(detail.get("ErrorCode", ""))
        found = failure_class_from_code(finer, _FAILURE_CLASS)
        if found is not FailureClass.UNKNOWN:
            return finer, found
    return code, failure_class_from_code(code, _FAILURE_CLASS)


class StepState(StrEnum):
    """EMR's words for a step; one that we don't know yet counts as running, which decides nothing."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    CANCEL_PENDING = "CANCEL_PENDING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"

    @classmethod
    def _missing_(cls, value: object) -> "StepState":
        return cls.RUNNING

    @property
    def is_ended(self) -> bool:
        """Tell whether EMR is done with the step; its driver may not be."""
        return self not in {StepState.PENDING, StepState.RUNNING, StepState.CANCEL_PENDING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step as ListSteps tells it."""

    id: str
    name: str
    state: StepState
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""

    @property
    def never_started(self) -> bool:
        """Tell whether EMR gave the step up before its process was started (pending when its cluster died)."""
        return self.state is StepState.CANCELLED and self.started_at is None


def step_from_summary(raw: Mapping[str, Any]) -> Step:
    """Parse a StepSummary."""
    status = raw.get("Status", {})
    timeline, failure = status.get("Timeline", {}), status.get("FailureDetails", {})
    told = [str(failure.get(part, "")) for part in ("Reason", "Message", "LogFile")]
    return Step(
        id=raw["Id"],
        name=str(raw.get("Name", "")),
        state=StepState(status["State"]),
        created_at=timeline.get("CreationDateTime"),
        started_at=timeline.get("StartDateTime"),
        ended_at=timeline.get("EndDateTime"),
        reason=" ".join(word for word in told if word) or str(status.get("StateChangeReason", {}).get("Message", "")),
    )


_AttemptState = Literal["pending", "running", "succeeded", "failed", "cancelled"]


def attempt_state(step: Step) -> _AttemptState:
    """Return our word for a step's state."""
    match step.state:
        case StepState.PENDING:
            return "pending"
        case StepState.RUNNING:
            return "running"
        case StepState.CANCEL_PENDING:
            return "pending" if step.started_at is None else "running"
        case StepState.COMPLETED:
            return "succeeded"
        case StepState.CANCELLED:
            return "cancelled"
        case StepState.FAILED | StepState.INTERRUPTED:
            return "failed"


def death_from_step(step: Step, mode: DeployMode, *, stop_stage: int) -> Death:
    """Return what the step's record alone proves about the driver.

    In cluster mode the driver lives in YARN and outlives a cancelled or failed step. In client mode it is the step's own
    process, but only TERMINATE_PROCESS (rung 2) ends its descendants too.
    """
    if step.never_started:
        return Death(state="dead", proof="the step was never started")
    if step.state is StepState.COMPLETED:
        return Death(state="dead", proof="the step completed, and it waits for its application")
    if step.state is StepState.PENDING:
        return Death(state="alive", proof="the step is queued and will start")
    if mode is DeployMode.CLUSTER:
        return Death(state="unknown")
    if not step.state.is_ended:
        return Death(state="alive", proof="the step's process is the driver, and it runs")
    if step.state is StepState.CANCELLED and stop_stage < 2:
        return Death(state="unknown", proof="the step was interrupted; its child processes may go on")
    return Death(state="dead", proof=f"the step's process, which is the driver, has ended ({step.state})")


def attempt_sight(step: Step, death: Death | None = None, detail: Mapping[str, Any] | None = None) -> AttemptSight:
    """Return what the port tells of a step.

    :param death: what is known of the driver of an ended step; a live step's driver is not judged.
    """
    known = death if death is not None and step.state.is_ended else Death(state="unknown")
    return AttemptSight(
        external_id=step.id,
        name=step.name,
        state=attempt_state(step),
        driver=known.state,
        proof=known.proof or None,
        started_at=step.started_at,
        ended_at=step.ended_at,
        reason=step.reason,
        external_detail=dict(detail or {}),
    )
