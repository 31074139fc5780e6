"""EMR's operations on steps: add, describe, list, cancel."""

from typing import Any

from platyspark_provider.emrsim import records as r
from platyspark_provider.emrsim.calls import Call
from platyspark_provider.emrsim.ids import new_step_id
from platyspark_provider.emrsim.lifecycle import cancel_step
from platyspark_provider.emrsim.paging import page
from platyspark_provider.emrsim.records import ClusterRecord, StepRecord
from platyspark_provider.emrsim.replies import step_reply, step_summary
from platyspark_provider.emrsim.wire import invalid_request, validation_error

MAX_ACTIVE_STEPS = 256
MAX_STEP_CHARACTERS = 10_240
MAX_LISTED_IDS = 10
MAX_CANCEL_IDS = 256


def add_job_flow_steps(call: Call) -> dict[str, Any]:
    """Add steps to a cluster; all or none."""
    cluster = call.job_flow(call.request["JobFlowId"])
    step_ids = add_steps(call, cluster, call.request["Steps"], call.request.get("ExecutionRoleArn"))
    call.changed_ids += step_ids
    return {"StepIds": step_ids}


def add_steps(call: Call, cluster: ClusterRecord, configs: list[dict[str, Any]], role_arn: str | None) -> list[str]:
    """Check and append the steps of RunJobFlow or AddJobFlowSteps, and return their ids.

    :raises EmrError: ValidationException; no step was added
    """
    if cluster.state not in r.ACCEPTS_STEPS:
        raise validation_error("A job flow that is shutting down, terminated, or finished may not be modified.")
    active = sum(step.state in {r.PENDING, r.RUNNING} for step in cluster.open_steps)
    if active + len(configs) > MAX_ACTIVE_STEPS:
        raise validation_error("Maximum number of active steps(State = 'Running', 'Pending' or 'Cancel_Pending') for cluster exceeded.")
    for config in configs:
        _check_step(cluster, config)
    return [_add_step(call, cluster, config, role_arn).id for config in configs]


def _check_step(cluster: ClusterRecord, config: dict[str, Any]) -> None:
    jar_step = config["HadoopJarStep"]
    texts = [jar_step["Jar"], jar_step.get("MainClass", ""), *jar_step.get("Args", [])]
    texts += [text for pair in jar_step.get("Properties", []) for text in (pair.get("Key", ""), pair.get("Value", ""))]
    if sum(map(len, texts)) > MAX_STEP_CHARACTERS:
        raise validation_error(f"The string values passed into HadoopJarStep cannot exceed a total of {MAX_STEP_CHARACTERS} characters.")
    action = config.get("ActionOnFailure", "CONTINUE")
    if cluster.step_concurrency > 1 and action != "CONTINUE":
        raise validation_error(
            f"The ActionOnFailure setting {action} is not valid. Only CONTINUE is supported when StepConcurrencyLevel is greater than 1."
        )


def _add_step(call: Call, cluster: ClusterRecord, config: dict[str, Any], role_arn: str | None) -> StepRecord:
    jar_step = config["HadoopJarStep"]
    default_action = "TERMINATE_CLUSTER" if cluster.step_concurrency == 1 else "CONTINUE"
    step = StepRecord(
        id=new_step_id(),
        cluster_id=cluster.id,
        seq=len(cluster.steps) + 1,
        name=config["Name"],
        jar=jar_step["Jar"],
        args=jar_step.get("Args", []),
        main_class=jar_step.get("MainClass"),
        properties={pair.get("Key", ""): pair.get("Value", "") for pair in jar_step.get("Properties", [])},
        action_on_failure=config.get("ActionOnFailure", default_action),
        execution_role_arn=role_arn,
        created=call.now,
    )
    call.engine.add_step(cluster, step)
    return step


def describe_step(call: Call) -> dict[str, Any]:
    """Show one step."""
    return {"Step": step_reply(_visible(call, call.cluster(), call.request["StepId"]))}


def _visible(call: Call, cluster: ClusterRecord, step_id: str) -> StepRecord:
    step = call.engine.find_step(cluster, step_id)
    if step is None:
        raise invalid_request(f"Step id '{step_id}' is not valid.")
    return step


def list_steps(call: Call) -> dict[str, Any]:
    """Show a page of steps: newest first, or in the order of submission with a filter."""
    cluster, request = call.cluster(), call.request
    ids, states = request.get("StepIds"), request.get("StepStates")
    if ids and states:
        raise invalid_request("Cannot specify both StepIds and StepStates.")
    if ids and len(ids) > MAX_LISTED_IDS:
        raise invalid_request(f"The number of step IDs cannot exceed {MAX_LISTED_IDS}.")
    visible_until = call.now - call.engine.config.listing_lag_s
    if ids:
        return {"Steps": [step_summary(_listed(call, cluster, one, visible_until)) for one in ids]}
    found = [step for step in cluster.visible_steps() if step.created <= visible_until and (not states or step.state in states)]
    if states:
        chunk, marker = page(found, request.get("Marker"), lambda step: f"{step.seq:010d}")
    else:
        chunk, marker = page(found[::-1], request.get("Marker"), lambda step: f"{10**9 - step.seq:010d}")
    reply: dict[str, Any] = {"Steps": [step_summary(step) for step in chunk]}
    return {**reply, "Marker": marker} if marker else reply


def _listed(call: Call, cluster: ClusterRecord, step_id: str, visible_until: float) -> StepRecord:
    step = _visible(call, cluster, step_id)
    if step.created > visible_until:
        raise invalid_request(f"Step id '{step_id}' is not valid.")
    return step


def cancel_steps(call: Call) -> dict[str, Any]:
    """Ask for the end of steps and answer for each id on its own."""
    cluster, ids = call.cluster(), call.request["StepIds"]
    if not 1 <= len(ids) <= MAX_CANCEL_IDS:
        raise invalid_request(f"The number of step IDs must be between 1 and {MAX_CANCEL_IDS}.")
    kill = call.request.get("StepCancellationOption", "SEND_INTERRUPT") == "TERMINATE_PROCESS"
    return {"CancelStepsInfoList": [_cancel(call, cluster, call.engine.find_step(cluster, one), one, kill=kill) for one in ids]}


def _cancel(call: Call, cluster: ClusterRecord, step: StepRecord | None, step_id: str, *, kill: bool) -> dict[str, str]:
    if step is None:
        return {"StepId": step_id, "Status": "FAILED", "Reason": f"Step id '{step_id}' is not valid."}
    accepted, effects = cancel_step(cluster, step, call.now, kill=kill)
    if not accepted:
        return {"StepId": step_id, "Status": "FAILED", "Reason": f"Step is in state {step.state} and can not be cancelled."}
    call.effects += effects
    call.changed_ids.append(step_id)
    return {"StepId": step_id, "Status": "SUBMITTED"}
