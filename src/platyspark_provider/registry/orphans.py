"""Stops what no task will come back for: the kill that never arrived, the submit that died, the task that was moved and marked.

A kill is one call of the task's worker or triggerer. It is lost when that call fails, or when neither lives at that moment;
Airflow's own rows then still say that the task is over. Called by the registry before it hands out open work.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from platyspark_provider.core.app_state import AppState
from platyspark_provider.core.kills import stop_orphan, why_gone
from platyspark_provider.core.records import Awaited
from platyspark_provider.errors import NotFound
from platyspark_provider.registry.identity import TaskLookup
from platyspark_provider.store.base import Store

_ACTOR = "registry"


def stop_orphans(store: Store, tasks: TaskLookup) -> None:
    """Ask for a stop of every awaited application whose task is over; two reads, however many there are.

    A task that does not wait has acknowledged its generation at once, so it is not among them.
    """
    awaited = store.awaited()
    if not awaited:
        return
    states = tasks.states({one.task for one in awaited})
    for one in awaited:
        why = why_gone(one.task, states)
        if why is not None:
            with suppress(NotFound):  # that generation was superseded meanwhile
                store.change_app(one.app_id, one.generation, _stopping(one, why))


def _stopping(awaited: Awaited, why: str) -> Callable[[AppState, datetime], AppState]:
    return lambda state, now: stop_orphan(state, awaited, why=why, actor=_ACTOR, now=now)
