"""The queues of pools: who waits in which order, what is taken, and why. Inside a caller's transaction; decisions are `core`'s."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from platyspark_provider.core.placement import Queued
from platyspark_provider.core.queue_words import QueueView
from platyspark_provider.core.records import Policy
from platyspark_provider.core.spec import ClusterSpec
from platyspark_provider.core.states import AppPhase, ClusterPhase
from platyspark_provider.store.sql_reads import APP_LIVE, CLUSTER_LIVE, read_clusters
from platyspark_provider.store.tables import app, attempt, cluster, target

QUEUE_AHEAD = 1000
"""How many of a pool's queue one batch looks at: more than its clusters take at once."""

TEAM_LOCKS = 0x5054
TARGET_LOCKS = 0x5055
_WAITS = sa.and_(app.c.phase == AppPhase.WAIT_CLUSTER, app.c.cluster_id.is_(None))
_COLUMNS = (app.c.id, app.c.pool_key, app.c.queued_at, app.c.created_at, app.c.team, app.c.cluster_id, app.c.next_reconcile_at)


def first_waiting(now: datetime, full_teams: Collection[str], where: sa.ColumnElement[bool], limit: int) -> sa.Subquery:
    """Return the ids of the first eligible applications of each pool: no backoff, no stop, their team below its quota."""
    place = sa.func.row_number().over(partition_by=app.c.pool_key, order_by=(app.c.queued_at, app.c.id))
    is_current = sa.and_(attempt.c.app_id == app.c.id, attempt.c.generation == app.c.generation)
    eligible = sa.and_(
        _WAITS,
        attempt.c.stop_requested_at.is_(None),
        sa.or_(app.c.next_reconcile_at.is_(None), app.c.next_reconcile_at <= now),
        app.c.team.not_in(sorted(full_teams)),
        where,
    )
    ranked = sa.select(app.c.id, place.label("place")).join_from(app, attempt, is_current).where(eligible).subquery()
    return sa.select(ranked.c.id).where(ranked.c.place <= limit).subquery()


def read_queue(connection: sa.Connection, pools: Collection[str], *, now: datetime, full_teams: Collection[str]) -> tuple[Queued, ...]:
    """Return the first eligible applications of pools."""
    first = first_waiting(now, full_teams, app.c.pool_key.in_(sorted(pools)), QUEUE_AHEAD)
    return _queued(connection, app.c.id.in_(sa.select(first.c.id)))


def _queued(connection: sa.Connection, where: sa.ColumnElement[bool]) -> tuple[Queued, ...]:
    return tuple(
        Queued(
            app_id=row.id,
            pool_key=row.pool_key,
            queued_at=row.queued_at or row.created_at,
            team=row.team,
            cluster_id=row.cluster_id,
            not_before=row.next_reconcile_at,
        )
        for row in connection.execute(sa.select(*_COLUMNS).where(where).order_by(app.c.id))
    )


def read_team_apps(connection: sa.Connection) -> dict[str, int]:
    """Return how many live applications of each team are on clusters."""
    is_on = sa.and_(app.c.phase.in_(APP_LIVE), app.c.cluster_id.is_not(None))
    return _counted(connection, sa.select(app.c.team, sa.func.count()).where(is_on).group_by(app.c.team))


def read_target_clusters(connection: sa.Connection) -> dict[str, int]:
    """Return how many clusters of each target have not ended."""
    joined = sa.select(target.c.name, sa.func.count()).join_from(cluster, target, cluster.c.target_id == target.c.id)
    return _counted(connection, joined.where(cluster.c.phase.in_(CLUSTER_LIVE)).group_by(target.c.name))


def read_active(connection: sa.Connection, cluster_ids: Collection[int]) -> dict[int, int]:
    """Return how many live applications are on each of the clusters."""
    is_on = sa.and_(app.c.phase.in_(APP_LIVE), app.c.cluster_id.in_(sorted(cluster_ids)))
    return _counted(connection, sa.select(app.c.cluster_id, sa.func.count()).where(is_on).group_by(app.c.cluster_id))


def _counted(connection: sa.Connection, statement: sa.Select[Any]) -> dict[Any, int]:
    return {row[0]: row[1] for row in connection.execute(statement)}


def lock_budgets(connection: sa.Connection, teams: Collection[str], targets: Collection[str], policy: Policy) -> None:
    """Let no other batch count what these teams and targets have until this one is committed; free where nothing is limited.

    On SQLite the transaction is the only writer anyway. Taken after the locks of rows, each kind in order.
    """
    if connection.dialect.name != "postgresql":
        return
    limited = [(TARGET_LOCKS, name) for name in sorted(set(targets)) if name in policy.max_clusters]
    limited += [(TEAM_LOCKS, name) for name in sorted(set(teams)) if policy.max_apps_of(name) is not None]
    for kind, name in limited:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(kind, sa.func.hashtext(name))))


def read_view(connection: sa.Connection, app_id: int | None) -> QueueView:
    """Return what there is to say why applications wait; for one application that of its pool."""
    starting = sa.select(cluster.c.id).where(cluster.c.phase == ClusterPhase.STARTING)
    is_sent_early = sa.and_(app.c.phase == AppPhase.PENDING, app.c.cluster_id.in_(starting))
    where = sa.or_(app.c.phase == AppPhase.WAIT_CLUSTER, is_sent_early)
    if app_id is not None:
        mine = sa.select(app.c.pool_key).where(app.c.id == app_id).scalar_subquery()
        where = sa.and_(where, sa.or_(app.c.id == app_id, sa.and_(_WAITS, app.c.pool_key == mine)))
    queue = _queued(connection, where)
    if not queue:
        return QueueView(queue=())
    pools = sorted({one.pool_key for one in queue if one.pool_key is not None and one.cluster_id is None})
    on = sorted({one.cluster_id for one in queue if one.cluster_id is not None})
    is_member = sa.and_(cluster.c.cluster_key.in_(pools), cluster.c.live_key.is_not(None))
    clusters = {c.id: c for c in read_clusters(connection, sa.or_(is_member, cluster.c.id.in_(on)))}
    if not pools:
        return QueueView(queue=queue, clusters=clusters)
    return QueueView(
        queue=queue,
        specs=_specs(connection, pools),
        clusters=clusters,
        active=read_active(connection, list(clusters)),
        teams=read_team_apps(connection),
        targets=read_target_clusters(connection),
    )


def _specs(connection: sa.Connection, pools: Collection[str]) -> dict[str, ClusterSpec]:
    """Return the cluster spec of each pool's newest waiting application."""
    newest = sa.select(sa.func.max(app.c.id)).where(_WAITS, app.c.pool_key.in_(pools)).group_by(app.c.pool_key)
    is_current = sa.and_(attempt.c.app_id == app.c.id, attempt.c.generation == app.c.generation)
    statement = sa.select(app.c.pool_key, attempt.c.spec).join_from(app, attempt, is_current).where(app.c.id.in_(newest))
    return {row.pool_key: row.spec.cluster for row in connection.execute(statement)}
