"""`RegistryService`: what the outside may ask of our tables and who may ask it; runs in the api-server and the CLI, never calls AWS."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal, assert_never

from platyspark_provider.core.app_state import AppState
from platyspark_provider.core.facts import Record
from platyspark_provider.core.governance import Resolution, resolve
from platyspark_provider.core.kills import CallOffWanted, Denied, StopCurrent, judge_kill
from platyspark_provider.core.model import Attempt
from platyspark_provider.core.profiles import Profiles
from platyspark_provider.core.records import (
    AppDetail,
    Claim,
    ClaimRequest,
    Due,
    KillAnswer,
    PastTry,
    Policy,
    RecordAnswer,
    Snapshot,
    SubmitAnswer,
    TaskFacts,
)
from platyspark_provider.core.spec import AppRequest
from platyspark_provider.core.submission import Attach, Decision, Replace, Start, decide_submission, is_same_task
from platyspark_provider.core.transitions import mark_ready, request_stop, stop_wanted
from platyspark_provider.errors import NotAllowed, NotFound, PlatySparkError, ProfilesUnavailable, StoreBusy
from platyspark_provider.registry.access import stale_intent
from platyspark_provider.registry.identity import EVERYTHING, Caller, TaskLookup, actor_of
from platyspark_provider.registry.orphans import stop_orphans
from platyspark_provider.registry.pools import keep_pools
from platyspark_provider.registry.submissions import Submission, key_of
from platyspark_provider.registry.task_clusters import ClusterVerbs, waited_clusters
from platyspark_provider.store.base import Known, Store, Write

_SUBMIT_TRIES = 5


class _OwnerMoved(Exception):
    """Between reading the key and locking it, another try took the application over."""


class RegistryService(ClusterVerbs):
    """Answers the `Registry` port over a store, for one caller.

    :param profiles: gives the newest profiles; asked once a submit.
    :param caller: whose token came with the call.
    """

    def __init__(
        self,
        store: Store,
        tasks: TaskLookup,
        profiles: Callable[[], Profiles],
        *,
        policy: Policy | None = None,
        caller: Caller = EVERYTHING,
    ) -> None:
        super().__init__(store, tasks, profiles, policy=policy or Policy(), caller=caller)

    def submit(self, request: AppRequest, *, ti_id: str, hold: bool = False) -> SubmitAnswer:
        """Find or make the app of this task, run governance, say which generation to wait for; one locked write."""
        task = self._access.live_task(ti_id)
        scope, app_key = key_of(request, task)
        resolved = self._resolve(request, task)
        submission = Submission(request=request, task=task, scope=scope, app_key=app_key, resolved=resolved, hold=hold)
        for _ in range(_SUBMIT_TRIES):
            before = self._store.app_by_key(scope, app_key)
            try:
                known, decision = self._decide(submission, before, self._past_of(before))
            except _OwnerMoved:
                continue
            return self._answer(submission, known, decision)
        raise StoreBusy(f"App key {app_key!r} changes its owner faster than it can be read.")

    def _resolve(self, request: AppRequest, task: TaskFacts) -> Resolution | PlatySparkError:
        try:
            resolution = resolve(request, self._profiles(), default_name=task.task_id, team_of_task=task.team)
            self._caller.require_team(resolution.spec.team)
        except PlatySparkError as refused:
            return refused
        self._store.ensure_target(resolution.target)
        return resolution

    def _past_of(self, known: Known | None) -> PastTry | None:
        """Read the history of the recorded try before the key is locked: SQLite can't read and write side by side."""
        app = known.app if known else None
        if app is None or app.dag_id is None or app.task_id is None or app.run_id is None or app.owner_try is None:
            return None
        return self._tasks.past(app.dag_id, app.task_id, app.run_id, app.map_index, app.owner_try)

    def _decide(self, submission: Submission, before: Known | None, past: PastTry | None) -> tuple[Known, Decision]:
        made: list[Decision] = []

        def decide(known: Known | None, now: datetime) -> Write | None:
            if _owner(known) != _owner(before):
                raise _OwnerMoved
            app, newest = (known.app, known.newest) if known else (None, None)
            decision = decide_submission(app, newest, submission.request, task=submission.task, past=past)
            made.append(decision)
            if app is not None:
                self._caller.require_team(app.team)
            return submission.write(known, decision, now)

        known = self._store.submit_app(submission.scope, submission.app_key, decide)
        return known, made[-1]

    def _answer(self, submission: Submission, known: Known, decision: Decision) -> SubmitAnswer:
        generation = known.newest.generation
        detail = self._store.detail(known.app.id, generation)
        owns = is_same_task(known.app, submission.task)
        resolved = submission.resolved
        governed = resolved.warnings if isinstance(resolved, Resolution) and not isinstance(decision, Attach) else ()
        return SubmitAnswer(
            outcome=_outcome(decision, detail),
            app=detail.app,
            attempt=detail.attempt,
            generation=generation,
            target=detail.target,
            installation=self._store.installation().inst,
            missing_uploads=detail.attempt.spec.uploads if owns and not detail.attempt.artifacts_ready else {},
            warnings=(*governed, *_attach_warnings(decision)),
        )

    def ready(self, app_id: int, generation: int, *, ti_id: str) -> None:
        """Say that all files of the generation are at their addresses; of no effect for a task that only shares the key."""
        task = self._access.live_task(ti_id)
        if self._access.is_reader(self._store.detail(app_id).app, task):
            return

        def decide(state: AppState, now: datetime) -> AppState:
            self._must_hold(state, task)
            attempt = state.attempt if state.attempt.generation == generation or state.wanted is None else state.wanted
            return mark_ready(state, attempt, actor=actor_of(task), now=now)

        self._store.change_app(app_id, generation, decide)

    def _must_hold(self, state: AppState, task: TaskFacts) -> None:
        """Refuse a try that is alive but that another one of its task has replaced in the row."""
        if state.app.owner_ti_id != task.ti_id:
            raise NotAllowed(f"Application {state.app.id} is owned by another try of {task.task_id}.", reason="not_yours")

    def detail(self, app_id: int, generation: int | None = None, *, ti_id: str | None = None) -> AppDetail:
        """Return one application with a generation (None: the current one)."""
        if ti_id is None:
            self._caller.require("reconciler")
            return self._store.detail(app_id, generation, policy=self._policy)
        task = self._access.task(ti_id)
        detail = self._store.detail(app_id, generation, policy=self._policy)
        self._access.is_reader(detail.app, task)
        return detail

    def acknowledge(self, app_id: int, generation: int, *, ti_id: str) -> None:
        """Say that the owner has taken the end of this generation, or does not wait for it; of no effect for a task that only
        shares the key."""
        task = self._access.live_task(ti_id)
        app = self._store.detail(app_id).app
        if self._access.is_reader(app, task) or generation not in {app.generation, app.wanted_generation}:
            return

        def decide(state: AppState, now: datetime) -> AppState:
            self._must_hold(state, task)
            if state.wanted is not None and state.wanted.generation == generation:
                return replace(state, wanted=_taken(state.wanted, now))
            return replace(state, attempt=_taken(state.attempt, now)) if state.attempt.generation == generation else state

        self._store.change_app(app_id, generation, decide)

    def kill(self, app_id: int, generation: int, *, ti_id: str, reason: str) -> KillAnswer:
        """Ask for a stop on behalf of a killed task; granted only if that try owns the app and is over."""
        self._caller.require("worker")
        task = self._tasks.facts(ti_id)
        app = self._store.detail(app_id).app
        if app.owner_ti_id != ti_id and task is not None:
            self._access.is_reader(app, task)
        if generation not in {app.generation, app.wanted_generation}:
            return KillAnswer(granted=False, reason=f"generation {generation} was superseded")
        actor = actor_of(task) if task else f"task:{ti_id}"
        answers: list[KillAnswer] = []

        def decide(state: AppState, now: datetime) -> AppState:
            verdict = judge_kill(state.app, state.attempt, state.wanted, generation, ti_id=ti_id, task=task)
            answers.append(KillAnswer(granted=not isinstance(verdict, Denied), reason=verdict.why))
            said = f"{verdict.why} ({reason})" if reason else verdict.why
            match verdict:
                case StopCurrent():
                    return request_stop(state, reason=said, actor=actor, now=now)
                case CallOffWanted():
                    return stop_wanted(state, reason=said, actor=actor, now=now)
                case Denied():
                    return state
                case _:
                    assert_never(verdict)

        try:
            self._store.change_app(app_id, generation, decide)
        except NotFound:
            return KillAnswer(granted=False, reason=f"generation {generation} was superseded")
        return answers[-1]

    def snapshot(self) -> Snapshot:
        """Return all live and unacknowledged applications, and the clusters that tasks may wait for."""
        self._caller.require("worker")
        return replace(self._store.snapshot(policy=self._policy), clusters=waited_clusters(self._store))

    def due(self, *, app_id: int | None = None, ti_id: str | None = None) -> Due:
        """Return all open work, or that of one application; nothing to do for a task that only shares the key.

        What no task will come back for is told to stop first, so that a pass sends nothing for a task that is over; and
        pools that profiles keep clusters of are filled up.
        """
        if ti_id is None:
            self._caller.require("reconciler")
            stop_orphans(self._store, self._tasks)
            if app_id is None:
                self._keep_pools()
            return self._store.due(policy=self._policy, app_id=app_id)
        task = self._access.task(ti_id)
        if app_id is None:
            raise NotAllowed("A task asks for the work of its own application alone.", hint="Give app_id.", reason="not_yours")
        reads = self._access.is_reader(self._store.detail(app_id).app, task)
        due = self._store.due(policy=self._policy, app_id=app_id)
        return replace(due, apps=(), clusters=(), log_pending=()) if reads else due

    def _keep_pools(self) -> None:
        """Fill up pools as profiles want; while the file was never good nobody knows what they want."""
        try:
            profiles = self._profiles()
        except ProfilesUnavailable:
            return
        keep_pools(self._store, profiles, self._policy)

    def claim(self, requests: Sequence[ClaimRequest], *, holder: str, ti_id: str | None = None) -> tuple[Claim, ...]:
        """Take leases; one answer per request, in order."""
        if ti_id is None:
            self._caller.require("reconciler")
        else:
            self._access.must_own_rows(requests, self._access.live_task(ti_id))
        return self._store.claim(requests, holder=holder, seconds=self._policy.lease_s)

    def release(self, claims: Sequence[Claim], *, ti_id: str | None = None) -> None:
        """Give leases back; a stale epoch is ignored."""
        if ti_id is None:
            self._caller.require("reconciler")
        else:
            claims = self._access.own_claims(claims, self._access.task(ti_id))
        self._store.release(claims)

    def record(self, records: Sequence[Record], *, ti_id: str | None = None) -> tuple[RecordAnswer, ...]:
        """Record facts in order; a task records about its own application, and intends only while its try is current."""
        if ti_id is None:
            self._caller.require("reconciler")
            return self._store.record(records, policy=self._policy, actor=self._caller.actor)
        task = self._access.task(ti_id)
        apps = self._access.own_apps(task)
        refused = [stale_intent(record, apps, task) for record in records]
        taken = [record for record, refusal in zip(records, refused, strict=True) if refusal is None]
        named = {getattr(record, "app_id", None) for record in records}
        own = next((app for app in apps if app.id in named), apps[0])
        answers = iter(self._store.record(taken, policy=self._policy, actor=actor_of(task), only_app=own.id) if taken else ())
        return tuple(refusal or next(answers) for refusal in refused)

    def lease(self, name: str, *, holder: str, seconds: float) -> bool:
        """Take or renew a named lease; False when another holds it."""
        self._caller.require("reconciler")
        return self._store.lease(name, holder=holder, seconds=seconds)


def _taken(attempt: Attempt, now: datetime) -> Attempt:
    return attempt if attempt.acknowledged_at is not None else replace(attempt, acknowledged_at=now)


def _owner(known: Known | None) -> str | None:
    return known.app.owner_ti_id if known else None


def _outcome(decision: Decision, detail: AppDetail) -> Literal["started", "replacing", "attached", "result"]:
    match decision:
        case Start():
            return "started"
        case Replace():
            return "started" if detail.app.generation == detail.attempt.generation else "replacing"
        case _:
            return "result" if detail.attempt.phase.is_terminal else "attached"


def _attach_warnings(decision: Decision) -> tuple[str, ...]:
    if not isinstance(decision, Attach) or not decision.changed:
        return ()
    changed = ", ".join(decision.changed)
    return (f"The request changed ({changed}) but generation {decision.generation} has the old one; clear the task to run it anew.",)
