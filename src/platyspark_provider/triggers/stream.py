"""The shared loop: one snapshot of all applications and clusters per interval for every task that waits on one connection.

`StreamTrigger` is the base of all our triggers; triggers with one connection and interval share one loop whatever their
class. Beside the snapshots a `PassKeeper` runs the passes that act on them.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import structlog
from airflow.triggers.base import BaseEventTrigger

from platyspark_provider.client.http import AsyncHttpRegistry
from platyspark_provider.core.cluster_polling import ClusterSeen
from platyspark_provider.core.polling import Blind, Seen
from platyspark_provider.core.records import AppBrief, ClusterBrief, Snapshot
from platyspark_provider.hooks.platyspark import Endpoint, PlatySparkHook
from platyspark_provider.triggers.passes import PassKeeper
from platyspark_provider.triggers.quiet import QuietLog

log = logging.getLogger(__name__)

LOOK_TIMEOUT_S = 30.0
RESUME_FLOOR_S = 12.0
"""A task that resumes sooner after its deferral may be failed by Airflow 3.3: its scheduler takes the executor's late word that the
first part has ended for the end of the second (`process_executor_events`). Supervisor and scheduler have up to 5 s each."""

StreamKey = tuple[str, str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighted:
    """One snapshot, shared by all: read it, never change it.

    :param moment: monotonic seconds of this process.
    """

    moment: float
    snapshot: Snapshot
    by_id: dict[int, AppBrief]
    clusters: dict[int, ClusterBrief]

    def look_at(self, app_id: int) -> Seen:
        """Return the snapshot as one waiting task sees it."""
        return Seen(moment=self.moment, at=self.snapshot.at, brief=self.by_id.get(app_id))

    def look_at_cluster(self, cluster_id: int) -> ClusterSeen:
        """Return the snapshot as one task sees it that waits for a cluster."""
        return ClusterSeen(moment=self.moment, brief=self.clusters.get(cluster_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Blinded:
    """A snapshot that could not be had; it also is the heartbeat of the loop."""

    moment: float
    error: str

    def look_at(self, app_id: int) -> Blind:
        """Return the failed look, the same for every task."""
        return Blind(moment=self.moment, error=self.error)

    look_at_cluster = look_at


Item = Sighted | Blinded

_last: dict[StreamKey, Sighted] = {}
"""Newest snapshot per loop of this process: a stream replays nothing, so a late subscriber looks here first."""


def stream_key(conn_id: str, poll_s: float) -> StreamKey:
    """Return what all triggers of one loop have in common; the first one's values serve all."""
    return ("platyspark_provider.StreamTrigger", conn_id, float(poll_s))


def last_sighted(key: StreamKey) -> Sighted | None:
    """Return the newest snapshot of a loop that runs now; at most one interval old."""
    return _last.get(key)


class SnapshotSource:
    """Fetches snapshots with one client; a failed look reads the connection again, so a new token is picked up.

    :param conn_id: of the api-server.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._endpoint: Endpoint | None = None
        self._client: AsyncHttpRegistry | None = None
        self._is_stale = True
        self._errors = QuietLog(log)

    async def look(self) -> Item:
        """Return a snapshot or the reason why there is none; never raises."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                client = await self._connected()
                snapshot = await client.snapshot()
        except Exception as error:  # noqa: BLE001 - an error ends the stream of every waiting task
            self._is_stale = True
            text = f"{type(error).__name__}: {error}"
            self._errors.warning(f"No snapshot through connection {self._conn_id}: {text}")
            return Blinded(moment=time.monotonic(), error=text)
        return Sighted(
            moment=time.monotonic(),
            snapshot=snapshot,
            by_id={brief.app_id: brief for brief in snapshot.apps},
            clusters={brief.id: brief for brief in snapshot.clusters},
        )

    async def _connected(self) -> AsyncHttpRegistry:
        if self._client is not None and not self._is_stale:
            return self._client
        endpoint = await PlatySparkHook(self._conn_id).aendpoint()
        if self._client is None or endpoint != self._endpoint:
            await self.aclose()
            self._client, self._endpoint = endpoint.async_registry(), endpoint
        self._is_stale = False
        return self._client

    async def aclose(self) -> None:
        """Close the client."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


async def snapshots(conn_id: str, poll_s: float) -> AsyncIterator[Item]:
    """Yield an item per interval for ever; it ends only when the consumer does.

    Anything raised here would fail every waiting task of the key (`_PollFailure` of airflow.triggers.shared_stream).
    """
    structlog.contextvars.clear_contextvars()  # else our lines land in the log of the first subscriber's task
    key = stream_key(conn_id, poll_s)
    source = SnapshotSource(conn_id)
    keeper = asyncio.create_task(PassKeeper(conn_id, poll_s).run(), name=f"platyspark passes {conn_id}")
    item: Item | None = None
    try:
        while True:
            item = await source.look()
            if isinstance(item, Sighted):
                _last[key] = item
            yield item
            await asyncio.sleep(poll_s * random.uniform(0.9, 1.1))  # noqa: S311 - spreads triggerers, hides nothing
    finally:
        if _last.get(key) is item:  # a successor of this loop may have begun already
            _last.pop(key, None)
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        await source.aclose()


class StreamTrigger(BaseEventTrigger):
    """A trigger on the shared loop. Airflow runs `filter_shared_stream`; `dag.test()` runs `run`.

    :param conn_id: connection of the api-server.
    :param poll_s: seconds between snapshots.
    """

    supports_triggerer_queue = True

    def __init__(self, *, conn_id: str, poll_s: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id = conn_id
        self.poll_s = float(poll_s)
        self._begun = time.monotonic()

    def fields(self) -> dict[str, Any]:
        """Return the constructor's arguments; subclasses add theirs."""
        return {"conn_id": self.conn_id, "poll_s": self.poll_s}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return class path and arguments; fields are only added, with defaults, so that waiting triggers survive upgrades."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self.fields()

    def shared_stream_key(self) -> StreamKey:
        """Return the key under which Airflow shares the loop."""
        return stream_key(self.conn_id, self.poll_s)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Item]:
        """Run the loop for all triggers of the key; only fields that are in the key are read."""
        async with aclosing(snapshots(kwargs["conn_id"], float(kwargs["poll_s"]))) as items:  # type: ignore[type-var]
            async for item in items:
                yield item

    async def outlast_deferral(self) -> None:
        """Wait until the task can be resumed safely; at once where no triggerer runs this (`dag.test()` has no executor)."""
        if self.task_instance is not None:
            await asyncio.sleep(max(0.0, self._begun + RESUME_FLOOR_S - time.monotonic()))

    async def run(self) -> AsyncIterator[Any]:
        """Run the loop for this trigger alone."""
        async with aclosing(type(self).open_shared_stream(self.fields())) as items:  # type: ignore[type-var]
            async for event in self.filter_shared_stream(items):
                yield event
