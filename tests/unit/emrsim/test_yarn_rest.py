"""YARN's REST over applications as their folders describe them; a live driver is a real process."""

import io
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from platyspark_provider.emrsim.runner import SparkRunner
from platyspark_provider.emrsim.runner_records import AppFolder, Site
from platyspark_provider.emrsim.yarn import YarnRest

FIRST, SECOND = "j-1YARNCLUSTER1", "j-2YARNCLUSTER2"
ROOT = "/ws/v1/cluster"


class Yarn:
    """The handler over a data folder, and what puts applications there."""

    def __init__(self, folder: Path) -> None:
        self.runner = SparkRunner(data_dir=folder, endpoint_url="http://127.0.0.1:9", config=SimpleNamespace(log_delay_s=0.0))
        self.site = Site(data_dir=folder, endpoint_url="")
        self.reachable = True
        self.handler = YarnRest(self.runner, lambda: self.reachable)
        self.processes: list[subprocess.Popen[bytes]] = []

    def submitted(self, cluster_id: str, name: str, *tags: str, started_ms: int = 1000) -> AppFolder:
        app = self.site.new_app(cluster_id)
        described = {"name": name, "tags": tags, "queue": "q", "deploy_mode": "cluster", "ui_port": 4040, "started_ms": started_ms}
        app.record(cluster_id=cluster_id, step_id="s-1", **described)
        return app

    def running(self, cluster_id: str, name: str, *tags: str) -> AppFolder:
        app = self.submitted(cluster_id, name, *tags)
        process = subprocess.Popen(["sleep", "600"], process_group=0)
        self.processes.append(process)
        app.record_process(process.pid)
        app.record_process(process.pid, "driver")
        return app

    def finished(self, cluster_id: str, name: str, *tags: str, state: str = "FINISHED", status: str = "SUCCEEDED") -> AppFolder:
        app = self.submitted(cluster_id, name, *tags)
        app.record_exit(state=state, final_status=status, diagnostics="said so", code=0)
        return app

    def request(self, path: str, query: str = "", *, method: str = "GET", body: bytes = b"") -> tuple[int, dict[str, Any], dict[str, str]]:
        answer: list[tuple[str, list[tuple[str, str]]]] = []
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": "127.0.0.1:1"}
        environ |= {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body), "wsgi.url_scheme": "http"}
        content = b"".join(self.handler(environ, lambda status, headers: answer.append((status, headers))))
        [(status, headers)] = answer
        return int(status.split()[0]), json.loads(content), dict(headers)

    def ids(self, query: str = "", prefix: str = "") -> list[str]:
        apps = self.request(f"{prefix}{ROOT}/apps", query)[1]["apps"]
        return [] if apps is None else [app["name"] for app in apps["app"]]


@pytest.fixture
def yarn(tmp_path: Path) -> Iterator[Yarn]:
    made = Yarn(tmp_path)
    yield made
    made.runner.shutdown()
    for process in made.processes:
        process.kill()
        process.wait()


def test_apps_of_an_empty_cluster_is_null_as_hadoop_answers(yarn: Yarn) -> None:
    assert yarn.request(f"{ROOT}/apps")[:2] == (200, {"apps": None})


def test_apps_lists_every_cluster_or_the_one_of_the_path(yarn: Yarn) -> None:
    yarn.finished(FIRST, "a")
    yarn.finished(SECOND, "b")

    assert yarn.ids() == ["a", "b"]
    assert yarn.ids(prefix=f"/emrsim/yarn/{SECOND}") == ["b"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("applicationTags=X1", ["live"]),
        ("applicationTags=x1,y1", ["live", "done"]),
        ("applicationTags=none", []),
        ("states=RUNNING", ["live"]),
        ("states=finished,killed", ["done", "dead"]),
        ("state=RUNNING", ["live"]),
        ("finalStatus=KILLED", ["dead"]),
        ("applicationTypes=SPARK", ["live", "done", "dead"]),
        ("applicationTypes=MAPREDUCE", []),
        ("user=hadoop&limit=1", ["live"]),
        ("user=someone", []),
        ("name=done", ["done"]),
        ("startedTimeBegin=1001", []),
        ("startedTimeEnd=1000", ["live", "done", "dead"]),
        ("finishedTimeBegin=1", ["done", "dead"]),
        ("finishedTimeEnd=0", ["live"]),
    ],
)
def test_apps_filters_as_hadoop_does(yarn: Yarn, query: str, expected: list[str]) -> None:
    yarn.running(FIRST, "live", "x1")
    yarn.finished(FIRST, "done", "y1")
    yarn.finished(FIRST, "dead", state="KILLED", status="KILLED")

    assert yarn.ids(query) == expected


@pytest.mark.parametrize("query", ["states=SLEEPING", "finalStatus=GOOD", "limit=x", "startedTimeBegin=-1"])
def test_apps_with_a_bad_filter_is_refused(yarn: Yarn, query: str) -> None:
    status, body, _ = yarn.request(f"{ROOT}/apps", query)

    assert status == 400
    assert body["RemoteException"]["exception"] == "BadRequestException"


def test_app_of_a_live_driver_shows_where_its_ui_is(yarn: Yarn) -> None:
    app = yarn.running(FIRST, "live", "x1", "x2")
    status, body, _ = yarn.request(f"{ROOT}/apps/{app.id}")

    assert status == 200
    shown = body["app"]
    assert (shown["id"], shown["state"], shown["finalStatus"]) == (app.id, "RUNNING", "UNDEFINED")
    assert (shown["applicationTags"], shown["applicationType"], shown["queue"]) == ("x1,x2", "SPARK", "q")
    assert shown["trackingUrl"] == "http://127.0.0.1:4040/"
    assert shown["clusterId"] == yarn.site.cluster_timestamp(FIRST)
    assert (shown["startedTime"], shown["finishedTime"]) == (1000, 0)


def test_app_that_ended_shows_why(yarn: Yarn) -> None:
    app = yarn.finished(FIRST, "done", status="FAILED")
    shown = yarn.request(f"{ROOT}/apps/{app.id}")[1]["app"]

    assert (shown["state"], shown["finalStatus"], shown["diagnostics"], shown["progress"]) == ("FINISHED", "FAILED", "said so", 100.0)
    assert shown["elapsedTime"] == shown["finishedTime"] - 1000


def test_app_whose_processes_vanished_is_failed_for_good(yarn: Yarn) -> None:
    app = yarn.running(FIRST, "lost")
    yarn.processes[0].kill()
    yarn.processes[0].wait()

    assert yarn.request(f"{ROOT}/apps/{app.id}/state")[1] == {"state": "FAILED"}
    assert app.exit() is not None


@pytest.mark.parametrize(("application_id", "status"), [("application_1_0001", 404), ("nonsense", 400), ("application_..", 400)])
def test_app_that_yarn_does_not_know_is_a_remote_exception(yarn: Yarn, application_id: str, status: int) -> None:
    answer, body, _ = yarn.request(f"{ROOT}/apps/{application_id}")

    assert answer == status
    assert set(body["RemoteException"]) == {"exception", "message", "javaClassName"}


def test_app_of_another_cluster_is_unknown_below_a_clusters_path(yarn: Yarn) -> None:
    app = yarn.finished(FIRST, "a")

    assert yarn.request(f"/emrsim/yarn/{FIRST}{ROOT}/apps/{app.id}")[0] == 200
    assert yarn.request(f"/emrsim/yarn/{SECOND}{ROOT}/apps/{app.id}")[0] == 404


def test_put_killed_is_accepted_first_and_ok_when_the_driver_is_dead(yarn: Yarn) -> None:
    app = yarn.running(FIRST, "live")
    path, body = f"{ROOT}/apps/{app.id}/state", b'{"state": "KILLED"}'
    status, answer, headers = yarn.request(path, method="PUT", body=body)

    assert (status, answer, headers["Location"]) == (202, {"state": "RUNNING"}, f"http://127.0.0.1:1{path}")
    assert yarn.processes[0].wait(timeout=30) == -signal.SIGTERM
    assert yarn.request(path, method="PUT", body=body)[:2] == (200, {"state": "KILLED"})
    assert yarn.request(f"{ROOT}/apps/{app.id}")[1]["app"]["finalStatus"] == "KILLED"


def test_put_killed_on_a_driver_that_ignores_sigterm_ends_it_all_the_same(yarn: Yarn) -> None:
    app = yarn.submitted(FIRST, "stubborn")
    process = subprocess.Popen(
        ["bash", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"], process_group=0, stdout=subprocess.PIPE
    )
    yarn.processes.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdout.close()
    app.record_process(process.pid)
    app.record_process(process.pid, "driver")
    yarn.request(f"{ROOT}/apps/{app.id}/state", method="PUT", body=b'{"state": "KILLED"}')

    assert process.wait(timeout=30) == -signal.SIGKILL


def test_put_killed_on_an_ended_application_changes_nothing(yarn: Yarn) -> None:
    app = yarn.finished(FIRST, "done")

    answer = yarn.request(f"{ROOT}/apps/{app.id}/state", method="PUT", body=b'{"state": "KILLED"}')
    assert answer[:2] == (200, {"state": "FINISHED"})


@pytest.mark.parametrize("body", [b'{"state": "FINISHED"}', b'{"state": "ASLEEP"}', b"no json", b"[]"])
def test_put_of_another_state_is_refused_and_kills_nothing(yarn: Yarn, body: bytes) -> None:
    app = yarn.running(FIRST, "live")

    assert yarn.request(f"{ROOT}/apps/{app.id}/state", method="PUT", body=body)[0] == 400
    assert yarn.processes[0].poll() is None


def test_metrics_count_applications_by_state(yarn: Yarn) -> None:
    yarn.running(FIRST, "live")
    yarn.finished(FIRST, "done")
    yarn.finished(SECOND, "dead", state="KILLED", status="KILLED")
    metrics = yarn.request(f"{ROOT}/metrics")[1]["clusterMetrics"]

    assert {key: metrics[key] for key in ("appsSubmitted", "appsRunning", "appsCompleted", "appsKilled")} == {
        "appsSubmitted": 3,
        "appsRunning": 1,
        "appsCompleted": 1,
        "appsKilled": 1,
    }


def test_info_says_that_yarn_is_up(yarn: Yarn) -> None:
    assert yarn.request(f"{ROOT}/info")[1]["clusterInfo"]["state"] == "STARTED"


@pytest.mark.parametrize(("method", "path"), [("GET", f"{ROOT}/nothing"), ("DELETE", f"{ROOT}/apps"), ("GET", "/elsewhere")])
def test_unknown_resource_is_not_found(yarn: Yarn, method: str, path: str) -> None:
    assert yarn.request(path, method=method)[0] == 404


def test_unreachable_yarn_answers_nothing(yarn: Yarn) -> None:
    yarn.reachable = False

    with pytest.raises(ConnectionAbortedError):
        yarn.request(f"{ROOT}/apps")
