"""Build what a driver starts with: spark-submit's command line, spark-defaults.conf and the environment.

YARN is played by `local[2]`: the master and deploy mode of the user are replaced, everything else they set wins over the defaults here.
"""

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from platyspark_provider.emrsim.jars import spark_home
from platyspark_provider.emrsim.runner_fetch import Localized
from platyspark_provider.emrsim.runner_process import MARKER
from platyspark_provider.emrsim.runner_records import Site
from platyspark_provider.emrsim.spark_args import Submission, format_properties

_INHERITED = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "JAVA_HOME", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
# a short-lived JVM spends most of its time compiling: C1 only, the serial collector and no perf file start about a third faster
_LEAN_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Xshare:auto"
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


def base_environment(site: Site, cluster_id: str) -> dict[str, str]:
    """Return the environment of everything on a cluster: nothing of emrsim's own but paths and locale, and the way to AWS."""
    env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    binaries = (str(Path(sys.executable).parent), str(spark_home() / "bin"), os.environ.get("PATH", os.defpath))
    return env | {
        "PATH": os.pathsep.join(binaries),
        "USER": "hadoop",
        "HADOOP_USER_NAME": "hadoop",
        "SPARK_HOME": str(spark_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_HOSTNAME": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "AWS_ENDPOINT_URL": site.endpoint_url,
        "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", "emrsim"),
        "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", "emrsim"),
        "AWS_DEFAULT_REGION": _region(),
        "AWS_REGION": _region(),
        MARKER: site.cluster_mark(cluster_id),
    }


def driver_environment(base: Mapping[str, str], submission: Submission, work: Path, conf_dir: Path) -> dict[str, str]:
    """Return the driver's environment: in cluster mode what `spark.yarn.appMasterEnv.*` asks for, and `spark.executorEnv.*` in both."""
    scratch = work / "tmp"
    own = submission.env_of("spark.yarn.appMasterEnv.") if submission.deploy_mode == "cluster" else {}
    return {
        **base,
        "SPARK_CONF_DIR": str(conf_dir),
        "SPARK_SUBMIT_OPTS": f"{_LEAN_JVM} -Djava.io.tmpdir={scratch}",
        "SPARK_LAUNCHER_OPTS": _LEAN_JVM,
        "LOCAL_DIRS": str(scratch),
        **submission.env_of("spark.executorEnv."),
        **own,
    }


def driver_command(submission: Submission, resources: Localized) -> list[str]:
    """Return the inner spark-submit; its conf lies in the conf folder, so that no value shows in the process list."""
    main_class = ["--class", submission.main_class] if submission.main_class else []
    return [str(spark_home() / "bin" / "spark-submit"), *main_class, resources.primary, *submission.app_args]


def write_conf(folder: Path, conf: Mapping[str, str]) -> None:
    """Write spark-defaults.conf, readable by its owner alone: it may hold secrets."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spark-defaults.conf"
    path.touch(mode=0o600)
    path.write_text(format_properties(conf), encoding="utf-8")


def driver_conf(site: Site, submission: Submission, resources: Localized, application_id: str, work: Path) -> dict[str, str]:
    """Return the whole conf of the inner spark-submit.

    :param application_id: what the job sees as its application id, as on YARN
    """
    user = {key: value for key, value in submission.conf.items() if key not in _REPLACED}
    lists = {"spark.submit.pyFiles": resources.py_files, "spark.files": resources.files, "spark.jars": resources.jars}
    return {
        **_DEFAULTS,
        **_s3_conf(site),
        "spark.sql.warehouse.dir": f"file:{work}/spark-warehouse",
        "spark.local.dir": str(work / "tmp"),
        "spark.ui.port": str(free_port()),
        **user,
        **{key: ",".join(values) for key, values in lists.items() if values},
        "spark.app.name": submission.name,
        "spark.master": "local[2]",
        "spark.submit.deployMode": "client",
        "spark.test.appId": application_id,  # LocalSchedulerBackend's application id
        "spark.yarn.app.id": application_id,
        "spark.driver.extraClassPath": _joined_path(user.get("spark.driver.extraClassPath"), f"{site.jars_dir}/*"),
    }


def _s3_conf(site: Site) -> dict[str, str]:
    implementation = "org.apache.hadoop.fs.s3a.S3AFileSystem"
    settings = {
        "fs.s3.impl": implementation,
        "fs.s3n.impl": implementation,
        "fs.s3a.impl": implementation,
        "fs.s3a.endpoint": site.endpoint_url,
        "fs.s3a.endpoint.region": _region(),
        "fs.s3a.path.style.access": "true",
        "fs.s3a.connection.ssl.enabled": "false",
        "fs.s3a.aws.credentials.provider": "com.amazonaws.auth.EnvironmentVariableCredentialsProvider",  # hadoop 3.4 maps it to SDK 2
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
