"""Clusters by themselves: ensured, changed under their lock, who is on them. Inside a caller's transaction.

Who joins, sends to or drains a cluster locks its row first and looks at it then: of two at once, one sees what the other did.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from platyspark_provider.core.assignment import after_failed_start, failed_start
from platyspark_provider.core.cluster_transitions import ClusterState
from platyspark_provider.core.model import App, Cluster
from platyspark_provider.core.records import ClusterLoad
from platyspark_provider.core.states import AppPhase
from platyspark_provider.errors import NotFound
from platyspark_provider.store.sql_reads import APP_LIVE, CLUSTER_LIVE, database_now, read_clusters, read_newest_ended
from platyspark_provider.store.sql_rows import app_from_row
from platyspark_provider.store.sql_writes import insert_cluster, insert_events, update_cluster
from platyspark_provider.store.tables import app, attempt, cluster


def ensure(connection: sa.Connection, wanted: Cluster, *, actor: str) -> tuple[Cluster, bool]:
    """Insert, or return what lives under the key; raises LostRace when another one inserted it meanwhile."""
    for found in read_clusters(connection, cluster.c.live_key == wanted.live_key, lock=True):
        kept = replace(found, ensured_by=found.ensured_by or wanted.ensured_by)
        update_cluster(connection, found, kept)
        return kept, False
    now = database_now(connection)
    before = failed_start(read_newest_ended(connection, [wanted.cluster_key]), wanted.cluster_key, now=now)
    return insert_cluster(connection, after_failed_start(wanted, before, now=now), actor=actor), True


def change(connection: sa.Connection, cluster_id: int, decide: Callable[[ClusterState, int, datetime], ClusterState]) -> Cluster:
    """Lock a cluster, count who is on it, decide, write what changed."""
    found = read_cluster(connection, cluster_id, lock=True)
    active = read_loads(connection, [cluster_id])[cluster_id].active
    done = decide(ClusterState(cluster=found), active, database_now(connection))
    update_cluster(connection, found, done.cluster)
    insert_events(connection, done.events)
    return replace(done.cluster, id=found.id, lease=found.lease)


def read_cluster(connection: sa.Connection, cluster_id: int, *, lock: bool = False) -> Cluster:
    """Return one cluster; raises NotFound."""
    for found in read_clusters(connection, cluster.c.id == cluster_id, lock=lock):
        return found
    raise NotFound(f"There is no cluster {cluster_id}.")


def read_ensured(connection: sa.Connection, ended_within: timedelta) -> tuple[Cluster, ...]:
    """Return what somebody asked for by itself and lives, or ended lately."""
    lately = cluster.c.ended_at > database_now(connection) - ended_within
    return read_clusters(connection, sa.and_(cluster.c.ensured_by.is_not(None), sa.or_(cluster.c.phase.in_(CLUSTER_LIVE), lately)))


def read_apps_on(connection: sa.Connection, cluster_id: int) -> tuple[App, ...]:
    """Return the live applications on a cluster, by id."""
    statement = sa.select(app).where(app.c.cluster_id == cluster_id, app.c.phase.in_(APP_LIVE)).order_by(app.c.id)
    return tuple(app_from_row(row) for row in connection.execute(statement))


def read_loads(connection: sa.Connection, cluster_ids: Collection[int]) -> dict[int, ClusterLoad]:
    """Return what clusters have to do; the ends of runs are looked for only where nothing lives."""
    ids = sorted(set(cluster_ids))
    if not ids:
        return {}
    stuck = sa.func.sum(sa.case((app.c.phase == AppPhase.STOP_UNPROVEN, 1), else_=0))
    busy = _by_cluster(connection, app, sa.and_(app.c.cluster_id.in_(ids), app.c.phase.in_(APP_LIVE)), sa.func.count(), stuck)
    idle = [i for i in ids if i not in busy]
    ends = _by_cluster(connection, attempt, attempt.c.cluster_id.in_(idle), sa.func.max(attempt.c.ended_at)) if idle else {}
    loads = {i: ClusterLoad(last_used_at=ends[i][0] if i in ends else None) for i in idle}
    return loads | {i: ClusterLoad(active=active, stuck=stuck) for i, (active, stuck) in busy.items()}


def _by_cluster(
    connection: sa.Connection, table: sa.Table, where: sa.ColumnElement[bool], *values: sa.ColumnElement[Any]
) -> dict[int, tuple[Any, ...]]:
    statement = sa.select(table.c.cluster_id, *values).where(where).group_by(table.c.cluster_id)
    return {row[0]: tuple(row[1:]) for row in connection.execute(statement)}
