"""How a decision about a submit becomes rows: values in, a `Write` out; the store locks and writes."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from platyspark_provider.core.app_state import AppState, in_queue
from platyspark_provider.core.governance import Resolution
from platyspark_provider.core.keys import batch_app_key, streaming_app_key
from platyspark_provider.core.model import App, Attempt, Event
from platyspark_provider.core.records import TaskFacts
from platyspark_provider.core.spec import AppRequest, request_hash
from platyspark_provider.core.states import AppDesired, AppKind, AppPhase
from platyspark_provider.core.submission import Attach, Decision, Refuse, Replace, Start, is_same_task
from platyspark_provider.core.teams import DEFAULT_TEAM, check_team
from platyspark_provider.core.transitions import request_stop
from platyspark_provider.errors import IdempotencyMismatch, PlatySparkError
from platyspark_provider.registry.identity import actor_of
from platyspark_provider.store.base import Known, Write

TASK_SCOPE = "task"
"""Scope of default keys: they hold the task's own coordinates, so no team (which a profile may change) and no explicit key gets in."""


def key_of(request: AppRequest, task: TaskFacts) -> tuple[str, str]:
    """Return scope and app key of a task's request; an explicit key is shared within a team.

    :raises PolicyViolated: for an explicit key of another team than the DAG's.
    """
    if request.app_key is not None:
        check_team(request.team, task.team)
        return f"team:{request.team or task.team or DEFAULT_TEAM}", request.app_key
    if request.kind is AppKind.STREAMING:
        return TASK_SCOPE, streaming_app_key(task.dag_id, task.task_id, task.map_index)
    return TASK_SCOPE, batch_app_key(task.dag_id, task.task_id, task.map_index, task.run_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One submit: who asks for what, and what governance made of it.

    :param hold: the task will say `ready` whatever there is to upload.
    :param resolved: an error is raised only when a new generation is needed: a profile edit never breaks a retry.
    """

    request: AppRequest
    task: TaskFacts
    scope: str
    app_key: str
    resolved: Resolution | PlatySparkError
    hold: bool = False

    def write(self, known: Known | None, decision: Decision, now: datetime) -> Write | None:
        """Return what the decision writes."""
        match decision:
            case Start(generation=generation):
                return self._start(known, generation, now)
            case Replace(generation=generation, reason=reason):
                assert known is not None
                return self._replace(known, generation, reason, now)
            case Attach():
                assert known is not None
                return self._attach(known, decision, now)
            case Refuse(differing=differing):
                assert known is not None
                raise IdempotencyMismatch(
                    f"App key {self.app_key!r} was used for application {known.app.id} with other parameters ({', '.join(differing)}).",
                    hint="Use a new key, or clear the task that owns it.",
                    differing=list(differing),
                    app_id=known.app.id,
                )
            case _:
                assert_never(decision)

    def _resolution(self) -> Resolution:
        if isinstance(self.resolved, PlatySparkError):
            raise self.resolved
        return self.resolved

    def _start(self, known: Known | None, generation: int, now: datetime) -> Write:
        attempt = self._attempt(generation, now)
        app = self._app(known, now)
        begun = replace(app, phase=attempt.phase, generation=generation, wanted_generation=generation, cluster_id=None, deadline_at=None)
        message = f"Generation {generation} submitted by try {self.task.try_number}."
        line = self._event("app.submitted", message, generation, now)
        return Write(app=in_queue(begun, attempt, since=now), attempt=attempt, events=(line,))

    def _replace(self, known: Known, generation: int, reason: str, now: datetime) -> Write:
        wanted = self._attempt(generation, now)
        app = replace(self._app(known, now), wanted_generation=generation)
        line = self._event("app.replacement_submitted", f"Generation {generation} follows the old run's end: {reason}.", generation, now)
        asked = AppState(app=app, attempt=known.current, wanted=wanted, events=(line,))
        state = request_stop(asked, reason=reason, actor=actor_of(self.task), now=now)
        return Write(app=state.app, attempt=state.wanted, current=state.attempt, events=state.events)

    def _attach(self, known: Known, decision: Attach, now: datetime) -> Write | None:
        """Hand the application to this try of its task; another task's attach changes nothing but may be noted."""
        events: tuple[Event, ...] = ()
        if decision.changed:
            message = f"The request changed ({', '.join(decision.changed)}); generation {decision.generation} keeps the old one."
            events = (self._event("app.request_changed", message, decision.generation, now),)
        if not is_same_task(known.app, self.task):
            return Write(app=known.app, events=events) if events else None
        return Write(app=self._owned(replace(known.app, updated_at=now)), events=events)

    def _owned(self, app: App) -> App:
        task = self.task
        return replace(app, rerun_token=str(task.max_tries), owner_try=task.try_number, owner_ti_id=task.ti_id)

    def _app(self, known: Known | None, now: datetime) -> App:
        """Return the row with this request and this owner; phase and generation are the caller's to set."""
        spec = self._resolution().spec
        streaming = self.request.kind is AppKind.STREAMING
        old = known.app if known else None
        app = App(
            id=old.id if old else 0,
            scope=self.scope,
            app_key=self.app_key,
            kind=self.request.kind,
            name=spec.name,
            team=spec.team,
            owner=self.task.owner,
            environment=spec.environment,
            request=self.request,
            request_hash=request_hash(self.request),
            desired=AppDesired.RUNNING if streaming else AppDesired.COMPLETED,
            phase=old.phase if old else AppPhase.NEW,
            generation=old.generation if old else 0,
            wanted_generation=old.wanted_generation if old else 0,
            created_at=old.created_at if old else now,
            updated_at=now,
            dag_id=self.task.dag_id,
            task_id=self.task.task_id,
            run_id=self.task.run_id,
            map_index=self.task.map_index,
            cluster_id=old.cluster_id if old else None,
            deadline_at=old.deadline_at if old else None,
            slot=old.slot if old else 0,
            pool_key=old.pool_key if old else None,
            queued_at=old.queued_at if old else None,
        )
        return self._owned(app)

    def _attempt(self, generation: int, now: datetime) -> Attempt:
        resolution = self._resolution()
        ready = not (resolution.spec.uploads or self.hold)
        return Attempt(
            app_id=0,
            generation=generation,
            spec=resolution.spec,
            provenance=resolution.provenance,
            phase=AppPhase.WAIT_CLUSTER if ready else AppPhase.NEW,
            created_at=now,
            artifacts_ready=ready,
            ti_id=self.task.ti_id,
            try_number=self.task.try_number,
        )

    def _event(self, kind: str, message: str, generation: int, now: datetime) -> Event:
        return Event(object_kind="app", object_id=0, generation=generation, kind=kind, message=message, actor=actor_of(self.task), at=now)
