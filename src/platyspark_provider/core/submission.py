"""What a submit under a known key leads to: start, replace, attach, hand out the end, or refuse."""

from dataclasses import dataclass

from platyspark_provider.core.model import App, Attempt
from platyspark_provider.core.records import PastTry, TaskFacts
from platyspark_provider.core.spec import AppRequest, differing_fields, request_hash
from platyspark_provider.core.states import AppPhase, Reuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Begin this generation; nothing of the key is alive."""

    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Stop the living generation for `reason`, then begin this one."""

    generation: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """Wait for a generation that lives or whose end was not handed out; `changed` names request fields that differ."""

    generation: int
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """The explicit key belongs to another request."""

    differing: tuple[str, ...]


Decision = Start | Replace | Attach | Refuse

_ENDED_WELL = frozenset({"success", "skipped", "removed"})


def was_cleared(app: App, attempt: Attempt, task: TaskFacts, past: PastTry | None) -> bool:
    """Tell whether a user cleared the task since its recorded try, as opposed to an automatic retry.

    `max_tries` moves on most clears and never on a retry; where it does not move (lowered `retries`, several RUNNING
    tasks cleared in one scheduler loop), the archived row of the recorded try or our own stop intent tells
    (docs/decisions/0004).

    :param past: the archived row of the recorded try, if Airflow has archived it.
    """
    if task.ti_id == app.owner_ti_id:
        return False
    if app.rerun_token is not None and app.rerun_token != str(task.max_tries):
        return True
    if past is not None and (past.had_trigger or past.state in _ENDED_WELL):
        return True
    return attempt.stop_requested_at is not None and attempt.stop_actor != "backend"


def is_same_task(app: App, task: TaskFacts) -> bool:
    """Tell whether the task instance that asks is the one that owns the app (any try of it)."""
    return (app.dag_id, app.task_id, app.run_id, app.map_index) == (task.dag_id, task.task_id, task.run_id, task.map_index)


def decide_submission(app: App | None, attempt: Attempt | None, request: AppRequest, *, task: TaskFacts, past: PastTry | None) -> Decision:
    """Decide what a task's submit means; both `app` and `attempt` (of its newest generation) are None for a new key."""
    if app is None or attempt is None:
        return Start(generation=1)
    owned = is_same_task(app, task)
    cleared = owned and was_cleared(app, attempt, task, past)
    changed = () if app.request_hash == request_hash(request) else differing_fields(app.request, request)
    if changed and request.app_key is not None and not cleared:
        return Refuse(differing=changed)
    if cleared:
        return _again(app, attempt, f"cleared; try {task.try_number} of {task.dag_id}/{task.task_id} runs it again")
    if request.reuse is Reuse.NEVER and task.ti_id != app.owner_ti_id:
        return _again(app, attempt, 'submitted again with reuse="never"')
    if changed and owned and attempt.phase is AppPhase.NEW and not attempt.artifacts_ready:  # this try no longer has the old files
        return _again(app, attempt, "the request changed before its files were uploaded")
    if not attempt.phase.is_terminal or (owned and attempt.acknowledged_at is None):
        return Attach(generation=attempt.generation, changed=changed)
    if attempt.phase is AppPhase.SUCCEEDED and (owned or request.reuse is Reuse.RESULT):
        return Attach(generation=attempt.generation, changed=changed)  # owned: the task died after it had taken the success
    return _again(app, attempt, "submitted again")


def _again(app: App, attempt: Attempt, reason: str) -> Decision:
    if not attempt.phase.is_terminal and attempt.generation > app.generation:
        return Replace(generation=attempt.generation, reason=reason)  # not begun yet: it takes the new request
    if not app.phase.is_terminal:
        return Replace(generation=attempt.generation + 1, reason=reason)
    return Start(generation=attempt.generation + 1)
