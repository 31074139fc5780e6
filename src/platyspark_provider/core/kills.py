"""Which stops are meant: what an `on_kill` asks for, and the stop of what no task will come back for.

Airflow also calls `on_kill` for triggers that only moved (docs/decisions/0004).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from platyspark_provider.core.app_state import AppState
from platyspark_provider.core.model import App, Attempt
from platyspark_provider.core.records import Awaited, TaskFacts, TaskKey
from platyspark_provider.core.states import AppPhase
from platyspark_provider.core.transitions import request_stop, stop_wanted

_OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StopCurrent:
    """Ask for a stop of the current generation."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOffWanted:
    """Call off the generation that has not begun."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """Nothing is to be stopped."""

    why: str


KillVerdict = StopCurrent | CallOffWanted | Denied


def why_over(task: TaskFacts | None) -> str | None:
    """Return why the try is over for good, in words; None while it lives or a retry of it will follow.

    Measured in 29 of 29 `on_kill` calls: after a clear the id is found only in the history; after a mark the row stands in
    an end state. `running`, `deferred`, `scheduled`, `queued` mean that the trigger or the worker moved.

    :param task: None when Airflow knows no such id any more (its DAG run was deleted).
    """
    if task is None:
        return "its task instance was deleted"
    if not task.is_current:
        return "the task was cleared"
    if task.state in _OVER:
        return f"the task was marked {task.state}"
    return None


def why_gone(task: TaskKey, states: Mapping[TaskKey, str | None]) -> str | None:
    """Return why nobody will come back for an application, in words; None while its task lives, retries or was cleared.

    The current row decides, whichever try owns the application: a retry or a clear leaves the owner's id in the history, and
    the row that follows may end without having submitted.

    :param states: of the current rows, for all tasks that have one.
    """
    if task not in states:
        return "its task instance was deleted"
    state = states[task]
    return f"its task ended ({state})" if state in _OVER else None


def stop_orphan(state: AppState, awaited: Awaited, *, why: str, actor: str, now: datetime) -> AppState:
    """Return the state after what no task will come back for was told to stop: all that runs, and what waits to follow it.

    Unchanged when another try took it over meanwhile, or its task said that it does not wait.
    """
    newest = state.wanted or state.attempt
    if state.app.owner_ti_id != awaited.owner_ti_id or newest.acknowledged_at is not None:
        return state
    called_off = stop_wanted(state, reason=why, actor=actor, now=now)
    return request_stop(called_off, reason=why, actor=actor, now=now)


def judge_kill(app: App, current: Attempt, wanted: Attempt | None, generation: int, *, ti_id: str, task: TaskFacts | None) -> KillVerdict:
    """Decide what a kill of `generation`, asked for by `ti_id`, means."""
    if app.owner_ti_id != ti_id:
        return Denied(why="a newer try, or another task, owns the application")
    over = why_over(task)
    if over is None:
        state = task.state if task else None
        return Denied(why=f"the try is not over (its task is {state})")
    if generation == current.generation:
        return Denied(why="it has ended") if current.phase.is_terminal else StopCurrent(why=over)
    if wanted is not None and generation == wanted.generation:
        return Denied(why="it has ended") if wanted.phase is AppPhase.STOPPED else CallOffWanted(why=over)
    return Denied(why=f"generation {generation} was superseded")
