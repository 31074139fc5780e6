"""Launches that fail with EMR's reason codes, and the loss of a living cluster."""

import pytest

from platyspark_provider.emrsim.launch_failures import FAILURES
from platyspark_provider.emrsim.planted import SpecError

STEP = {"Name": "one", "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": "command-runner.jar"}}


@pytest.mark.parametrize(
    ("failure", "code", "error_code", "keys"),
    [
        (
            "bootstrap",
            "BOOTSTRAP_FAILURE",
            "BOOTSTRAP_FAILURE_PRIMARY_WITH_NON_ZERO_CODE",
            ["primary-instance-id", "bootstrap-action", "return-code", "amazon-s3-path", "public-doc"],
        ),
        ("capacity", "INTERNAL_ERROR", "INTERNAL_ERROR_EC2_INSUFFICIENT_CAPACITY_AZ", ["instance-type", "availability-zone", "public-doc"]),
        (
            "spot_capacity",
            "INTERNAL_ERROR",
            "INTERNAL_ERROR_SPOT_NO_CAPACITY_PRIMARY",
            ["primary-instance-id", "instance-type", "availability-zone", "public-doc"],
        ),
        (
            "spot_price",
            "INTERNAL_ERROR",
            "INTERNAL_ERROR_SPOT_PRICE_INCREASE_PRIMARY",
            ["primary-instance-id", "instance-type", "availability-zone", "public-doc"],
        ),
        ("instance_failure", "INSTANCE_FAILURE", None, None),
        ("fleet_timeout", "INSTANCE_FLEET_TIMEOUT", None, None),
        ("validation", "VALIDATION_ERROR", None, None),
        ("internal_error", "INTERNAL_ERROR", None, None),
        ("ec2_throttling", "INTERNAL_ERROR", None, None),
    ],
)
def test_launch_failure_ends_the_cluster_with_its_codes(emr, failure, code, error_code, keys):
    emr.engine.launch_failures.add({"failure": failure})
    cluster_id = emr.create(ready=False, Steps=[STEP])
    emr.after(30)
    assert emr.state(cluster_id) == "TERMINATING" or FAILURES[failure].state == "STARTING"
    emr.after(10)
    cluster = emr.cluster(cluster_id)
    status = cluster["Status"]
    assert (status["State"], status["StateChangeReason"]["Code"]) == ("TERMINATED_WITH_ERRORS", code)
    assert "ReadyDateTime" not in status["Timeline"]
    details = status.get("ErrorDetails")
    assert (details and [detail["ErrorCode"] for detail in details]) == (error_code and [error_code])
    assert (details and [next(iter(pair)) for pair in details[0]["ErrorData"]]) == keys
    (listed,) = emr.call("ListClusters")["Clusters"]
    assert listed["Status"] == status
    (step,) = emr.call("ListSteps", ClusterId=cluster_id)["Steps"]
    assert (step["Status"]["State"], "StartDateTime" in step["Status"]["Timeline"]) == ("CANCELLED", False)
    assert emr.runner.started == []


def test_launch_failure_speaks_of_the_cluster_it_meets(emr):
    emr.engine.launch_failures.add({"failure": "capacity"})
    instances = {"MasterInstanceType": "r5.24xlarge", "Placement": {"AvailabilityZone": "eu-central-1c"}}
    cluster_id = emr.create(ready=False, instances=instances)
    emr.after(20)
    status = emr.cluster(cluster_id)["Status"]
    assert "EC2 is out of capacity for r5.24xlarge in availability zone eu-central-1c." in status["StateChangeReason"]["Message"]
    assert status["ErrorDetails"][0]["ErrorData"][:2] == [{"instance-type": "r5.24xlarge"}, {"availability-zone": "eu-central-1c"}]


def test_launch_failure_of_the_network_names_the_subnet(emr):
    emr.engine.launch_failures.add({"failure": "validation"})
    cluster_id = emr.create(ready=False, instances={"Ec2SubnetId": "subnet-0abc"})
    emr.after(20)
    assert "The subnet subnet-0abc does not exist." in emr.cluster(cluster_id)["Status"]["StateChangeReason"]["Message"]


def test_launch_failure_of_ec2s_throttling_has_its_text(emr):
    emr.engine.launch_failures.add({"failure": "ec2_throttling"})
    cluster_id = emr.create(ready=False)
    emr.after(20)
    assert "throttling from Amazon EC2" in emr.cluster(cluster_id)["Status"]["StateChangeReason"]["Message"]


def test_launch_failure_strikes_at_the_end_of_its_state(emr):
    emr.engine.launch_failures.add({"failure": "bootstrap"})
    emr.engine.launch_failures.add({"failure": "capacity"})
    broken, starved = emr.create(ready=False), emr.create(ready=False)
    emr.after(10)
    assert (emr.state(broken), emr.state(starved)) == ("BOOTSTRAPPING", "TERMINATING")
    emr.after(20)
    assert emr.state(broken) == "TERMINATING"


def test_launch_failure_meets_the_next_n_clusters_of_a_name(emr):
    planted = emr.engine.launch_failures.add({"failure": "capacity", "count": 2, "cluster": "shared/.*"})
    spared = emr.create(ready=False, Name="adhoc")
    hit = [emr.create(ready=False, Name=f"shared/{number}") for number in range(3)]
    emr.after(40)
    assert emr.state(spared) == "WAITING"
    assert [emr.state(one) for one in hit] == ["TERMINATED_WITH_ERRORS", "TERMINATED_WITH_ERRORS", "WAITING"]
    assert emr.engine.launch_failures.describe() == [
        {"id": planted.id, "failure": "capacity", "cluster": "shared/.*", "count": 2, "hits": 2}
    ]


def test_launch_failure_without_count_stays_until_removed(emr):
    planted = emr.engine.launch_failures.add({"failure": "capacity", "count": None})
    first = [emr.create(ready=False) for _ in range(4)]
    assert emr.engine.launch_failures.remove(planted.id) == 1
    last = emr.create(ready=False)
    emr.after(40)
    assert {emr.state(one) for one in first} == {"TERMINATED_WITH_ERRORS"}
    assert emr.state(last) == "WAITING"


def test_launch_failure_is_not_used_up_by_a_refused_request(emr):
    emr.engine.launch_failures.add({"failure": "capacity"})
    with pytest.raises(Exception, match="between 1 and 256"):
        emr.create(StepConcurrencyLevel=0)
    cluster_id = emr.create(ready=False)
    emr.after(40)
    assert emr.state(cluster_id) == "TERMINATED_WITH_ERRORS"


def test_launch_failure_survives_a_restart(emr):
    emr.engine.launch_failures.add({"failure": "bootstrap"})
    cluster_id = emr.create(ready=False)
    emr.reopen()
    emr.after(40)
    assert emr.cluster(cluster_id)["Status"]["StateChangeReason"]["Code"] == "BOOTSTRAP_FAILURE"


def test_launch_failure_spares_nobody_for_its_protection(emr):
    emr.engine.launch_failures.add({"failure": "spot_price"})
    cluster_id = emr.create(ready=False, instances={"TerminationProtected": True})
    emr.after(40)
    assert emr.state(cluster_id) == "TERMINATED_WITH_ERRORS"


@pytest.mark.parametrize("spec", [{}, {"failure": "fire"}, {"failure": "capacity", "count": 0}, {"failure": "capacity", "name": "x"}])
def test_launch_failure_that_makes_no_sense_is_refused(emr, spec):
    with pytest.raises(SpecError):
        emr.engine.launch_failures.add(spec)


def test_lost_master_cancels_pending_steps_without_a_start_and_kills(emr):
    cluster_id = emr.create(StepConcurrencyLevel=5, instances={"TerminationProtected": True})
    ids = emr.add(cluster_id, *map(str, range(10)))
    emr.after(1)
    emr.engine.fail_cluster(cluster_id, code="INSTANCE_FAILURE", message="The master node was terminated. ", error_details=[])
    statuses = [emr.step(cluster_id, one)["Status"] for one in ids]
    assert [status["State"] for status in statuses] == ["FAILED"] * 5 + ["CANCELLED"] * 5
    assert {status["FailureDetails"]["Message"] for status in statuses[:5]} == {"The master node was terminated. "}
    assert not any("StartDateTime" in status["Timeline"] for status in statuses[5:])
    assert emr.runner.stopped_clusters == [cluster_id]
    assert emr.state(cluster_id) == "TERMINATED_WITH_ERRORS"
    emr.runner.finish(ids[0])
    emr.after(1)
    assert emr.step_state(cluster_id, ids[0]) == "FAILED"
