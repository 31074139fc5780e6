"""Recording a batch of facts: lock the rows, apply `core.recording`, write what changed.

Locks are taken in one order (applications by id, clusters by id, then what is limited for targets and teams) and clusters
are inserted in the order of their live keys, so that no two batches wait for each other in a circle. The number of
statements does not grow with the batch, but for rows that each change in another way.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from platyspark_provider.core.batch import (
    Rows,
    app_ids,
    cluster_ids,
    cluster_keys,
    draining_ids,
    live_keys,
    logged_attempts,
    pool_keys,
    sending_to,
)
from platyspark_provider.core.facts import ClusterAssigned, Record
from platyspark_provider.core.model import App, Cluster
from platyspark_provider.core.recording import Recorded, record_all
from platyspark_provider.core.records import Policy, RecordAnswer
from platyspark_provider.store.sql_queue import lock_budgets, read_active, read_queue, read_target_clusters, read_team_apps
from platyspark_provider.store.sql_reads import database_now, read_attempts, read_clusters, read_newest_ended, read_targets
from platyspark_provider.store.sql_rows import app_from_row
from platyspark_provider.store.sql_writes import insert_cluster, insert_events, update_apps, update_attempts, update_clusters
from platyspark_provider.store.tables import app, cluster
from platyspark_provider.store.writing import full_teams


def record(
    connection: sa.Connection, records: Sequence[Record], *, policy: Policy, actor: str, only_app: int | None
) -> tuple[RecordAnswer, ...]:
    """Record facts in order; raises LostRace when a cluster of the same key was inserted meanwhile."""
    now = database_now(connection)
    rows = _load(connection, records, only_app, policy, now)
    targets = {t.name: t.id for t in read_targets(connection)}
    now = database_now(connection)

    def applied(to: Rows) -> Recorded:
        return record_all(to, records, targets=targets, policy=policy, actor=actor, only_app=only_app, now=now)

    done = applied(rows)
    while done.missing:
        made = [insert_cluster(connection, value, actor=actor) for value in done.missing]
        born = Counter(name for name, id_ in targets.items() for c in made if c.target_id == id_)
        more = Counter(rows.targets) + born
        rows = replace(rows, clusters={**rows.clusters, **{c.id: c for c in made}}, targets=more)
        done = applied(rows)
    _write(connection, rows, done)
    return done.answers


def _load(connection: sa.Connection, records: Sequence[Record], only_app: int | None, policy: Policy, now: datetime) -> Rows:
    apps = _lock_apps(connection, {*app_ids(records), *([] if only_app is None else [only_app])})
    open_keys = {(a.id, g) for a in apps.values() for g in (a.generation, a.wanted_generation)}
    attempts = {(a.app_id, a.generation): a for a in read_attempts(connection, {*open_keys, *logged_attempts(records)})}
    rows = Rows(apps=apps, attempts=attempts)
    rows = replace(rows, clusters=_lock_clusters(connection, rows, records))
    others = {i for i in (*(a.cluster_id for a in apps.values()), *(a.cluster_id for a in attempts.values())) if i} - set(rows.clusters)
    if others:
        seen = {c.id: c for c in read_clusters(connection, cluster.c.id.in_(sorted(others)))}
        rows = replace(rows, clusters={**rows.clusters, **seen})
    return _with_counts(connection, rows, records, policy, now)


def _lock_clusters(connection: sa.Connection, rows: Rows, records: Sequence[Record]) -> dict[int, Cluster]:
    """Lock what the batch is about, may join, sends to or drains; add, unlocked, how the pools' last clusters ended."""
    named = sorted({*cluster_ids(records), *sending_to(rows, records)})
    pools, keys, draining = pool_keys(rows, records), live_keys(rows, records), draining_ids(records)
    if not (named or pools):
        return {}
    wanted = [
        cluster.c.id.in_(named),
        cluster.c.live_key.in_(keys),
        sa.and_(cluster.c.cluster_key.in_(pools), cluster.c.live_key.is_not(None)),
    ]
    if draining:
        own = sa.select(cluster.c.cluster_key).where(cluster.c.id.in_(draining)).scalar_subquery()
        wanted.append(sa.and_(cluster.c.cluster_key.in_(own), cluster.c.live_key.is_not(None)))
    locked = {c.id: c for c in read_clusters(connection, sa.or_(*wanted), lock=True)}
    ended = read_newest_ended(connection, cluster_keys(rows, records)) if pools else ()
    return {**{c.id: c for c in ended}, **locked}


def _with_counts(connection: sa.Connection, rows: Rows, records: Sequence[Record], policy: Policy, now: datetime) -> Rows:
    """Count what is taken, now that nobody else can take or give any of it."""
    pools, draining = pool_keys(rows, records), draining_ids(records)
    if not pools:
        return replace(rows, active=read_active(connection, draining)) if draining else rows
    asking = {r.app_id for r in records if isinstance(r, ClusterAssigned)} & set(rows.apps)
    wanted = {a.spec.cluster.target for a in rows.attempts.values() if a.app_id in asking}
    lock_budgets(connection, {rows.apps[i].team for i in asking}, wanted, policy)
    teams = read_team_apps(connection)
    return replace(
        rows,
        queue=read_queue(connection, pools, now=now, full_teams=full_teams(teams, policy)),
        active=read_active(connection, list(rows.clusters)),
        teams=teams,
        targets=read_target_clusters(connection),
    )


def _lock_apps(connection: sa.Connection, ids: set[int]) -> dict[int, App]:
    statement = sa.select(app).where(app.c.id.in_(sorted(ids))).order_by(app.c.id).with_for_update(key_share=True)
    return {a.id: a for a in map(app_from_row, connection.execute(statement))} if ids else {}


def _write(connection: sa.Connection, old: Rows, done: Recorded) -> None:
    update_clusters(connection, old.clusters, done.rows.clusters)
    update_apps(connection, old.apps, done.rows.apps)
    update_attempts(connection, old.attempts, done.rows.attempts)
    insert_events(connection, done.events)
