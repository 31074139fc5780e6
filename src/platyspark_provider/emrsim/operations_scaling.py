"""EMR's operations on managed scaling: the policy is checked, stored and shown; machines on paper don't scale."""

from typing import Any

from platyspark_provider.emrsim import records as r
from platyspark_provider.emrsim.calls import Call
from platyspark_provider.emrsim.records import ClusterRecord
from platyspark_provider.emrsim.wire import validation_error

_FLEET_UNITS = "InstanceFleetUnits"
_INVALID = "Invalid configuration for managed scaling."


def put_managed_scaling_policy(call: Call) -> dict[str, Any]:
    """Attach a policy or replace it."""
    cluster = _alive(call)
    policy = call.request["ManagedScalingPolicy"]
    check_policy(policy, uses_fleets=cluster.uses_fleets)
    return _set_policy(call, cluster, policy)


def get_managed_scaling_policy(call: Call) -> dict[str, Any]:
    """Show the policy, if there is one."""
    policy = call.cluster().managed_scaling
    return {} if policy is None else {"ManagedScalingPolicy": policy}


def remove_managed_scaling_policy(call: Call) -> dict[str, Any]:
    """Drop the policy; without one nothing happens."""
    return _set_policy(call, _alive(call), None)


def check_policy(policy: dict[str, Any], *, uses_fleets: bool) -> None:
    """Check a policy of RunJobFlow or PutManagedScalingPolicy.

    :raises EmrError: ValidationException
    """
    limits = policy.get("ComputeLimits")
    if limits is None:
        raise validation_error(f"{_INVALID} ComputeLimits must be specified.")
    if (limits["UnitType"] == _FLEET_UNITS) != uses_fleets:
        layout = "instance fleets" if uses_fleets else "instance groups"
        raise validation_error(f"{_INVALID} The unit type {limits['UnitType']} is not supported for clusters with {layout}.")
    low, high = limits["MinimumCapacityUnits"], limits["MaximumCapacityUnits"]
    if low < 1:
        raise validation_error(f"{_INVALID} The min capacity must be at least 1.")
    if low > high:
        raise validation_error(f"{_INVALID} The min capacity cannot be higher than max capacity.")
    for member, words in (("MaximumOnDemandCapacityUnits", "max On-Demand"), ("MaximumCoreCapacityUnits", "max Core")):
        if limits.get(member, 0) > high:
            raise validation_error(f"{_INVALID} The {words} capacity cannot be higher than max capacity")


def _alive(call: Call) -> ClusterRecord:
    cluster = call.cluster()
    if cluster.state not in r.ACCEPTS_STEPS:
        raise validation_error("A job flow that is shutting down, terminated, or finished may not be modified.")
    return cluster


def _set_policy(call: Call, cluster: ClusterRecord, policy: dict[str, Any] | None) -> dict[str, Any]:
    cluster.managed_scaling, cluster.changed = policy, True
    call.changed_ids.append(cluster.id)
    return {}
