"""What is read: rows by id or key, open work, the snapshot, history. Each function runs inside a caller's transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from platyspark_provider.core.model import App, Attempt, Cluster, Event, Installation, Target
from platyspark_provider.core.records import AppBrief, AppDetail, AppWork, Awaited, Due, Policy, Snapshot, TaskKey
from platyspark_provider.core.states import APP_TERMINAL, AppPhase, ClusterPhase, LogState
from platyspark_provider.errors import NotFound, SchemaBehind
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
from platyspark_provider.store.writing import UNTAKEN_FOR, detail_of

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


def read_detail(connection: sa.Connection, app_id: int, generation: int | None) -> AppDetail:
    """Return an application with one generation; raises NotFound."""
    found = read_app(connection, app.c.id == app_id)
    if found is None:
        raise NotFound(f"There is no application {app_id}.")
    asked = read_attempts(connection, [(app_id, found.generation if generation is None else generation)])
    targets = {t.name: t for t in read_targets(connection)}

    def cluster_by_id(cluster_id: int) -> Cluster | None:
        return next(iter(read_clusters(connection, cluster.c.id == cluster_id)), None)

    return detail_of(found, asked[0] if asked else None, generation, cluster_by_id, targets.get)


def read_due(connection: sa.Connection, *, policy: Policy, app_id: int | None, limit: int) -> Due:
    """Return open work in five statements, however much it is."""
    row = connection.execute(sa.select(now_ms(), installation.c.inst)).one()
    now = datetime_from_ms(row[0])
    mine = sa.true() if app_id is None else app.c.id == app_id
    return Due(
        at=now,
        installation=row[1],
        targets=read_targets(connection),
        apps=_works(connection, sa.and_(app.c.generation == attempt.c.generation, mine, _is_open(app, APP_LIVE, now, app_id)), limit),
        clusters=_due_clusters(connection, now, app_id, limit),
        log_pending=_works(connection, sa.and_(attempt.c.log_state == LogState.PENDING, mine), limit),
        policy=policy,
    )


def _is_open(table: sa.Table, live: Sequence[Any], now: datetime, app_id: int | None) -> sa.ColumnElement[bool]:
    is_free = sa.or_(table.c.lease_owner.is_(None), table.c.lease_until_ms <= now_ms())
    is_timely = sa.or_(table.c.next_reconcile_at.is_(None), table.c.next_reconcile_at <= now)
    return sa.and_(table.c.phase.in_(live), is_free, sa.true() if app_id is not None else is_timely)


def _works(connection: sa.Connection, where: sa.ColumnElement[bool], limit: int) -> tuple[AppWork, ...]:
    joined = sa.select(app, attempt).join_from(app, attempt, app.c.id == attempt.c.app_id)
    statement = joined.where(where).order_by(app.c.id, attempt.c.generation).limit(limit)
    return tuple(AppWork(app=app_from_row(row), attempt=attempt_from_row(row)) for row in connection.execute(statement))


def _due_clusters(connection: sa.Connection, now: datetime, app_id: int | None, limit: int) -> tuple[Cluster, ...]:
    users = sa.select(app.c.id).where(app.c.cluster_id == cluster.c.id, app.c.phase.in_(APP_LIVE))
    is_used = users.exists() if app_id is None else users.where(app.c.id == app_id).exists()
    is_wanted = sa.or_(is_used, cluster.c.external_id.is_not(None)) if app_id is None else is_used
    where = sa.and_(_is_open(cluster, CLUSTER_LIVE, now, app_id), is_wanted)
    statement = sa.select(cluster).where(where).order_by(cluster.c.id).limit(limit)
    return tuple(cluster_from_row(row) for row in connection.execute(statement))


def read_awaited(connection: sa.Connection) -> tuple[Awaited, ...]:
    """Return the newest generations that tasks wait for, by application."""
    is_newest = sa.and_(attempt.c.app_id == app.c.id, attempt.c.generation == app.c.wanted_generation)
    place = (app.c.dag_id, app.c.task_id, app.c.run_id, app.c.map_index)
    statement = (
        sa.select(app.c.id, app.c.wanted_generation, app.c.owner_ti_id, *place)
        .join_from(app, attempt, is_newest)
        .where(
            app.c.phase.in_(APP_LIVE),
            app.c.owner_ti_id.is_not(None),
            attempt.c.acknowledged_at.is_(None),
            sa.or_(attempt.c.stop_requested_at.is_(None), attempt.c.stop_actor == "backend"),
        )
        .order_by(app.c.id)
    )
    return tuple(
        Awaited(
            app_id=row.id,
            generation=row.wanted_generation,
            owner_ti_id=row.owner_ti_id,
            task=TaskKey(dag_id=row.dag_id, task_id=row.task_id, run_id=row.run_id, map_index=row.map_index),
        )
        for row in connection.execute(statement)
    )


def read_snapshot(connection: sa.Connection) -> Snapshot:
    """Return live applications and ends of the last days that nobody took, in two statements."""
    now = database_now(connection)
    is_current = sa.and_(attempt.c.app_id == app.c.id, attempt.c.generation == app.c.generation)
    statement = (
        sa.select(
            app.c.id, app.c.generation, app.c.wanted_generation, app.c.phase, attempt.c.log_state, attempt.c.ended_at, app.c.conditions
        )
        .join_from(app, attempt, is_current)
        .where(sa.or_(sa.and_(attempt.c.acknowledged_at.is_(None), attempt.c.ended_at > now - UNTAKEN_FOR), attempt.c.phase.in_(APP_LIVE)))
        .order_by(app.c.id)
    )
    briefs = tuple(
        AppBrief(
            app_id=row.id,
            generation=row.generation,
            wanted_generation=row.wanted_generation,
            phase=row.phase,
            log_state=row.log_state,
            ended_at=row.ended_at,
            note=row.conditions[0].message if row.conditions else "",
        )
        for row in connection.execute(statement)
    )
    return Snapshot(at=now, apps=briefs)


def read_events(connection: sa.Connection, *, object_kind: str | None, object_id: int | None, after: int, limit: int) -> tuple[Event, ...]:
    """Return events by ascending id."""
    statement = sa.select(event).where(event.c.id > after).order_by(event.c.id).limit(limit)
    if object_kind is not None:
        statement = statement.where(event.c.object_kind == object_kind)
    if object_id is not None:
        statement = statement.where(event.c.object_id == object_id)
    return tuple(event_from_row(row) for row in connection.execute(statement))
