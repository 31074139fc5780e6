"""Steps from runs: their command line, what becomes a script, what is put on S3 before, and what a shell makes of it."""

import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platyspark_provider.backends.base import Launch
from platyspark_provider.backends.emr import EmrBackend
from platyspark_provider.backends.emr_api import EmrClients
from platyspark_provider.backends.emr_steps import (
    MAX_STEP_CHARACTERS,
    PlannedStep,
    driver_source,
    planned_step,
    script_from_command,
    spark_submit_args,
)
from platyspark_provider.core.states import DeployMode
from platyspark_provider.errors import BackendRejected, BackendUnavailable, ReplyLost
from platyspark_provider.packaging.artifacts import put_missing
from tests.builders import make_spec, make_target
from tests.unit.backends.aws_server import Answer, Server, client, serve

TAG = "plsp:abcdef:7:1"
PREFIX = "s3://artifacts/files"
LONG = ("x" * MAX_STEP_CHARACTERS,)
ARGUMENTS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30), max_size=8)


def launch(**values: Any) -> Launch:
    return Launch(name="plsp-abcdef-7-g1", yarn_tag=TAG, spec=make_spec(**values), token="t")


def conf_of(args: list[str]) -> dict[str, str]:
    pairs = [args[i + 1].partition("=") for i, one in enumerate(args) if one == "--conf"]
    return {key: value for key, _, value in pairs}


def args_of(step: PlannedStep) -> list[str]:
    return list(step.request["HadoopJarStep"]["Args"])


def address_of(content: bytes, name: str) -> str:
    return f"{PREFIX}/{hashlib.sha256(content).hexdigest()}/{name}"


def test_step_command_line_holds_every_part_in_order() -> None:
    args = spark_submit_args(
        launch(
            main_class="com.acme.Job",
            application_uri="s3://code/job.jar",
            args=("--date", "2026-01-01"),
            py_files=("s3://a.zip", "s3://b.zip"),
            files=("s3://c.yaml",),
            jars=("s3://d.jar",),
            archives=("s3://e.tgz#env",),
            packages=("org:artifact:1",),
        )
    )

    assert args[:7] == ["spark-submit", "--deploy-mode", "cluster", "--name", "job", "--class", "com.acme.Job"]
    assert args[-3:] == ["s3://code/job.jar", "--date", "2026-01-01"]
    joined = " ".join(args)
    for part in ("--py-files s3://a.zip,s3://b.zip", "--files s3://c.yaml", "--jars s3://d.jar", "--archives s3://e.tgz#env"):
        assert part in joined
    assert "--packages org:artifact:1" in joined


def test_step_conf_carries_identity_beside_the_owners_tags() -> None:
    conf = conf_of(spark_submit_args(launch(conf={"spark.yarn.tags": "mine,other", "spark.yarn.submit.waitAppCompletion": "false"})))

    assert conf["spark.yarn.tags"] == f"mine,other,{TAG}"
    assert conf["spark.yarn.submit.waitAppCompletion"] == "true"
    assert conf["spark.yarn.maxAppAttempts"] == "1"


def test_step_conf_owners_attempts_are_kept() -> None:
    assert conf_of(spark_submit_args(launch(conf={"spark.yarn.maxAppAttempts": "3"})))["spark.yarn.maxAppAttempts"] == "3"


def test_step_env_vars_reach_the_driver_in_cluster_mode_and_executors_in_both() -> None:
    in_cluster = conf_of(spark_submit_args(launch(env_vars={"STAGE": "prod"})))
    in_client = conf_of(spark_submit_args(launch(env_vars={"STAGE": "prod"}, deploy_mode=DeployMode.CLIENT)))

    assert in_cluster["spark.yarn.appMasterEnv.STAGE"] == in_cluster["spark.executorEnv.STAGE"] == "prod"
    assert in_client["spark.executorEnv.STAGE"] == "prod"
    assert "spark.yarn.appMasterEnv.STAGE" not in in_client


def test_step_goes_on_after_a_failure_and_wears_the_runs_name() -> None:
    step = planned_step(launch())

    assert (step.request["Name"], step.request["ActionOnFailure"]) == ("plsp-abcdef-7-g1", "CONTINUE")
    assert step.request["HadoopJarStep"]["Jar"] == "command-runner.jar"
    assert args_of(step) == spark_submit_args(launch())
    assert step.objects == {}


def test_step_up_to_the_limit_is_sent_as_it_is_and_one_character_more_by_a_script() -> None:
    base = launch(args=("",), artifacts=PREFIX)
    used = sum(map(len, ("command-runner.jar", *args_of(planned_step(base)))))
    full = replace(base, spec=replace(base.spec, args=("x" * (MAX_STEP_CHARACTERS - used),)))
    over = replace(base, spec=replace(base.spec, args=("x" * (MAX_STEP_CHARACTERS - used + 1),)))

    assert args_of(planned_step(full)) == spark_submit_args(full)
    step = planned_step(over)
    ((address, script),) = step.objects.items()
    assert address == address_of(script, "launch.sh")
    assert args_of(step) == ["bash", "-c", f"aws s3 cp --only-show-errors {address} ./launch.sh && exec bash ./launch.sh"]
    assert step.request["Name"] == over.name, "the run is found again by it"
    assert planned_step(over) == step, "a second send writes nothing new"


def test_step_long_in_bytes_alone_becomes_a_script() -> None:
    assert args_of(planned_step(launch(args=("ü" * 5_100,), artifacts=PREFIX)))[0] == "bash"


@pytest.mark.parametrize("values", [{"conf": {"spark.x": LONG[0]}}, {"env_vars": {"X": LONG[0]}}, {"files": LONG}])
def test_step_long_by_anything_becomes_a_script(values: Any) -> None:
    (script,) = planned_step(launch(artifacts=PREFIX, **values)).objects.values()

    assert TAG in script.decode(), "the driver is found by its tag"


@pytest.mark.parametrize("prefix", ["s3a://artifacts/files", "s3://artifacts/files/"])
def test_step_script_lies_at_an_address_that_the_aws_command_takes(prefix: str) -> None:
    (address,) = planned_step(launch(args=LONG, artifacts=prefix)).objects
    assert address.startswith("s3://artifacts/files/")
    assert "//" not in address.removeprefix("s3://")


def test_step_too_long_without_a_prefix_names_length_and_what_to_set() -> None:
    with pytest.raises(BackendRejected, match=r"characters long; EMR takes 10,240.*\[platyspark\] artifacts") as caught:
        planned_step(launch(args=LONG))
    assert caught.value.fields["launch"] == "plsp-abcdef-7-g1"
    assert "10,4" in str(caught.value)


def test_step_of_sql_without_a_prefix_is_rejected() -> None:
    with pytest.raises(BackendRejected, match=r"no place to put the two.*\[platyspark\] artifacts"):
        planned_step(launch(application_uri="", sql="select 1"))


@pytest.mark.parametrize("mode", list(DeployMode))
def test_step_of_sql_runs_our_driver_with_the_statements_beside_it(mode: DeployMode) -> None:
    sql = "select 'ü';\nselect 2"
    step = planned_step(launch(application_uri="", sql=sql, files=("s3://c/mine.conf",), artifacts=PREFIX, deploy_mode=mode))

    driver, statements = address_of(driver_source(), "platyspark_sql.py"), address_of(sql.encode(), "platyspark-query.sql")
    assert step.objects == {driver: driver_source(), statements: sql.encode()}
    args = args_of(step)
    assert args[-3:] == [driver, "platyspark-query.sql", statements]
    assert args[args.index("--files") + 1] == f"s3://c/mine.conf,{statements}"


def test_step_of_sql_with_a_long_conf_is_a_script_as_well() -> None:
    step = planned_step(launch(application_uri="", sql="select 1", conf={"spark.x": LONG[0]}, artifacts=PREFIX))

    assert sorted(address.rpartition("/")[2] for address in step.objects) == ["launch.sh", "platyspark-query.sql", "platyspark_sql.py"]


# What a script meets on the primary node: an `aws` that copies, a `spark-submit` that writes its arguments down.
SHIMS = {
    "aws": '#!/bin/sh\n[ "$1 $2 $3" = "s3 cp --only-show-errors" ] || exit 9\ncp "$OBJECTS/$(basename "$4")" "$5"\n',
    "spark-submit": '#!/bin/sh\nexec "$PYTHON" "$OBJECTS/report.py" "$@"\n',
    "report.py": "import json, os, sys\nprint(json.dumps([sys.argv[1:], os.environ.get('LC_ALL')]))\n",
}


def node(folder: Path, **environment: str) -> Mapping[str, str]:
    """Return the environment of a primary node whose S3 is a folder."""
    for name, text in SHIMS.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return {"PATH": path, "OBJECTS": str(folder), "PYTHON": sys.executable, "PYTHONUTF8": "1", **environment}


def launched(step: PlannedStep, folder: Path, environment: Mapping[str, str]) -> tuple[list[str], str | None]:
    """Run a step as command-runner.jar does; return what spark-submit got and the locale it got it in."""
    for address, content in step.objects.items():
        (folder / address.rpartition("/")[2]).write_bytes(content)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    done = subprocess.run(args_of(step), cwd=work, env=environment, capture_output=True, check=True)
    got, locale = json.loads(done.stdout)
    return got, locale


def test_script_hands_300_awkward_arguments_on_as_they_are(tmp_path: Path) -> None:
    awkward = ("'", '"', "$HOME", "`id`", "\\", "\n", " ", "é漢🎉", "{{x}}", "#", "!", "*", "--conf")
    arguments = tuple((awkward[i % len(awkward)] * 100)[:100] for i in range(300))
    base = launch(args=arguments, conf={"spark.a": "1\n#2\\ = ü ", "spark.b": ""}, artifacts=PREFIX)

    got, _ = launched(planned_step(base), tmp_path, node(tmp_path))

    assert ["spark-submit", *got] == spark_submit_args(base)


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, str]]:
    folder = tmp_path_factory.mktemp("node")
    return folder, node(folder)


@settings(max_examples=25, deadline=None)
@given(arguments=ARGUMENTS)
def test_script_of_any_arguments_is_their_command(primary: tuple[Path, Mapping[str, str]], arguments: list[str]) -> None:
    folder, environment = primary
    (folder / "launch.sh").write_text(script_from_command("x", ["spark-submit", *arguments]), newline="")
    done = subprocess.run(["bash", "launch.sh"], cwd=folder, env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout)[0] == arguments


@pytest.mark.parametrize(
    ("given", "locale"),
    [
        ({}, "C.UTF-8"),
        ({"LANG": "C"}, "C.UTF-8"),
        ({"LANG": "en_US.UTF-8"}, None),
        ({"LANG": "de_DE.utf8"}, None),
        ({"LC_ALL": "C"}, "C.UTF-8"),
    ],
)
def test_script_sees_to_a_locale_in_which_java_reads_every_character(tmp_path: Path, given: dict[str, str], locale: str | None) -> None:
    assert launched(planned_step(launch(args=LONG, artifacts=PREFIX)), tmp_path, node(tmp_path, **given))[1] == locale


def test_script_that_can_not_be_fetched_starts_nothing(tmp_path: Path) -> None:
    step = planned_step(launch(args=LONG, artifacts=PREFIX))
    done = subprocess.run(args_of(step), cwd=tmp_path, env=node(tmp_path), capture_output=True, check=False)
    assert done.returncode != 0
    assert done.stdout == b""


def test_script_address_with_a_blank_is_quoted() -> None:
    step = planned_step(launch(args=LONG, artifacts="s3://bucket/my files"))
    assert shlex.split(args_of(step)[2])[4].startswith("s3://bucket/my files/")


class Storage:
    """S3 and EMR in one: objects that were put, and the steps that were sent."""

    def __init__(self, *, put: int = 200) -> None:
        self.put, self.objects = put, {}  # type: ignore[var-annotated]

    def answer(self, method: str, path: str, body: Any) -> Answer:
        match method:
            case "HEAD":
                return Answer(200 if path in self.objects else 404, b"")
            case "PUT":
                if self.put == 200:
                    self.objects[path] = body
                return Answer(self.put, b"", {"ETag": "x"})
            case _:
                return Answer(200, {"StepIds": ["s-1"]})


def submit(storage: Storage, *launches: Launch, times: int = 1) -> Server:
    with serve(storage.answer) as server:
        emr, s3 = client("emr", server.url), client("s3", server.url)
        backend = EmrBackend(EmrClients(mutating=emr, reading=emr, s3=s3), make_target(), put=partial(put_missing, s3))
        for _ in range(times):
            assert backend.submit("j-1", launches) == ["s-1"]
    return server


def test_submit_puts_a_script_before_its_step_and_finds_it_the_next_time() -> None:
    storage = Storage()
    server = submit(storage, launch(args=LONG, artifacts=PREFIX), times=2)

    assert [method if method != "POST" else path for method, path, _ in server.seen] == [
        "HEAD",
        "PUT",
        "AddJobFlowSteps",
        "HEAD",
        "AddJobFlowSteps",
    ]
    ((path, _),) = storage.objects.items()
    sent = server.seen[-1][2]["Steps"][0]["HadoopJarStep"]["Args"]
    assert f"s3:/{path.partition('?')[0]} " in sent[2]


@pytest.mark.parametrize(("put", "error"), [(403, BackendRejected), (503, BackendUnavailable), (0, BackendUnavailable)])
def test_submit_that_could_not_put_its_script_sends_nothing_and_says_that_it_is_not_done(put: int, error: type[Exception]) -> None:
    storage = Storage(put=put)
    with serve(storage.answer) as server:
        emr, s3 = client("emr", server.url), client("s3", server.url)
        backend = EmrBackend(EmrClients(mutating=emr, reading=emr, s3=s3), make_target(), put=partial(put_missing, s3))
        with pytest.raises(error) as caught:
            backend.submit("j-1", [launch(args=LONG, artifacts=PREFIX)])

    assert not isinstance(caught.value, ReplyLost)
    assert all(method != "POST" for method, _, _ in server.seen)
