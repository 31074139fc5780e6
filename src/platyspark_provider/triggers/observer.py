"""`ObserverTrigger`: keeps the shared loop alive without waiting for any application, and hands over to its successor."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import TriggerEvent

from platyspark_provider.triggers.stream import Item, StreamKey, StreamTrigger

_subscribed: dict[StreamKey, list[float]] = {}
"""Due times of the observers that hold each loop of this process now."""


class ObserverTrigger(StreamTrigger):
    """Subscribes to the loop until a newer observer of this process has subscribed, or `until` has come.

    :param due: epoch seconds at which the successor is due; it orders observers.
    :param until: epoch seconds of the hard stop.
    """

    def __init__(self, *, conn_id: str, due: float, until: float, poll_s: float = 10.0) -> None:
        super().__init__(conn_id=conn_id, poll_s=poll_s)
        self.due = float(due)
        self.until = float(until)

    def fields(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().fields(), "due": self.due, "until": self.until}

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Item]) -> AsyncIterator[TriggerEvent]:
        """Hold the subscription; snapshots themselves are of no interest here."""
        reason = "its time is over"
        observers = _subscribed.setdefault(self.shared_stream_key(), [])
        observers.append(self.due)
        try:
            async with asyncio.timeout(max(0.0, self.until - time.time())):
                async for _ in shared_stream:
                    if max(observers) > self.due:
                        reason = "a newer observer has taken over"
                        break
        except TimeoutError:
            pass
        finally:
            observers.remove(self.due)
        yield TriggerEvent({"reason": reason})  # type: ignore[no-untyped-call]
