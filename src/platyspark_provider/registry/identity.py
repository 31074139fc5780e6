"""Who is asking: the port through which Airflow's own rows are read, a scripted one for tests, and the caller behind a token."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from platyspark_provider.core.dag_facts import DagFacts
from platyspark_provider.core.records import PastTry, TaskFacts, TaskKey
from platyspark_provider.core.tokens import SCOPES
from platyspark_provider.errors import NotAllowed

Scope = Literal["worker", "reconciler", "scrape", "ingest"]


class TaskLookup(Protocol):
    """Reads Airflow's own rows; each call is one short session of its own."""

    def facts(self, ti_id: str) -> TaskFacts | None:
        """Return what is known of a task instance id, current or archived; None for an id nobody knows."""

    def past(self, dag_id: str, task_id: str, run_id: str, map_index: int, try_number: int) -> PastTry | None:
        """Return the archived row of a try; None while it is not archived."""

    def states(self, tasks: Collection[TaskKey]) -> Mapping[TaskKey, str | None]:
        """Return the state of each task's current row, in one statement for many; a task without a row is left out."""

    def dag(self, dag_id: str) -> DagFacts | None:
        """Return what is known of a DAG; None for one that Airflow does not know."""


class ScriptedTasks:
    """A `TaskLookup` that answers what it was told; for tests, also of users."""

    def __init__(self, facts: Iterable[TaskFacts] = ()) -> None:
        self._facts = {one.ti_id: one for one in facts}
        self._past: dict[tuple[str, str, str, int, int], PastTry] = {}

    def add(self, facts: TaskFacts) -> TaskFacts:
        """Add a task instance, or change it."""
        self._facts[facts.ti_id] = facts
        return facts

    def archive(self, ti_id: str, *, state: str | None = "failed", had_trigger: bool = False) -> TaskFacts:
        """Do what Airflow does to the row of a try that a retry or a clear replaces: from now on it is history.

        The row that follows has no state until it is added.
        """
        gone = replace(self._facts[ti_id], state=state, is_current=False)
        self._facts[ti_id] = gone
        key = (gone.dag_id, gone.task_id, gone.run_id, gone.map_index, gone.try_number)
        self._past[key] = PastTry(try_number=gone.try_number, state=state, had_trigger=had_trigger)
        return gone

    def remove(self, ti_id: str) -> None:
        """Forget a task instance, as when its DAG run is deleted."""
        del self._facts[ti_id]

    def facts(self, ti_id: str) -> TaskFacts | None:
        """Return what was scripted."""
        return self._facts.get(ti_id)

    def past(self, dag_id: str, task_id: str, run_id: str, map_index: int, try_number: int) -> PastTry | None:
        """Return what was scripted."""
        return self._past.get((dag_id, task_id, run_id, map_index, try_number))

    def states(self, tasks: Collection[TaskKey]) -> Mapping[TaskKey, str | None]:
        """Return what was scripted."""
        rows = sorted(self._facts.values(), key=lambda row: row.is_current)
        found = {task_key_of(row): row.state if row.is_current else None for row in rows}
        return {key: found[key] for key in tasks if key in found}

    def dag(self, dag_id: str) -> DagFacts | None:
        """Return the DAG of the tasks that were scripted, with their team."""
        teams = [row.team for row in self._facts.values() if row.dag_id == dag_id]
        return DagFacts(dag_id=dag_id, team=teams[0]) if teams else None


def task_key_of(task: TaskFacts) -> TaskKey:
    """Return where a task instance stands."""
    return TaskKey(dag_id=task.dag_id, task_id=task.task_id, run_id=task.run_id, map_index=task.map_index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who holds the token that came with a call.

    :param actor: who stands in events when no task does: `observer`, `watchdog`, a token's name.
    :param teams: the teams it may act for; empty means all.
    """

    actor: str
    scopes: tuple[str, ...]
    teams: tuple[str, ...] = ()

    def require(self, scope: Scope) -> None:
        """Raise `NotAllowed` unless the caller has the scope."""
        if scope not in self.scopes:
            raise NotAllowed(
                f"The token lacks the scope {scope!r} (it has {', '.join(self.scopes) or 'none'}).",
                hint=f"Make a token with it: airflow platyspark tokens create NAME --scopes worker,{scope}",
                reason="scope_missing",
            )

    def require_team(self, team: str) -> None:
        """Raise `NotAllowed` unless the caller may act for the team."""
        if self.teams and team not in self.teams:
            raise NotAllowed(
                f"The token may not act for team {team!r} (only {', '.join(self.teams)}).",
                hint="Use that team's token, or one without teams.",
                reason="team_not_covered",
            )


EVERYTHING = Caller(actor="platform", scopes=SCOPES)


def actor_of(task: TaskFacts) -> str:
    """Return the task as an event's actor."""
    index = f"[{task.map_index}]" if task.map_index >= 0 else ""
    return f"task:{task.dag_id}/{task.task_id}{index}/{task.run_id}#{task.try_number}"
