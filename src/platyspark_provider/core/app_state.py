"""The rows that one fact about an application touches, and the moves all transitions are made of: enter a phase, end."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from platyspark_provider.core.keys import cluster_key
from platyspark_provider.core.model import App, Attempt, Cluster, Event
from platyspark_provider.core.records import Policy
from platyspark_provider.core.states import AppPhase, LogState


@dataclass(frozen=True, slots=True, kw_only=True)
class AppState:
    """The rows one fact may touch.

    :param attempt: the generation that the fact names.
    :param wanted: the generation that waits for this one's end, if any.
    :param cluster: the attempt's cluster.
    """

    app: App
    attempt: Attempt
    wanted: Attempt | None = None
    cluster: Cluster | None = None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Nothing was written; `code` for programs, `message` for people."""

    code: str
    message: str


def may_send_again(*, sent_at: datetime | None, empty_listings: int, policy: Policy, now: datetime) -> bool:
    """Tell whether a lost call can be taken for not done: settle window over and two empty listings."""
    return sent_at is None or (now >= sent_at + timedelta(seconds=policy.settle_s) and empty_listings >= 2)


def count_listing(empty: int, last: datetime | None, policy: Policy, now: datetime) -> int:
    """Return the new count of empty listings; two within the gap count once (the listing may lag)."""
    if last is not None and now < last + timedelta(seconds=policy.settle_gap_s):
        return empty
    return empty + 1


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return `old` with what `new` knows; None never overwrites."""
    return {**old, **{k: v for k, v in new.items() if v is not None}}


def event_of(app: App, generation: int, kind: str, message: str, *, actor: str, now: datetime, **detail: Any) -> Event:
    """Return an event line about an application."""
    return Event(object_kind="app", object_id=app.id, generation=generation, kind=kind, message=message, actor=actor, at=now, detail=detail)


def enter(
    state: AppState, phase: AppPhase, message: str, *, actor: str, now: datetime, detail: Mapping[str, Any] | None = None, **attempt: Any
) -> AppState:
    """Return the state with the attempt (and the app, if it is the current one) in `phase`, with an event if that changed it.

    :param attempt: other fields of the attempt to set.
    """
    changed = replace(state.attempt, phase=phase, **attempt)
    app = replace(state.app, phase=phase, conditions=(), updated_at=now, next_reconcile_at=None)
    events = state.events
    if phase is not state.attempt.phase:
        line = event_of(app, changed.generation, f"app.{phase.value}", message, actor=actor, now=now, **(detail or {}))
        events = (*events, line)
    return replace(state, app=app, attempt=changed, events=events)


def end(state: AppState, phase: AppPhase, message: str, *, actor: str, now: datetime, **attempt: Any) -> AppState:
    """Return the state after the generation's end; a generation that waited for it begins."""
    ran = state.attempt.started_at is not None or attempt.get("started_at") is not None
    values: dict[str, Any] = {"ended_at": now, "log_state": LogState.PENDING if ran else LogState.NONE, **attempt}
    done = enter(state, phase, message, actor=actor, now=now, **values)
    return _begin_wanted(done, now)


def in_queue(app: App, attempt: Attempt, *, since: datetime) -> App:
    """Return the application with its pool and its place in that pool's queue.

    :param since: when it began to wait; each point of priority counts as one more minute of waiting, so that age always
        wins in the end.
    """
    return replace(app, pool_key=cluster_key(app.environment, attempt.spec.cluster), queued_at=place_in_queue(attempt, since=since))


def place_in_queue(attempt: Attempt, *, since: datetime) -> datetime:
    """Return the moment that an attempt's place in its queue is told by."""
    return since - timedelta(minutes=attempt.spec.priority)


def _begin_wanted(state: AppState, now: datetime) -> AppState:
    app, wanted = state.app, state.wanted
    if wanted is None or app.wanted_generation <= app.generation:
        return state
    phase = AppPhase.WAIT_CLUSTER if wanted.artifacts_ready else AppPhase.NEW
    line = event_of(app, wanted.generation, f"app.{phase.value}", "The old run is proven dead; this one begins.", actor="registry", now=now)
    begun = replace(app, generation=wanted.generation, phase=phase, cluster_id=None, conditions=())
    return replace(
        state,
        app=in_queue(begun, wanted, since=now),
        wanted=replace(wanted, phase=phase),
        events=(*state.events, line),
    )
