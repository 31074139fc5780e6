"""The machines of a cluster, on paper: instance groups and fleets of a request and how the API shows them."""

import itertools
from collections.abc import Iterator
from typing import Any

from platyspark_provider.emrsim import records as r
from platyspark_provider.emrsim.ids import new_ec2_instance_id, new_instance_fleet_id, new_instance_group_id, new_instance_id
from platyspark_provider.emrsim.records import ClusterRecord, Instance, InstanceSet
from platyspark_provider.emrsim.wire import validation_error

_FLEET_COPIED = ("Name", "LaunchSpecifications", "ResizeSpecifications", "Context")
DEFAULT_TYPE = "m5.xlarge"
ROLES = ("MASTER", "CORE", "TASK")
_STATES = {r.STARTING: "PROVISIONING", r.BOOTSTRAPPING: "BOOTSTRAPPING", r.RUNNING: "RUNNING", r.WAITING: "RUNNING"}


def instance_sets_from_request(config: dict[str, Any]) -> tuple[bool, list[InstanceSet]]:
    """Return whether the request uses fleets, and its groups or fleets with their machines.

    :raises EmrError: groups and fleets together, or no master
    """
    groups, fleets = config.get("InstanceGroups"), config.get("InstanceFleets")
    if groups and fleets:
        raise validation_error("Instance fleets and instance groups are mutually exclusive.")
    addresses = (f"10.0.{number // 250}.{number % 250 + 4}" for number in itertools.count())
    if fleets:
        _require_master([fleet["InstanceFleetType"] for fleet in fleets])
        return True, [_fleet(fleet, addresses) for fleet in fleets]
    groups = groups or _groups_from_counts(config)
    _require_master([group["InstanceRole"] for group in groups])
    return False, [_group(group, addresses) for group in groups]


def is_highly_available(sets: list[InstanceSet]) -> bool:
    """Tell whether the cluster has three masters; EMR then protects it from termination."""
    return any(item.role == "MASTER" and len(item.instances) == 3 for item in sets)


def _require_master(roles: list[str]) -> None:
    if roles.count("MASTER") != 1:
        raise validation_error("Zero master instance groups supplied, you must specify exactly one master instance group")


def _groups_from_counts(config: dict[str, Any]) -> list[dict[str, Any]]:
    count = int(config.get("InstanceCount", 1))
    if count < 1:
        raise validation_error("Instance count must be at least 1")
    master_type = config.get("MasterInstanceType", DEFAULT_TYPE)
    groups = [{"InstanceRole": "MASTER", "InstanceType": master_type, "InstanceCount": 1}]
    if count > 1:
        core_type = config.get("SlaveInstanceType", master_type)
        groups.append({"InstanceRole": "CORE", "InstanceType": core_type, "InstanceCount": count - 1})
    return groups


def _group(config: dict[str, Any], addresses: Iterator[str]) -> InstanceSet:
    if config["InstanceCount"] < 1:
        raise validation_error("An instance group must have at least one instance")
    market = config.get("Market", "ON_DEMAND")
    machines = [_instance(config["InstanceType"], market, next(addresses)) for _ in range(config["InstanceCount"])]
    return InstanceSet(id=new_instance_group_id(), role=config["InstanceRole"], config=config, instances=machines)


def _fleet(config: dict[str, Any], addresses: Iterator[str]) -> InstanceSet:
    on_demand, spot = int(config.get("TargetOnDemandCapacity", 0)), int(config.get("TargetSpotCapacity", 0))
    if on_demand + spot < 1:
        raise validation_error("An instance fleet must have a target capacity of at least one")
    first = (config.get("InstanceTypeConfigs") or [{"InstanceType": DEFAULT_TYPE}])[0]
    weight = max(1, int(first.get("WeightedCapacity", 1)))
    markets = ["ON_DEMAND"] * -(-on_demand // weight) + ["SPOT"] * -(-spot // weight)
    machines = [_instance(first["InstanceType"], market, next(addresses)) for market in markets]
    return InstanceSet(id=new_instance_fleet_id(), role=config["InstanceFleetType"], config=config, instances=machines)


def _instance(type_: str, market: str, address: str) -> Instance:
    return Instance(id=new_instance_id(), ec2_id=new_ec2_instance_id(), type=type_, market=market, private_ip=address)


def _timeline(cluster: ClusterRecord) -> dict[str, float]:
    times = {"CreationDateTime": cluster.created, "ReadyDateTime": cluster.ready, "EndDateTime": cluster.ended}
    return {name: at for name, at in times.items() if at is not None}


def instance_state(cluster: ClusterRecord) -> str:
    """Return the state that all machines of a cluster share."""
    return _STATES.get(cluster.state, "TERMINATED")


def instances_reply(cluster: ClusterRecord, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the machines that ListInstances shows for a request."""
    roles = set(request.get("InstanceGroupTypes") or ROLES)
    if "InstanceFleetType" in request:
        roles = {request["InstanceFleetType"]}
    wanted = request.get("InstanceGroupId") or request.get("InstanceFleetId")
    state = instance_state(cluster)
    if state not in (request.get("InstanceStates") or [state]):
        return []
    sets = [item for item in cluster.instance_sets if item.role in roles and wanted in {None, item.id}]
    return [_instance_reply(cluster, item, one, state) for item in sets for one in item.instances]


def _instance_reply(cluster: ClusterRecord, item: InstanceSet, one: Instance, state: str) -> dict[str, Any]:
    reply = {
        "Id": one.id,
        "Ec2InstanceId": one.ec2_id,
        "PrivateIpAddress": one.private_ip,
        "PrivateDnsName": f"ip-{one.private_ip.replace('.', '-')}.ec2.internal",
        "Status": {"State": state, "StateChangeReason": {}, "Timeline": _timeline(cluster)},
        "Market": one.market,
        "InstanceType": one.type,
        "EbsVolumes": [],
    }
    if item.role == "MASTER":
        reply |= {"PublicDnsName": "127.0.0.1", "PublicIpAddress": "127.0.0.1"}
    return {**reply, "InstanceFleetId" if cluster.uses_fleets else "InstanceGroupId": item.id}


def groups_reply(cluster: ClusterRecord) -> list[dict[str, Any]]:
    """Return the groups as ListInstanceGroups shows them."""
    running = 0 if instance_state(cluster) in {"PROVISIONING", "TERMINATED"} else 1
    return [
        {
            "Id": item.id,
            **{name: item.config[name] for name in ("Name", "BidPrice", "Configurations", "CustomAmiId") if name in item.config},
            "Market": item.config.get("Market", "ON_DEMAND"),
            "InstanceGroupType": item.role,
            "InstanceType": item.config["InstanceType"],
            "RequestedInstanceCount": len(item.instances),
            "RunningInstanceCount": len(item.instances) * running,
            "Status": {"State": instance_state(cluster), "StateChangeReason": {"Message": ""}, "Timeline": _timeline(cluster)},
        }
        for item in cluster.instance_sets
    ]


def fleets_reply(cluster: ClusterRecord) -> list[dict[str, Any]]:
    """Return the fleets as ListInstanceFleets shows them."""
    running = 0 if instance_state(cluster) in {"PROVISIONING", "TERMINATED"} else 1
    return [
        {
            "Id": item.id,
            **{
                name: item.config[name]
                for name in ("Name", "LaunchSpecifications", "ResizeSpecifications", "Context")
                if name in item.config
            },
            "InstanceFleetType": item.role,
            "TargetOnDemandCapacity": item.config.get("TargetOnDemandCapacity", 0),
            "TargetSpotCapacity": item.config.get("TargetSpotCapacity", 0),
            "ProvisionedOnDemandCapacity": item.config.get("TargetOnDemandCapacity", 0) * running,
            "ProvisionedSpotCapacity": item.config.get("TargetSpotCapacity", 0) * running,
            "InstanceTypeSpecifications": [_specification(one) for one in item.config.get("InstanceTypeConfigs", [])],
            "Status": {"State": instance_state(cluster), "StateChangeReason": {"Message": ""}, "Timeline": _timeline(cluster)},
        }
        for item in cluster.instance_sets
    ]


def _specification(config: dict[str, Any]) -> dict[str, Any]:
    names = ("InstanceType", "WeightedCapacity", "BidPrice", "BidPriceAsPercentageOfOnDemandPrice", "Configurations", "CustomAmiId")
    return {name: config[name] for name in names if name in config}
