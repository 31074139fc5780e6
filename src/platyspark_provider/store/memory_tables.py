"""The rows of the store in memory and what all of its verbs need; no verb is here."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from threading import RLock

from platyspark_provider.core.assignment import intended_event
from platyspark_provider.core.batch import (
    AttemptKey,
)
from platyspark_provider.core.model import App, Attempt, Cluster, Event, Installation, Lease, Target, Token
from platyspark_provider.errors import NotFound


def _utcnow() -> datetime:
    return datetime.now(UTC)


class MemoryTables:
    """All tables as dicts under one lock.

    :param clock: stands for the database's clock; give a fake one to move time.
    """

    def __init__(self, clock: Callable[[], datetime] = _utcnow) -> None:
        self._clock = clock
        self._lock = RLock()
        self._installation = Installation(inst=secrets.token_hex(3), created_at=self.now())
        self._targets: dict[str, Target] = {}
        self._apps: dict[int, App] = {}
        self._keys: dict[tuple[str, str], int] = {}
        self._attempts: dict[AttemptKey, Attempt] = {}
        self._clusters: dict[int, Cluster] = {}
        self._events: list[Event] = []
        self._leases: dict[str, Lease] = {}
        self._tokens: list[Token] = []

    def now(self) -> datetime:
        """Return the clock's time in milliseconds."""
        now = self._clock()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _app(self, app_id: int) -> App:
        app = self._apps.get(app_id)
        if app is None:
            raise NotFound(f"There is no application {app_id}.")
        return app

    def _append(self, events: Sequence[Event]) -> None:
        self._events.extend(replace(e, id=len(self._events) + i) for i, e in enumerate(events, start=1))

    def _insert_cluster(self, cluster: Cluster, actor: str) -> Cluster:
        generations = [c.generation for c in self._clusters.values() if c.cluster_key == cluster.cluster_key]
        made = replace(cluster, id=len(self._clusters) + 1, generation=max(generations, default=0) + 1)
        self._clusters[made.id] = made
        self._append([intended_event(made, actor=actor)])
        return made
