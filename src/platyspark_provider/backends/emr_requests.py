"""RunJobFlow's request from a cluster spec; pure. The requests of steps are in `emr_steps`."""

from collections.abc import Mapping
from typing import Any

from platyspark_provider.core.keys import cluster_name_from_text
from platyspark_provider.core.spec import ClusterSpec
from platyspark_provider.errors import BackendRejected

_DEAD_MAN_FACTOR = 3
_KEPT_DEAD_MAN_S = 86_400
_IDLE_BOUNDS_S = (60, 604_800)  # of AutoTerminationPolicy.IdleTimeout (EMR API)

# Our words for `security_groups`; EMR's own member names are taken too.
_SECURITY = {
    "master": "EmrManagedMasterSecurityGroup",
    "core": "EmrManagedSlaveSecurityGroup",
    "service_access": "ServiceAccessSecurityGroup",
    "additional_master": "AdditionalMasterSecurityGroups",
    "additional_core": "AdditionalSlaveSecurityGroups",
}


def run_job_flow_request(spec: ClusterSpec, *, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return RunJobFlow's arguments; the tags are given at create because a dead cluster's can't be edited.

    :raises BackendRejected: the spec holds words that EMR doesn't know.
    """
    request: dict[str, Any] = {
        "Name": name,
        "ReleaseLabel": spec.release_label,
        "Applications": [{"Name": application} for application in spec.applications],
        "Instances": _instances(spec, name),
        "StepConcurrencyLevel": spec.step_concurrency,
        "AutoTerminationPolicy": {"IdleTimeout": dead_man_s(spec)},
        "Configurations": [_configuration(one) for one in spec.configurations],
        "BootstrapActions": [_bootstrap_action(one, index) for index, one in enumerate(spec.bootstrap_actions, 1)],
        "Tags": [{"Key": key, "Value": value} for key, value in {**spec.tags, **tags}.items()],
        "VisibleToAllUsers": True,
    }
    if spec.max_workers is not None:
        request["ManagedScalingPolicy"] = {"ComputeLimits": _compute_limits(spec)}
    optional = {
        "ServiceRole": spec.service_role,
        "JobFlowRole": spec.instance_profile,
        "SecurityConfiguration": spec.security_configuration,
        "CustomAmiId": spec.custom_ami,
        "LogUri": spec.log_uri,
    }
    return request | {key: value for key, value in optional.items() if value}


def dead_man_s(spec: ClusterSpec) -> int:
    """Return the idle time in seconds after which EMR itself ends a cluster: a last resort, should nobody of ours be there to do it.

    It is well above the spec's own idle timeout, because EMR's clock knows nothing of our rows and can race a join.
    """
    longest = max(_DEAD_MAN_FACTOR * spec.idle_timeout_s, _KEPT_DEAD_MAN_S if spec.pool_min else 0)
    return min(max(longest, _IDLE_BOUNDS_S[0]), _IDLE_BOUNDS_S[1])


def _compute_limits(spec: ClusterSpec) -> dict[str, Any]:
    """Return the limits of EMR's managed scaling: from the workers that the spec begins with to its most.

    Core nodes stay as few as they are: HDFS and the drivers (EMR 5.19 and later) live there, and task nodes come and go.
    """
    workers = {role: sum(g.count for g in spec.instance_groups if g.role.upper() == role) for role in ("CORE", "TASK")}
    least, most = sum(workers.values()), max(spec.max_workers or 0, sum(workers.values()))
    on_demand = {} if spec.max_on_demand is None else {"MaximumOnDemandCapacityUnits": min(spec.max_on_demand, most)}
    return {
        "UnitType": "Instances",
        "MinimumCapacityUnits": least,
        "MaximumCapacityUnits": most,
        "MaximumCoreCapacityUnits": max(workers["CORE"], 1),
    } | on_demand


def _instances(spec: ClusterSpec, name: str) -> dict[str, Any]:
    groups = [
        {
            "Name": group.role.lower(),
            "InstanceRole": group.role.upper(),
            "Market": group.market,
            "InstanceType": group.instance_type,
            "InstanceCount": group.count,
        }
        for group in spec.instance_groups
        if group.count > 0
    ]
    instances: dict[str, Any] = {
        "InstanceGroups": groups,
        "KeepJobFlowAliveWhenNoSteps": True,
        "TerminationProtected": False,
        **_security_groups(spec),
    }
    if spec.subnet_ids:
        instances["Ec2SubnetId"] = _subnet(spec.subnet_ids, name)
    return instances


def _subnet(subnets: tuple[str, ...], name: str) -> str:
    """Return the subnet of this incarnation: instance groups take one, so each new generation tries the next."""
    parsed = cluster_name_from_text(name)
    return subnets[(parsed.generation - 1) % len(subnets)] if parsed else subnets[0]


def _security_groups(spec: ClusterSpec) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in spec.security_groups.items():
        member = _SECURITY.get(key, key)
        if member not in _SECURITY.values():
            known = ", ".join(_SECURITY)
            raise BackendRejected(f"Cluster spec {spec.name!r}: security group {key!r} is unknown.", hint=f"Known are: {known}.")
        found[member] = [value] if member.startswith("Additional") and isinstance(value, str) else value
    return found


def _configuration(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return one configuration in EMR's case; property values become text as EMR wants them."""
    known = {key.lower(): value for key, value in raw.items()}
    configuration: dict[str, Any] = {
        "Classification": known.get("classification", ""),
        "Properties": {key: _text(value) for key, value in (known.get("properties") or {}).items()},
    }
    nested = [_configuration(one) for one in known.get("configurations") or ()]
    return configuration | ({"Configurations": nested} if nested else {})


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bootstrap_action(raw: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return one bootstrap action from `{name, path, args}` or EMR's own nested form."""
    known = {key.lower(): value for key, value in raw.items()}
    script = {key.lower(): value for key, value in (known.get("scriptbootstrapaction") or known).items()}
    return {
        "Name": str(known.get("name") or f"bootstrap-{index}"),
        "ScriptBootstrapAction": {"Path": script.get("path", ""), "Args": [str(arg) for arg in script.get("args") or ()]},
    }
