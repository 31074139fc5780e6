"""SQLite under load: `airflow standalone` runs twenty tasks while eight clients write; nobody meets an error."""

import json
import re
import sqlite3
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from demo.airflow_api import AirflowApi
from demo.stack import Stack, StackSpec
from platyspark_provider.client.http import HttpRegistry
from platyspark_provider.core.facts import AppObserved, ClusterAssigned, Record, SendEnded, SendIntended
from platyspark_provider.core.records import ClaimRequest
from platyspark_provider.core.spec import AppRequest, Artifact
from platyspark_provider.core.states import AppPhase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]

WRITERS = 8
APPLICATION = Artifact(name="job.py", uri="s3://platyspark/job.py")
SERVER_ERROR = re.compile(r"^api-server\b.*(status_code=5(?!03)\d\d|Traceback \(most recent call last\))")
LOCKED = "database is locked"


@dataclass
class Writer:
    """A client that takes one application after another through its life, with a claim before each fact."""

    registry: HttpRegistry
    name: str
    ti_id: str
    done: "Counter[str]" = field(default_factory=Counter)
    app_ids: list[int] = field(default_factory=list)

    def write_until(self, is_over: Callable[[], bool]) -> None:
        """Write at least one application; whatever the client raises after its own retries ends the writer."""
        while not self.app_ids or not is_over():
            self._write_one(f"{self.name}-{len(self.app_ids)}")

    def _write_one(self, key: str) -> None:
        registry, ti_id = self.registry, self.ti_id
        app = registry.submit(AppRequest(application=APPLICATION, app_key=key), ti_id=ti_id).app
        (claim,) = registry.claim([ClaimRequest(kind="app", id=app.id)], holder=self.name)
        assert claim.epoch is not None, "nobody else claims this application"
        of_it = {"app_id": app.id, "generation": 1, "epoch": claim.epoch}
        self._record(ClusterAssigned(**of_it), SendIntended(**of_it, nonce="n"), SendEnded(**of_it, result="sent", external_id=f"s-{key}"))
        self._record(AppObserved(**of_it, state="running"))
        assert registry.lease(f"load-{self.name}", holder=self.name, seconds=30)
        self._record(AppObserved(**of_it, state="succeeded", driver="dead", proof="yarn"))
        registry.release([claim])
        registry.acknowledge(app.id, 1, ti_id=ti_id)
        assert registry.detail(app.id).attempt.phase is AppPhase.SUCCEEDED
        self.app_ids.append(app.id)
        self.done.update(submit=1, claim=1, record=5, lease=1, release=1, acknowledge=1)

    def _record(self, *records: Record) -> None:
        answers = self.registry.record(records)
        assert all(answer.accepted for answer in answers), answers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tasks look for the word to end."""
    return tmp_path_factory.mktemp("sqlite")


@pytest.fixture(scope="module")
def standalone(folder: Path) -> Iterator[Stack]:
    """Airflow as `airflow standalone` starts it, on SQLite."""
    spec = StackSpec(
        mode="standalone",
        dags=(Path(__file__).parent / "dags_sqlite",),
        profiles="{}",
        serve_logs=False,
        config={("core", "parallelism"): "6"},
        env={"E2E_DIR": str(folder)},
    )
    with tempfile.TemporaryDirectory(prefix="platyspark-sqlite-", ignore_cleanup_errors=True) as home, Stack(Path(home), spec) as running:
        running.api.wait_for_dag("twenty")
        running.api.wait_for_dag("owners")
        yield running


@pytest.fixture
def owners(standalone: Stack, folder: Path) -> Iterator[list[str]]:
    """Two running task instances in whose name applications are submitted; they end well."""
    api = standalone.api
    run = api.trigger("owners")
    try:
        yield [api.wait_for_task("owners", run, f"hold_{index}", states={"running"})["id"] for index in range(2)]
    finally:
        (folder / "go").touch()
    assert api.wait_for_run("owners", run) == "success"


@pytest.fixture
def writers(standalone: Stack, owners: list[str]) -> Iterator[list[Writer]]:
    """Clients that hold the installation's token, each with connections of its own."""
    connection = json.loads(standalone.env["AIRFLOW_CONN_PLATYSPARK_DEFAULT"])
    with ExitStack() as opened:
        registries = [HttpRegistry(base_url=connection["host"], token=connection["password"]) for _ in range(WRITERS)]
        yield [Writer(opened.enter_context(r), f"writer{n}", owners[n % 2]) for n, r in enumerate(registries)]


def test_sqlite_eight_writers_beside_twenty_tasks_meet_no_error(standalone: Stack, writers: list[Writer]):
    log = standalone.children["standalone"].log
    before = log.stat().st_size
    run = standalone.api.trigger("twenty")
    over = threading.Event()
    with ThreadPoolExecutor(WRITERS) as pool:
        try:
            writing = [pool.submit(writer.write_until, over.is_set) for writer in writers]
            state = standalone.api.wait_for_run("twenty", run, seconds=300)
        finally:
            over.set()
        failures = [error for future in writing if (error := future.exception()) is not None]
    written = sum((writer.done for writer in writers), Counter())
    lines = said_since(log, before)
    print(f"written: {dict(written)} by {WRITERS} clients; answers: {answers(lines)}")
    assert failures == []
    assert state == "success"
    assert tries_of(standalone.api, run) == {("success", 1): 20}
    assert [line for line in lines if SERVER_ERROR.match(line)] == []
    assert [line for line in lines if LOCKED in line] == []
    assert rows(standalone, "succeeded") == written["submit"] == len({i for writer in writers for i in writer.app_ids})


def tries_of(api: AirflowApi, run: str) -> "Counter[tuple[str, int]]":
    return Counter((task["state"], task["try_number"]) for task in api.tasks("twenty", run))


def said_since(log: Path, offset: int) -> list[str]:
    with log.open(encoding="utf-8", errors="replace") as file:
        file.seek(offset)
        return re.sub(r"\x1b\[[0-9;]*m", "", file.read()).splitlines()


def answers(lines: list[str]) -> "Counter[str]":
    """Count the api-server's answers by status."""
    found = (re.search(r"\bstatus_code=(\d{3})\b", line) for line in lines)
    return Counter(hit.group(1) for hit in found if hit)


def rows(stack: Stack, phase: str) -> int:
    """Count applications where they are stored."""
    with closing(sqlite3.connect(f"file:{stack.home}/airflow.db?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM platyspark_app WHERE phase = ?", (phase,)).fetchone()[0])
