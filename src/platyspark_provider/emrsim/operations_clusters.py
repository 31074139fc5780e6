"""EMR's operations on clusters: create, describe, list, terminate, protect, idle policy, tags, instances."""

import hashlib
import re
from typing import Any

from platyspark_provider.emrsim import lifecycle
from platyspark_provider.emrsim import records as r
from platyspark_provider.emrsim.calls import Call
from platyspark_provider.emrsim.ids import cluster_arn, new_cluster_id
from platyspark_provider.emrsim.instances import (
    fleets_reply,
    groups_reply,
    instance_sets_from_request,
    instances_reply,
    is_highly_available,
)
from platyspark_provider.emrsim.operations_scaling import check_policy
from platyspark_provider.emrsim.operations_steps import add_steps
from platyspark_provider.emrsim.paging import page
from platyspark_provider.emrsim.records import ClusterRecord
from platyspark_provider.emrsim.replies import cluster_reply, cluster_summary
from platyspark_provider.emrsim.wire import invalid_request, validation_error

MAX_TERMINATE_IDS = 10
MAX_CONCURRENCY = 256
IDLE_TIMEOUT_RANGE_S = (60, 604_800)
DEFAULT_IDLE_TIMEOUT_S = 3600
_FORBIDDEN_IN_NAME = re.compile(r"[<>$|`]")


def run_job_flow(call: Call) -> dict[str, Any]:
    """Create a cluster."""
    request = call.request
    instances = request["Instances"]
    if _FORBIDDEN_IN_NAME.search(request["Name"]):
        raise validation_error("The cluster name can not contain the characters <, >, $, | or ` (backtick).")
    concurrency = _checked_concurrency(request.get("StepConcurrencyLevel", 1))
    uses_fleets, sets = instance_sets_from_request(instances)
    policy = request.get("AutoTerminationPolicy")
    cluster = ClusterRecord(
        id=new_cluster_id(),
        region=call.region,
        request=request,
        created=call.now,
        state_since=call.now,
        reason_message="Provisioning Amazon EC2 capacity",
        auto_terminate=not instances.get("KeepJobFlowAliveWhenNoSteps", False),
        termination_protected=instances.get("TerminationProtected", is_highly_available(sets)),
        step_concurrency=concurrency,
        tags=_checked_tags(request.get("Tags", [])),
        uses_fleets=uses_fleets,
        instance_sets=sets,
        idle_timeout_s=None if policy is None else _checked_idle_timeout(policy),
        managed_scaling=_checked_scaling(request.get("ManagedScalingPolicy"), uses_fleets=uses_fleets),
        visible_to_all_users=request.get("VisibleToAllUsers", True),
    )
    cluster.tell(call.now)
    step_ids = add_steps(call, cluster, request.get("Steps", []), request.get("StepExecutionRoleArn"))
    cluster.doom = call.engine.launch_failures.take(cluster)
    call.engine.add_cluster(cluster)
    call.changed_ids += [cluster.id, *step_ids]
    return {"JobFlowId": cluster.id, "ClusterArn": cluster_arn(call.region, cluster.id)}


def describe_cluster(call: Call) -> dict[str, Any]:
    """Show one cluster."""
    return {"Cluster": cluster_reply(call.cluster())}


def list_clusters(call: Call) -> dict[str, Any]:
    """Show a page of clusters in no useful order, newly created ones after the listing lag."""
    request = call.request
    states = set(request.get("ClusterStates", []))
    after, before = request.get("CreatedAfter", float("-inf")), request.get("CreatedBefore", float("inf"))
    visible_until = call.now - call.engine.config.listing_lag_s
    found = [
        cluster
        for cluster in call.engine.clusters(call.region)
        if after <= cluster.created <= before and cluster.created <= visible_until and (not states or cluster.state in states)
    ]
    chunk, marker = page(sorted(found, key=_listing_key), request.get("Marker"), _listing_key)
    reply: dict[str, Any] = {"Clusters": [cluster_summary(cluster) for cluster in chunk]}
    return {**reply, "Marker": marker} if marker else reply


def _listing_key(cluster: ClusterRecord) -> str:
    return hashlib.sha256(cluster.id.encode()).hexdigest()


def terminate_job_flows(call: Call) -> dict[str, Any]:
    """Ask for the end of clusters; a protected one fails the call, yet the others of the same call end."""
    ids = call.request["JobFlowIds"]
    if not 1 <= len(ids) <= MAX_TERMINATE_IDS:
        raise validation_error(f"The number of job flow IDs must be between 1 and {MAX_TERMINATE_IDS}.")
    clusters = [call.job_flow(one) for one in ids]
    for cluster in clusters:
        if cluster.state in r.ACCEPTS_STEPS and not cluster.termination_protected and cluster.terminate_at is None:
            cluster.terminate_at, cluster.changed = call.now + call.engine.config.terminate_gap_s, True
            call.effects += lifecycle.begin_asked_end(cluster, call.now)
            call.changed_ids.append(cluster.id)
    if any(cluster.termination_protected and not cluster.is_ended for cluster in clusters):
        raise validation_error("Could not shut down one or more job flows since they are termination protected.")
    return {}


def set_termination_protection(call: Call) -> dict[str, Any]:
    """Switch the protection of clusters."""
    return _set_flag(call, "termination_protected", call.request["TerminationProtected"])


def set_visible_to_all_users(call: Call) -> dict[str, Any]:
    """Switch the visibility of clusters."""
    return _set_flag(call, "visible_to_all_users", call.request["VisibleToAllUsers"])


def set_keep_job_flow_alive_when_no_steps(call: Call) -> dict[str, Any]:
    """Switch whether clusters end after their last step."""
    return _set_flag(call, "auto_terminate", not call.request["KeepJobFlowAliveWhenNoSteps"])


def _set_flag(call: Call, name: str, value: bool) -> dict[str, Any]:
    clusters = [call.job_flow(one) for one in call.request["JobFlowIds"]]
    for cluster in clusters:
        _require_alive(cluster)
    for cluster in clusters:
        setattr(cluster, name, value)
        cluster.changed = True
        call.changed_ids.append(cluster.id)
    return {}


def _require_alive(cluster: ClusterRecord) -> None:
    if cluster.state not in r.ACCEPTS_STEPS:
        raise validation_error("A job flow that is shutting down, terminated, or finished may not be modified.")


def modify_cluster(call: Call) -> dict[str, Any]:
    """Change the step concurrency; running steps finish."""
    cluster = call.cluster()
    _require_alive(cluster)
    if (level := call.request.get("StepConcurrencyLevel")) is not None:
        cluster.step_concurrency, cluster.changed = _checked_concurrency(level), True
        call.changed_ids.append(cluster.id)
    return {"StepConcurrencyLevel": cluster.step_concurrency}


def put_auto_termination_policy(call: Call) -> dict[str, Any]:
    """Set the idle timeout; the idle clock starts anew."""
    cluster = call.cluster()
    _require_alive(cluster)
    cluster.idle_timeout_s = _checked_idle_timeout(call.request.get("AutoTerminationPolicy", {}))
    cluster.idle_since, cluster.changed = None, True
    call.changed_ids.append(cluster.id)
    return {}


def get_auto_termination_policy(call: Call) -> dict[str, Any]:
    """Show the idle timeout, if there is one."""
    cluster = call.cluster()
    return {} if cluster.idle_timeout_s is None else {"AutoTerminationPolicy": {"IdleTimeout": cluster.idle_timeout_s}}


def remove_auto_termination_policy(call: Call) -> dict[str, Any]:
    """Drop the idle timeout."""
    cluster = call.cluster()
    _require_alive(cluster)
    cluster.idle_timeout_s, cluster.idle_since, cluster.changed = None, None, True
    call.changed_ids.append(cluster.id)
    return {}


def add_tags(call: Call) -> dict[str, Any]:
    """Set tags of a cluster that has not ended."""
    cluster = _taggable(call)
    cluster.tags |= _checked_tags(call.request["Tags"])
    return {}


def remove_tags(call: Call) -> dict[str, Any]:
    """Drop tags of a cluster that has not ended."""
    cluster = _taggable(call)
    for key in call.request["TagKeys"]:
        cluster.tags.pop(key, None)
    return {}


def _taggable(call: Call) -> ClusterRecord:
    cluster = call.cluster("ResourceId")
    if cluster.is_ended:
        raise invalid_request("Tags cannot be modified on terminated clusters.")
    cluster.changed = True
    call.changed_ids.append(cluster.id)
    return cluster


def list_instances(call: Call) -> dict[str, Any]:
    """Show a page of machines."""
    found = list(enumerate(instances_reply(call.cluster(), call.request)))
    chunk, marker = page(found, call.request.get("Marker"), lambda item: f"{item[0]:08d}")
    reply: dict[str, Any] = {"Instances": [instance for _, instance in chunk]}
    return {**reply, "Marker": marker} if marker else reply


def list_instance_groups(call: Call) -> dict[str, Any]:
    """Show the groups of a cluster that has groups."""
    cluster = call.cluster()
    if cluster.uses_fleets:
        raise invalid_request("Instance fleets and instance groups are mutually exclusive. Use the ListInstanceFleets operation instead.")
    return {"InstanceGroups": groups_reply(cluster)}


def list_instance_fleets(call: Call) -> dict[str, Any]:
    """Show the fleets of a cluster that has fleets."""
    cluster = call.cluster()
    if not cluster.uses_fleets:
        raise invalid_request("Instance fleets and instance groups are mutually exclusive. Use the ListInstanceGroups operation instead.")
    return {"InstanceFleets": fleets_reply(cluster)}


def list_bootstrap_actions(call: Call) -> dict[str, Any]:
    """Show the bootstrap actions of the request."""
    actions = call.cluster().request.get("BootstrapActions", [])
    shown = [
        {
            "Name": action["Name"],
            "ScriptPath": action["ScriptBootstrapAction"]["Path"],
            "Args": action["ScriptBootstrapAction"].get("Args", []),
        }
        for action in actions
    ]
    return {"BootstrapActions": shown}


def _checked_concurrency(level: int) -> int:
    if not 1 <= level <= MAX_CONCURRENCY:
        raise validation_error(f"The step concurrency level must be between 1 and {MAX_CONCURRENCY}.")
    return level


def _checked_scaling(policy: dict[str, Any] | None, *, uses_fleets: bool) -> dict[str, Any] | None:
    if policy is not None:
        check_policy(policy, uses_fleets=uses_fleets)
    return policy


def _checked_idle_timeout(policy: dict[str, Any]) -> int:
    timeout = int(policy.get("IdleTimeout", DEFAULT_IDLE_TIMEOUT_S))
    low, high = IDLE_TIMEOUT_RANGE_S
    if not low <= timeout <= high:
        raise validation_error(f"The idle timeout must be between {low} and {high} seconds.")
    return timeout


def _checked_tags(tags: list[dict[str, Any]]) -> dict[str, str]:
    for tag in tags:
        key, value = tag.get("Key", ""), tag.get("Value", "")
        if not 1 <= len(key) <= 128:
            raise invalid_request(f"Invalid tag key: '{key}'. Tag keys must be between 1 and 128 characters in length.")
        if len(value) > 256:
            raise invalid_request(f"Invalid tag value: '{value}'. Tag values must be at most 256 characters in length.")
    return {tag["Key"]: tag.get("Value", "") for tag in tags}
