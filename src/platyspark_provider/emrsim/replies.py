"""How records look in EMR's replies."""

from typing import Any

from platyspark_provider.emrsim import records as r
from platyspark_provider.emrsim.ids import cluster_arn
from platyspark_provider.emrsim.records import ClusterRecord, StepRecord

MASTER_DNS_NAME = "127.0.0.1"
_COPIED = (
    "LogUri",
    "LogEncryptionKmsKeyId",
    "ReleaseLabel",
    "ServiceRole",
    "SecurityConfiguration",
    "AutoScalingRole",
    "CustomAmiId",
    "EbsRootVolumeSize",
    "EbsRootVolumeIops",
    "EbsRootVolumeThroughput",
    "RepoUpgradeOnBoot",
    "OSReleaseLabel",
    "KerberosAttributes",
    "MonitoringConfiguration",
    "ExtendedSupport",
    "SessionEnabled",
)
_EC2_COPIED = (
    "Ec2KeyName",
    "Ec2SubnetId",
    "EmrManagedMasterSecurityGroup",
    "EmrManagedSlaveSecurityGroup",
    "ServiceAccessSecurityGroup",
    "AdditionalMasterSecurityGroups",
    "AdditionalSlaveSecurityGroups",
)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def cluster_status(cluster: ClusterRecord) -> dict[str, Any]:
    """Return a cluster's Status."""
    status = {
        "State": cluster.state,
        "StateChangeReason": _without_none({"Code": cluster.reason_code, "Message": cluster.reason_message}),
        "Timeline": _without_none(
            {"CreationDateTime": cluster.created, "ReadyDateTime": cluster.ready, "EndDateTime": cluster.ended},
        ),
    }
    return {**status, "ErrorDetails": cluster.error_details} if cluster.error_details else status


def cluster_summary(cluster: ClusterRecord) -> dict[str, Any]:
    """Return what ListClusters shows: no tags."""
    return {
        "Id": cluster.id,
        "Name": cluster.name,
        "Status": cluster_status(cluster),
        "NormalizedInstanceHours": 0,
        "ClusterArn": cluster_arn(cluster.region, cluster.id),
    }


def cluster_reply(cluster: ClusterRecord) -> dict[str, Any]:
    """Return what DescribeCluster shows."""
    request = cluster.request
    reply = {
        **cluster_summary(cluster),
        **{name: request[name] for name in _COPIED if name in request},
        "Ec2InstanceAttributes": _ec2_attributes(cluster),
        "InstanceCollectionType": "INSTANCE_FLEET" if cluster.uses_fleets else "INSTANCE_GROUP",
        "AutoTerminate": cluster.auto_terminate,
        "TerminationProtected": cluster.termination_protected,
        "UnhealthyNodeReplacement": bool(request["Instances"].get("UnhealthyNodeReplacement", False)),
        "VisibleToAllUsers": cluster.visible_to_all_users,
        "Applications": request.get("Applications", []),
        "Configurations": request.get("Configurations", []),
        "ScaleDownBehavior": request.get("ScaleDownBehavior", "TERMINATE_AT_TASK_COMPLETION"),
        "StepConcurrencyLevel": cluster.step_concurrency,
        "PlacementGroups": request.get("PlacementGroupConfigs", []),
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(cluster.tags.items())],
    }
    if cluster.state != r.STARTING:
        reply["MasterPublicDnsName"] = MASTER_DNS_NAME
    return reply


def _ec2_attributes(cluster: ClusterRecord) -> dict[str, Any]:
    instances = cluster.request["Instances"]
    placement = instances.get("Placement", {})
    attributes = {name: instances[name] for name in _EC2_COPIED if name in instances}
    subnets = instances.get("Ec2SubnetIds", [])
    if subnets:
        attributes.setdefault("Ec2SubnetId", subnets[0])
    return {
        **attributes,
        "Ec2AvailabilityZone": placement.get("AvailabilityZone", f"{cluster.region}a"),
        "RequestedEc2SubnetIds": subnets,
        "RequestedEc2AvailabilityZones": placement.get("AvailabilityZones", []),
        "IamInstanceProfile": cluster.request.get("JobFlowRole", "EMR_EC2_DefaultRole"),
    }


def step_summary(step: StepRecord) -> dict[str, Any]:
    """Return what ListSteps shows."""
    status = {
        "State": step.state,
        "StateChangeReason": _without_none({"Message": step.message}),
        "Timeline": _without_none({"CreationDateTime": step.created, "StartDateTime": step.started, "EndDateTime": step.ended}),
    }
    if step.failure:
        status["FailureDetails"] = step.failure
    config = {"Jar": step.jar, "Properties": step.properties, "Args": step.args, "MainClass": step.main_class}
    return {
        "Id": step.id,
        "Name": step.name,
        "Config": _without_none(config),
        "ActionOnFailure": step.action_on_failure,
        "Status": status,
    }


def step_reply(step: StepRecord) -> dict[str, Any]:
    """Return what DescribeStep shows."""
    reply = step_summary(step)
    return {**reply, "ExecutionRoleArn": step.execution_role_arn} if step.execution_role_arn else reply
