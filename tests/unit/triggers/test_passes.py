"""Passes beside the snapshots: one at a time, surviving their own loop, and only where the token allows."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from airflow.sdk import Connection

from platyspark_provider.core.model import Target
from platyspark_provider.core.ports import Backend
from platyspark_provider.core.states import AppPhase
from platyspark_provider.errors import BackendUnavailable
from platyspark_provider.hooks.process import process_name
from platyspark_provider.triggers import passes
from platyspark_provider.triggers.passes import ConnectionBook, PassKeeper
from platyspark_provider.triggers.quiet import QuietLog
from tests.api_servers import add_token, connection_json, serve
from tests.builders import make_request
from tests.desks import TI, Desk
from tests.unit.triggers.conftest import CONN_ID, until

FAST_S = 0.02


@pytest.fixture
def acting_api(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the desk to a token that may reconcile."""
    add_token(desk, "acting", "worker", "reconciler")
    with serve(desk) as url:
        monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, "acting"))
        yield url


class Watched:
    """Backends that count the passes inside them at once, and may hold them."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.inside, self.most, self.begun = desk, 0, 0, 0
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()

    def of(self, target: Target) -> Backend:
        with self._lock:
            self.inside += 1
            self.begun += 1
            self.most = max(self.most, self.inside)
        try:
            assert self.gate.wait(30)
        finally:
            with self._lock:
                self.inside -= 1
        return self.desk.backend


@asynccontextmanager
async def keeping(desk: Desk, watched: Watched) -> Any:
    keeper = PassKeeper(CONN_ID, FAST_S, clock=desk.clock, backends_from=lambda book: watched)
    task = asyncio.create_task(keeper.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ended_pass() -> None:
    """Wait until no pass of this process is under way."""
    await until(lambda: all(task.done() for task in passes._under_way.values()))


async def test_pass_keeper_brings_a_submitted_application_to_its_cluster(desk: Desk, acting_api: str) -> None:
    app_id = desk.registry.submit(make_request(), ti_id=TI).app.id
    async with keeping(desk, Watched(desk)):
        await until(lambda: desk.detail(app_id).attempt.phase in {AppPhase.PENDING, AppPhase.RUNNING})
    await ended_pass()
    assert desk.backend.calls["submit"] == 1


async def test_pass_keeper_pass_outlives_its_loop_and_the_next_loop_waits_for_it(desk: Desk, acting_api: str) -> None:
    desk.registry.submit(make_request(), ti_id=TI)
    watched = Watched(desk)
    watched.gate.clear()
    async with keeping(desk, watched):
        await until(lambda: watched.inside == 1)
    assert watched.inside == 1, "the thread goes on"
    async with keeping(desk, watched):
        await asyncio.sleep(5 * FAST_S)
        assert watched.begun == 1, "no second pass beside it"
        watched.gate.set()
        await until(lambda: watched.begun >= 2)
    await ended_pass()
    assert watched.most == 1


async def test_pass_keeper_failing_passes_go_on_and_are_written_once(desk: Desk, acting_api: str, caplog: pytest.LogCaptureFixture) -> None:
    desk.registry.submit(make_request(), ti_id=TI)
    tries: list[int] = []

    def broken(book: ConnectionBook) -> Any:
        tries.append(1)
        raise RuntimeError("no backends today")

    keeper = PassKeeper(CONN_ID, FAST_S, clock=desk.clock, backends_from=broken)
    with caplog.at_level(logging.INFO):
        task = asyncio.create_task(keeper.run())
        await until(lambda: len(tries) >= 3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert sum("no backends today" in r.message for r in caplog.records) == 1


async def test_pass_keeper_token_of_a_worker_only_waits(desk: Desk, api: str, caplog: pytest.LogCaptureFixture) -> None:
    desk.registry.submit(make_request(), ti_id=TI)
    watched = Watched(desk)
    with caplog.at_level(logging.INFO):
        async with keeping(desk, watched) as task:
            await until(lambda: "only waits" in caplog.text)
            assert not task.done()
    assert watched.begun == 0


async def test_connection_book_reads_on_the_loop_for_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_PROD", '{"conn_type": "aws", "login": "AKIA", "password": "x"}')
    book = ConnectionBook(asyncio.get_running_loop())
    assert len(book) == 0
    connection = await asyncio.to_thread(book.__getitem__, "aws_prod")
    assert isinstance(connection, Connection)
    assert (connection.login, list(book), len(book)) == ("AKIA", ["aws_prod"], 1)


async def test_connection_book_unknown_id_means_boto3s_own_credentials() -> None:
    book = ConnectionBook(asyncio.get_running_loop())
    connection = await asyncio.to_thread(book.__getitem__, "aws_nowhere")
    assert (connection.conn_type, connection.login, connection.password) == ("aws", None, None)


def test_connection_book_after_the_loop_has_ended_is_unavailable() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(BackendUnavailable, match="event loop has ended"):
        ConnectionBook(loop)["aws_default"]


def test_process_name_is_the_same_for_a_process() -> None:
    assert process_name() == process_name()
    assert len(process_name().split(":")) == 3


def test_quiet_log_repeats_a_line_only_after_its_time(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    quiet = QuietLog(logging.getLogger("quiet"), repeat_s=60.0, monotonic=lambda: now[0])
    with caplog.at_level(logging.INFO, logger="quiet"):
        for second in (0, 10, 59, 60, 61):
            now[0] = float(second)
            quiet.warning("down")
        quiet.info("other")
        quiet.warning("down")
    assert [r.message for r in caplog.records] == ["down", "down (2 more of the same)", "other", "down"]
