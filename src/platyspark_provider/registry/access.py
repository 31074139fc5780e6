"""Who may do what to which application: a task acts on its own alone, and intends only while its try is the current one."""

from collections.abc import Sequence

from platyspark_provider.core.facts import CreateIntended, Record, SendIntended
from platyspark_provider.core.model import App
from platyspark_provider.core.records import Claim, ClaimRequest, RecordAnswer, TaskFacts
from platyspark_provider.core.submission import is_same_task
from platyspark_provider.errors import NotAllowed, StaleTry
from platyspark_provider.registry.identity import Caller, TaskLookup
from platyspark_provider.store.base import Store

_TEAM_SCOPE = "team:"
"""Begins the scope of explicit keys, which the tasks of a team share; default keys and those of people are in others."""
_ALIVE = frozenset({"running", "deferred"})


class TaskAccess:
    """The rules of ownership for one call; reads Airflow's rows once per question."""

    def __init__(self, store: Store, tasks: TaskLookup, caller: Caller) -> None:
        self._store, self._tasks, self._caller = store, tasks, caller

    def task(self, ti_id: str) -> TaskFacts:
        """Return the task instance that asks, current or archived; its token needs the scope `worker`."""
        self._caller.require("worker")
        task = self._tasks.facts(ti_id)
        if task is None:
            raise NotAllowed(f"Airflow knows no task instance {ti_id!r}.", hint="Was its DAG run deleted?", reason="task_unknown")
        return task

    def live_task(self, ti_id: str) -> TaskFacts:
        """Return the task instance that asks; raises `StaleTry` unless its try is the current one and runs or is deferred."""
        task = self.task(ti_id)
        if not is_live(task):
            state = "replaced by a newer one" if not task.is_current else f"in state {task.state}"
            raise StaleTry(f"Try {task.try_number} of {task.dag_id}/{task.task_id} is {state}.", hint="Its intents are refused.")
        return task

    def is_reader(self, app: App, task: TaskFacts) -> bool:
        """Tell whether the task may only look: it shares the explicit key; raises `NotAllowed` when it may not even look."""
        self._caller.require_team(app.team)
        if is_same_task(app, task):
            return False
        if not app.scope.startswith(_TEAM_SCOPE):
            raise not_yours(app.id, task)
        return True

    def own_apps(self, task: TaskFacts) -> tuple[App, ...]:
        """Return the applications that this task owns, newest first; raises `NotAllowed` without one."""
        apps = self._store.apps_of_task(task.dag_id, task.task_id, task.run_id, task.map_index)
        if not apps:
            raise NotAllowed(f"{task.dag_id}/{task.task_id} owns no application.", reason="not_yours")
        for app in apps:
            self._caller.require_team(app.team)
        return apps

    def must_own_rows(self, rows: Sequence[ClaimRequest | Claim], task: TaskFacts) -> None:
        """Raise `NotAllowed` unless every row is an application of this task or the cluster of one."""
        apps = self.own_apps(task)
        own = {("app", app.id) for app in apps} | {("cluster", app.cluster_id) for app in apps}
        for row in rows:
            if (row.kind, row.id) not in own:
                raise NotAllowed(f"{row.kind} {row.id} is not one of {task.dag_id}/{task.task_id}.", reason="not_yours")

    def own_claims(self, claims: Sequence[Claim], task: TaskFacts) -> list[Claim]:
        """Return what of these the task may give back; raises `NotAllowed` for an application that is not its own.

        A cluster that its application has left since the claim is no longer its own: that lease runs out by itself.
        """
        self.must_own_rows([claim for claim in claims if claim.kind == "app"], task)
        own = {app.cluster_id for app in self.own_apps(task)}
        return [claim for claim in claims if claim.kind == "app" or claim.id in own]


def is_live(task: TaskFacts) -> bool:
    """Tell whether the try is the current one and still works."""
    return task.is_current and task.state in _ALIVE


def not_yours(app_id: int, task: TaskFacts) -> NotAllowed:
    """Return the error for an application of another task."""
    return NotAllowed(f"Application {app_id} does not belong to {task.dag_id}/{task.task_id}.", reason="not_yours")


def stale_intent(record: Record, apps: Sequence[App], task: TaskFacts) -> RecordAnswer | None:
    """Return the refusal of an intent by a try that no longer counts; None for facts, which are true whoever reports them."""
    if not isinstance(record, SendIntended | CreateIntended):
        return None
    if is_live(task) and any(app.owner_ti_id == task.ti_id for app in apps):
        return None
    message = f"Try {task.try_number} of {task.dag_id}/{task.task_id} is no longer the one that owns the application."
    return RecordAnswer(accepted=False, refusal="stale_try", message=message)
