"""EMR's requests from our specs."""

from typing import Any

import pytest

from platyspark_provider.backends.emr_requests import run_job_flow_request
from platyspark_provider.core.spec import InstanceGroup
from platyspark_provider.errors import BackendRejected
from tests.builders import make_cluster_spec

NAME = "plsp/test/shared/0123456789ab/iabcdef/g{generation}/s1"


def request(generation: int = 1, **values: Any) -> dict[str, Any]:
    spec = make_cluster_spec(**values)
    return run_job_flow_request(spec, name=NAME.format(generation=generation), tags={"plsp:key": "k"})


def test_cluster_request_holds_what_the_spec_says() -> None:
    made = request(
        instance_groups=(
            InstanceGroup(role="master", instance_type="m6g.xlarge", count=1),
            InstanceGroup(role="CORE", instance_type="r6g.xlarge", count=3, market="SPOT"),
            InstanceGroup(role="TASK", instance_type="r6g.xlarge", count=0),
        ),
        service_role="EMR_Role",
        instance_profile="EMR_Profile",
        security_configuration="locked",
        custom_ami="ami-1",
        log_uri="s3://logs/",
        idle_timeout_s=900,
        step_concurrency=25,
        tags={"cost": "ads"},
    )

    assert made["Name"] == NAME.format(generation=1)
    assert made["ReleaseLabel"] == "emr-7.5.0"
    assert made["Applications"] == [{"Name": "spark"}]
    assert made["AutoTerminationPolicy"] == {"IdleTimeout": 2700}
    assert "ManagedScalingPolicy" not in made
    assert made["StepConcurrencyLevel"] == 25
    assert (made["ServiceRole"], made["JobFlowRole"]) == ("EMR_Role", "EMR_Profile")
    assert (made["SecurityConfiguration"], made["CustomAmiId"], made["LogUri"]) == ("locked", "ami-1", "s3://logs/")
    assert made["Tags"] == [{"Key": "cost", "Value": "ads"}, {"Key": "plsp:key", "Value": "k"}]
    assert made["Instances"]["KeepJobFlowAliveWhenNoSteps"] is True
    assert made["Instances"]["TerminationProtected"] is False
    groups = made["Instances"]["InstanceGroups"]
    assert [(g["InstanceRole"], g["InstanceCount"], g["Market"]) for g in groups] == [("MASTER", 1, "ON_DEMAND"), ("CORE", 3, "SPOT")]


def test_cluster_request_unset_values_are_left_to_emr() -> None:
    made = request()

    assert not {"ServiceRole", "JobFlowRole", "SecurityConfiguration", "CustomAmiId", "LogUri"} & set(made)
    assert "Ec2SubnetId" not in made["Instances"]


def test_cluster_request_each_generation_tries_the_next_subnet() -> None:
    subnets = ("subnet-a", "subnet-b")

    assert [request(n, subnet_ids=subnets)["Instances"]["Ec2SubnetId"] for n in (1, 2, 3)] == ["subnet-a", "subnet-b", "subnet-a"]


def test_cluster_request_foreign_name_takes_the_first_subnet() -> None:
    spec = make_cluster_spec(subnet_ids=("subnet-a", "subnet-b"))

    assert run_job_flow_request(spec, name="mine", tags={})["Instances"]["Ec2SubnetId"] == "subnet-a"


def test_cluster_request_security_groups_take_our_words_and_emrs() -> None:
    made = request(security_groups={"master": "sg-1", "EmrManagedSlaveSecurityGroup": "sg-2", "additional_master": "sg-3"})["Instances"]

    assert made["EmrManagedMasterSecurityGroup"] == "sg-1"
    assert made["EmrManagedSlaveSecurityGroup"] == "sg-2"
    assert made["AdditionalMasterSecurityGroups"] == ["sg-3"]


def test_cluster_request_unknown_security_group_is_rejected_by_name() -> None:
    with pytest.raises(BackendRejected, match=r"'masters' is unknown.*master, core"):
        request(security_groups={"masters": "sg-1"})


def test_cluster_request_configurations_take_either_case_and_become_text() -> None:
    made = request(
        configurations=(
            {"classification": "spark-defaults", "properties": {"spark.speculation": True, "spark.cores": 4}},
            {"Classification": "hadoop-env", "Configurations": [{"Classification": "export", "Properties": {"A": "b"}}]},
        )
    )["Configurations"]

    assert made == [
        {"Classification": "spark-defaults", "Properties": {"spark.speculation": "true", "spark.cores": "4"}},
        {"Classification": "hadoop-env", "Properties": {}, "Configurations": [{"Classification": "export", "Properties": {"A": "b"}}]},
    ]


def test_cluster_request_bootstrap_actions_take_either_form() -> None:
    made = request(
        bootstrap_actions=(
            {"path": "s3://b/one.sh", "args": ["a", 2]},
            {"Name": "two", "ScriptBootstrapAction": {"Path": "s3://b/two.sh"}},
        )
    )["BootstrapActions"]

    assert made == [
        {"Name": "bootstrap-1", "ScriptBootstrapAction": {"Path": "s3://b/one.sh", "Args": ["a", "2"]}},
        {"Name": "two", "ScriptBootstrapAction": {"Path": "s3://b/two.sh", "Args": []}},
    ]


def managed(**values: Any) -> dict[str, Any]:
    groups = (
        InstanceGroup(role="MASTER", instance_type="m5.xlarge", count=1),
        InstanceGroup(role="CORE", instance_type="m5.xlarge", count=2),
        InstanceGroup(role="TASK", instance_type="m5.xlarge", count=1, market="SPOT"),
    )
    return request(instance_groups=groups, **values)["ManagedScalingPolicy"]["ComputeLimits"]


def test_cluster_request_workers_that_may_grow_are_emrs_managed_scaling() -> None:
    assert managed(max_workers=10, max_on_demand=4) == {
        "UnitType": "Instances",
        "MinimumCapacityUnits": 3,
        "MaximumCapacityUnits": 10,
        "MaximumCoreCapacityUnits": 2,
        "MaximumOnDemandCapacityUnits": 4,
    }
    assert "MaximumOnDemandCapacityUnits" not in managed(max_workers=10)


def test_cluster_request_limits_are_never_below_what_the_cluster_begins_with() -> None:
    assert managed(max_workers=2, max_on_demand=9) == {
        "UnitType": "Instances",
        "MinimumCapacityUnits": 3,
        "MaximumCapacityUnits": 3,
        "MaximumCoreCapacityUnits": 2,
        "MaximumOnDemandCapacityUnits": 3,
    }


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ({"idle_timeout_s": 600}, 1800),
        ({"idle_timeout_s": 10}, 60),
        ({"idle_timeout_s": 604_800}, 604_800),
        ({"idle_timeout_s": 600, "pool_min": 1}, 86_400),
        ({"idle_timeout_s": 86_400, "pool_min": 1}, 259_200),
    ],
)
def test_cluster_request_emr_itself_ends_an_idle_cluster_only_much_later_than_we_do(values: dict[str, int], seconds: int) -> None:
    assert request(**values)["AutoTerminationPolicy"] == {"IdleTimeout": seconds}
