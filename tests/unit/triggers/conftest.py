"""An api-server over a desk, and streams as the triggerer shares them."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from airflow.triggers.base import BaseEventTrigger
from airflow.triggers.shared_stream import SharedStreamManager

from tests.api_servers import add_token, connection_json, serve
from tests.desks import Desk

CONN_ID = "platyspark_default"
LONG_S = 20.0


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def api(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the desk; the connection's token may wait but not reconcile."""
    add_token(desk, "secret", "worker")
    with serve(desk) as url:
        monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, "secret"))
        yield url


@dataclass
class Triggerer:
    """Runs triggers on shared streams as `TriggerRunner.run_trigger` does."""

    manager: SharedStreamManager = field(default_factory=SharedStreamManager)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def first_event(self, trigger: BaseEventTrigger) -> dict[str, Any]:
        """Return the payload of the trigger's only event; it must return right after it."""
        number, key = next(self._ids), trigger.shared_stream_key()
        assert key is not None
        stream = self.manager.subscribe(trigger_id=number, trigger=trigger, key=key)
        try:
            events = [event.payload async for event in trigger.filter_shared_stream(stream)]
        finally:
            await self.manager.unsubscribe(number, key)
        (payload,) = events
        return payload

    def start(self, trigger: BaseEventTrigger) -> "asyncio.Task[dict[str, Any]]":
        """Run a trigger beside the test."""
        return asyncio.create_task(self.first_event(trigger))

    async def stop(self, task: "asyncio.Task[Any]") -> None:
        """Cancel a trigger and wait for its clean-up."""
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def triggerer() -> AsyncIterator[Triggerer]:
    running = Triggerer()
    yield running
    await running.manager.stop_all()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, not for a time."""
    async with asyncio.timeout(LONG_S):
        while not condition():  # noqa: ASYNC110 - conditions lie in other threads and in Airflow's objects
            await asyncio.sleep(0.01)
