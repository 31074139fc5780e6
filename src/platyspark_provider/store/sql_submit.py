"""Changing one application under its lock: a submit by key, or a change by id. Decisions are the caller's."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from platyspark_provider.core.app_state import AppState
from platyspark_provider.core.model import App, Attempt
from platyspark_provider.errors import NotFound
from platyspark_provider.store.base import Known, Write
from platyspark_provider.store.sql_reads import database_now, read_app, read_attempts, read_clusters, read_known
from platyspark_provider.store.sql_writes import free_slot, insert_app, insert_attempt, insert_events, update_app, update_attempt
from platyspark_provider.store.tables import app, cluster
from platyspark_provider.store.writing import events_for, may_overwrite, needs_slot


def submit(connection: sa.Connection, scope: str, app_key: str, decide: Callable[[Known | None, datetime], Write | None]) -> Known:
    """Lock the key's row, decide, write; raises LostRace when another first submit of the key was faster."""
    known = read_known(connection, scope, app_key, lock=True)
    write = decide(known, database_now(connection))
    if write is not None:
        _write(connection, scope, app_key, known, write)
        known = read_known(connection, scope, app_key)
    if known is None:
        raise NotFound(f"App key {app_key!r} is not known.")
    return known


def _write(connection: sa.Connection, scope: str, app_key: str, known: Known | None, write: Write) -> None:
    old = known.app if known else None
    wanted = replace(write.app, id=old.id if old else 0, scope=scope, app_key=app_key, slot=old.slot if old else 0)
    if needs_slot(old, wanted):
        wanted = replace(wanted, slot=free_slot(connection, wanted))
    if old is None:
        wanted = insert_app(connection, wanted)
    else:
        update_app(connection, old, wanted)
    for value in (write.current, write.attempt):
        if value is not None:
            _put_attempt(connection, wanted, replace(value, app_id=wanted.id), is_new_spec=value is write.attempt)
    insert_events(connection, events_for(wanted.id, write.events))


def _put_attempt(connection: sa.Connection, owner: App, value: Attempt, *, is_new_spec: bool) -> None:
    existing = read_attempts(connection, [(owner.id, value.generation)])
    if not existing:
        insert_attempt(connection, value)
        return
    if is_new_spec:
        may_overwrite(existing[0])
    update_attempt(connection, existing[0], value)


def change(connection: sa.Connection, app_id: int, generation: int, decide: Callable[[AppState, datetime], AppState]) -> AppState:
    """Lock an application, decide, write what changed; raises NotFound for a generation that is not open."""
    found = read_app(connection, app.c.id == app_id, lock=True)
    if found is None:
        raise NotFound(f"There is no application {app_id}.")
    if generation not in {found.generation, found.wanted_generation}:
        raise NotFound(f"Application {app_id} has no open generation {generation}.")
    attempts = {a.generation: a for a in read_attempts(connection, {(app_id, found.generation), (app_id, found.wanted_generation)})}
    wanted = attempts.get(found.wanted_generation) if found.wanted_generation > found.generation else None
    clusters = read_clusters(connection, cluster.c.id == found.cluster_id) if found.cluster_id else ()
    state = AppState(app=found, attempt=attempts[found.generation], wanted=wanted, cluster=clusters[0] if clusters else None)
    done = decide(state, database_now(connection))
    update_app(connection, found, done.app)
    for value in (done.attempt, done.wanted):
        if value is not None:
            update_attempt(connection, attempts[value.generation], value)
    insert_events(connection, done.events)
    return done
