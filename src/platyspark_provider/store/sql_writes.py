"""What is written: inserts guarded by constraints and updates of changed columns. Inside a caller's transaction."""

from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa

from platyspark_provider.core.assignment import intended_event
from platyspark_provider.core.model import App, Attempt, Cluster, Event, Target
from platyspark_provider.store.sql_engine import upsert
from platyspark_provider.store.sql_reads import APP_LIVE
from platyspark_provider.store.sql_rows import changes_between, event_values, target_from_row, values_of
from platyspark_provider.store.tables import app, attempt, cluster, event, target
from platyspark_provider.store.writing import smallest_free

_SLOT_LOCKS = 0x5350


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
    if changes := changes_between(old, new):
        connection.execute(sa.update(app).where(app.c.id == old.id).values(changes))


def update_attempt(connection: sa.Connection, old: Attempt, new: Attempt) -> None:
    """Write what changed."""
    if changes := changes_between(old, new):
        where = sa.and_(attempt.c.app_id == old.app_id, attempt.c.generation == old.generation)
        connection.execute(sa.update(attempt).where(where).values(changes))


def update_cluster(connection: sa.Connection, old: Cluster, new: Cluster) -> None:
    """Write what changed."""
    if changes := changes_between(old, new):
        connection.execute(sa.update(cluster).where(cluster.c.id == old.id).values(changes))


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
