"""The step runner with real Spark: client and cluster mode, S3, what a submission ships, kills that are proven by the job's own pid."""

import io
import json
import os
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from platyspark_provider.emrsim.jars import default_dest, ensure_jars
from platyspark_provider.emrsim.runner_archive import ensure_archive
from platyspark_provider.emrsim.spark_homes import installed_spark
from tests.integration.emrsim.runner_harness import CLUSTER, Harness, is_running, open_harness, s3_server, wait_for

pytestmark = pytest.mark.slow

WRITE_AND_READ = """
import json, os, sys
import boto3
from pyspark import SparkFiles
from pyspark.sql import SparkSession
from shipped import double

spark = SparkSession.builder.getOrCreate()
context = spark.sparkContext
spark.range(100).selectExpr("id", "id % 4 as k").write.partitionBy("k").parquet("s3://jobs/table")
facts = {
    "rows": spark.read.parquet("s3a://jobs/table").where("k = 3").count(),
    "doubled": context.parallelize([1, 2], 2).map(double).sum(),
    "app_id": context.applicationId,
    "app_name": context.appName,
    "args": sys.argv[1:],
    "conf": {key: context.getConf().get(key) for key in ("spark.a", "spark.b", "spark.driver.memory", "spark.master")},
    "file": open(SparkFiles.get("lookup.txt")).read(),
    "env": {name: os.environ.get(name) for name in ("EMR_STEP_ID", "EXECUTOR_SETTING", "AM_SETTING", "CONTAINER_ID")},
    "ui": context.uiWebUrl,
}
boto3.client("s3").put_object(Bucket="jobs", Key="facts.json", Body=json.dumps(facts))
print("done")
"""

CLUSTER_JOB = """
import json, os, sys, time
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
print("attempt", os.environ["CONTAINER_ID"])
if "_01_000001" in os.environ["CONTAINER_ID"]:
    raise ValueError("the first attempt fails")
facts = {
    "file": open("settings.json").read(),
    "archive": open("unpacked/inner/data.txt").read(),
    "env": {name: os.environ.get(name) for name in ("EMR_STEP_ID", "AM_SETTING", "EXECUTOR_SETTING")},
    "app_id": spark.sparkContext.applicationId,
}
print("FACTS", json.dumps(facts))
"""

LONG_JOB = """
import os, sys, time
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
spark.sparkContext.parallelize([1], 1).foreach(lambda x: time.sleep(600))
"""

FAILING_JOB = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
raise RuntimeError("no luck")
"""


@pytest.fixture(scope="module")
def endpoint_url() -> Iterator[str]:
    ensure_archive(installed_spark(ensure_jars(default_dest())))
    with s3_server() as url:
        yield url


@pytest.fixture
def harness(tmp_path: Path, endpoint_url: str) -> Iterator[Harness]:
    with open_harness(tmp_path / "data", endpoint_url) as made:
        yield made


def job_pid(path: Path) -> int:
    return wait_for(lambda: int(path.read_text()) if path.exists() else None, f"the job's pid in {path}")


def archive_of(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        member = tarfile.TarInfo(name)
        member.size = len(text)
        packed.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def test_client_mode_job_reads_and_writes_s3_with_all_that_was_shipped(harness: Harness) -> None:
    options = {
        "--py-files": harness.put("lib/shipped.py", "def double(x):\n    return 2 * x\n"),
        "--files": harness.put("lib/lookup.txt", "looked up"),
        "--properties-file": harness.put("lib/job.conf", "# settings\nspark.a  from the file\nspark.b=from the file\nspark.master yarn\n"),
        "--name": "my job",
        "--master": "yarn",
    }
    conf = (
        "spark.b=from the command",
        "spark.executorEnv.EXECUTOR_SETTING=e",
        "spark.yarn.appMasterEnv.AM_SETTING=a",
        "spark.yarn.tags=App-1,b",
    )
    flat = [*(part for option in options.items() for part in option), *(part for setting in conf for part in ("--conf", setting))]
    step_id = harness.start("spark-submit", *flat, harness.put("job.py", WRITE_AND_READ), "first arg", "2")
    ended = harness.wait_exit(step_id)

    assert ended.exit_code == 0, harness.log(step_id, "stderr")
    facts: dict[str, Any] = json.loads(harness.s3.get_object(Bucket="jobs", Key="facts.json")["Body"].read())
    application = harness.application(step_id)
    assert application is not None
    assert (application.state, application.final_status, application.tags) == ("FINISHED", "SUCCEEDED", ("app-1", "b"))
    assert facts.pop("ui").startswith("http://127.0.0.1:")
    assert facts == {
        "rows": 25,
        "doubled": 6,
        "app_id": application.id,
        "app_name": "my job",
        "args": ["first arg", "2"],
        "conf": {"spark.a": "from the file", "spark.b": "from the command", "spark.driver.memory": "1g", "spark.master": "local[2]"},
        "file": "looked up",
        "env": {"EMR_STEP_ID": step_id, "EXECUTOR_SETTING": "e", "AM_SETTING": None, "CONTAINER_ID": None},
    }
    assert harness.s3_log(f"emr/{CLUSTER}/steps/{step_id}/stdout.gz") == "done\n"


def test_cluster_mode_job_is_tried_again_by_yarn_and_keeps_the_logs_of_both_attempts(harness: Harness) -> None:
    options = {
        "--deploy-mode": "cluster",
        "--files": harness.put("conf/prod.json", "{}") + "#settings.json",
        "--archives": harness.put("env.tar.gz", archive_of("inner/data.txt", "packed")) + "#unpacked",
    }
    conf = ("spark.yarn.appMasterEnv.AM_SETTING=a", "spark.executorEnv.EXECUTOR_SETTING=e")
    flat = [*(part for option in options.items() for part in option), *(part for setting in conf for part in ("--conf", setting))]
    step_id = harness.start("spark-submit", *flat, harness.put("again.py", CLUSTER_JOB))
    ended = harness.wait_exit(step_id)

    assert ended.exit_code == 0, harness.log(step_id, "stderr")
    application = harness.application(step_id)
    assert application is not None
    containers = f"emr/{CLUSTER}/containers/{application.id}/{application.id.replace('application', 'container')}"
    first = harness.s3_log(f"{containers}_01_000001/stdout.gz")  # Spark sends a Python driver's stderr to its own stdout
    assert "ValueError: the first attempt fails" in first
    output = harness.s3_log(f"{containers}_02_000001/stdout.gz")
    assert json.loads(output.split("FACTS ")[1]) == {
        "file": "{}",
        "archive": "packed",
        "env": {"EMR_STEP_ID": None, "AM_SETTING": "a", "EXECUTOR_SETTING": "e"},
        "app_id": application.id,
    }
    client = harness.s3_log(f"emr/{CLUSTER}/steps/{step_id}/stderr.gz")
    assert f"Submitted application {application.id}" in client
    assert "ValueError" not in client


def test_cluster_mode_job_that_fails_for_good_fails_its_step_with_sparks_words(harness: Harness) -> None:
    job = harness.put("failing.py", FAILING_JOB)
    step_id = harness.start("spark-submit", "--deploy-mode", "cluster", "--conf", "spark.yarn.maxAppAttempts=1", job)
    ended = harness.wait_exit(step_id)

    application = harness.application(step_id)
    assert application is not None
    assert (ended.exit_code, ended.signal) == (1, None)
    expected = f'Exception in thread "main" org.apache.spark.SparkException: Application {application.id} finished with failed status'
    assert ended.message == expected
    assert (application.state, application.final_status) == ("FINISHED", "FAILED")
    assert application.diagnostics == "User application exited with status 1"
    container = f"emr/{CLUSTER}/containers/{application.id}/{application.id.replace('application', 'container')}_01_000001"
    assert "RuntimeError: no luck" in harness.s3_log(f"{container}/stdout.gz")
    assert "ERROR ApplicationMaster: User application exited with status 1" in harness.s3_log(f"{container}/stderr.gz")


def test_cluster_mode_driver_outlives_its_step_and_the_runner_and_dies_by_yarns_kill(harness: Harness, tmp_path: Path) -> None:
    job = harness.put("long.py", LONG_JOB)
    step_id, host = harness.start_from_another_process("spark-submit", "--deploy-mode", "cluster", job, str(tmp_path / "pid"))
    pid = job_pid(tmp_path / "pid")
    os.kill(host.pid, signal.SIGKILL)
    host.wait()
    harness.restart()
    harness.runner.signal_step(step_id, kill=True)

    ended = harness.wait_exit(step_id)
    assert (ended.exit_code, ended.signal) == (137, signal.SIGKILL)
    application = harness.wait_state(step_id, "RUNNING")
    assert is_running(pid)

    killer = harness.run("yarn", "application", "-kill", application.id)
    assert killer.exit_code == 0
    assert f"Killed application {application.id}" in harness.log(killer.step_id, "stderr")
    wait_for(lambda: not is_running(pid), "the end of the driver")
    killed = harness.wait_state(step_id, "KILLED")
    assert (killed.final_status, killed.pid) == ("KILLED", None)
    assert killed.diagnostics == f"Application {application.id} was killed by user hadoop at 127.0.0.1"


def test_stop_cluster_and_yarns_kill_end_drivers_of_both_modes(harness: Harness, tmp_path: Path) -> None:
    job = harness.put("long.py", LONG_JOB)
    client = harness.start("spark-submit", job, str(tmp_path / "client"))
    client_pid = job_pid(tmp_path / "client")
    application = harness.wait_state(client, "RUNNING")
    assert harness.runner.kill_application(application.id)
    ended = harness.wait_exit(client)

    assert (ended.exit_code, ended.signal) == (1, None)
    assert ended.message == f'Exception in thread "main" org.apache.spark.SparkException: Application {application.id} is killed'
    assert harness.wait_state(client, "KILLED").id == application.id
    wait_for(lambda: not is_running(client_pid), "the end of the client-mode driver")
    assert not harness.runner.kill_application("application_1_0001")

    cluster = harness.start("spark-submit", "--deploy-mode", "cluster", job, str(tmp_path / "cluster"))
    cluster_pid = job_pid(tmp_path / "cluster")
    harness.runner.stop_cluster(CLUSTER)
    assert harness.wait_exit(cluster).signal == signal.SIGTERM
    wait_for(lambda: not is_running(cluster_pid) and not harness.pids(), "the end of everything on the cluster")
    assert harness.wait_state(cluster, "KILLED").pid is None
