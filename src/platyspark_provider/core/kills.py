"""Whether a kill that a task's `on_kill` asks for is meant: Airflow also calls it for triggers that only moved (docs/decisions/0004)."""

from dataclasses import dataclass

from platyspark_provider.core.model import App, Attempt
from platyspark_provider.core.records import TaskFacts
from platyspark_provider.core.states import AppPhase

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


def why_gone(task: TaskFacts | None) -> str | None:
    """Return why nobody will come back for an application, in words; None while its task lives, retries or was cleared."""
    if task is not None and not task.is_current:
        return None
    return why_over(task)


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
