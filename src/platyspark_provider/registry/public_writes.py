"""What a person's submit, cancel and restart write: values in, a `Write` or new rows out; the store locks and writes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from platyspark_provider.core.app_state import AppState, in_queue
from platyspark_provider.core.governance import Resolution
from platyspark_provider.core.model import App, Attempt, Event
from platyspark_provider.core.request_places import differing_places
from platyspark_provider.core.spec import AppRequest, content_hash, request_hash
from platyspark_provider.core.states import AppDesired, AppKind, AppPhase
from platyspark_provider.core.teams import DEFAULT_TEAM
from platyspark_provider.core.transitions import request_stop, stop_wanted
from platyspark_provider.errors import AlreadyEnded, IdempotencyMismatch, InvalidRequest, StaleGeneration
from platyspark_provider.registry.rights import Subject
from platyspark_provider.store.base import Known, Write

API_SCOPE = "api:"
"""Begins the scope of keys that people give: no task reaches them, and they reach no task's."""


def api_scope(team: str | None, dag_id: str | None) -> str:
    """Return the scope of a person's key: of its team and, where it is for a DAG, of that alone.

    The team a profile gives does not count: its edit would lose the keys.
    """
    of_dag = f":{content_hash(dag_id)[:16]}" if dag_id is not None else ""
    return f"{API_SCOPE}{team or DEFAULT_TEAM}{of_dag}"


def check_can_run(request: AppRequest) -> None:
    """Raise `InvalidRequest` for what nobody can run from here."""
    if request.kind is not AppKind.BATCH:
        raise InvalidRequest(f"kind {request.kind.value!r} can't be submitted yet.", hint="Only 'batch' can.", field="kind")
    if (request.application is None) == (request.sql is None):
        raise InvalidRequest("Either application or sql is needed, and not both.", hint="Give one of them.", field="application")
    name = request.application.name if request.application is not None else ""
    if request.application is not None and not name.endswith((".py", ".jar")):
        hint = "Name a PySpark file or a jar; sql takes SQL."
        raise InvalidRequest(f"application {name!r} is neither a .py nor a .jar file.", hint=hint, field="application")
    for artifact in request.artifacts():
        if artifact.sha256 is not None:
            raise InvalidRequest(
                f"{artifact.name} is a local file, which can't come through here.",
                hint="Upload it, and give its s3:// address.",
                field="application",
            )


def check_generation(app: App, expected: int | None) -> None:
    """Raise `StaleGeneration` when the caller has read another generation than there is now."""
    if expected is not None and expected != app.wanted_generation:
        raise StaleGeneration(
            f"Application {app.id} is at generation {app.wanted_generation}, not {expected}.",
            hint="Read it again and decide anew.",
            generation=app.wanted_generation,
            expected=expected,
        )


def check_same(known: Known, request: AppRequest) -> None:
    """Raise `IdempotencyMismatch` when a key comes again with another request."""
    app = known.app
    if app.request_hash == request_hash(request):
        return
    differing = differing_places(app.request, request)
    raise IdempotencyMismatch(
        f"Key {app.app_key!r} was used for application {app.id} with other parameters ({', '.join(differing)}).",
        hint="Use a new key, or restart that application.",
        differing=list(differing),
        existing_id=app.id,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Who does something, and why; stands in every event of it."""

    subject: Subject
    reason: str = ""

    @property
    def detail(self) -> dict[str, Any]:
        """What an event says of it beside the actor."""
        reason = {"reason": self.reason} if self.reason else {}
        return {**reason, **self.subject.audit}

    def sign(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        """Return the events with it; those of others are left alone."""
        mine = self.subject.actor
        return tuple(replace(e, detail={**e.detail, **self.detail}) if e.actor == mine else e for e in events)

    def event(self, kind: str, message: str, generation: int, now: datetime, **detail: Any) -> Event:
        """Return an event about an application; the store sets which one."""
        return Event(
            object_kind="app",
            object_id=0,
            generation=generation,
            kind=kind,
            message=message,
            actor=self.subject.actor,
            at=now,
            detail={**detail, **self.detail},
        )


def first_write(request: AppRequest, resolution: Resolution, audit: Audit, *, dag_id: str | None, now: datetime) -> Write:
    """Return the rows of a new application; nobody waits for it, so its end counts as taken from the start."""
    spec = resolution.spec
    app = App(
        id=0,
        scope="",
        app_key="",
        kind=request.kind,
        name=spec.name,
        team=spec.team,
        owner=audit.subject.name,
        environment=spec.environment,
        request=request,
        request_hash=request_hash(request),
        desired=AppDesired.COMPLETED,
        phase=AppPhase.WAIT_CLUSTER,
        generation=1,
        wanted_generation=1,
        created_at=now,
        updated_at=now,
        dag_id=dag_id,
    )
    event = audit.event("app.submitted", f"Generation 1 submitted by {audit.subject.name}.", 1, now)
    attempt = _attempt(resolution, 1, now)
    return Write(app=in_queue(app, attempt, since=now), attempt=attempt, events=(event,))


def cancelled(state: AppState, audit: Audit, *, expected: int | None, now: datetime) -> AppState:
    """Return the rows after a cancel: what runs is asked to stop, and what waits to follow it is called off.

    :raises AlreadyEnded: when neither is alive; :raises StaleGeneration: see `check_generation`.
    """
    check_generation(state.app, expected)
    if state.attempt.phase.is_terminal and (state.wanted is None or state.wanted.phase.is_terminal):
        raise AlreadyEnded(
            f"Application {state.app.id} has ended ({state.attempt.phase.value}).",
            hint="There is nothing to cancel; restart runs it again.",
            state=state.attempt.phase.value,
        )
    reason, actor = audit.reason or "cancelled", audit.subject.actor
    stopped = request_stop(stop_wanted(state, reason=reason, actor=actor, now=now), reason=reason, actor=actor, now=now)
    return replace(stopped, events=audit.sign(stopped.events))


def is_unsent(known: Known) -> bool:
    """Tell whether the newest generation is still to be sent: then a restart has nothing to add."""
    return not known.newest.phase.is_terminal and known.newest.sends == 0


def restart_write(known: Known, resolution: Resolution, audit: Audit, now: datetime) -> Write:
    """Return the rows of a restart: the next generation, after the proven end of one that still runs."""
    generation = known.newest.generation + 1
    attempt = _attempt(resolution, generation, now, before=known.newest)
    why = audit.reason or f"restarted by {audit.subject.name}"
    if not known.app.phase.is_terminal:
        return _follow(known, attempt, audit, why, now)
    app = replace(
        known.app,
        phase=attempt.phase,
        generation=generation,
        wanted_generation=generation,
        cluster_id=None,
        deadline_at=None,
        conditions=(),
        next_reconcile_at=None,
        updated_at=now,
    )
    event = audit.event("app.restarted", f"Generation {generation} begins: {why}.", generation, now)
    return Write(app=in_queue(app, attempt, since=now), attempt=attempt, events=(event,))


def _follow(known: Known, attempt: Attempt, audit: Audit, why: str, now: datetime) -> Write:
    generation, actor = attempt.generation, audit.subject.actor
    line = audit.event("app.restarted", f"Generation {generation} follows the old run's end: {why}.", generation, now)
    app = replace(known.app, wanted_generation=generation, updated_at=now)
    asked = AppState(app=app, attempt=known.current, wanted=attempt, events=(line,))
    state = request_stop(asked, reason=why, actor=actor, now=now)
    return Write(app=state.app, attempt=state.wanted, current=state.attempt, events=audit.sign(state.events))


def _attempt(resolution: Resolution, generation: int, now: datetime, before: Attempt | None = None) -> Attempt:
    return Attempt(
        app_id=0,
        generation=generation,
        spec=resolution.spec,
        provenance=resolution.provenance,
        phase=AppPhase.WAIT_CLUSTER,
        created_at=now,
        artifacts_ready=_files_are_there(resolution.spec.uploads, before),
        acknowledged_at=now,
    )


def _files_are_there(uploads: Mapping[str, str], before: Attempt | None) -> bool:
    """Local files are uploaded by the task alone; those of an earlier generation are still at their addresses."""
    if not uploads or (before is not None and before.artifacts_ready and before.spec.uploads == uploads):
        return True
    raise InvalidRequest(
        "It runs local files, which only the task that has them can upload to where they belong now.",
        hint="Clear the task, or submit anew with s3:// addresses.",
        field="application",
    )
