"""The store on PostgreSQL and SQLite: each verb is one short transaction; what it does is in the `sql_*` modules."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa

from platyspark_provider.core.app_state import AppState
from platyspark_provider.core.cluster_transitions import ClusterState
from platyspark_provider.core.facts import Record
from platyspark_provider.core.listing import AppFilter, ClusterFilter, EventFilter, Page
from platyspark_provider.core.model import App, Attempt, Cluster, Event, Installation, Target, Token
from platyspark_provider.core.records import (
    AppDetail,
    AppWork,
    Awaited,
    Claim,
    ClaimRequest,
    ClusterLoad,
    Due,
    Policy,
    QueuePlace,
    RecordAnswer,
    Snapshot,
)
from platyspark_provider.errors import StoreBusy
from platyspark_provider.store import (
    sql_claims,
    sql_clusters,
    sql_due,
    sql_lists,
    sql_reads,
    sql_records,
    sql_submit,
    sql_tokens,
    sql_writes,
)
from platyspark_provider.store.base import DEFAULT_POLICY, Known, Store, StoreFactory, Write
from platyspark_provider.store.sql_engine import Database
from platyspark_provider.store.tables import cluster
from platyspark_provider.store.writing import check_key

_TRIES = 10
T = TypeVar("T")


def sql_store_factory(engine: sa.Engine | Callable[[], sa.Engine]) -> StoreFactory:
    """Return a factory of stores on an engine, or on what a function returns when a store is opened.

    Opening raises DatabaseUnsupported on MySQL.
    """

    @contextmanager
    def open_store() -> Iterator[Store]:
        yield SqlStore(engine if isinstance(engine, sa.Engine) else engine())

    return open_store


class SqlStore:
    """The tables behind an engine; SQLite gets an engine of our own on the same file."""

    def __init__(self, engine: sa.Engine) -> None:
        self._db = Database(engine)

    def _until_won(self, act: Callable[[sa.Connection], T]) -> T:
        """Run in a transaction, again from the start when another one inserted the same row first."""
        for _ in range(_TRIES):
            with suppress(sql_writes.LostRace), self._db.write() as connection:
                return act(connection)
        raise StoreBusy("Other writers keep inserting the same rows first.", retry_after=1.0)

    def now(self) -> datetime:
        """Return the database's time."""
        with self._db.read() as connection:
            return sql_reads.database_now(connection)

    def installation(self) -> Installation:
        """Return the identity made by the first migration; raises SchemaBehind without one."""
        with self._db.read() as connection:
            return sql_reads.read_installation(connection)

    def ensure_target(self, target: Target) -> Target:
        """Insert or update by name; a target that is stored as it should be costs no write."""
        with self._db.read() as connection:
            for known in sql_reads.read_targets(connection):
                if known == replace(target, id=known.id):
                    return known
        with self._db.write() as connection:
            return sql_writes.upsert_target(connection, target)

    def submit_app(self, scope: str, app_key: str, decide: Callable[[Known | None, datetime], Write | None]) -> Known:
        """Lock the key, decide, write."""
        check_key(app_key)
        return self._until_won(lambda connection: sql_submit.submit(connection, scope, app_key, decide))

    def change_app(self, app_id: int, generation: int, decide: Callable[[AppState, datetime], AppState]) -> AppState:
        """Lock the application, decide, write."""
        with self._db.write() as connection:
            return sql_submit.change(connection, app_id, generation, decide)

    def record(self, records: Sequence[Record], *, policy: Policy, actor: str, only_app: int | None = None) -> tuple[RecordAnswer, ...]:
        """Record facts in order."""
        return self._until_won(lambda connection: sql_records.record(connection, records, policy=policy, actor=actor, only_app=only_app))

    def claim(self, requests: Sequence[ClaimRequest], *, holder: str, seconds: float) -> tuple[Claim, ...]:
        """Take leases of rows."""
        with self._db.write() as connection:
            return sql_claims.claim_rows(connection, requests, holder=holder, seconds=seconds)

    def release(self, claims: Sequence[Claim]) -> None:
        """Give leases back."""
        with self._db.write() as connection:
            sql_claims.release_rows(connection, claims)

    def lease(self, name: str, *, holder: str, seconds: float) -> bool:
        """Take or renew a named lease."""
        with self._db.write() as connection:
            return sql_claims.take_lease(connection, name, holder=holder, seconds=seconds)

    def detail(self, app_id: int, generation: int | None = None, *, policy: Policy = DEFAULT_POLICY) -> AppDetail:
        """Return the application with one generation."""
        with self._db.read() as connection:
            return sql_due.read_detail(connection, app_id, generation, policy=policy)

    def due(self, *, policy: Policy, app_id: int | None = None, limit: int = 5000) -> Due:
        """Return open work that is free and due."""
        with self._db.read() as connection:
            return sql_due.read_due(connection, policy=policy, app_id=app_id, limit=limit)

    def awaited(self) -> tuple[Awaited, ...]:
        """Return what tasks are to take the end of."""
        with self._db.read() as connection:
            return sql_due.read_awaited(connection)

    def snapshot(self, *, policy: Policy = DEFAULT_POLICY) -> Snapshot:
        """Return live and unacknowledged applications."""
        with self._db.read() as connection:
            return sql_due.read_snapshot(connection, policy=policy)

    def queue_places(self, app_id: int | None = None, *, policy: Policy = DEFAULT_POLICY) -> Mapping[int, QueuePlace]:
        """Return why applications wait."""
        with self._db.read() as connection:
            return sql_due.read_places(connection, app_id, policy=policy)

    def app_by_key(self, scope: str, app_key: str) -> Known | None:
        """Return what is stored under a key."""
        with self._db.read() as connection:
            return sql_reads.read_known(connection, scope, app_key)

    def apps_of_task(self, dag_id: str, task_id: str, run_id: str, map_index: int) -> tuple[App, ...]:
        """Return the applications of a task instance, most recently changed first."""
        with self._db.read() as connection:
            return sql_reads.read_apps_of_task(connection, dag_id, task_id, run_id, map_index)

    def ensure_cluster(self, wanted: Cluster, *, actor: str) -> tuple[Cluster, bool]:
        """Insert, or return what lives under the key."""
        return self._until_won(lambda connection: sql_clusters.ensure(connection, wanted, actor=actor))

    def change_cluster(self, cluster_id: int, decide: Callable[[ClusterState, int, datetime], ClusterState]) -> Cluster:
        """Lock the cluster, decide, write."""
        with self._db.write() as connection:
            return sql_clusters.change(connection, cluster_id, decide)

    def cluster(self, cluster_id: int) -> Cluster:
        """Return one cluster."""
        with self._db.read() as connection:
            return sql_clusters.read_cluster(connection, cluster_id)

    def clusters(self, *, live_only: bool = True, name: str | None = None) -> tuple[Cluster, ...]:
        """Return clusters, newest first."""
        is_live = cluster.c.phase.in_(sql_reads.CLUSTER_LIVE) if live_only else sa.true()
        is_named = sa.true() if name is None else cluster.c.name == name
        with self._db.read() as connection:
            return tuple(reversed(sql_reads.read_clusters(connection, sa.and_(is_live, is_named))))

    def ensured_clusters(self, *, ended_within: timedelta) -> tuple[Cluster, ...]:
        """Return what somebody asked for and lives, or ended lately."""
        with self._db.read() as connection:
            return sql_clusters.read_ensured(connection, ended_within)

    def apps_on(self, cluster_id: int) -> tuple[App, ...]:
        """Return the live applications on a cluster, by id."""
        with self._db.read() as connection:
            return sql_clusters.read_apps_on(connection, cluster_id)

    def loads(self, cluster_ids: Collection[int]) -> Mapping[int, ClusterLoad]:
        """Return what clusters have to do."""
        with self._db.read() as connection:
            return sql_clusters.read_loads(connection, cluster_ids)

    def events(
        self, *, object_kind: str | None = None, object_id: int | None = None, after: int = 0, limit: int = 100
    ) -> tuple[Event, ...]:
        """Return events by ascending id."""
        with self._db.read() as connection:
            return sql_reads.read_events(connection, object_kind=object_kind, object_id=object_id, after=after, limit=limit)

    def apps(self, wanted: AppFilter) -> Page[AppWork]:
        """Return applications with their current generations."""
        with self._db.read() as connection:
            return sql_lists.read_apps(connection, wanted)

    def attempts(self, app_id: int) -> tuple[Attempt, ...]:
        """Return all generations of an application, newest first."""
        with self._db.read() as connection:
            return sql_lists.read_attempts_of(connection, app_id)

    def clusters_page(self, wanted: ClusterFilter) -> Page[Cluster]:
        """Return clusters."""
        with self._db.read() as connection:
            return sql_lists.read_cluster_page(connection, wanted)

    def events_page(self, wanted: EventFilter) -> tuple[Event, ...]:
        """Return events by ascending id."""
        with self._db.read() as connection:
            return sql_lists.read_event_page(connection, wanted)

    def dag_ids(self) -> frozenset[str]:
        """Return the DAGs that have applications."""
        with self._db.read() as connection:
            return sql_lists.read_dag_ids(connection)

    def add_event(self, event: Event) -> None:
        """Append one event."""
        with self._db.write() as connection:
            sql_writes.insert_events(connection, [event])

    def create_token(self, token: Token) -> Token:
        """Insert, unless a live token has the name."""
        with self._db.write() as connection:
            return sql_tokens.insert_token(connection, token)

    def token_by_hash(self, token_hash: str) -> Token | None:
        """Return the token; that its use can't be marked while the database is locked keeps nobody out."""
        with self._db.read() as connection:
            found, is_stale = sql_tokens.read_token(connection, token_hash)
        if found is not None and is_stale:
            with suppress(StoreBusy), self._db.write() as connection:
                return sql_tokens.mark_used(connection, found.id)
        return found

    def tokens(self) -> tuple[Token, ...]:
        """Return all tokens, newest first."""
        with self._db.read() as connection:
            return sql_tokens.read_tokens(connection)

    def revoke_token(self, name: str) -> Token:
        """Revoke the live token of that name."""
        with self._db.write() as connection:
            return sql_tokens.revoke(connection, name)
