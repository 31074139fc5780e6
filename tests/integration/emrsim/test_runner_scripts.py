"""Steps that run a shell script: the commands on its PATH, spark-submit in it, arguments, exit codes, cancel."""

import json
import random
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from platyspark_provider.emrsim.jars import default_dest, ensure_jars
from platyspark_provider.emrsim.runner_archive import ensure_archive
from platyspark_provider.emrsim.runner_commands import COMMANDS
from platyspark_provider.emrsim.spark_homes import installed_spark
from tests.integration.emrsim.runner_harness import CLUSTER, Harness, is_running, open_harness, s3_server, wait_for

SCRIPT_RUNNER = "s3://eu-central-1.elasticmapreduce/libs/script-runner/script-runner.jar"

# drivers without a Spark session start in a third of the time, and everything on the way to them is real
REPORTING_JOB = """
import json, os, sys
names = ("TEAM", "EMR_STEP_ID", "CONTAINER_ID", "PYTHONPATH")
print(json.dumps({"args": sys.argv[1:], "env": {name: os.environ.get(name) for name in names}, "cwd": os.getcwd()}))
sys.exit(int(os.environ.get("JOB_CODE", "0")))
"""
SLEEPING_JOB = """
import os, sys, time
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
"""


@pytest.fixture(scope="module")
def endpoint_url() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def harness(tmp_path: Path, endpoint_url: str) -> Iterator[Harness]:
    with open_harness(tmp_path / "data of emrsim", endpoint_url) as made:
        yield made


@pytest.fixture
def _spark() -> None:
    ensure_archive(installed_spark(ensure_jars(default_dest())))


def launched(address: str) -> tuple[str, str, str]:
    """Return the arguments of a step that fetches its script first, as AWS documents it."""
    return ("bash", "-c", f"aws s3 cp {address} ./launch.sh && exec bash ./launch.sh")


def awkward_arguments(count: int, length: int) -> list[str]:
    """Return arguments of what shells, Java and Spark's own scripts may trip over; each begins and ends with some of it."""
    dice = random.Random(7)
    alphabet = "ab  \t\n'\"$`\\!*?~#&;|<>(){}[]=,%^-_:@é漢🎉"
    made = ["".join(dice.choices(alphabet, k=length)) for _ in range(count)]
    made[:6] = [text.ljust(length, "x") for text in ("", "--conf", "$HOME", "'\"", "\n\n", "{{APPLICATION}}")]
    made[6:9] = ["", "\n", " "]
    return made


def output_of(harness: Harness, step_id: str) -> str:
    application = harness.application(step_id)
    assert application is not None
    return (
        (harness.folder / "yarn" / application.id / "logs" / application.id.replace("application", "container"))
        .with_name(application.id.replace("application", "container") + "_01_000001")
        .joinpath("stdout")
        .read_text(encoding="utf-8")
    )


def test_script_finds_every_command_before_others_of_its_name(harness: Harness) -> None:
    ended = harness.run("bash", "-c", f"for name in {' '.join(COMMANDS)}; do command -v $name; done")

    assert harness.log(ended.step_id, "stdout").splitlines() == [str(harness.folder / "bin" / name) for name in COMMANDS]


def test_command_is_not_misled_by_modules_of_the_job(harness: Harness) -> None:
    script = "mkdir lib; for m in json signal boto3 platyspark_provider; do echo 'raise SystemExit(9)' | tee lib/$m.py > $m.py; done"
    ended = harness.run("bash", "-c", f"{script}; export PYTHONPATH=$PWD/lib; yarn application -list && echo x | aws s3 cp - s3://jobs/x")

    assert ended.exit_code == 0, harness.log(ended.step_id, "stderr")


def test_spark_submit_outside_of_a_step_says_where_to_call_it(harness: Harness) -> None:
    ended = harness.run("bash", "-c", "EMR_STEP_ID=s-00000000000000000404 spark-submit job.py")

    assert ended.exit_code == 1
    assert "this process belongs to no step" in harness.log(ended.step_id, "stderr")


def test_script_runner_fetches_the_script_and_hands_its_arguments_on(harness: Harness) -> None:
    script = harness.put("lib/run.sh", '#!/bin/bash\nprintf "%s|" "$@" "$EMR_STEP_ID" "${0##*/}"\nexit 4\n')
    ended = harness.run(script, "two words", "$HOME", jar=SCRIPT_RUNNER)

    assert ended.exit_code == 4
    assert harness.log(ended.step_id, "stdout") == f"two words|$HOME|{ended.step_id}|run.sh|"
    assert f"jar file {SCRIPT_RUNNER}" in harness.log(ended.step_id, "controller")


@pytest.mark.parametrize(
    ("jar", "args", "message"),
    [
        (SCRIPT_RUNNER, ("s3://jobs/none.sh",), "No such file or directory 's3://jobs/none.sh'"),
        (SCRIPT_RUNNER, (), "script-runner.jar needs a script"),
        ("s3://jobs/mine.jar", ("x",), '"spark-submit", "--class", MAIN_CLASS, JAR'),
    ],
)
def test_step_of_a_jar_that_cannot_run_fails_and_says_why(harness: Harness, jar: str, args: tuple[str, ...], message: str) -> None:
    ended = harness.run(*args, jar=jar)

    assert ended.exit_code == 1
    assert message in harness.log(ended.step_id, "stderr")


def test_shell_that_ends_leaves_no_background_process_in_its_session(harness: Harness, tmp_path: Path) -> None:
    ended = harness.run("bash", "-c", f"set -m; sleep 600 & echo $! > {tmp_path}/pid")

    assert ended.exit_code == 0
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not is_running(pid), "the end of the background process")


@pytest.mark.slow
@pytest.mark.usefixtures("_spark")
def test_script_brings_300_awkward_arguments_to_a_cluster_mode_driver(harness: Harness) -> None:
    arguments = awkward_arguments(300, 100)
    job = harness.put("report.py", REPORTING_JOB)
    options = "--deploy-mode cluster --name daily --conf spark.yarn.tags=plsp:a:1:1"
    script = f"exec spark-submit {options} {job} {' '.join(map(shlex.quote, arguments))}\n"
    ended = harness.run(*launched(harness.put("key/launch.sh", script)))

    assert ended.exit_code == 0, harness.log(ended.step_id, "stderr")
    report = json.loads(output_of(harness, ended.step_id))
    assert report["args"] == arguments
    assert report["env"]["EMR_STEP_ID"] is None, "a cluster-mode driver doesn't know the step"
    application = harness.wait_state(ended.step_id, "FINISHED")
    assert (application.name, application.tags, application.final_status) == ("daily", ("plsp:a:1:1",), "SUCCEEDED")
    assert harness.log(ended.step_id, "stdout") == "download: s3://jobs/key/launch.sh to ./launch.sh\n"
    assert f"Submitted application {application.id}" in harness.s3_log(f"emr/{CLUSTER}/steps/{ended.step_id}/stderr.gz")


@pytest.mark.slow
@pytest.mark.usefixtures("_spark")
def test_script_twice_in_client_mode_inherits_what_it_exported_and_passes_the_exit_code_on(harness: Harness) -> None:
    job = harness.put("report.py", REPORTING_JOB)
    script = (
        f"mkdir sub && cd sub && aws s3 cp {job} . --quiet && export TEAM=ads PYTHONPATH=/mine\n"
        "spark-submit report.py first && JOB_CODE=3 spark-submit ./report.py 'second one'\n"
    )
    ended = harness.run("bash", "-c", script)

    first, second = map(json.loads, harness.log(ended.step_id, "stdout").splitlines())
    assert (ended.exit_code, first["args"], second["args"]) == (3, ["first"], ["second one"])
    assert (first["env"]["TEAM"], first["env"]["EMR_STEP_ID"]) == ("ads", ended.step_id)
    assert first["env"]["PYTHONPATH"].endswith(":/mine"), "Spark puts its own before the caller's"
    assert first["cwd"].endswith(f"{ended.step_id}/sub")
    statuses = [app.final_status for app in harness.runner.applications() if app.step_id == ended.step_id]
    assert statuses == ["SUCCEEDED", "FAILED"]


@pytest.mark.slow
@pytest.mark.usefixtures("_spark")
@pytest.mark.parametrize("prefix", ["exec ", "", "set -m; "], ids=["exec", "child", "group of its own"])
def test_cancel_of_a_script_ends_its_client_mode_driver(harness: Harness, tmp_path: Path, prefix: str) -> None:
    job, mark = harness.put("sleep.py", SLEEPING_JOB), tmp_path / "pid"
    step_id = harness.start("bash", "-c", f"{prefix}spark-submit {job} {mark}; exit $?")
    pid = wait_for(lambda: int(mark.read_text()) if mark.exists() else None, "the driver's begin")
    harness.runner.signal_step(step_id, kill=False)

    assert harness.wait_exit(step_id).signal == signal.SIGTERM
    wait_for(lambda: not is_running(pid), "the end of the driver")
    assert harness.wait_state(step_id, "FAILED").final_status == "FAILED"


@pytest.mark.slow
@pytest.mark.usefixtures("_spark")
@pytest.mark.parametrize("kill", [False, True])
def test_cancel_of_a_script_leaves_its_cluster_mode_driver_until_yarn_kills_it(harness: Harness, tmp_path: Path, kill: bool) -> None:
    job, mark = harness.put("sleep.py", SLEEPING_JOB), tmp_path / "pid"
    script = harness.put("launch.sh", f"exec spark-submit --deploy-mode cluster {job} {mark}\n")
    step_id = harness.start(*launched(script))
    pid = wait_for(lambda: int(mark.read_text()) if mark.exists() else None, "the driver's begin")
    harness.runner.signal_step(step_id, kill=kill)

    assert harness.wait_exit(step_id).signal == (signal.SIGKILL if kill else signal.SIGTERM)
    application = harness.wait_state(step_id, "RUNNING")
    assert is_running(pid)
    killer = harness.run("bash", "-c", f"yarn application -kill {application.id}")
    assert killer.exit_code == 0
    wait_for(lambda: not is_running(pid), "the end of the driver")


def aws(harness: Harness, folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script with the commands of steps, in a folder."""
    env = {"PATH": f"{harness.folder / 'bin'}:/usr/bin:/bin", "AWS_ENDPOINT_URL": harness.endpoint_url}
    folder.mkdir(exist_ok=True)
    return subprocess.run(["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_aws_s3_cp_goes_every_way_with_the_clis_words(harness: Harness, tmp_path: Path) -> None:
    address, folder = harness.put("in/a.txt", "body\n"), tmp_path / "here"
    script = f"""
        aws s3 cp {address} new/b.txt && aws --region eu-west-1 s3 cp {address} . --no-progress && aws s3 cp {address} - --only-show-errors
        aws s3 cp new/b.txt s3://jobs/out/ && aws s3 cp {address} s3://jobs/out/copy.txt && echo piped | aws s3 cp - s3://jobs/out/piped
    """
    done = aws(harness, folder, script)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"download: {address} to ./new/b.txt",
        f"download: {address} to ./a.txt",
        "body",
        "upload: ./new/b.txt to s3://jobs/out/b.txt",
        f"copy: {address} to s3://jobs/out/copy.txt",
    ]
    assert (folder / "new" / "b.txt").read_text() == (folder / "a.txt").read_text() == "body\n"
    bodies = {key: harness.s3.get_object(Bucket="jobs", Key=f"out/{key}")["Body"].read() for key in ("b.txt", "copy.txt", "piped")}
    assert bodies == {"b.txt": b"body\n", "copy.txt": b"body\n", "piped": b"piped\n"}


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (
            "aws s3 cp s3://jobs/none .",
            1,
            'fatal error: An error occurred (404) when calling the HeadObject operation: Key "none" does not exist',
        ),
        ("aws s3 cp s3://jobs/none -", 1, 'Key "none" does not exist'),
        ("aws s3 cp none.txt s3://jobs/x", 255, "The user-provided path none.txt does not exist."),
        ("aws s3 cp a b", 252, "neither a nor b lies on S3"),
        ("aws s3 cp s3://jobs/x . --recursive", 252, "Unknown options: --recursive\nServed here: aws s3 cp"),
        ("aws s3 ls s3://jobs/", 252, "Served here: aws s3 cp"),
        ("AWS_ENDPOINT_URL= aws s3 cp s3://jobs/x .", 1, "AWS_ENDPOINT_URL is not set"),
        ("hadoop fs -cat s3://jobs/none", 1, 'Key "none" does not exist'),
        ("hadoop fs -rm -r s3://jobs/", 255, "Served here: fs -cat FILE"),
        ("hdfs dfs -put none.txt s3://jobs/x", 1, "none.txt does not exist"),
    ],
)
def test_copy_that_cannot_be_made_says_why(harness: Harness, tmp_path: Path, command: str, code: int, message: str) -> None:
    done = aws(harness, tmp_path / "here", command)

    assert done.returncode == code
    assert message in done.stderr


def test_hadoop_fs_reads_and_writes_objects(harness: Harness, tmp_path: Path) -> None:
    first, second = harness.put("1", "one "), harness.put("2", "two")
    script = f"hadoop fs -cat {first} {second} && hadoop fs -get {second} got && hdfs dfs -copyFromLocal got s3://jobs/3 && cat got"
    done = aws(harness, tmp_path / "here", script)

    assert (done.returncode, done.stdout, done.stderr) == (0, "one twotwo", "")
    assert harness.s3.get_object(Bucket="jobs", Key="3")["Body"].read() == b"two"
