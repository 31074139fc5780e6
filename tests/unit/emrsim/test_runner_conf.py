"""What a driver starts with: conf, environment and command line."""

from pathlib import Path

import pytest

from platyspark_provider.emrsim.runner_conf import Caller, base_environment, driver_command, driver_conf, driver_environment
from platyspark_provider.emrsim.runner_fetch import Localized
from platyspark_provider.emrsim.runner_process import MARKER
from platyspark_provider.emrsim.runner_records import Site
from platyspark_provider.emrsim.spark_args import Submission, parse_command, resolve_submission
from platyspark_provider.emrsim.spark_homes import SparkHome, installed_spark

HERE = Localized(primary="/w/job.py", py_files=("/w/a.zip",), files=(), jars=("/w/x.jar",))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "jars").mkdir()
    return Site(data_dir=tmp_path, endpoint_url="http://127.0.0.1:9")


def spark(site: Site) -> SparkHome:
    return installed_spark(site.data_dir / "jars")


def submission(*args: str) -> Submission:
    return resolve_submission(parse_command([*args, "s3://b/job.py", "an arg"]), {})


def caller(site: Site, **exported: str) -> Caller:
    return Caller(cluster_id="j-1", mark="mark", spark=spark(site), environment=base_environment(site, spark(site), "mark") | exported)


def conf_of(site: Site, *args: str) -> dict[str, str]:
    return driver_conf(site, spark(site), submission(*args), HERE, "application_1_0001", Path("/w"))


def test_driver_conf_replaces_yarn_by_local_spark_and_ships_what_was_fetched(site: Site) -> None:
    conf = conf_of(site, "--master", "yarn", "--deploy-mode", "cluster", "--files", "s3://b/gone.txt", "--archives", "s3://b/e.tgz")

    assert (conf["spark.master"], conf["spark.submit.deployMode"]) == ("local[2]", "client")
    assert (conf["spark.submit.pyFiles"], conf["spark.jars"]) == ("/w/a.zip", "/w/x.jar")
    assert "spark.files" not in conf
    assert "spark.archives" not in conf
    assert conf["spark.yarn.app.id"] == "application_1_0001"


def test_driver_conf_lets_the_user_win_over_defaults(site: Site) -> None:
    conf = conf_of(site, "--driver-memory", "2g", "--conf", "spark.hadoop.fs.s3a.attempts.maximum=9", "--conf", "spark.ui.port=4050")

    assert conf["spark.driver.memory"] == "2g"
    assert conf["spark.hadoop.fs.s3a.attempts.maximum"] == "9"
    assert conf["spark.ui.port"] == "4050"
    assert conf_of(site)["spark.driver.memory"] == "1g"


def test_driver_conf_keeps_s3_on_a_class_path_that_the_user_set(site: Site) -> None:
    assert conf_of(site, "--driver-class-path", "/opt/mine/*")["spark.driver.extraClassPath"] == f"/opt/mine/*:{site.data_dir}/jars/*"
    assert conf_of(site)["spark.driver.extraClassPath"] == f"{site.data_dir}/jars/*"


@pytest.mark.parametrize(
    ("args", "has_serial"),
    [
        ((), True),
        (("--driver-java-options", "-Dx=1 -XX:+UseG1GC"), False),
        (("--conf", "spark.driver.defaultJavaOptions=-XX:+UseZGC"), False),
        (("--driver-java-options", "-XX:+UseStringDeduplication"), True),
    ],
)
def test_driver_environment_names_one_collector_only(site: Site, args: tuple[str, ...], has_serial: bool) -> None:
    env = driver_environment(site, caller(site), submission(*args), Path("/w"))

    assert ("-XX:+UseSerialGC" in env["SPARK_SUBMIT_OPTS"]) == has_serial


def test_driver_environment_gives_master_settings_in_cluster_mode_only(site: Site) -> None:
    asked = ("--conf", "spark.yarn.appMasterEnv.PYSPARK_PYTHON=./env/bin/python", "--conf", "spark.executorEnv.E=1")
    client = driver_environment(site, caller(site), submission(*asked), Path("/w"))
    cluster = driver_environment(site, caller(site), submission(*asked, "--deploy-mode", "cluster"), Path("/w"))

    assert (cluster["PYSPARK_PYTHON"], cluster["E"]) == ("./env/bin/python", "1")
    assert (client["PYSPARK_PYTHON"], client["E"]) == (base_environment(site, spark(site), "mark")["PYSPARK_PYTHON"], "1")


def test_driver_environment_inherits_what_the_caller_exported_in_client_mode_only(site: Site) -> None:
    calling = caller(site, TEAM="ads", PYSPARK_PYTHON="/mine/python", SPARK_SUBMIT_OPTS="-Da=1 -XX:+UseG1GC", SPARK_HOME="/other")
    client = driver_environment(site, calling, submission(), Path("/w"))
    cluster = driver_environment(site, calling, submission("--deploy-mode", "cluster"), Path("/w"))

    assert (client["TEAM"], client["PYSPARK_PYTHON"], client["SPARK_HOME"]) == ("ads", "/mine/python", cluster["SPARK_HOME"])
    assert client["SPARK_SUBMIT_OPTS"].endswith(" -Da=1 -XX:+UseG1GC")
    assert "-XX:+UseSerialGC" not in client["SPARK_SUBMIT_OPTS"]
    assert "TEAM" not in cluster
    assert cluster["PYSPARK_PYTHON"] == "/mine/python", "YARN's client hands the Python on"
    assert "-XX:+UseSerialGC" in cluster["SPARK_SUBMIT_OPTS"]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, "C.UTF-8"),
        ({"LANG": "C"}, "C.UTF-8"),
        ({"LC_ALL": "POSIX", "LANG": "en_US.UTF-8"}, "C.UTF-8"),
        ({"LANG": "de_DE.utf8"}, "de_DE.utf8"),
    ],
)
def test_base_environment_is_utf8_whatever_the_callers_locale(
    site: Site, monkeypatch: pytest.MonkeyPatch, own: dict[str, str], expected: str
) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in own.items():
        monkeypatch.setenv(name, value)

    assert (base_environment(site, spark(site), "mark")["LANG"], base_environment(site, spark(site), "mark")["LC_ALL"]) == (
        expected,
        expected,
    )


def test_base_environment_carries_the_mark_and_nothing_of_the_callers(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    env = base_environment(site, spark(site), "mark")

    assert env[MARKER] == "mark"
    assert env["AWS_ENDPOINT_URL"] == site.endpoint_url
    assert "AIRFLOW__CORE__FERNET_KEY" not in env


def test_driver_command_shows_no_conf_value(site: Site) -> None:
    command = driver_command(spark(site), submission("--class", "a.B", "--conf", "spark.secret=x"), HERE, Path("/c/spark.conf"))

    assert command[1:] == ["--properties-file", "/c/spark.conf", "--class", "a.B", "/w/job.py", "an arg"]
