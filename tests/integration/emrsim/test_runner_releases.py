"""Spark 3.5 and 4.1 side by side, chosen by the release label; jobs in Java, Scala and Python with all that is shipped with them."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from platyspark_provider.emrsim.client import EmrSim, EmrSimError
from platyspark_provider.emrsim.jars import default_dest, ensure_jars
from platyspark_provider.emrsim.runner_archive import ensure_archive
from platyspark_provider.emrsim.spark_homes import SparkHome, installed_spark, spark_at
from tests.integration.emrsim.job_jars import java_jar, scala_jar
from tests.integration.emrsim.runner_harness import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SPARK35 = Path(__file__).resolve().parents[3] / ".cache" / "spark-3.5" / "pyspark"
FAST = {"starting_s": 0, "bootstrapping_s": 0, "terminating_s": 0, "step_start_s": 0, "cancel_s": 0, "log_delay_s": 0}

DOUBLER = "package lib; public class Doubler { public static long of(long x) { return 2 * x; } }"
JAVA_JOB = """
package jobs;

import java.nio.file.*;
import java.util.List;
import lib.Doubler;
import org.apache.spark.api.java.function.MapFunction;
import org.apache.spark.sql.*;

public class Table {
  static String read(String path) throws java.io.IOException { return new String(Files.readAllBytes(Paths.get(path))); }

  public static void main(String[] args) throws Exception {
    if (args.length == 0) throw new IllegalStateException("no luck");
    SparkSession spark = SparkSession.builder().getOrCreate();
    spark.range(100).selectExpr("id", "id % 4 as k").write().partitionBy("k").parquet(args[0] + "/table");
    long rows = spark.read().parquet(args[0] + "/table").where("k = 3").count();
    MapFunction<Long, String> task = x -> Doubler.of(x + 1) + " " + read("unpacked/inner/data.txt") + " " + read("settings.json");
    String inTask = spark.range(1).map(task, Encoders.STRING()).first();
    String text = String.join("|", spark.version(), "" + rows, inTask, read("unpacked/inner/data.txt"), args[1]);
    spark.createDataset(List.of(text), Encoders.STRING()).coalesce(1).write().text(args[0] + "/facts");
    spark.stop();
  }
}
"""
SCALA_JOB = """
package jobs

import org.apache.spark.sql.SparkSession
import scala.io.Source

object Words {
  def read(path: String): String = { val source = Source.fromFile(path); try source.mkString finally source.close() }

  def main(args: Array[String]): Unit = {
    val spark = SparkSession.builder().getOrCreate()
    import spark.implicits._
    val inTask = spark.range(3).map(x => lib.Doubler.of(x) + read("unpacked/inner/data.txt").length).collect().sum
    Seq(s"${spark.version}|$inTask|${args.mkString(",")}").toDS().coalesce(1).write.text(args(0) + "/facts")
    spark.stop()
  }
}
"""
PYTHON_JOB = """
import sys
from pyspark import __version__
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
spark.range(10).write.parquet(sys.argv[1] + "/table")
rows = spark.read.parquet(sys.argv[1].replace("s3://", "s3a://") + "/table").rdd.map(lambda row: row.id).sum()
spark.createDataFrame([(f"{__version__}|{spark.version}|{rows}",)], "text string").coalesce(1).write.text(sys.argv[1] + "/facts")
"""


@pytest.fixture(scope="module")
def spark35() -> SparkHome:
    assert SPARK35.is_dir(), "Spark 3.5 is not there; install it: .ci/setup --tests"
    spark = spark_at(SPARK35)
    ensure_jars(spark.jars_dir, spark.line)
    return spark


@pytest.fixture(scope="module")
def spark41() -> SparkHome:
    spark = installed_spark(ensure_jars(default_dest()))
    ensure_archive(spark)
    return spark


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, spark35: SparkHome, spark41: SparkHome) -> Iterator["Office"]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMRSIM_SPARK", f"emr-7.={spark35.home}, emr-6.={spark35.home}")
        with EmrSim.start(tmp_path_factory.mktemp("sim"), **FAST) as sim:
            yield Office(sim)


def version_of(spark: SparkHome) -> str:
    """Return the full version, which is the last part of the jar's name."""
    return spark.core_jar.stem.rpartition("-")[2]


class Office:
    """An emrsim that runs both Sparks, and its clients."""

    def __init__(self, sim: EmrSim) -> None:
        self.sim = sim
        self.emr, self._s3 = sim.boto3("emr"), sim.boto3("s3")
        for bucket in ("jobs", "logs"):
            self._s3.create_bucket(Bucket=bucket)
        self._clusters: dict[str, str] = {}

    def put(self, key: str, body: bytes) -> str:
        self._s3.put_object(Bucket="jobs", Key=key, Body=body)
        return f"s3://jobs/{key}"

    def put_archive(self) -> str:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
            member = tarfile.TarInfo("inner/data.txt")
            member.size = 6
            packed.addfile(member, io.BytesIO(b"packed"))
        return self.put("env.tar.gz", buffer.getvalue())

    def submit(self, release: str, *args: str) -> tuple[str, str]:
        """Add a spark-submit step to the cluster of a release; return both ids."""
        if release not in self._clusters:
            layout = {"InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True}
            created = self.emr.run_job_flow(
                Name=release, ReleaseLabel=release, Instances=layout, LogUri="s3://logs/", StepConcurrencyLevel=9
            )
            self._clusters[release] = created["JobFlowId"]
        cluster_id = self._clusters[release]
        jar_step = {"Jar": "command-runner.jar", "Args": ["spark-submit", *args]}
        step = {"Name": "job", "ActionOnFailure": "CONTINUE", "HadoopJarStep": jar_step}
        return cluster_id, self.emr.add_job_flow_steps(JobFlowId=cluster_id, Steps=[step])["StepIds"][0]

    def end(self, ids: tuple[str, str]) -> str:
        """Wait for the step's end; return its state."""

        def ended() -> str | None:
            state = str(self.emr.describe_step(ClusterId=ids[0], StepId=ids[1])["Step"]["Status"]["State"])
            return state if state in {"COMPLETED", "FAILED", "CANCELLED"} else None

        return wait_for(ended, f"the end of {ids}", 120)

    def facts(self, prefix: str) -> list[str]:
        """Return what a job wrote beside its table."""
        found = self._s3.list_objects_v2(Bucket="jobs", Prefix=f"{prefix}/facts/part-").get("Contents", [])
        bodies = [self._s3.get_object(Bucket="jobs", Key=item["Key"])["Body"].read().decode() for item in found]
        return "".join(bodies).strip().split("|")

    def application(self, ids: tuple[str, str]) -> dict[str, Any]:
        return next(app for app in self.sim.applications() if app["step_id"] == ids[1])


def test_release_label_chooses_the_spark_and_a_java_jar_gets_all_that_was_shipped_on_both(
    office: Office, spark35: SparkHome, spark41: SparkHome, tmp_path: Path
) -> None:
    releases = {"emr-7.9.0": spark35, "emr-spark-8.0.0": spark41}
    steps = {}
    for release, spark in releases.items():
        library = java_jar(spark, {"Doubler.java": DOUBLER}, tmp_path / release, "library")
        job = java_jar(spark, {"Table.java": JAVA_JOB}, tmp_path / release, "job", library)
        shipped = (
            *("--jars", office.put(f"{release}/library.jar", library.read_bytes())),
            *("--archives", office.put_archive() + "#unpacked", "--files", office.put("prod.json", b"{}") + "#settings.json"),
        )
        address = office.put(f"{release}/job.jar", job.read_bytes())
        where = f"s3://jobs/{release}"
        steps[release] = office.submit(release, "--deploy-mode", "cluster", "--class", "jobs.Table", *shipped, address, where, "an arg")

    assert {release: office.end(ids) for release, ids in steps.items()} == dict.fromkeys(releases, "COMPLETED")
    assert (spark35.line, spark41.line) == ("3.5", "4.1")
    for release, spark in releases.items():
        assert office.facts(release) == [version_of(spark), "25", "2 packed {}", "packed", "an arg"]


def test_python_job_on_spark_3_5_runs_its_own_pyspark_in_driver_and_workers(office: Office, spark35: SparkHome) -> None:
    ids = office.submit("emr-7.9.0", office.put("py35/job.py", PYTHON_JOB.encode()), "s3://jobs/py35")

    assert office.end(ids) == "COMPLETED"
    python_version, jvm_version, total = office.facts("py35")
    assert (python_version.split("+")[0], jvm_version, total) == (version_of(spark35), version_of(spark35), "45")


def test_scala_jar_in_client_mode_gets_its_jars_and_archives(office: Office, spark41: SparkHome, tmp_path: Path) -> None:
    library = java_jar(spark41, {"Doubler.java": DOUBLER}, tmp_path, "library")
    job = scala_jar(spark41, {"Words.scala": SCALA_JOB}, tmp_path, "words", library)
    shipped = ("--jars", office.put("scala/library.jar", library.read_bytes()), "--archives", office.put_archive() + "#unpacked")
    address = office.put("scala/words.jar", job.read_bytes())
    ids = office.submit("emr-spark-8.0.0", "--class", "jobs.Words", *shipped, address, "s3://jobs/scala", "$x")

    assert office.end(ids) == "COMPLETED"
    assert office.facts("scala") == [version_of(spark41), "24", "s3://jobs/scala,$x"]


def test_jar_whose_main_throws_is_told_by_yarn_in_the_words_of_spark(office: Office, spark41: SparkHome, tmp_path: Path) -> None:
    library = java_jar(spark41, {"Doubler.java": DOUBLER}, tmp_path, "library")
    job = java_jar(spark41, {"Table.java": JAVA_JOB}, tmp_path, "job", library)
    once = ("--deploy-mode", "cluster", "--conf", "spark.yarn.maxAppAttempts=1", "--class", "jobs.Table")
    ids = office.submit("emr-spark-8.0.0", *once, office.put("throws/job.jar", job.read_bytes()))

    assert office.end(ids) == "FAILED"
    application = office.application(ids)
    assert (application["state"], application["final_status"]) == ("FINISHED", "FAILED")
    assert application["diagnostics"] == "User class threw exception: java.lang.IllegalStateException: no luck"


@pytest.mark.timeout(60)
def test_emrsim_refuses_a_spark_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMRSIM_SPARK", f"emr-7.={tmp_path}")

    with pytest.raises(EmrSimError, match=r"is no SPARK_HOME: it has no jars/spark-core_\*\.jar"):
        EmrSim.start(tmp_path / "sim")
