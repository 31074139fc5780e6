"""Recording a batch of facts: lock the rows, apply `core.recording`, write what changed.

Locks are taken in one order (applications by id, then clusters by id) and clusters are inserted in the order of their live
keys, so that no two batches wait for each other in a circle.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from platyspark_provider.core.model import App
from platyspark_provider.core.recording import (
    Recorded,
    Rows,
    app_ids,
    cluster_ids,
    cluster_keys,
    live_keys,
    logged_attempts,
    record_all,
)
from platyspark_provider.core.records import Policy, Record, RecordAnswer
from platyspark_provider.store.sql_reads import database_now, read_attempts, read_clusters, read_newest_ended, read_targets
from platyspark_provider.store.sql_rows import app_from_row
from platyspark_provider.store.sql_writes import insert_cluster, insert_events, update_app, update_attempt, update_cluster
from platyspark_provider.store.tables import app, cluster


def record(
    connection: sa.Connection, records: Sequence[Record], *, policy: Policy, actor: str, only_app: int | None
) -> tuple[RecordAnswer, ...]:
    """Record facts in order; raises LostRace when a cluster of the same key was inserted meanwhile."""
    rows = _load(connection, records, only_app)
    targets = {t.name: t.id for t in read_targets(connection)}
    now = database_now(connection)

    def applied(to: Rows) -> Recorded:
        return record_all(to, records, targets=targets, policy=policy, actor=actor, only_app=only_app, now=now)

    done = applied(rows)
    while done.missing:
        made = [insert_cluster(connection, value, actor=actor) for value in done.missing]
        rows = Rows(apps=rows.apps, attempts=rows.attempts, clusters={**rows.clusters, **{c.id: c for c in made}})
        done = applied(rows)
    _write(connection, rows, done)
    return done.answers


def _load(connection: sa.Connection, records: Sequence[Record], only_app: int | None) -> Rows:
    apps = _lock_apps(connection, {*app_ids(records), *([] if only_app is None else [only_app])})
    open_keys = {(a.id, g) for a in apps.values() for g in (a.generation, a.wanted_generation)}
    attempts = {(a.app_id, a.generation): a for a in read_attempts(connection, {*open_keys, *logged_attempts(records)})}
    rows = Rows(apps=apps, attempts=attempts)
    named, keys = cluster_ids(records), live_keys(rows, records)
    clusters = read_clusters(connection, sa.or_(cluster.c.id.in_(named), cluster.c.live_key.in_(keys)), lock=True) if named or keys else ()
    by_id = {c.id: c for c in clusters}
    if keys:
        by_id = {**{c.id: c for c in read_newest_ended(connection, cluster_keys(rows, records))}, **by_id}
    others = {i for i in (*(a.cluster_id for a in apps.values()), *(a.cluster_id for a in attempts.values())) if i} - set(by_id)
    if others:
        by_id.update({c.id: c for c in read_clusters(connection, cluster.c.id.in_(sorted(others)))})
    return Rows(apps=apps, attempts=attempts, clusters=by_id)


def _lock_apps(connection: sa.Connection, ids: set[int]) -> dict[int, App]:
    statement = sa.select(app).where(app.c.id.in_(sorted(ids))).order_by(app.c.id).with_for_update(key_share=True)
    return {a.id: a for a in map(app_from_row, connection.execute(statement))} if ids else {}


def _write(connection: sa.Connection, old: Rows, done: Recorded) -> None:
    for cluster_id, one_cluster in done.rows.clusters.items():
        update_cluster(connection, old.clusters[cluster_id], one_cluster)
    for app_id, one_app in done.rows.apps.items():
        update_app(connection, old.apps[app_id], one_app)
    for key, one_attempt in done.rows.attempts.items():
        update_attempt(connection, old.attempts[key], one_attempt)
    insert_events(connection, done.events)
