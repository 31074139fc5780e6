"""The step runner with plain commands: processes, signals, restarts, logs. No Spark, so it is quick."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.emrsim.runner_harness import (
    CLUSTER,
    OTHER_CLUSTER,
    Harness,
    is_running,
    kill_host,
    open_harness,
    s3_server,
    wait_for,
)

ESCAPING = "import os,sys,time; os.setsid(); open(sys.argv[1],'w').write(str(os.getpid())+'\\n'); time.sleep(600)"


@pytest.fixture(scope="module")
def endpoint_url() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def harness(tmp_path: Path, endpoint_url: str) -> Iterator[Harness]:
    with open_harness(tmp_path / "data", endpoint_url) as made:
        yield made


def read_pid(path: Path) -> int:
    def written() -> int | None:
        return int(path.read_text()) if path.exists() and path.read_text().endswith("\n") else None

    return wait_for(written, f"a pid in {path}")


def sleeper(path: Path) -> tuple[str, str, str]:
    """Return a command that writes its pid and sleeps."""
    return ("bash", "-c", f"echo $$ > {path}; exec sleep 600")


@pytest.mark.parametrize(("command", "code"), [(("true",), 0), (("bash", "-c", "exit 7"), 7)])
def test_step_of_plain_command_reports_its_exit_code(harness: Harness, command: tuple[str, ...], code: int) -> None:
    ended = harness.run(*command)

    assert (ended.exit_code, ended.signal) == (code, None)
    assert (ended.message is None) == (code == 0)


def test_step_of_unknown_command_fails_as_command_runner_does(harness: Harness) -> None:
    ended = harness.run("state-pusher", "x")

    assert ended.exit_code == 1
    assert ended.message is not None
    assert 'Cannot run program "state-pusher"' in ended.message
    assert ended.log_file == f"s3://logs/emr/{CLUSTER}/steps/{ended.step_id}/stderr.gz"


def test_step_environment_names_step_and_hides_the_callers_secrets(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    step_id = harness.start("bash", "-c", "echo $EMR_STEP_ID $(basename $PWD) $AWS_ENDPOINT_URL [$AIRFLOW__CORE__FERNET_KEY]")
    harness.wait_exit(step_id)

    assert harness.log(step_id, "stdout").split() == [step_id, step_id, harness.endpoint_url, "[]"]


def test_poll_reports_each_end_once_also_after_a_restart(harness: Harness) -> None:
    step_id = harness.start("true")
    harness.wait_exit(step_id)

    assert harness.runner.poll() == []
    harness.restart()
    assert harness.runner.poll() == []


def test_poll_of_a_runner_that_crashed_before_its_caller_acted_reports_again(harness: Harness) -> None:
    step_id = harness.start("true")
    harness.wait_exit(step_id)
    unaware = harness.new_runner()  # as after a crash: nobody told the folder that the end was dealt with

    assert [step_exit.step_id for step_exit in unaware.poll()] == [step_id]
    unaware.shutdown()


def test_start_of_a_known_step_starts_no_second_process(harness: Harness, tmp_path: Path) -> None:
    step_id = harness.start("bash", "-c", f"echo run >> {tmp_path}/runs; sleep 0.5")
    launch = harness.runner._site.step(step_id).launch()
    assert launch is not None
    harness.runner.start(launch)
    harness.restart()
    harness.runner.start(launch)
    harness.wait_exit(step_id)
    harness.runner.start(launch)

    assert harness.runner.poll() == []
    assert (tmp_path / "runs").read_text() == "run\n"


def test_step_outlives_a_killed_host_and_the_next_runner_reports_its_code(harness: Harness, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    step_id, host = harness.start_from_another_process("bash", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done; exit 5")
    kill_host(host)
    harness.restart()
    assert harness.runner.poll() == []
    gate.touch()

    assert harness.wait_exit(step_id).exit_code == 5


def test_step_that_vanished_while_nobody_watched_is_reported_as_killed(harness: Harness, tmp_path: Path) -> None:
    step_id, host = harness.start_from_another_process(*sleeper(tmp_path / "pid"))
    pid = read_pid(tmp_path / "pid")
    kill_host(host)
    os.killpg(os.getsid(pid), signal.SIGKILL)
    os.killpg(pid, signal.SIGKILL)
    harness.restart()

    ended = harness.wait_exit(step_id)
    assert (ended.exit_code, ended.signal) == (137, signal.SIGKILL)


@pytest.mark.parametrize(("kill", "number"), [(False, signal.SIGTERM), (True, signal.SIGKILL)])
def test_signal_step_ends_the_step_and_its_children(harness: Harness, tmp_path: Path, kill: bool, number: signal.Signals) -> None:
    step_id = harness.start("bash", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; wait")
    pid = read_pid(tmp_path / "pid")
    harness.runner.signal_step(step_id, kill=kill)

    ended = harness.wait_exit(step_id)
    assert (ended.exit_code, ended.signal) == (128 + number, number)
    wait_for(lambda: not is_running(pid), "the end of the step's child")


def test_signal_step_without_kill_lets_the_command_finish_its_work(harness: Harness, tmp_path: Path) -> None:
    script = f"trap 'echo saved > {tmp_path}/saved; exit 0' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done"
    step_id = harness.start("bash", "-c", script)
    read_pid(tmp_path / "pid")
    harness.runner.signal_step(step_id, kill=False)

    assert harness.wait_exit(step_id).signal == signal.SIGTERM
    assert (tmp_path / "saved").read_text() == "saved\n"


def test_stop_cluster_ends_what_hides_in_its_own_session_and_spares_other_clusters(harness: Harness, tmp_path: Path) -> None:
    stubborn = f"trap '' TERM; python -c \"{ESCAPING}\" {tmp_path}/hidden & echo $$ > {tmp_path}/stubborn; while :; do sleep 1; done"
    doomed = harness.start("bash", "-c", stubborn)
    spared = harness.start(*sleeper(tmp_path / "spared"), cluster_id=OTHER_CLUSTER)
    pids = [read_pid(tmp_path / name) for name in ("hidden", "stubborn", "spared")]
    harness.runner.stop_cluster(CLUSTER)

    assert harness.wait_exit(doomed).signal is not None
    wait_for(lambda: not any(map(is_running, pids[:2])), "the end of the cluster's processes")
    assert is_running(pids[2])
    assert spared not in {step_exit.step_id for step_exit in harness.runner.poll()}


def test_stop_cluster_does_not_end_what_is_started_afterwards(harness: Harness, tmp_path: Path) -> None:
    before = harness.start("bash", "-c", f"trap '' TERM; echo $$ > {tmp_path}/before; while :; do sleep 1; done")
    read_pid(tmp_path / "before")
    harness.runner.stop_cluster(CLUSTER)
    after = harness.start(*sleeper(tmp_path / "after"))
    pid = read_pid(tmp_path / "after")

    assert harness.wait_exit(before).signal is not None
    wait_for(lambda: not list((harness.folder / "stopping").glob("*.json")), "the stop to be done with")
    assert is_running(pid)
    assert after not in {step_exit.step_id for step_exit in harness.runner.poll()}


def test_runner_leaves_no_zombie_of_an_ended_step(harness: Harness) -> None:
    harness.run("true")

    def zombies() -> list[str]:
        listing = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "stat="], capture_output=True, text=True, check=False)
        return [line for line in listing.stdout.split() if line.startswith("Z")]

    wait_for(lambda: not zombies(), "the step's process to be reaped")


def test_logs_reach_s3_in_emrs_layout(harness: Harness) -> None:
    step_id = harness.run("bash", "-c", "echo out; echo err >&2; exit 3").step_id
    prefix = f"emr/{CLUSTER}/steps/{step_id}"

    assert harness.s3_log(f"{prefix}/stdout.gz") == "out\n"
    assert harness.s3_log(f"{prefix}/stderr.gz") == "err\n"
    assert "Step failed with exitCode 3" in harness.s3_log(f"{prefix}/controller.gz")


def test_logs_that_were_due_after_a_restart_are_sent_by_the_next_runner(harness: Harness) -> None:
    harness.config.log_delay_s = 3600
    step_id = harness.run("echo", "late").step_id
    harness.restart()
    assert "Contents" not in harness.s3.list_objects_v2(Bucket="logs", Prefix=f"emr/{CLUSTER}/steps/{step_id}/stdout")
    harness.config.log_delay_s = 0

    assert harness.s3_log(f"emr/{CLUSTER}/steps/{step_id}/stdout.gz") == "late\n"


def test_logs_of_a_running_step_reach_s3_before_its_end(harness: Harness, tmp_path: Path) -> None:
    harness.log_interval_s = 0.2
    harness.restart()
    step_id = harness.start("bash", "-c", f"echo so far; echo $$ > {tmp_path}/pid; exec sleep 600")
    pid = read_pid(tmp_path / "pid")

    assert harness.s3_log(f"emr/{CLUSTER}/steps/{step_id}/stdout.gz") == "so far\n"
    assert is_running(pid)


def test_logs_without_a_bucket_are_dropped_and_others_go_on(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    lost = harness.run("echo", "lost", log_uri="s3://no-such-bucket/emr").step_id
    kept = harness.run("echo", "kept").step_id

    assert harness.s3_log(f"emr/{CLUSTER}/steps/{kept}/stdout.gz") == "kept\n"
    wait_for(lambda: (harness.folder / "steps" / lost / "logs_sent").exists(), "the lost logs to be given up")
    assert "no-such-bucket" in caplog.text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("s3://jobs/none.py",), "java.io.FileNotFoundException: No such file or directory 's3://jobs/none.py'"),
        (("s3://no-such-bucket/a.py",), "java.io.FileNotFoundException: No such file or directory 's3://no-such-bucket/a.py'"),
        (
            ("--deploy-mode", "cluster", "--files", "s3://jobs/none.txt", "s3://jobs/none.py"),
            "No such file or directory 's3://jobs/none.py'",
        ),
        (("/nowhere/job.py",), "java.io.FileNotFoundException: File file:/nowhere/job.py does not exist"),
        (("--properties-file", "s3://jobs/none.conf", "/nowhere/job.py"), "No such file or directory 's3://jobs/none.conf'"),
    ],
)
def test_spark_submit_of_missing_resource_fails_before_yarn_hears_of_it(harness: Harness, args: tuple[str, ...], message: str) -> None:
    ended = harness.run("spark-submit", *args)

    assert ended.exit_code == 1
    assert ended.message is not None
    assert message in ended.message
    assert harness.runner.applications() == []


def test_spark_submit_of_bad_option_fails_with_sparks_words(harness: Harness) -> None:
    step_id = harness.run("spark-submit", "--no-such-option", "1", "job.py").step_id

    assert "Error: Unrecognized option '--no-such-option'." in harness.log(step_id, "stderr")


def test_yarn_step_of_unknown_application_fails_with_yarns_words(harness: Harness) -> None:
    ended = harness.run("yarn", "application", "-status", "application_1_0001")

    assert ended.exit_code == 255
    assert "Application with id 'application_1_0001' doesn't exist in RM or Timeline Server." in harness.log(ended.step_id, "stdout")


def test_yarn_inside_of_a_shell_step_is_found_and_speaks_of_its_cluster(harness: Harness) -> None:
    ended = harness.run("bash", "-c", "yarn application -list -appStates ALL && which yarn")

    counted, _, found = harness.log(ended.step_id, "stdout").splitlines()
    assert counted.endswith("and tags: []):0")
    assert found == str(harness.folder / "bin" / "yarn")
