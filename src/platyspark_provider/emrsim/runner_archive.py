"""Keep a class-data archive of Spark's classes, which halves the start of a driver (7.1 s to 3.9 s measured on two cores).

Java maps the archive instead of reading, verifying and linking 10,000 classes. It is bound to the JVM, pyspark's jars and the s3a jars,
so those name the file; a driver for which it doesn't fit (say, another class path) starts without it.
Made by `python -m platyspark_provider.emrsim.jars`.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from platyspark_provider.emrsim.jars import find_java
from platyspark_provider.emrsim.spark_args import format_properties
from platyspark_provider.emrsim.spark_homes import SparkHome

_TIMEOUT_S = 300.0
# refused connections are enough to load the S3 client's classes
_CONF = {
    "spark.master": "local[2]",
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.port": "0",
    "spark.sql.shuffle.partitions": "2",
    "spark.hadoop.fs.s3a.endpoint": "http://127.0.0.1:9",
    "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
    "spark.hadoop.fs.s3a.path.style.access": "true",
    "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
    "spark.hadoop.fs.s3a.attempts.maximum": "1",
    "spark.hadoop.fs.s3a.retry.limit": "1",
}
_JOB = """
import sys
from pyspark.sql import SparkSession, functions as F

spark = SparkSession.builder.getOrCreate()
frame = spark.range(100).withColumn("k", F.col("id") % 3).withColumn("day", F.lit("2024-01-01").cast("date"))
frame.write.mode("overwrite").partitionBy("k").parquet(sys.argv[1])
table = spark.read.parquet(sys.argv[1])
table.join(spark.createDataFrame([(1, "a")], ["k", "name"]), "k", "left").groupBy("name").agg(F.count("*"), F.sum("id")).collect()
table.createOrReplaceTempView("t")
spark.sql("select k, row_number() over (partition by k order by id) as n from t order by k limit 5").collect()
spark.sparkContext.parallelize(range(10), 2).map(lambda x: x + 1).sum()
try:
    frame.write.parquet("s3a://warm/up")
except Exception:
    pass
spark.stop()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassArchive:
    """Where the archive lies, and the conf folder that has to be on the class path with it: an empty one, for Java archives no folders."""

    path: Path
    conf_dir: Path

    @property
    def exists(self) -> bool:
        """Tell whether it was made."""
        return self.path.is_file()


def class_archive(spark: SparkHome) -> ClassArchive:
    """Return the place of the archive for this machine's JVM and a Spark; it need not exist."""
    core, jars_dir = spark.core_jar, spark.jars_dir
    parts = (_java_release(), str(core), str(core.stat().st_mtime_ns), str(jars_dir), str(jars_dir.stat().st_mtime_ns))
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    folder = jars_dir.parent / "class-archive"
    conf_dir = folder / "conf"
    conf_dir.mkdir(parents=True, exist_ok=True)
    return ClassArchive(path=folder / f"spark-{key}.jsa", conf_dir=conf_dir)


def java_options(archive: ClassArchive) -> str:
    """Return the options that make a driver use the archive when it fits, and keep quiet when it doesn't."""
    if not archive.exists:
        return "-Xshare:auto"
    return f"-Xshare:auto {path_option('-XX:SharedArchiveFile', archive.path)} -Xlog:cds*=off,class+path=off"


def path_option(name: str, path: Path) -> str:
    """Return a JVM option as SPARK_SUBMIT_OPTS takes it (`CommandBuilderUtils.parseOptionString`): in quotes, as paths may have blanks."""
    escaped = f"{name}={path}".replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def ensure_archive(spark: SparkHome) -> ClassArchive:
    """Make the archive unless it exists, by one run of a small Spark job (about 20 s); several processes may call it at once.

    :raises subprocess.SubprocessError: the job failed
    """
    archive = class_archive(spark)
    with (archive.path.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists:
            _make(archive, spark)
    return archive


def _make(archive: ClassArchive, spark: SparkHome) -> None:
    with tempfile.TemporaryDirectory(dir=archive.path.parent, prefix=".making-") as folder:
        work = Path(folder)
        (work / "job.py").write_text(_JOB, encoding="utf-8")
        conf = {**_CONF, "spark.driver.extraClassPath": f"{spark.jars_dir}/*", "spark.local.dir": folder}
        (work / "spark.conf").write_text(format_properties(conf), encoding="utf-8")
        command = [spark.submit, "--properties-file", str(work / "spark.conf"), str(work / "job.py"), f"file:{work}/table"]
        env = {**os.environ, **_environment(archive, spark, work)}
        log = work / "log"
        with log.open("wb") as output:
            subprocess.run(command, cwd=work, env=env, stdout=output, stderr=output, timeout=_TIMEOUT_S, check=True)
        (work / "new.jsa").rename(archive.path)


def _environment(archive: ClassArchive, spark: SparkHome, work: Path) -> Mapping[str, str]:
    dump = path_option("-XX:ArchiveClassesAtExit", work / "new.jsa")
    return {
        "SPARK_HOME": str(spark.home),
        "SPARK_CONF_DIR": str(archive.conf_dir),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_SUBMIT_OPTS": f"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC {dump} -Xlog:cds*=off",
        "PYSPARK_PYTHON": sys.executable,
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _java_release() -> str:
    release = Path(find_java()).resolve().parents[1] / "release"
    return release.read_text(encoding="utf-8") if release.is_file() else find_java()
