"""How a recorded fact changes an application: state and fact in, new state and events out. Clusters: `cluster_transitions`.

A store locks the rows, calls `apply_to_app` and writes what came back; a refusal writes nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from platyspark_provider.core.app_state import AppState, Refused, count_listing, end, enter, event_of, may_send_again, merged
from platyspark_provider.core.facts import AppObserved, LogLookedFor, SendEnded, SendIntended, SendLookedFor, StopAdvanced, Waiting
from platyspark_provider.core.model import Attempt, Condition, Failure
from platyspark_provider.core.observation import apply_observation
from platyspark_provider.core.records import Policy
from platyspark_provider.core.states import AppPhase, FailureClass, LogState

__all__ = ["AppRecord", "AppState", "Refused", "apply_to_app", "mark_ready", "may_send_again", "request_stop", "stop_wanted"]

AppRecord = SendIntended | SendEnded | SendLookedFor | AppObserved | StopAdvanced | LogLookedFor | Waiting


def apply_to_app(state: AppState, record: AppRecord, *, policy: Policy, actor: str, now: datetime) -> AppState | Refused:
    """Return the rows after the fact, or why it can't be taken.

    :param actor: who records, for the events.
    """
    if record.generation != state.app.generation and not isinstance(record, LogLookedFor):
        return Refused(code="other_generation", message=f"Generation {state.app.generation} is current, not {record.generation}.")
    match record:
        case SendIntended():
            return _intend(state, record, actor, now)
        case SendEnded():
            return _send_ended(state, record, actor, now)
        case SendLookedFor():
            return _looked_for(state, record, policy, actor, now)
        case AppObserved():
            return apply_observation(state, record, policy, actor, now)
        case StopAdvanced():
            return _stop_advanced(state, record, actor, now)
        case LogLookedFor():
            return _log(state, record, actor, now)
        case Waiting():
            return _waiting(state, record, now)
        case _:
            assert_never(record)


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
    if attempt.phase in {AppPhase.PENDING, AppPhase.RUNNING, AppPhase.STOP_UNPROVEN}:  # the last: the ladder is climbed again
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


def _intend(state: AppState, record: SendIntended, actor: str, now: datetime) -> AppState | Refused:
    attempt = state.attempt
    if attempt.stop_requested_at is not None:
        return Refused(code="stop_requested", message=f"A stop was asked for: {attempt.stop_reason}.")
    if attempt.phase is not AppPhase.WAIT_CLUSTER:
        return Refused(code="not_sendable", message=f"The application is {attempt.phase.value}; a send may be under way.")
    if state.cluster is not None and state.cluster.live_key is None:
        return Refused(code="cluster_ending", message=f"Cluster {state.cluster.name} is {state.cluster.phase.value}: it takes no work.")
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
    if record.result == "rejected" and (phase is AppPhase.AMBIGUOUS or _is_sent_by_another(state.attempt, record)):
        message = f"The application is {phase.value}: it may have been sent, so it is looked for before it can be refused."
        return Refused(code="may_have_been_sent", message=message)
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


def _is_sent_by_another(attempt: Attempt, record: SendEnded) -> bool:
    return attempt.phase is AppPhase.SENDING and attempt.send_nonce != record.nonce


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
        empty_listings=0,
        last_listing_at=None,
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
    settled = record.may_repeat or may_send_again(sent_at=attempt.sent_at, empty_listings=empties, policy=policy, now=now)
    if not settled:
        return counted
    if attempt.stop_requested_at is not None:
        return end(counted, AppPhase.STOPPED, "It never arrived; stopped.", actor=actor, now=now, death_proof="never arrived")
    return enter(counted, AppPhase.WAIT_CLUSTER, "It never arrived; it may be sent again.", actor=actor, now=now, sent_at=None)


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
        result=record.result,
        failure=failure,
        failure_class=failure.klass if failure else None,
    )
    events = state.events
    if attempt.phase is AppPhase.FAILED and failure is not None:
        kind, message = ("app.failure_explained", failure.summary) if arrived else ("app.log_missing", "The driver's log never arrived.")
        events = (*events, event_of(state.app, attempt.generation, kind, message, actor=actor, now=now))
    return replace(state, attempt=changed, events=events)


def _waiting(state: AppState, record: Waiting, now: datetime) -> AppState | Refused:
    """Keep the reason; `since` stays while the reason does."""
    if state.attempt.phase.is_terminal:
        return Refused(code="ended", message=f"The application is {state.attempt.phase.value}; it waits for nothing.")
    before = next((c for c in state.app.conditions if c.type == "Waiting" and c.reason == record.reason), None)
    condition = Condition(type="Waiting", reason=record.reason, message=record.message, since=before.since if before else now)
    return replace(state, app=replace(state.app, conditions=(condition,), updated_at=now))
