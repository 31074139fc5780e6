"""What is read: rows by id or key, history; open work: `sql_due`. Each function runs inside a caller's transaction."""

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from platyspark_provider.core.model import App, Attempt, Cluster, Event, Installation, Target
from platyspark_provider.core.states import APP_TERMINAL, AppPhase, ClusterPhase
from platyspark_provider.errors import SchemaBehind
from platyspark_provider.store.base import Known
from platyspark_provider.store.sql_rows import (
    app_from_row,
    attempt_from_row,
    cluster_from_row,
    event_from_row,
    installation_from_row,
    target_from_row,
)
from platyspark_provider.store.sql_types import datetime_from_ms, now_ms
from platyspark_provider.store.tables import app, attempt, cluster, event, installation, target

APP_LIVE = tuple(p for p in AppPhase if p not in APP_TERMINAL)
CLUSTER_LIVE = tuple(p for p in ClusterPhase if not p.is_terminal)


def database_now(connection: sa.Connection) -> datetime:
    """Return the database's time."""
    return datetime_from_ms(connection.execute(sa.select(now_ms())).scalar_one())


def read_installation(connection: sa.Connection) -> Installation:
    """Return the identity of these tables."""
    row = connection.execute(sa.select(installation)).one_or_none()
    if row is None:
        raise SchemaBehind("The tables of PlatySpark have no installation row.", hint="Run `airflow db migrate`.")
    return installation_from_row(row)


def read_targets(connection: sa.Connection) -> tuple[Target, ...]:
    """Return all targets by id."""
    return tuple(target_from_row(row) for row in connection.execute(sa.select(target).order_by(target.c.id)))


def read_app(connection: sa.Connection, where: sa.ColumnElement[bool], *, lock: bool = False) -> App | None:
    """Return one application, optionally locked until the transaction ends."""
    statement = sa.select(app).where(where)
    row = connection.execute(statement.with_for_update(key_share=True) if lock else statement).one_or_none()
    return None if row is None else app_from_row(row)


def read_apps_of_task(connection: sa.Connection, dag_id: str, task_id: str, run_id: str, map_index: int) -> tuple[App, ...]:
    """Return the applications of a task instance, most recently changed first."""
    statement = (
        sa.select(app)
        .where(app.c.dag_id == dag_id, app.c.run_id == run_id, app.c.task_id == task_id, app.c.map_index == map_index)
        .order_by(app.c.updated_at.desc(), app.c.id.desc())
    )
    return tuple(app_from_row(row) for row in connection.execute(statement))


def read_attempts(connection: sa.Connection, keys: Collection[tuple[int, int]]) -> tuple[Attempt, ...]:
    """Return attempts by application and generation."""
    where = sa.tuple_(attempt.c.app_id, attempt.c.generation).in_(sorted(keys))
    return tuple(attempt_from_row(row) for row in connection.execute(sa.select(attempt).where(where)))


def read_clusters(connection: sa.Connection, where: sa.ColumnElement[bool], *, lock: bool = False) -> tuple[Cluster, ...]:
    """Return clusters in the order of their ids, which is also the order of the locks."""
    statement = sa.select(cluster).where(where).order_by(cluster.c.id)
    return tuple(cluster_from_row(row) for row in connection.execute(statement.with_for_update(key_share=True) if lock else statement))


def read_newest_ended(connection: sa.Connection, cluster_keys: Collection[str]) -> tuple[Cluster, ...]:
    """Return, per key, the newest incarnation that was created and takes no more work."""
    is_over = sa.and_(cluster.c.cluster_key.in_(cluster_keys), cluster.c.live_key.is_(None), cluster.c.external_id.is_not(None))
    newest = sa.select(cluster.c.cluster_key, sa.func.max(cluster.c.generation)).where(is_over).group_by(cluster.c.cluster_key)
    return read_clusters(connection, sa.tuple_(cluster.c.cluster_key, cluster.c.generation).in_(newest))


def read_known(connection: sa.Connection, scope: str, app_key: str, *, lock: bool = False) -> Known | None:
    """Return the application of a key with its current and newest generation."""
    found = read_app(connection, sa.and_(app.c.scope == scope, app.c.app_key == app_key), lock=lock)
    if found is None:
        return None
    newest = sa.select(sa.func.max(attempt.c.generation)).where(attempt.c.app_id == found.id).scalar_subquery()
    statement = sa.select(attempt).where(attempt.c.app_id == found.id, attempt.c.generation.in_([found.generation, newest]))
    by_generation = {a.generation: a for a in map(attempt_from_row, connection.execute(statement))}
    return Known(app=found, current=by_generation[found.generation], newest=by_generation[max(by_generation)])


def read_events(connection: sa.Connection, *, object_kind: str | None, object_id: int | None, after: int, limit: int) -> tuple[Event, ...]:
    """Return events by ascending id."""
    statement = sa.select(event).where(event.c.id > after).order_by(event.c.id).limit(limit)
    if object_kind is not None:
        statement = statement.where(event.c.object_kind == object_kind)
    if object_id is not None:
        statement = statement.where(event.c.object_id == object_id)
    return tuple(event_from_row(row) for row in connection.execute(statement))
