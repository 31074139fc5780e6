"""What is written: inserts guarded by constraints and updates of changed columns. Inside a caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import sqlalchemy as sa

from platyspark_provider.core.assignment import intended_event
from platyspark_provider.core.model import App, Attempt, Cluster, Event, Target
from platyspark_provider.store.sql_engine import upsert
from platyspark_provider.store.sql_reads import APP_LIVE
from platyspark_provider.store.sql_rows import Row, changes_between, event_values, target_from_row, values_of
from platyspark_provider.store.tables import app, attempt, cluster, event, target
from platyspark_provider.store.writing import smallest_free

_SLOT_LOCKS = 0x5350
AttemptKey = tuple[int, int]
Key = TypeVar("Key", int, AttemptKey)


class LostRace(Exception):
    """Another transaction inserted the row first: roll back, then look again from the start."""


def insert_app(connection: sa.Connection, value: App) -> App:
    """Insert a new key's application; raises LostRace when the key has come to be meanwhile."""
    statement = upsert(connection, app).values(values_of(value)).on_conflict_do_nothing(index_elements=["scope", "app_key"])
    made = connection.execute(statement.returning(app.c.id)).scalar_one_or_none()
    if made is None:
        raise LostRace
    return replace(value, id=made)


def insert_attempt(connection: sa.Connection, value: Attempt) -> None:
    """Insert one generation; the application's row is locked, so nobody else does."""
    connection.execute(sa.insert(attempt).values(values_of(value)))


def insert_cluster(connection: sa.Connection, value: Cluster, *, actor: str) -> Cluster:
    """Insert the next generation of a cluster's key in one statement; raises LostRace when its live key is taken."""
    newest = sa.select(sa.func.coalesce(sa.func.max(cluster.c.generation), 0)).where(cluster.c.cluster_key == value.cluster_key)
    values = {**values_of(value), "generation": newest.scalar_subquery() + 1}
    statement = upsert(connection, cluster).values(values).on_conflict_do_nothing()
    row = connection.execute(statement.returning(cluster.c.id, cluster.c.generation)).one_or_none()
    if row is None:
        raise LostRace
    made = replace(value, id=row.id, generation=row.generation)
    insert_events(connection, [intended_event(made, actor=actor)])
    return made


def insert_events(connection: sa.Connection, events: Sequence[Event]) -> None:
    """Append events in order."""
    if events:
        connection.execute(sa.insert(event), event_values(events))


def update_app(connection: sa.Connection, old: App, new: App) -> None:
    """Write what changed."""
    update_apps(connection, {old.id: old}, {old.id: new})


def update_apps(connection: sa.Connection, old: Mapping[int, App], new: Mapping[int, App]) -> None:
    """Write what changed, rows that change alike together."""
    for changes, ids in _alike(old, new):
        connection.execute(sa.update(app).where(app.c.id.in_(ids)).values(changes))


def update_attempt(connection: sa.Connection, old: Attempt, new: Attempt) -> None:
    """Write what changed."""
    key = (old.app_id, old.generation)
    update_attempts(connection, {key: old}, {key: new})


def update_attempts(connection: sa.Connection, old: Mapping[AttemptKey, Attempt], new: Mapping[AttemptKey, Attempt]) -> None:
    """Write what changed, rows that change alike together."""
    for changes, keys in _alike(old, new):
        connection.execute(sa.update(attempt).where(sa.tuple_(attempt.c.app_id, attempt.c.generation).in_(keys)).values(changes))


def update_cluster(connection: sa.Connection, old: Cluster, new: Cluster) -> None:
    """Write what changed."""
    update_clusters(connection, {old.id: old}, {old.id: new})


def update_clusters(connection: sa.Connection, old: Mapping[int, Cluster], new: Mapping[int, Cluster]) -> None:
    """Write what changed, rows that change alike together."""
    for changes, ids in _alike(old, new):
        connection.execute(sa.update(cluster).where(cluster.c.id.in_(ids)).values(changes))


def _alike(old: Mapping[Key, Row], new: Mapping[Key, Row]) -> list[tuple[dict[str, Any], list[Key]]]:
    """Return the changes of rows, each with the keys of all rows that change in just this way."""
    groups: dict[str, tuple[dict[str, Any], list[Key]]] = {}
    for key, value in new.items():
        if value is not old[key] and (changes := changes_between(old[key], value)):
            groups.setdefault(repr(changes), (changes, []))[1].append(key)
    return list(groups.values())


def upsert_target(connection: sa.Connection, value: Target) -> Target:
    """Insert or update a target by name in one statement."""
    values = values_of(value)
    statement = upsert(connection, target).values(values)
    rest = {name: statement.excluded[name] for name in values if name != "name"}
    statement = statement.on_conflict_do_update(index_elements=["name"], set_=rest).returning(target)
    return target_from_row(connection.execute(statement).one())


def free_slot(connection: sa.Connection, value: App) -> int:
    """Return the smallest number that no other live application of the task has.

    Submits of one task's applications take turns here: on SQLite the transaction is the only writer, on PostgreSQL an
    advisory lock in the two-number space (Airflow's own are in the other) holds until commit.
    """
    if value.dag_id is None:
        return 0
    if connection.dialect.name == "postgresql":
        text = f"{value.dag_id}/{value.task_id}"
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SLOT_LOCKS, sa.func.hashtext(text))))
    same_task = sa.and_(app.c.dag_id == value.dag_id, app.c.task_id == value.task_id, app.c.id != value.id)
    taken = connection.execute(sa.select(app.c.slot).where(same_task, app.c.phase.in_(APP_LIVE)))
    return smallest_free(set(taken.scalars()))
