"""emrsim as a process, steered by its client: time, scripts, failing launches, lost masters, callers, events."""

import json
import threading
import time
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from platyspark_provider.emrsim.client import EmrSimError

ONE_TRY = Config(retries={"total_max_attempts": 1})
MASTERS = {"InstanceGroups": [{"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 3}]}


def _until(condition, deadline_s=60.0):
    end = time.monotonic() + deadline_s
    while True:
        if value := condition():
            return value
        assert time.monotonic() < end, "condition did not come true"
        threading.Event().wait(0.05)


def _cluster(emr, instances=None, **request):
    layout = {"KeepJobFlowAliveWhenNoSteps": True, **(instances or {"InstanceCount": 1})}
    return emr.run_job_flow(**{"Name": "etl", "Instances": layout, **request})["JobFlowId"]


def _steps(emr, cluster_id, *scripts):
    steps = [
        {
            "Name": f"step-{number}",
            "ActionOnFailure": "CONTINUE",
            "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["bash", "-c", script]},
        }
        for number, script in enumerate(scripts)
    ]
    return emr.add_job_flow_steps(JobFlowId=cluster_id, Steps=steps)["StepIds"]


def _status(emr, cluster_id):
    return emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]


def _step_statuses(emr, cluster_id, ids):
    return [emr.describe_step(ClusterId=cluster_id, StepId=one)["Step"]["Status"] for one in ids]


def _is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_time_stands_still_until_advanced_also_after_sigkill(sim):
    sim.configure(clock_speed=0, starting_s=300, bootstrapping_s=120)
    emr = sim.boto3("emr")
    cluster_id = _cluster(emr, AutoTerminationPolicy={"IdleTimeout": 3600})
    now = sim.now()
    assert sim.advance(420) == now + 420
    assert _status(emr, cluster_id)["State"] == "WAITING"
    sim.kill()
    sim.restart()
    assert sim.now() == now + 420
    sim.advance(3700)
    status = _status(emr, cluster_id)
    assert status["State"] == "TERMINATED"
    assert (status["Timeline"]["EndDateTime"] - status["Timeline"]["ReadyDateTime"]).total_seconds() == 3600


def test_five_hundred_scripted_steps_drain_within_the_default_quotas(sim):
    emr = sim.boto3("emr", config=ONE_TRY)
    cluster_id = _cluster(emr, StepConcurrencyLevel=10)
    sim.configure(clock_speed=0, throttle="aws")
    script = sim.script_steps(duration_s=60, step="step-.*")
    sent, refusals = 0, set()
    while sent < 500:
        try:
            sent += len(_steps(emr, cluster_id, *["exit 9"] * 10))
        except ClientError as error:
            refusals.add(error.response["Error"]["Code"])
            sim.advance(2)
    sim.advance(4000)
    sim.configure(throttle="off")
    listed = [step for page in emr.get_paginator("list_steps").paginate(ClusterId=cluster_id) for step in page["Steps"]]
    assert {step["Status"]["State"] for step in listed} == {"COMPLETED"}
    assert len(listed) == 500
    assert refusals == {"ThrottlingException", "ValidationException"}
    assert sim.run_steps_for_real(script) == 1
    sim.configure(clock_speed=1)
    (step_id,) = _steps(emr, cluster_id, "exit 9")
    failed = _until(lambda: (one := _step_statuses(emr, cluster_id, [step_id])[0])["State"] == "FAILED" and one)
    assert "exit code 9" in failed["FailureDetails"]["Message"]


def test_failing_launches_meet_their_clusters_only(sim):
    emr = sim.boto3("emr")
    planted = sim.fail_launches("capacity", count=2, cluster="shared")
    spared = _cluster(emr, Name="adhoc")
    hit = [_cluster(emr, Name="shared") for _ in range(2)]
    later = _cluster(emr, Name="shared")
    for cluster_id in hit:
        status = _until(lambda one=cluster_id: (status := _status(emr, one))["State"] == "TERMINATED_WITH_ERRORS" and status)
        assert status["StateChangeReason"]["Code"] == "INTERNAL_ERROR"
        assert status["ErrorDetails"][0]["ErrorCode"] == "INTERNAL_ERROR_EC2_INSUFFICIENT_CAPACITY_AZ"
    for cluster_id in (spared, later):
        _until(lambda one=cluster_id: _status(emr, one)["State"] == "WAITING")
    assert [failure["hits"] for failure in sim.launch_failures()] == [2]
    assert sim.heal_launches(planted) == 1
    with pytest.raises(EmrSimError, match="failure is one of bootstrap, capacity"):
        sim.fail_launches("fire")


def test_lost_master_kills_running_steps_and_never_starts_pending_ones(sim, tmp_path):
    emr = sim.boto3("emr")
    cluster_id = _cluster(emr, StepConcurrencyLevel=5)
    marks = [tmp_path / f"{number}.pid" for number in range(10)]
    ids = _steps(emr, cluster_id, *(f"echo $$ > {mark}; trap '' TERM; while true; do sleep 0.2; done" for mark in marks))
    pids = [int(_until(lambda one=mark: one.exists() and one.read_text().strip())) for mark in marks[:5]]
    sim.fail_cluster(cluster_id)
    statuses = _step_statuses(emr, cluster_id, ids)
    assert [status["State"] for status in statuses] == ["FAILED"] * 5 + ["CANCELLED"] * 5
    assert {status["FailureDetails"]["Message"] for status in statuses[:5]} == {"The master node was terminated. "}
    assert not any("StartDateTime" in status["Timeline"] for status in statuses[5:])
    _until(lambda: not any(map(_is_alive, pids)))
    assert not any(mark.exists() for mark in marks[5:])


def test_fail_over_kills_the_step_and_keeps_the_cluster(sim, tmp_path):
    emr = sim.boto3("emr")
    cluster_id = _cluster(emr, MASTERS)
    mark = tmp_path / "pid"
    running, queued = _steps(emr, cluster_id, f"echo $$ > {mark}; exec sleep 600", "true")
    pid = int(_until(lambda: mark.exists() and mark.read_text().strip()))
    sim.fail_over(cluster_id)
    assert _step_statuses(emr, cluster_id, [running])[0]["State"] == "FAILED"
    _until(lambda: not _is_alive(pid))
    _until(lambda: _step_statuses(emr, cluster_id, [queued])[0]["State"] == "COMPLETED")
    _until(lambda: _status(emr, cluster_id)["State"] == "WAITING")


def test_callers_are_told_apart_by_access_key(sim):
    sim.boto3("emr", access_key="WATCHDOG").list_clusters()
    s3 = sim.boto3("s3", access_key="WORKER")
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="k", Body=b"x")
    assert sim.callers() == {"WATCHDOG": {"ListClusters": 1}, "WORKER": {"s3:PUT": 2}}
    assert sim.env("WORKER")["AWS_ACCESS_KEY_ID"] == "WORKER"
    (put,) = [entry for entry in sim.journal(service="s3", access_key="WORKER") if entry["key"]]
    assert (put["operation"], put["bucket"], put["key"]) == ("PUT", "data", "k")
    assert sim.journal(service=None, access_key="WATCHDOG")[0]["operation"] == "ListClusters"


def test_events_reach_a_queue_with_losses_and_doubles_counted(sim):
    emr, sqs = sim.boto3("emr"), sim.boto3("sqs")
    queue_url = sqs.create_queue(QueueName="events")["QueueUrl"]
    sim.script_steps()
    cluster_id = _cluster(emr, StepConcurrencyLevel=10)
    _until(lambda: _status(emr, cluster_id)["State"] == "WAITING")
    sim.configure(events_queue_url=queue_url, event_loss=0.2, event_double=0.2, event_seed=4)
    for _ in range(2):
        _steps(emr, cluster_id, *["true"] * 20)
    _until(lambda: _status(emr, cluster_id)["State"] == "WAITING")
    counted = _until(lambda: (events := sim.events())["waiting"] == 0 and events["made"] >= 120 and events)
    assert counted["failed"] == 0
    assert counted["lost"] > 0
    assert counted["doubled"] > 0
    assert counted["sent"] == counted["made"] - counted["lost"] + counted["doubled"]
    bodies = []
    while messages := sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages"):
        bodies += [json.loads(message["Body"]) for message in messages]
        for message in messages:
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    assert len(bodies) == counted["sent"]
    assert len({body["id"] for body in bodies}) == counted["sent"] - counted["doubled"]
    assert {body["source"] for body in bodies} == {"aws.emr"}
