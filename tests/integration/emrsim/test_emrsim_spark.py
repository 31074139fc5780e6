"""A real Spark driver in cluster mode, seen through EMR's and YARN's APIs alone."""

import json
import threading
import time
import urllib.request
from pathlib import Path

import pytest

JOB = """
import os, sys, time
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
with open(sys.argv[1] + ".part", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(600)
"""


def _until(condition, deadline_s=90.0):
    end = time.monotonic() + deadline_s
    while True:
        if value := condition():
            return value
        assert time.monotonic() < end, "condition did not come true"
        threading.Event().wait(0.1)


def _is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _yarn(sim, cluster_id, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    url = f"{sim.url}/emrsim/yarn/{cluster_id}/ws/v1/cluster/{path}"
    request = urllib.request.Request(url, data=data, method="GET" if body is None else "PUT", headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


@pytest.mark.slow
def test_cancelled_cluster_mode_step_leaves_its_driver_until_yarn_kills_it(sim, tmp_path):
    emr, s3 = sim.boto3("emr"), sim.boto3("s3")
    s3.create_bucket(Bucket="jobs")
    s3.put_object(Bucket="jobs", Key="wait.py", Body=JOB.encode())
    instances = {"InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True}
    policy = {"IdleTimeout": 60}
    cluster_id = emr.run_job_flow(Name="x", Instances=instances, AutoTerminationPolicy=policy)["JobFlowId"]
    mark = tmp_path / "driver.pid"
    args = ["spark-submit", "--deploy-mode", "cluster", "--conf", "spark.yarn.tags=plsp:x:1:1", "s3://jobs/wait.py", str(mark)]
    step = {"Name": "wait", "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": "command-runner.jar", "Args": args}}
    (step_id,) = emr.add_job_flow_steps(JobFlowId=cluster_id, Steps=[step])["StepIds"]
    driver = int(_until(lambda: mark.exists() and mark.read_text()))

    emr.cancel_steps(ClusterId=cluster_id, StepIds=[step_id], StepCancellationOption="TERMINATE_PROCESS")
    _until(lambda: emr.describe_step(ClusterId=cluster_id, StepId=step_id)["Step"]["Status"]["State"] == "CANCELLED")
    _until(lambda: emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"] == "WAITING")
    assert _is_alive(driver), "cancelling the step does not stop the driver"

    sim.kill()
    sim.restart()
    assert _is_alive(driver)
    (found,) = _yarn(sim, cluster_id, "apps?applicationTags=plsp:x:1:1")["apps"]["app"]
    assert found["state"] == "RUNNING"
    sim.configure(idle_clock_speed=3600)
    threading.Event().wait(1.5)  # an hour and a half on the idle clock: the cluster lives on because YARN has work
    assert emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"] == "WAITING"

    sim.configure(idle_clock_speed=1)
    _yarn(sim, cluster_id, f"apps/{found['id']}/state", {"state": "KILLED"})
    _until(lambda: not _is_alive(driver))
    _until(lambda: _yarn(sim, cluster_id, f"apps/{found['id']}")["app"]["state"] == "KILLED")
    sim.configure(idle_clock_speed=3600)
    _until(lambda: emr.describe_cluster(ClusterId=cluster_id)["Cluster"]["Status"]["State"] == "TERMINATED")
