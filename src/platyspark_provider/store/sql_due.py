"""What has open work, and where it stands: due rows, the snapshot, what tasks wait for. Inside a caller's transaction."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from platyspark_provider.core.model import Cluster
from platyspark_provider.core.queue_words import places_in_queue
from platyspark_provider.core.records import AppBrief, AppDetail, AppWork, Awaited, Due, Policy, QueuePlace, Snapshot, TaskKey
from platyspark_provider.core.states import AppPhase, ClusterPhase, LogState
from platyspark_provider.errors import NotFound
from platyspark_provider.store.sql_clusters import read_loads
from platyspark_provider.store.sql_queue import first_waiting, read_team_apps, read_view
from platyspark_provider.store.sql_reads import APP_LIVE, CLUSTER_LIVE, database_now, read_app, read_attempts, read_clusters, read_targets
from platyspark_provider.store.sql_rows import app_from_row, attempt_from_row, cluster_from_row
from platyspark_provider.store.sql_types import datetime_from_ms, now_ms
from platyspark_provider.store.tables import app, attempt, cluster, installation
from platyspark_provider.store.writing import DUE_OF_A_QUEUE, UNTAKEN_FOR, detail_of, full_teams, may_wait, note_of


def read_detail(connection: sa.Connection, app_id: int, generation: int | None, *, policy: Policy) -> AppDetail:
    """Return an application with one generation; raises NotFound."""
    found = read_app(connection, app.c.id == app_id)
    if found is None:
        raise NotFound(f"There is no application {app_id}.")
    asked = read_attempts(connection, [(app_id, found.generation if generation is None else generation)])
    targets = {t.name: t for t in read_targets(connection)}

    def cluster_by_id(cluster_id: int) -> Cluster | None:
        return next(iter(read_clusters(connection, cluster.c.id == cluster_id)), None)

    detail = detail_of(found, asked[0] if asked else None, generation, cluster_by_id, targets.get)
    if not may_wait(detail.app, detail.attempt):
        return detail
    return replace(detail, place=read_places(connection, app_id, policy=policy).get(app_id))


def read_places(connection: sa.Connection, app_id: int | None, *, policy: Policy) -> dict[int, QueuePlace]:
    """Return why applications wait, by id: all, or those of one application's pool."""
    return places_in_queue(read_view(connection, app_id), policy=policy, now=database_now(connection))


def read_due(connection: sa.Connection, *, policy: Policy, app_id: int | None, limit: int) -> Due:
    """Return open work, and of each pool's queue no more than its first; in a fixed number of statements."""
    row = connection.execute(sa.select(now_ms(), installation.c.inst)).one()
    now = datetime_from_ms(row[0])
    mine = _is_first(connection, policy, now) if app_id is None else app.c.id == app_id
    is_mine = sa.true() if app_id is None else app.c.id == app_id
    is_open = sa.and_(app.c.generation == attempt.c.generation, mine, _is_open(app, APP_LIVE, now, app_id))
    clusters = _due_clusters(connection, now, app_id, limit)
    return Due(
        at=now,
        installation=row[1],
        targets=read_targets(connection),
        apps=_works(connection, is_open, limit),
        clusters=clusters,
        log_pending=_works(connection, sa.and_(attempt.c.log_state == LogState.PENDING, is_mine), limit),
        loads=read_loads(connection, [c.id for c in clusters]),
        policy=policy,
    )


def _is_first(connection: sa.Connection, policy: Policy, now: datetime) -> sa.ColumnElement[bool]:
    """Tell applications that wait far behind in a queue from all others; nothing can be done for those."""
    first = first_waiting(now, full_teams(read_team_apps(connection), policy), sa.true(), DUE_OF_A_QUEUE)
    queues_not = sa.or_(app.c.phase != AppPhase.WAIT_CLUSTER, app.c.cluster_id.is_not(None), attempt.c.stop_requested_at.is_not(None))
    return sa.or_(queues_not, app.c.id.in_(sa.select(first.c.id)))


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
    is_wanted = sa.or_(is_used, _needs_nobody()) if app_id is None else is_used
    where = sa.and_(_is_open(cluster, CLUSTER_LIVE, now, app_id), is_wanted)
    statement = sa.select(cluster).where(where).order_by(cluster.c.id).limit(limit)
    return tuple(cluster_from_row(row) for row in connection.execute(statement))


def _needs_nobody() -> sa.ColumnElement[bool]:
    """Tell clusters that have open work without an application: there may be machines, or somebody wants them by themselves."""
    may_be_there = cluster.c.phase.in_((ClusterPhase.CREATING, ClusterPhase.AMBIGUOUS))
    return sa.or_(cluster.c.external_id.is_not(None), may_be_there, cluster.c.ensured_by.is_not(None))


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


def read_snapshot(connection: sa.Connection, *, policy: Policy) -> Snapshot:
    """Return live applications and ends of the last days that nobody took; in a fixed number of statements."""
    now = database_now(connection)
    places = places_in_queue(read_view(connection, None), policy=policy, now=now)
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
            note=note_of(row.conditions, places.get(row.id)),
        )
        for row in connection.execute(statement)
    )
    return Snapshot(at=now, apps=briefs)
