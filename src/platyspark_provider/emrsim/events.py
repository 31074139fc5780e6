"""Changes of state as EventBridge events of `aws.emr`: cluster and step events, worded as the Management Guide has them."""

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from platyspark_provider.emrsim import records as r
from platyspark_provider.emrsim.ids import ACCOUNT_ID
from platyspark_provider.emrsim.records import StateChange

# Severity and text by state; a state that is missing has no event. {cluster} and {step} are "ID (NAME)", {at} is to the minute.
_CLUSTER = {
    r.STARTING: ("INFO", "Amazon EMR cluster {cluster} was requested at {at} and is being created."),
    r.RUNNING: ("INFO", "Amazon EMR cluster {cluster} began running steps at {at}."),
    r.WAITING: ("INFO", "Amazon EMR cluster {cluster} finished running all pending steps at {at}."),
    r.TERMINATED: ("INFO", "Amazon EMR Cluster {cluster} has terminated at {at} with a reason of {code}."),
    r.TERMINATED_WITH_ERRORS: ("CRITICAL", "Amazon EMR Cluster {cluster} has terminated with errors at {at} with a reason of {code}."),
}
_READY = "Amazon EMR cluster {cluster} was created at {at} and is ready for use."
_STEP = {
    r.PENDING: ("INFO", "Step {step} was added to Amazon EMR cluster {cluster} at {at} and is pending execution."),
    r.CANCEL_PENDING: ("WARN", "Step {step} in Amazon EMR cluster {cluster} was cancelled at {at} and is pending cancellation."),
    r.RUNNING: ("INFO", "Step {step} in Amazon EMR cluster {cluster} started running at {at}."),
    r.COMPLETED: (
        "INFO",
        "Step {step} in Amazon EMR cluster {cluster} completed execution at {at}. "
        "The step started running at {started} and took {minutes} minutes to complete.",
    ),
    r.CANCELLED: (
        "WARN",
        "Cancellation request has succeeded for cluster step {step} in Amazon EMR cluster {cluster} at {at}, "
        "and the step is now cancelled.",
    ),
    r.FAILED: ("ERROR", "Step {step} in Amazon EMR cluster {cluster} failed at {at}."),
}
_HARMLESS_ENDS = frozenset({"USER_REQUEST", "ALL_STEPS_COMPLETED"})


def event_from_change(change: StateChange) -> dict[str, Any] | None:
    """Return the event of a change, None for one that EMR has no event for."""
    detail = _cluster_detail(change) if change.step_id is None else _step_detail(change)
    if detail is None:
        return None
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "EMR Cluster State Change" if change.step_id is None else "EMR Step Status Change",
        "source": "aws.emr",
        "account": ACCOUNT_ID,
        "time": datetime.fromtimestamp(change.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": change.region,
        "resources": [],
        "detail": detail,
    }


def _cluster_detail(change: StateChange) -> dict[str, Any] | None:
    if change.state not in _CLUSTER:
        return None
    severity, text = _CLUSTER[change.state]
    if change.state == r.WAITING and not change.has_steps:
        text = _READY
    if change.state == r.TERMINATED and change.code not in _HARMLESS_ENDS:
        severity = "CRITICAL"
    reason = {"code": change.code or ""} | ({"message": change.message} if change.code and change.message else {})
    return {
        "severity": severity,
        "stateChangeReason": json.dumps(reason, separators=(",", ":")),
        "name": change.cluster_name,
        "clusterId": change.cluster_id,
        "state": change.state,
        "message": text.format(**_words(change)),
    }


def _step_detail(change: StateChange) -> dict[str, Any] | None:
    if change.state not in _STEP:
        return None
    severity, text = _STEP[change.state]
    return {
        "severity": severity,
        "actionOnFailure": change.action_on_failure,
        "stepId": change.step_id,
        "name": change.step_name,
        "clusterId": change.cluster_id,
        "state": change.state,
        "message": text.format(**_words(change)),
    }


def _words(change: StateChange) -> dict[str, Any]:
    started = change.at if change.started is None else change.started
    return {
        "cluster": f"{change.cluster_id} ({change.cluster_name})",
        "step": f"{change.step_id} ({change.step_name})",
        "at": _minute(change.at),
        "code": change.code,
        "started": _minute(started),
        "minutes": int((change.at - started) / 60),
    }


def _minute(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
