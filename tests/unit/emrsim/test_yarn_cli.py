"""The `yarn` command that steps find on their PATH: Hadoop's words, and applications that are real processes."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from platyspark_provider.backends.emr_stop import kill_script
from platyspark_provider.emrsim.runner_commands import write_commands
from platyspark_provider.emrsim.runner_process import MARKER
from platyspark_provider.emrsim.runner_records import AppFolder, Site, bin_folder

CLUSTER, OTHER = "j-1YARNCLUSTER1", "j-2YARNCLUSTER2"
TAG = "plsp:abc:1:1"


class Primary:
    """A primary node: its applications, and a shell in which `yarn` is found."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(data_dir=folder, endpoint_url="")
        write_commands(folder)
        self._processes: list[subprocess.Popen[bytes]] = []

    def running(self, *tags: str, cluster_id: str = CLUSTER) -> AppFolder:
        app = self._submitted(tags, cluster_id)
        driver = subprocess.Popen(["sleep", "600"], process_group=0)
        self._processes.append(driver)
        app.record_process(driver.pid)
        app.record_process(driver.pid, "driver")
        return app

    def finished(self, *tags: str) -> AppFolder:
        app = self._submitted(tags, CLUSTER)
        app.record_exit(state="FINISHED", final_status="SUCCEEDED", diagnostics="", code=0)
        return app

    def _submitted(self, tags: tuple[str, ...], cluster_id: str) -> AppFolder:
        app = self.site.new_app(cluster_id)
        described = {"name": "daily", "tags": tags, "queue": "q", "deploy_mode": "cluster", "ui_port": None, "started_ms": 1000}
        app.record(cluster_id=cluster_id, step_id="s-1", **described)
        return app

    def bash(self, script: str) -> subprocess.CompletedProcess[str]:
        path = f"{bin_folder(self.site.data_dir)}:{os.environ['PATH']}"
        env = {"PATH": path, MARKER: self.site.cluster_mark(CLUSTER)}
        return subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Primary]:
    node = Primary(tmp_path / "data of emrsim")
    yield node
    node.close()


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "data of emrsim").mkdir()


def is_running(app: AppFolder) -> bool:
    process = app.process("driver")
    return process is not None and process.is_alive


def listed(output: str) -> list[str]:
    return [line.split()[0] for line in output.splitlines() if line.startswith("application_")]


def test_list_prints_hadoops_columns_of_open_applications(primary: Primary) -> None:
    app = primary.running(TAG)
    primary.finished(TAG)
    primary.running(TAG, cluster_id=OTHER)

    done = primary.bash("yarn application -list")

    head, titles, row = done.stdout.splitlines()
    assert done.returncode == 0
    assert head == "Total number of applications (application-types: [], states: [SUBMITTED, ACCEPTED, RUNNING] and tags: []):1"
    assert titles.startswith("                Application-Id\t    Application-Name\t    Application-Type\t      User\t     Queue\t")
    assert row.split("\t")[0] == app.id
    assert [field.strip() for field in row.split("\t")[1:]] == ["daily", "SPARK", "hadoop", "default", "RUNNING", "UNDEFINED", "10%", "N/A"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-appTags plsp:abc:1:1 -appStates ALL", ["open", "over"]),
        ("-appTags PLSP:ABC:1:1,other", ["open"]),
        ("-appTags plsp:abc:1", []),
        ("-appStates FINISHED,killed", ["over"]),
        ("-appStates NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING -appTags plsp:abc:1:1", ["open"]),
        ("-appTypes spark -appTags plsp:abc:1:1", ["open"]),
        ("-appTypes MAPREDUCE", []),
    ],
)
def test_list_filters_by_tag_state_and_type(primary: Primary, options: str, expected: list[str]) -> None:
    ids = {"open": primary.running(TAG).id, "over": primary.finished(TAG).id}
    primary.running("plsp:abc:1:10", "third")

    done = primary.bash(f"yarn application -list {options}")

    found = [one for one in listed(done.stdout) if one in ids.values()]
    assert found == [ids[name] for name in expected]


def test_list_of_an_unknown_state_fails_with_yarns_words(primary: Primary) -> None:
    done = primary.bash("yarn application -list -appStates SLEEPING")

    assert done.returncode == 255
    assert done.stdout.startswith("The application state SLEEPING is invalid.\n")


def test_kill_of_several_ends_their_processes_and_spares_others(primary: Primary) -> None:
    first, second, spared = primary.running(TAG), primary.running(TAG), primary.running("plsp:abc:2:1")
    over = primary.finished(TAG)

    done = primary.bash(f"yarn application -kill {first.id} application_1_0001 {over.id} {second.id}")

    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"Killing application {first.id}",
        "Application with id 'application_1_0001' doesn't exist in RM.",
        f"Application {over.id} has already finished ",
        f"Killing application {second.id}",
    ]
    assert f"Killed application {second.id}" in done.stderr
    assert [is_running(app) for app in (first, second, spared)] == [False, False, True]


def test_kill_of_unknown_applications_alone_fails(primary: Primary) -> None:
    foreign = primary.running(TAG, cluster_id=OTHER)

    assert primary.bash(f"yarn application -kill {foreign.id}").returncode == 255
    assert is_running(foreign)


def test_status_prints_the_report_and_fails_for_the_unknown(primary: Primary) -> None:
    app = primary.finished(TAG)

    done = primary.bash(f"yarn app -status {app.id}")
    unknown = primary.bash("yarn application -status application_1_0001")

    assert done.stdout.startswith(f"Application Report : \n\tApplication-Id : {app.id}\n")
    assert "\tState : FINISHED\n\tFinal-State : SUCCEEDED\n" in done.stdout
    assert (unknown.returncode, unknown.stdout) == (
        255,
        "Application with id 'application_1_0001' doesn't exist in RM or Timeline Server.\n",
    )


@pytest.mark.parametrize("arguments", ["", "node -list", "application -kill", "application -list -appTags", "application -list extra"])
def test_other_arguments_are_refused(primary: Primary, arguments: str) -> None:
    assert primary.bash(f"yarn {arguments}").returncode == 255


def test_command_outside_of_a_cluster_says_so(primary: Primary) -> None:
    done = primary.bash(f"env -u {MARKER} yarn application -list")

    assert (done.returncode, done.stderr) == (255, "yarn: this process belongs to no cluster\n")


def test_providers_kill_script_ends_all_of_its_tag_and_nothing_else(primary: Primary) -> None:
    ours = [primary.running(TAG), primary.running("mine", TAG)]
    others = [primary.running("plsp:abc:1:10"), primary.running(TAG, cluster_id=OTHER)]
    primary.finished(TAG)

    done = primary.bash(kill_script(TAG))

    assert done.returncode == 0, done.stderr
    assert [is_running(app) for app in (*ours, *others)] == [False, False, True, True]


def test_providers_kill_script_is_harmless_when_repeated(primary: Primary) -> None:
    primary.running(TAG)

    assert [primary.bash(kill_script(TAG)).returncode for _ in range(2)] == [0, 0]
