"""`PublicService`: what people may ask about applications, over REST and on the command line, each within their rights in Airflow.

Nothing here calls a backend: a submit is a row that the next pass finds, a cancel or restart an intent that it carries out.
"""

import secrets
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from platyspark_provider.core.app_state import AppState
from platyspark_provider.core.governance import Resolution, resolve
from platyspark_provider.core.kills import why_gone
from platyspark_provider.core.listing import EVERYTHING_VISIBLE, MAX_LIMIT, AppFilter, EventFilter, Page, Visible
from platyspark_provider.core.model import App, Attempt, Event
from platyspark_provider.core.profiles import Profiles
from platyspark_provider.core.records import AppDetail, AppWork, Policy, QueuePlace, TaskKey
from platyspark_provider.core.spec import AppRequest
from platyspark_provider.core.states import AppPhase, LogState
from platyspark_provider.errors import InvalidRequest, NotFound, OwnedByTask, StoreBusy
from platyspark_provider.registry.identity import TaskLookup
from platyspark_provider.registry.public_writes import (
    Audit,
    api_scope,
    cancelled,
    check_can_run,
    check_generation,
    check_same,
    first_write,
    is_unsent,
    restart_write,
)
from platyspark_provider.registry.rights import ALL_RIGHTS, Subject
from platyspark_provider.store.base import Known, Store, Write

_NAME = "spark-app"
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What a submit led to.

    :param is_new: False when the key was known: then the application is as it is by now.
    :param warnings: what governance changed; empty for a known key.
    """

    detail: AppDetail
    is_new: bool
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverLog:
    """The end of a driver's log as our tables keep it (64 KB), and where the rest is.

    :param uri: of the whole log; None where none is written, or not known yet.
    """

    app: App
    generation: int
    phase: AppPhase
    state: LogState
    uri: str | None
    lines: tuple[str, ...] = ()


class PublicService:
    """Answers one person.

    :param profiles: gives the newest profiles; asked once a submit or restart.
    :param tasks: Airflow's rows; without them every task that has not taken an end counts as one that waits.
    """

    def __init__(
        self,
        store: Store,
        profiles: Callable[[], Profiles],
        *,
        policy: Policy | None = None,
        subject: Subject,
        tasks: TaskLookup | None = None,
    ) -> None:
        self._store, self._profiles, self._subject, self._tasks = store, profiles, subject, tasks
        self._policy = policy or Policy()

    def submit(self, request: AppRequest, *, key: str | None = None, dag_id: str | None = None) -> Submitted:
        """Make the application of a key, or find it; the same key with another request is refused.

        :param key: of the caller's choice; None makes one up, so that each submit is a new application.
        :param dag_id: the DAG that it is attributed to; then the right to run that DAG is enough.
        :raises IdempotencyMismatch, InvalidRequest, NotAllowed, PolicyViolated, UnknownProfile: see there.
        """
        team = self._team_for(dag_id)
        check_can_run(request)
        asked = replace(request, app_key=f"api-{secrets.token_hex(8)}" if key is None else key)
        scope = api_scope(request.team or team, dag_id)
        known = self._store.app_by_key(scope, str(asked.app_key))
        if known is not None:  # before governance: a profile edit never breaks a repetition
            check_same(known, asked)
            return Submitted(detail=self._placed(self._store.detail(known.app.id)), is_new=False)
        return self._insert(asked, self._resolve(asked, asked.name or _NAME, team), scope, dag_id)

    def _insert(self, request: AppRequest, resolution: Resolution, scope: str, dag_id: str | None) -> Submitted:
        writes: list[Write | None] = []

        def decide(known: Known | None, now: datetime) -> Write | None:
            if known is not None:
                check_same(known, request)
            audit = Audit(subject=self._subject)
            writes.append(None if known else first_write(request, resolution, audit, dag_id=dag_id, now=now))
            return writes[-1]

        known = self._store.submit_app(scope, str(request.app_key), decide)
        is_new = writes[-1] is not None
        detail = self._placed(self._store.detail(known.app.id))
        return Submitted(detail=detail, is_new=is_new, warnings=resolution.warnings if is_new else ())

    def _team_for(self, dag_id: str | None) -> str | None:
        """Return the team of a DAG's tag, if they may run it."""
        if dag_id is None:
            self._subject.require_shared("POST", "submit an application that belongs to no DAG")
            return None
        self._subject.require_dag("POST", dag_id, f"submit an application of DAG {dag_id!r}")
        if self._tasks is None:
            return None
        dag = self._tasks.dag(dag_id)
        if dag is None:
            raise InvalidRequest(f"Airflow knows no DAG {dag_id!r}.", hint="Leave dag_id away, or name one that is there.", field="dag_id")
        return dag.team

    def _resolve(self, request: AppRequest, default_name: str, team: str | None) -> Resolution:
        resolution = resolve(request, self._profiles(), default_name=default_name, team_of_task=team)
        self._store.ensure_target(resolution.target)
        return resolution

    def apps(self, wanted: AppFilter) -> Page[AppWork]:
        """Return the applications that are asked for and that they may see."""
        return self._store.apps(replace(wanted, visible=self._visible(wanted.dag_id)))

    def app(self, app_id: int, generation: int | None = None) -> AppDetail:
        """Return one application with a generation (None: the current one)."""
        detail = self._store.detail(app_id, generation)
        self._subject.require_read(detail.app)
        return self._placed(detail)

    def places(self, works: Collection[AppWork]) -> Mapping[int, QueuePlace]:
        """Return why those of them wait that wait for a cluster, by application."""
        if not any(_waits(work.app) for work in works):
            return {}
        return self._store.queue_places(policy=self._policy)

    def _placed(self, detail: AppDetail) -> AppDetail:
        app = detail.app
        if not _waits(app) or detail.attempt.generation != app.generation:
            return replace(detail, place=None)
        return replace(detail, place=self._store.queue_places(app.id, policy=self._policy).get(app.id))

    def attempts(self, app_id: int) -> tuple[Attempt, ...]:
        """Return all generations of an application, newest first."""
        self.app(app_id)
        return self._store.attempts(app_id)

    def app_events(self, app_id: int, *, after: int = 0, limit: int = MAX_LIMIT) -> tuple[Event, ...]:
        """Return an application's events by ascending id."""
        self.app(app_id)
        return self._store.events_page(EventFilter(object_kind="app", object_id=app_id, after=after, limit=limit))

    def log(self, app_id: int, *, generation: int | None = None, tail: int | None = None) -> DriverLog:
        """Return the end of a driver's log.

        :param tail: this many lines at most.
        """
        detail = self.app(app_id, generation)
        attempt = detail.attempt
        lines = (attempt.log_tail or "").splitlines()
        return DriverLog(
            app=detail.app,
            generation=attempt.generation,
            phase=attempt.phase,
            state=attempt.log_state,
            uri=attempt.log_uri,
            lines=tuple(lines if tail is None else lines[-tail:]),
        )

    def cancel(self, app_id: int, *, reason: str = "", expected: int | None = None) -> AppDetail:
        """Ask for the end of what runs or waits; asking again changes nothing.

        :param expected: the generation that the caller has seen; another one is refused.
        :raises AlreadyEnded, StaleGeneration: see there.
        """
        audit = Audit(subject=self._subject, reason=reason)

        def decide(state: AppState, now: datetime) -> AppState:
            return cancelled(state, audit, expected=expected, now=now)

        for _ in range(_TRIES):
            app = self.app(app_id).app
            self._subject.require_act("PUT", app, f"cancel application {app_id}")
            with suppress(NotFound):  # the next generation began meanwhile
                self._store.change_app(app_id, app.generation, decide)
                return self._placed(self._store.detail(app_id))
        raise _restless(app_id)

    def restart(self, app_id: int, *, reason: str = "", expected: int | None = None) -> AppDetail:
        """Run it again with the request it has: at once, or after the proven end of what still runs.

        Asking again changes nothing while the new generation has not been sent.

        :raises OwnedByTask: while a task waits for it; :raises StaleGeneration: see `cancel`.
        """
        app = self.app(app_id).app
        self._subject.require_act("PUT", app, f"restart application {app_id}")
        before = self._store.app_by_key(app.scope, app.app_key)
        assert before is not None
        check_generation(before.app, expected)
        self._must_be_unwaited(before)
        if not is_unsent(before):
            self._restart(before, Audit(subject=self._subject, reason=reason))
        return self._placed(self._store.detail(app_id))

    def _restart(self, before: Known, audit: Audit) -> None:
        app = before.app
        tag = self._tasks.dag(app.dag_id) if self._tasks is not None and app.dag_id is not None else None
        resolution = self._resolve(app.request, app.request.name or app.task_id or app.name, tag.team if tag else None)

        def decide(known: Known | None, now: datetime) -> Write | None:
            if known is None or known.newest != before.newest or known.app.owner_ti_id != app.owner_ti_id:
                raise _restless(app.id)
            return restart_write(known, resolution, audit, now)

        self._store.submit_app(app.scope, app.app_key, decide)

    def _must_be_unwaited(self, known: Known) -> None:
        """Refuse while a task is to take an end, or a try of it may attach: it would wait for a generation that is replaced."""
        app = known.app
        if app.owner_ti_id is None or app.dag_id is None or app.task_id is None or app.run_id is None:
            return
        if self._tasks is None:
            is_over = known.newest.acknowledged_at is not None
        else:
            task = TaskKey(dag_id=app.dag_id, task_id=app.task_id, run_id=app.run_id, map_index=app.map_index)
            is_over = why_gone(task, self._tasks.states({task})) is not None
        if is_over:
            return
        raise OwnedByTask(
            f"Task {app.dag_id}/{app.task_id} of run {app.run_id} waits for application {app.id}.",
            hint="Clear the task: that ends the old run and starts a new one.",
            dag_id=app.dag_id,
            task_id=app.task_id,
            run_id=app.run_id,
            map_index=app.map_index,
        )

    def events(self, wanted: EventFilter) -> tuple[Event, ...]:
        """Return events by ascending id, without those of applications and tokens that they may not see."""
        self._subject.require_shared("GET", "see events")
        hidden = () if self._subject.rights.may_manage_tokens("GET") else ("token",)
        return self._store.events_page(replace(wanted, visible=self._visible(None), hidden_kinds=hidden))

    def profiles(self) -> Profiles:
        """Return what profiles.yaml says now."""
        self._subject.require_shared("GET", "see profiles")
        return self._profiles()

    def _visible(self, dag_id: str | None) -> Visible:
        if self._subject.rights is ALL_RIGHTS:
            return EVERYTHING_VISIBLE
        return self._subject.visible(self._store.dag_ids() if dag_id is None else {dag_id})


def _waits(app: App) -> bool:
    return app.phase is AppPhase.WAIT_CLUSTER


def _restless(app_id: int) -> StoreBusy:
    return StoreBusy(f"Application {app_id} changed at this very moment.", hint="Ask again.", retry_after=1.0)
