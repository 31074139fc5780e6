"""emrsim as a process: faults on the wire, crashes, real step processes, limits, moto beside it."""

import http.client
import os
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from platyspark_provider.emrsim.client import EmrSim, EmrSimError

ONE_TRY = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60)


def _until(condition, deadline_s=60.0):
    end = time.monotonic() + deadline_s
    while True:
        if value := condition():
            return value
        assert time.monotonic() < end, "condition did not come true"
        threading.Event().wait(0.05)


def _cluster(emr, **request):
    instances = {"InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True}
    return emr.run_job_flow(**{"Name": "etl", "Instances": instances, **request})["JobFlowId"]


def _bash(emr, cluster_id, script):
    step = {
        "Name": "bash",
        "ActionOnFailure": "CONTINUE",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["bash", "-c", script]},
    }
    return emr.add_job_flow_steps(JobFlowId=cluster_id, Steps=[step])["StepIds"][0]


def _status(emr, cluster_id, step_id):
    return emr.describe_step(ClusterId=cluster_id, StepId=step_id)["Step"]["Status"]


def _ended(emr, cluster_id, step_id):
    return _until(lambda: (status := _status(emr, cluster_id, step_id))["State"] in {"COMPLETED", "FAILED", "CANCELLED"} and status)


def _written_pid(path: Path) -> int:
    return int(_until(lambda: path.exists() and path.read_text().strip()))


def _is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize(("when", "effects"), [("before", 0), ("after", 1)])
def test_dropped_reply_with_one_attempt_is_one_request(sim, when, effects):
    emr = sim.boto3("emr", config=ONE_TRY)
    sim.fault("RunJobFlow", "drop", when=when)
    with pytest.raises(ConnectionClosedError):
        _cluster(emr)
    assert len(sim.journal(operation="RunJobFlow")) == 1
    assert len(emr.list_clusters()["Clusters"]) == effects


# The SDK's own default is 5 attempts up to botocore 1.43 ("legacy") and 3 from 1.44 on ("standard").
RETRY_MODES = [({"mode": "legacy"}, 5), ({"mode": "standard"}, 3)]


@pytest.mark.parametrize(("retries", "sent"), RETRY_MODES)
def test_dropped_replies_with_sdk_retries_make_a_cluster_each(sim, retries, sent):
    emr = sim.boto3("emr", config=Config(retries=retries))
    sim.fault("RunJobFlow", "drop", when="after", count=None)
    with pytest.raises(ConnectionClosedError):
        _cluster(emr)
    assert [entry["effect"] for entry in sim.journal(operation="RunJobFlow")] == [True] * sent
    assert len(emr.list_clusters()["Clusters"]) == sent


def test_dropped_reply_with_sdk_default_makes_two_clusters(sim):
    sim.fault("RunJobFlow", "drop", when="after")
    cluster_id = _cluster(sim.boto3("emr"))
    first, second = sim.journal(operation="RunJobFlow")
    assert (second["result_ids"], first["effect"]) == ([cluster_id], True)


def test_held_reply_times_out_at_the_client_and_has_its_effect(sim):
    emr = sim.boto3("emr", config=Config(retries={"total_max_attempts": 1}, read_timeout=0.5))
    sim.fault("RunJobFlow", "hold", when="after")
    with pytest.raises(ReadTimeoutError):
        _cluster(emr)
    assert [fault["held"] for fault in sim.faults()] == [1]
    (entry,) = sim.journal(operation="RunJobFlow")
    assert [cluster["Id"] for cluster in emr.list_clusters()["Clusters"]] == entry["result_ids"]
    assert sim.release() == 1
    assert len(emr.list_clusters()["Clusters"]) == 1


def test_error_replies_with_sdk_retries_are_sent_again(sim):
    sim.fault("AddJobFlowSteps", "error", when="before", http_status=500, count=None)
    emr = sim.boto3("emr", config=Config(retries={"mode": "standard"}))
    cluster_id = _cluster(emr)
    with pytest.raises(ClientError, match="InternalServerError"):
        _bash(emr, cluster_id, "true")
    assert [entry["effect"] for entry in sim.journal(operation="AddJobFlowSteps")] == [False] * 3
    assert sim.counters()["AddJobFlowSteps"] == 3


def test_throttle_refuses_after_the_burst(sim):
    sim.configure(throttle="aws")
    emr = sim.boto3("emr", config=ONE_TRY)
    refused = []
    for _ in range(30):
        try:
            emr.get_auto_termination_policy(ClusterId="j-0000000000000")
        except ClientError as error:
            refused.append(error.response["Error"]["Code"])
    assert "ThrottlingException" in refused[25:]
    assert "ThrottlingException" not in refused[:25]


def test_state_survives_sigkill(sim, tmp_path):
    emr, s3 = sim.boto3("emr"), sim.boto3("s3")
    sim.configure(listing_lag_s=0.25)
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="k", Body=b"kept")
    cluster_id = _cluster(emr, Tags=[{"Key": "a", "Value": "b"}])
    going, quick = tmp_path / "go", tmp_path / "quick.pid"
    running = _bash(emr, cluster_id, f"echo $$ > {quick}; until [ -e {going} ]; do sleep 0.1; done; exit 3")
    pid = _written_pid(quick)
    queued = _bash(emr, cluster_id, "true")
    journal, url, server_pid = sim.journal(), sim.url, sim.pid
    sim.kill()
    assert _is_alive(pid), "a step's process outlives the server"
    sim.restart()
    assert (sim.url, sim.pid != server_pid) == (url, True)
    assert sim.journal()[: len(journal)] == journal
    assert sim.configure()["listing_lag_s"] == 0.25
    assert emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Tags"] == [{"Key": "a", "Value": "b"}]
    assert _status(emr, cluster_id, running)["State"] == "RUNNING"
    assert s3.get_object(Bucket="data", Key="k")["Body"].read() == b"kept"
    going.touch()
    failed = _ended(emr, cluster_id, running)
    assert (failed["State"], "exit code 3" in failed["FailureDetails"]["Message"]) == ("FAILED", True)
    assert _ended(emr, cluster_id, queued)["State"] == "COMPLETED"


def test_step_that_ended_while_the_server_was_dead_is_reported(sim, tmp_path):
    emr = sim.boto3("emr")
    cluster_id = _cluster(emr)
    going, mark = tmp_path / "go", tmp_path / "pid"
    step_id = _bash(emr, cluster_id, f"echo $$ > {mark}; until [ -e {going} ]; do sleep 0.1; done")
    pid = _written_pid(mark)
    sim.kill()
    going.touch()
    _until(lambda: not _is_alive(pid))
    sim.restart()
    assert _ended(emr, cluster_id, step_id)["State"] == "COMPLETED"


@pytest.mark.parametrize("option", ["SEND_INTERRUPT", "TERMINATE_PROCESS"])
def test_cancelled_step_loses_its_process(sim, tmp_path, option):
    emr = sim.boto3("emr")
    cluster_id = _cluster(emr)
    mark = tmp_path / "pid"
    step_id = _bash(emr, cluster_id, f"echo $$ > {mark}; exec sleep 600")
    pid = _written_pid(mark)
    emr.cancel_steps(ClusterId=cluster_id, StepIds=[step_id], StepCancellationOption=option)
    assert _ended(emr, cluster_id, step_id)["State"] == "CANCELLED"
    _until(lambda: not _is_alive(pid))


@pytest.mark.parametrize("how", ["terminate", "fail", "stop"])
def test_end_of_the_cluster_ends_its_processes(sim, tmp_path, how):
    emr = sim.boto3("emr")
    cluster_id = _cluster(emr)
    mark = tmp_path / "pid"
    step_id = _bash(emr, cluster_id, f"trap '' TERM; echo $$ > {mark}; while true; do sleep 0.2; done")
    pid = _written_pid(mark)
    match how:
        case "terminate":
            emr.terminate_job_flows(JobFlowIds=[cluster_id])
            assert _ended(emr, cluster_id, step_id)["State"] == "CANCELLED"
        case "fail":
            sim.fail_cluster(cluster_id, code="INSTANCE_FAILURE", message="gone")
            status = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]
            assert (status["State"], status["StateChangeReason"]["Message"]) == ("TERMINATED_WITH_ERRORS", "gone")
        case "stop":
            sim.stop()
    _until(lambda: not _is_alive(pid))


def test_jar_that_is_not_command_runner_fails(sim):
    emr = sim.boto3("emr")
    cluster_id = _cluster(emr)
    step = {"Name": "jar", "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": "s3://nowhere/x.jar", "MainClass": "x.Main"}}
    (step_id,) = emr.add_job_flow_steps(JobFlowId=cluster_id, Steps=[step])["StepIds"]
    failed = _ended(emr, cluster_id, step_id)
    assert failed["State"] == "FAILED"
    assert failed["FailureDetails"]["Message"]


def test_step_logs_reach_the_log_uri(sim):
    emr, s3 = sim.boto3("emr"), sim.boto3("s3")
    s3.create_bucket(Bucket="logs")
    cluster_id = _cluster(emr, LogUri="s3://logs/emr/")
    step_id = _bash(emr, cluster_id, "echo out; echo err >&2; exit 1")
    assert _ended(emr, cluster_id, step_id)["FailureDetails"]["LogFile"].startswith(f"s3://logs/emr/{cluster_id}/steps/{step_id}/")
    prefix = f"emr/{cluster_id}/steps/{step_id}/"
    keys = _until(lambda: len(found := s3.list_objects_v2(Bucket="logs", Prefix=prefix).get("Contents", [])) >= 3 and found)
    assert {key["Key"].removeprefix(prefix) for key in keys} >= {"controller.gz", "stdout.gz", "stderr.gz"}


def test_paginators_list_everything(sim):
    emr = sim.boto3("emr")
    sim.configure(steps_stuck=True)
    cluster_id = _cluster(emr)
    step = {"Name": "s", "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": "command-runner.jar"}}
    ids = emr.add_job_flow_steps(JobFlowId=cluster_id, Steps=[step] * 120)["StepIds"]
    listed = [found["Id"] for page in emr.get_paginator("list_steps").paginate(ClusterId=cluster_id) for found in page["Steps"]]
    assert listed == ids[::-1]


def test_other_services_answer_on_the_same_address(sim):
    assert sim.boto3("sts").get_caller_identity()["Account"] == "123456789012"
    sqs = sim.boto3("sqs")
    queue = sqs.create_queue(QueueName="events")["QueueUrl"]
    assert queue.startswith(sim.url)
    sqs.send_message(QueueUrl=queue, MessageBody="hello")
    assert sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "hello"
    assert sim.boto3("iam").list_roles()["Roles"] == []
    assert sim.boto3("events").list_rules()["Rules"] == []
    assert sim.boto3("glue").get_databases()["DatabaseList"] == []


def test_presigned_url_works_without_a_signature_header(sim):
    s3 = sim.boto3("s3")
    s3.create_bucket(Bucket="shared")
    s3.put_object(Bucket="shared", Key="k", Body=b"x")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "shared", "Key": "k"})
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"x"


def test_yarn_unreachable_closes_the_connection(sim):
    with urllib.request.urlopen(f"{sim.url}/ws/v1/cluster/info") as answer:
        assert answer.status == 200
    sim.configure(yarn_reachable=False)
    with pytest.raises(http.client.RemoteDisconnected):
        urllib.request.urlopen(f"{sim.url}/ws/v1/cluster/info")


def test_env_sends_a_child_here(sim):
    code = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    env = {**os.environ, **sim.env()}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "123456789012"


def test_wrong_setting_is_refused_by_the_control_route(sim):
    with pytest.raises(EmrSimError, match="unknown setting"):
        sim.configure(warp=9)


def test_start_on_a_used_port_tells_why(sim, tmp_path):
    with pytest.raises(EmrSimError, match="did not start"):
        EmrSim.start(tmp_path / "second", port=sim.port)


def test_start_on_a_used_folder_tells_why(sim):
    with pytest.raises(EmrSimError, match="another emrsim uses"):
        EmrSim.start(sim.data_dir)


def test_command_line_refuses_a_public_address(tmp_path):
    command = [sys.executable, "-m", "platyspark_provider.emrsim", "--host", "0.0.0.0", "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "loopback only" in done.stderr
