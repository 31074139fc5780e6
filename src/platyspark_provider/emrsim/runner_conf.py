"""Build what a driver starts with: spark-submit's command line, spark-defaults.conf and the environment.

YARN is played by `local[2]`: the master and deploy mode of the user are replaced, everything else they set wins over the defaults here.
"""

import os
import re
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from platyspark_provider.emrsim.runner_archive import class_archive, java_options, path_option
from platyspark_provider.emrsim.runner_fetch import Localized
from platyspark_provider.emrsim.runner_process import MARKER
from platyspark_provider.emrsim.runner_records import Site, StepFolder, bin_folder
from platyspark_provider.emrsim.spark_args import Submission, format_properties
from platyspark_provider.emrsim.spark_homes import SparkHome

_INHERITED = ("HOME", "TZ", "JAVA_HOME", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")  # in the order in which they count
_CLIENT_TO_MASTER = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON", "PYTHONHASHSEED")  # yarn.Client.setupLaunchEnv hands these on
_LEAN_JVM = "-XX:TieredStopAtLevel=1 -XX:-UsePerfData"  # a short-lived JVM spends most of its time compiling
_COLLECTOR = re.compile(r"-XX:\+Use\w*GC\b")
_REPLACED = frozenset(
    {"spark.master", "spark.remote", "spark.submit.deployMode", "spark.submit.pyFiles", "spark.files", "spark.jars", "spark.archives"}
    | {"spark.yarn.dist.files", "spark.yarn.dist.jars", "spark.yarn.dist.archives", "spark.kerberos.keytab", "spark.kerberos.principal"}
)
_DEFAULTS = {
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "4",
    "spark.ui.enabled": "true",
    "spark.ui.showConsoleProgress": "false",
    "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls spark-submit: the step's own process, or a script in it with what it exported.

    :param mark: tells whose process it is (`Site.cluster_mark`)
    """

    cluster_id: str
    mark: str
    spark: SparkHome
    environment: Mapping[str, str] = field(repr=False)


def base_environment(site: Site, spark: SparkHome, mark: str) -> dict[str, str]:
    """Return the environment of everything on a cluster: nothing of emrsim's own but paths and locale, and the way to AWS.

    :param mark: tells whose process it is (`Site.cluster_mark`); a step hands its own one on
    """
    env = {name: os.environ[name] for name in _INHERITED if name in os.environ} | _locale()
    binaries = (
        str(bin_folder(site.data_dir)),
        str(Path(sys.executable).parent),
        str(spark.home / "bin"),
        os.environ.get("PATH", os.defpath),
    )
    return env | {
        "PATH": os.pathsep.join(binaries),
        "USER": "hadoop",
        "HADOOP_USER_NAME": "hadoop",
        "SPARK_HOME": str(spark.home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_HOSTNAME": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "AWS_ENDPOINT_URL": site.endpoint_url,
        "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", "emrsim"),
        "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", "emrsim"),
        "AWS_DEFAULT_REGION": _region(),
        "AWS_REGION": _region(),
        MARKER: mark,
    }


def step_environment(step: StepFolder, cluster_id: str) -> dict[str, str]:
    """Return what EMR tells a process on the primary node about its step."""
    return {"EMR_STEP_ID": step.id, "EMR_CLUSTER_ID": cluster_id}


def driver_environment(site: Site, caller: Caller, submission: Submission, work: Path) -> dict[str, str]:
    """Return the driver's environment: the caller's in client mode, what `spark.yarn.appMasterEnv.*` asks for in cluster mode.

    `spark.executorEnv.*` counts in both.
    """
    archive = class_archive(caller.spark)
    if submission.deploy_mode == "client":
        inherited, own = dict(caller.environment), {}
    else:
        handed_on = {name: caller.environment[name] for name in _CLIENT_TO_MASTER if name in caller.environment}
        inherited, own = base_environment(site, caller.spark, caller.mark) | handed_on, submission.env_of("spark.yarn.appMasterEnv.")
    options = inherited.get("SPARK_SUBMIT_OPTS", "")
    scratch = path_option("-Djava.io.tmpdir", work / "scratch")
    jvm = f"{_LEAN_JVM} {_collector(submission, options)} {java_options(archive)} {scratch}"
    return {
        **inherited,
        "SPARK_HOME": str(caller.spark.home),
        "SPARK_CONF_DIR": str(archive.conf_dir),
        "SPARK_SUBMIT_OPTS": f"{jvm} {options}",
        "SPARK_LAUNCHER_OPTS": _LEAN_JVM,
        **submission.env_of("spark.executorEnv."),
        **own,
    }


def _collector(submission: Submission, options: str) -> str:
    """Return the serial collector, unless the owner chose one: Java refuses two."""
    settings = (submission.conf.get(f"spark.driver.{kind}JavaOptions", "") for kind in ("extra", "default"))
    return "" if _COLLECTOR.search(" ".join([options, *settings])) else "-XX:+UseSerialGC"


def _locale() -> dict[str, str]:
    """Return the locale as EMR's nodes have it: UTF-8, without which Java reads arguments as ASCII."""
    own = next((os.environ[name] for name in _LOCALE if os.environ.get(name)), "")
    is_utf8 = own.lower().replace("-", "").endswith("utf8")
    return {"LANG": own if is_utf8 else "C.UTF-8", "LC_ALL": own if is_utf8 else "C.UTF-8"}


def driver_command(spark: SparkHome, submission: Submission, resources: Localized, conf_file: Path) -> list[str]:
    """Return the inner spark-submit; its conf lies in a file, so that no value shows in the process list."""
    main_class = ["--class", submission.main_class] if submission.main_class else []
    return [spark.submit, "--properties-file", str(conf_file), *main_class, resources.primary, *submission.app_args]


def write_conf(path: Path, conf: Mapping[str, str]) -> None:
    """Write a properties file, readable by its owner alone: it may hold secrets."""
    path.touch(mode=0o600)
    path.write_text(format_properties(conf), encoding="utf-8")


def driver_conf(
    site: Site, spark: SparkHome, submission: Submission, resources: Localized, application_id: str, work: Path
) -> dict[str, str]:
    """Return the whole conf of the inner spark-submit.

    :param application_id: what the job sees as its application id, as on YARN
    """
    user = {key: value for key, value in submission.conf.items() if key not in _REPLACED}
    lists = {"spark.submit.pyFiles": resources.py_files, "spark.files": resources.files, "spark.jars": resources.jars}
    return {
        **_DEFAULTS,
        **_s3_conf(site, spark),
        "spark.sql.warehouse.dir": f"file:{work}/spark-warehouse",
        "spark.local.dir": str(work / "scratch"),
        "spark.ui.port": str(free_port()),
        **user,
        **{key: ",".join(values) for key, values in lists.items() if values},
        "spark.app.name": submission.name,
        "spark.master": "local[2]",
        "spark.submit.deployMode": "client",
        "spark.test.appId": application_id,  # LocalSchedulerBackend's application id
        "spark.yarn.app.id": application_id,
        "spark.driver.extraClassPath": _joined_path(user.get("spark.driver.extraClassPath"), f"{spark.jars_dir}/*"),
    }


def _s3_conf(site: Site, spark: SparkHome) -> dict[str, str]:
    implementation = "org.apache.hadoop.fs.s3a.S3AFileSystem"
    sdk = "com.amazonaws.auth" if spark.line.startswith("3.") else "software.amazon.awssdk.auth.credentials"
    settings = {
        "fs.s3.impl": implementation,
        "fs.s3n.impl": implementation,
        "fs.s3a.impl": implementation,
        "fs.s3a.endpoint": site.endpoint_url,
        "fs.s3a.endpoint.region": _region(),
        "fs.s3a.path.style.access": "true",
        "fs.s3a.connection.ssl.enabled": "false",
        "fs.s3a.aws.credentials.provider": f"{sdk}.EnvironmentVariableCredentialsProvider",
        "fs.s3a.attempts.maximum": "3",
        "fs.s3a.fast.upload.buffer": "bytebuffer",
    }
    return {f"spark.hadoop.{key}": value for key, value in settings.items()}


def _region() -> str:
    return os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION") or "us-east-1"


def _joined_path(first: str | None, last: str) -> str:
    return os.pathsep.join(part for part in (first, last) if part)


def free_port() -> int:
    """Return a port that was free a moment ago; Spark takes the next one if it no longer is."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
