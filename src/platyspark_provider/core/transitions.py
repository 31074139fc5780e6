"""How a recorded fact changes an application: state and fact in, new state and events out. Clusters: `cluster_transitions`.

A store locks the rows, calls `apply_to_app` and writes what came back; a refusal writes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from platyspark_provider.core.model import App, Attempt, Cluster, Condition, Event, Failure
from platyspark_provider.core.records import (
    AppObserved,
    LogLookedFor,
    Policy,
    SendEnded,
    SendIntended,
    SendLookedFor,
    StopAdvanced,
    Waiting,
)
from platyspark_provider.core.states import APP_SENT, AppPhase, FailureClass, LogState

AppRecord = SendIntended | SendEnded | SendLookedFor | AppObserved | StopAdvanced | LogLookedFor | Waiting


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


def apply_to_app(state: AppState, record: AppRecord, *, policy: Policy, actor: str, now: datetime) -> AppState | Refused:
    """Return the rows after the fact, or why it can't be taken.

    :param actor: who records, for the events.
    """
    if record.generation != state.app.generation and not isinstance(record, LogLookedFor):
        return Refused(code="other_generation", message=f"Generation {state.app.generation} is current, not {record.generation}.")
    match record:
        case SendIntended():
            return _intend(state, record, policy, actor, now)
        case SendEnded():
            return _send_ended(state, record, actor, now)
        case SendLookedFor():
            return _looked_for(state, record, policy, actor, now)
        case AppObserved():
            return _observed(state, record, actor, now)
        case StopAdvanced():
            return _stop_advanced(state, record, actor, now)
        case LogLookedFor():
            return _log(state, record, actor, now)
        case Waiting():
            return _waiting(state, record, now)
        case _:
            assert_never(record)


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


def _begin_wanted(state: AppState, now: datetime) -> AppState:
    app, wanted = state.app, state.wanted
    if wanted is None or app.wanted_generation <= app.generation:
        return state
    phase = AppPhase.WAIT_CLUSTER if wanted.artifacts_ready else AppPhase.NEW
    line = event_of(app, wanted.generation, f"app.{phase.value}", "The old run is proven dead; this one begins.", actor="registry", now=now)
    return replace(
        state,
        app=replace(app, generation=wanted.generation, phase=phase, cluster_id=None, conditions=()),
        wanted=replace(wanted, phase=phase),
        events=(*state.events, line),
    )


def request_stop(state: AppState, *, reason: str, actor: str, now: datetime) -> AppState:
    """Return the state after somebody asked for a stop; what was never sent is stopped at once, with proof."""
    attempt = state.attempt
    if attempt.phase.is_terminal or (attempt.stop_requested_at is not None and attempt.stop_actor != "backend"):
        return state
    asked = replace(
        state, attempt=replace(attempt, stop_requested_at=now, stop_reason=reason, stop_actor=actor, stop_stage=0, stop_stage_at=None)
    )
    if attempt.phase in {AppPhase.NEW, AppPhase.WAIT_CLUSTER}:
        return end(asked, AppPhase.STOPPED, f"Stopped before it was sent: {reason}.", actor=actor, now=now, death_proof="never sent")
    if attempt.phase in {AppPhase.PENDING, AppPhase.RUNNING}:
        return enter(asked, AppPhase.CANCELLING, f"Stop asked for: {reason}.", actor=actor, now=now)
    line = event_of(state.app, attempt.generation, "app.stop_requested", f"Stop asked for: {reason}.", actor=actor, now=now)
    return replace(asked, events=(*asked.events, line), app=replace(state.app, updated_at=now, next_reconcile_at=None))


def stop_wanted(state: AppState, *, reason: str, actor: str, now: datetime) -> AppState:
    """Return the state after a generation that has not begun was called off; the one before it goes on ending."""
    wanted = state.wanted
    if wanted is None or wanted.phase.is_terminal:
        return state
    off = replace(
        wanted,
        phase=AppPhase.STOPPED,
        stop_requested_at=now,
        stop_reason=reason,
        stop_actor=actor,
        ended_at=now,
        death_proof="never sent",
    )
    line = event_of(state.app, wanted.generation, "app.stopped", f"Called off before it began: {reason}.", actor=actor, now=now)
    app = replace(state.app, wanted_generation=state.app.generation, updated_at=now)
    return replace(state, app=app, wanted=off, events=(*state.events, line))


def mark_ready(state: AppState, attempt: Attempt, *, actor: str, now: datetime) -> AppState:
    """Return the state after all files of `attempt` (the current or the wanted one) were uploaded."""
    if attempt.artifacts_ready:
        return state
    ready = replace(attempt, artifacts_ready=True)
    if attempt.generation != state.app.generation:
        return replace(state, wanted=ready)
    changed = replace(state, attempt=ready)
    if attempt.phase is not AppPhase.NEW:
        return changed
    return enter(changed, AppPhase.WAIT_CLUSTER, "Its files are at their addresses.", actor=actor, now=now)


def _intend(state: AppState, record: SendIntended, policy: Policy, actor: str, now: datetime) -> AppState | Refused:
    attempt = state.attempt
    if attempt.stop_requested_at is not None:
        return Refused(code="stop_requested", message=f"A stop was asked for: {attempt.stop_reason}.")
    settled = may_send_again(sent_at=attempt.sent_at, empty_listings=attempt.empty_listings, policy=policy, now=now)
    if attempt.phase is not AppPhase.WAIT_CLUSTER and not (attempt.phase is AppPhase.AMBIGUOUS and settled):
        return Refused(code="not_sendable", message=f"The application is {attempt.phase.value}; a send may be under way.")
    return enter(
        state,
        AppPhase.SENDING,
        f"Send {attempt.sends + 1} of generation {attempt.generation} begins.",
        actor=actor,
        now=now,
        sends=attempt.sends + 1,
        send_nonce=record.nonce,
        sent_at=now,
        empty_listings=0,
        last_listing_at=None,
        cluster_id=state.app.cluster_id,
    )


def _send_ended(state: AppState, record: SendEnded, actor: str, now: datetime) -> AppState | Refused:
    phase = state.attempt.phase
    if record.result == "rejected" and phase in {AppPhase.WAIT_CLUSTER, AppPhase.SENDING}:
        failure = Failure(klass=FailureClass.USER, summary=record.message)
        return end(
            state,
            AppPhase.FAILED,
            f"Refused: {record.message}",
            actor=actor,
            now=now,
            failure=failure,
            failure_class=FailureClass.USER,
            death_proof="never sent",
        )
    if phase not in {AppPhase.SENDING, AppPhase.AMBIGUOUS}:
        return Refused(code="not_sending", message=f"The application is {phase.value}; no send is under way.")
    if record.result == "sent":
        return _sent(state, record.external_id, record.external_detail, "Sent", actor, now)
    if record.result == "lost":
        return enter(state, AppPhase.AMBIGUOUS, f"The reply was lost: {record.message}", actor=actor, now=now)
    gone = record.result == "cluster_gone"
    back = enter(state, AppPhase.WAIT_CLUSTER, f"Not sent ({record.result}): {record.message}", actor=actor, now=now, sent_at=None)
    if state.attempt.stop_requested_at is not None:
        return end(back, AppPhase.STOPPED, "Stopped before it was sent.", actor=actor, now=now, death_proof="never sent")
    later = now + timedelta(seconds=record.retry_after_s) if record.retry_after_s else None
    return replace(back, app=replace(back.app, cluster_id=None if gone else back.app.cluster_id, next_reconcile_at=later))


def _sent(state: AppState, external_id: str | None, detail: Mapping[str, Any], word: str, actor: str, now: datetime) -> AppState:
    phase = AppPhase.PENDING if state.attempt.stop_requested_at is None else AppPhase.CANCELLING
    return enter(
        state,
        phase,
        f"{word}: {external_id}.",
        actor=actor,
        now=now,
        external_id=external_id,
        submitted_at=now,
        external_detail=merged(state.attempt.external_detail, detail),
    )


def _looked_for(state: AppState, record: SendLookedFor, policy: Policy, actor: str, now: datetime) -> AppState | Refused:
    attempt = state.attempt
    if attempt.phase not in {AppPhase.SENDING, AppPhase.AMBIGUOUS}:
        return Refused(code="not_sending", message=f"The application is {attempt.phase.value}; nothing is to be looked for.")
    if record.external_id is not None:
        return _sent(state, record.external_id, record.external_detail, "Adopted by name after a lost reply", actor, now)
    empties = count_listing(attempt.empty_listings, attempt.last_listing_at, policy, now)
    counted = enter(
        state,
        AppPhase.AMBIGUOUS,
        "Its sender is gone or the reply was lost; looking for it by name.",
        actor=actor,
        now=now,
        empty_listings=empties,
        last_listing_at=now if empties > attempt.empty_listings else attempt.last_listing_at,
    )
    settled = may_send_again(sent_at=attempt.sent_at, empty_listings=empties, policy=policy, now=now)
    if settled and attempt.stop_requested_at is not None:
        return end(counted, AppPhase.STOPPED, "It never arrived; stopped.", actor=actor, now=now, death_proof="never arrived")
    return counted


def _observed(state: AppState, record: AppObserved, actor: str, now: datetime) -> AppState | Refused:
    attempt = state.attempt
    if attempt.phase not in APP_SENT:
        return Refused(code="not_sent", message=f"The application is {attempt.phase.value}; nothing runs under its id.")
    seen = replace(
        state,
        attempt=replace(
            attempt,
            observed_at=now,
            started_at=attempt.started_at or record.started_at,
            external_detail=merged(attempt.external_detail, record.external_detail),
        ),
    )
    match record.state:
        case "pending":
            return seen
        case "running":
            return _seen_running(seen, actor, now)
        case "succeeded":
            return end(
                seen, AppPhase.SUCCEEDED, "Succeeded.", actor=actor, now=now, ended_at=record.ended_at or now, death_proof="succeeded"
            )
        case "failed" | "cancelled":
            return _seen_over(seen, record, actor, now)
        case "gone":
            failure = Failure(klass=FailureClass.UNKNOWN, summary="The backend no longer knows this run; how it ended is unknown.")
            return end(seen, AppPhase.LOST, failure.summary, actor=actor, now=now, failure=failure, failure_class=FailureClass.UNKNOWN)
        case _:
            assert_never(record.state)


def _seen_running(state: AppState, actor: str, now: datetime) -> AppState:
    if state.attempt.phase is not AppPhase.PENDING:
        return state
    started = state.attempt.started_at or now
    return enter(state, AppPhase.RUNNING, "Running.", actor=actor, now=now, started_at=started)


def _seen_over(state: AppState, record: AppObserved, actor: str, now: datetime) -> AppState:
    """The backend's record is over; the attempt is over once its driver is proven dead."""
    attempt, cluster = state.attempt, state.cluster
    asked = attempt.stop_requested_at is not None and attempt.stop_actor != "backend"
    never_ran = record.state == "cancelled" and attempt.started_at is None
    cluster_over = cluster is not None and cluster.phase.is_terminal
    if never_ran and not asked and cluster_over:
        back = enter(
            state,
            AppPhase.WAIT_CLUSTER,
            "Its cluster ended before it started; it is sent elsewhere, free of charge.",
            actor=actor,
            now=now,
            external_id=None,
            sent_at=None,
            cluster_id=None,
        )
        return replace(back, app=replace(back.app, cluster_id=None))
    proof = "never started" if never_ran else "cluster terminated" if cluster_over else record.proof or record.driver
    if not (never_ran or cluster_over or record.driver == "dead"):
        return _not_proven(state, record, actor, now)
    ended_at = record.ended_at or now
    if asked:
        message = f"Stopped ({proof}): {attempt.stop_reason}."
        return end(state, AppPhase.STOPPED, message, actor=actor, now=now, death_proof=proof, ended_at=ended_at)
    failure = _failure_at_end(record, cluster if cluster_over else None)
    return end(
        state,
        AppPhase.FAILED,
        failure.summary,
        actor=actor,
        now=now,
        death_proof=proof,
        ended_at=ended_at,
        failure=failure,
        failure_class=failure.klass,
    )


def _failure_at_end(record: AppObserved, cluster: Cluster | None) -> Failure:
    if cluster is not None:
        klass = cluster.failure_class or FailureClass.INFRASTRUCTURE
        return Failure(klass=klass, summary=f"Its cluster ended: {cluster.observed_reason or cluster.observed_state}", is_complete=False)
    if record.state == "cancelled":
        return Failure(klass=FailureClass.EXTERNAL_KILL, summary=f"Cancelled by somebody else. {record.reason}".strip())
    return Failure(klass=FailureClass.UNKNOWN, summary=record.reason or "The backend reports a failure.", is_complete=False)


def _not_proven(state: AppState, record: AppObserved, actor: str, now: datetime) -> AppState:
    """The record is over and the driver may live: the stop ladder ends it, and no second writer starts before."""
    if state.attempt.stop_requested_at is not None:
        return state
    asked = replace(
        state,
        attempt=replace(
            state.attempt, stop_requested_at=now, stop_actor="backend", stop_reason=f"the backend reports {record.state}; {record.reason}"
        ),
    )
    message = f"The backend reports {record.state}, but its driver is not proven dead ({record.driver}); ending it."
    return enter(asked, AppPhase.CANCELLING, message, actor=actor, now=now)


def _stop_advanced(state: AppState, record: StopAdvanced, actor: str, now: datetime) -> AppState | Refused:
    attempt = state.attempt
    if attempt.phase not in {AppPhase.CANCELLING, AppPhase.STOP_UNPROVEN}:
        return Refused(code="not_stopping", message=f"The application is {attempt.phase.value}; no stop is under way.")
    climbed = replace(state, attempt=replace(attempt, stop_stage=record.stage, stop_stage_at=now))
    if record.unproven:
        return enter(climbed, AppPhase.STOP_UNPROVEN, record.message, actor=actor, now=now)
    line = event_of(state.app, attempt.generation, "app.stop_stage", record.message, actor=actor, now=now, stage=record.stage)
    return replace(climbed, events=(*climbed.events, line))


def _log(state: AppState, record: LogLookedFor, actor: str, now: datetime) -> AppState | Refused:
    attempt = state.attempt
    if attempt.log_state is not LogState.PENDING:
        return Refused(code="log_settled", message=f"The log is {attempt.log_state.value}.")
    if record.tail is None and not record.given_up:
        return replace(state, attempt=replace(attempt, log_uri=record.log_uri or attempt.log_uri))
    failure = attempt.failure
    if attempt.phase is AppPhase.FAILED and failure is not None and not failure.is_complete:
        failure = record.failure or replace(failure, is_complete=True)
    arrived = record.tail is not None
    changed = replace(
        attempt,
        log_state=LogState.ARRIVED if arrived else LogState.MISSING,
        log_tail=record.tail,
        log_uri=record.log_uri or attempt.log_uri,
        failure=failure,
        failure_class=failure.klass if failure else None,
    )
    events = state.events
    if attempt.phase is AppPhase.FAILED and failure is not None:
        kind, message = ("app.failure_explained", failure.summary) if arrived else ("app.log_missing", "The driver's log never arrived.")
        events = (*events, event_of(state.app, attempt.generation, kind, message, actor=actor, now=now))
    return replace(state, attempt=changed, events=events)


def _waiting(state: AppState, record: Waiting, now: datetime) -> AppState:
    """Keep the reason; `since` stays while the reason does."""
    before = next((c for c in state.app.conditions if c.type == "Waiting" and c.reason == record.reason), None)
    condition = Condition(type="Waiting", reason=record.reason, message=record.message, since=before.since if before else now)
    return replace(state, app=replace(state.app, conditions=(condition,), updated_at=now))
