"""How a recorded fact changes a cluster row; the same shape as `transitions`."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from platyspark_provider.core.app_state import Refused, count_listing, may_send_again, merged
from platyspark_provider.core.model import Cluster, Event
from platyspark_provider.core.records import ClusterObserved, CreateEnded, CreateIntended, CreateLookedFor, Policy
from platyspark_provider.core.states import ClusterPhase, FailureClass

ClusterRecord = CreateIntended | CreateEnded | CreateLookedFor | ClusterObserved


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """The row one fact may touch, and the events it leads to."""

    cluster: Cluster
    events: tuple[Event, ...] = ()


def apply_to_cluster(state: ClusterState, record: ClusterRecord, *, policy: Policy, actor: str, now: datetime) -> ClusterState | Refused:
    """Return the row after the fact, or why it can't be taken."""
    match record:
        case CreateIntended():
            return _intend(state, record, actor, now)
        case CreateEnded():
            return _create_ended(state, record, actor, now)
        case CreateLookedFor():
            return _looked_for(state, record, policy, actor, now)
        case ClusterObserved():
            return _observed(state, record, actor, now)
        case _:
            assert_never(record)


def enter_cluster(state: ClusterState, phase: ClusterPhase, message: str, *, actor: str, now: datetime, **values: Any) -> ClusterState:
    """Return the state in `phase`; the live key is given back as soon as the cluster takes no more work."""
    cluster = state.cluster
    over = phase in {ClusterPhase.DRAINING, ClusterPhase.TERMINATING} or phase.is_terminal
    changed = replace(
        cluster,
        phase=phase,
        updated_at=now,
        live_key=None if over else cluster.live_key,
        ended_at=now if phase.is_terminal else None,
        **{"next_reconcile_at": None, **values},
    )
    if phase is cluster.phase:
        return replace(state, cluster=changed)
    line = Event(
        object_kind="cluster",
        object_id=cluster.id,
        generation=cluster.generation,
        kind=f"cluster.{phase.value}",
        message=message,
        actor=actor,
        at=now,
    )
    return replace(state, cluster=changed, events=(*state.events, line))


def _intend(state: ClusterState, record: CreateIntended, actor: str, now: datetime) -> ClusterState | Refused:
    c = state.cluster
    if c.phase is not ClusterPhase.INTENT:
        return Refused(code="not_creatable", message=f"Cluster {c.name} is {c.phase.value}; a create may be under way.")
    return enter_cluster(
        state,
        ClusterPhase.CREATING,
        f"Create call {c.send + 1} of generation {c.generation} begins.",
        actor=actor,
        now=now,
        send=c.send + 1,
        send_nonce=record.nonce,
        create_sent_at=now,
        empty_listings=0,
        last_listing_at=None,
    )


def _create_ended(state: ClusterState, record: CreateEnded, actor: str, now: datetime) -> ClusterState | Refused:
    if state.cluster.phase not in {ClusterPhase.CREATING, ClusterPhase.AMBIGUOUS}:
        return Refused(code="not_creating", message=f"Cluster {state.cluster.name} is {state.cluster.phase.value}.")
    match record.result:
        case "created":
            return _created(state, record.external_id, "Created", actor, now)
        case "lost":
            return enter_cluster(state, ClusterPhase.AMBIGUOUS, f"The reply was lost: {record.message}", actor=actor, now=now)
        case "throttled" | "unavailable":
            later = now + timedelta(seconds=record.retry_after_s)
            message = f"Not created ({record.result}): {record.message}"
            return enter_cluster(state, ClusterPhase.INTENT, message, actor=actor, now=now, create_sent_at=None, next_reconcile_at=later)
        case "rejected":
            return enter_cluster(
                state,
                ClusterPhase.FAILED,
                f"Refused: {record.message}",
                actor=actor,
                now=now,
                observed_reason=record.message,
                failure_class=FailureClass.USER,
            )
        case _:
            assert_never(record.result)


def _created(state: ClusterState, external_id: str | None, word: str, actor: str, now: datetime) -> ClusterState:
    return enter_cluster(state, ClusterPhase.STARTING, f"{word}: {external_id}.", actor=actor, now=now, external_id=external_id)


def _looked_for(state: ClusterState, record: CreateLookedFor, policy: Policy, actor: str, now: datetime) -> ClusterState | Refused:
    c = state.cluster
    if c.phase not in {ClusterPhase.CREATING, ClusterPhase.AMBIGUOUS}:
        return Refused(code="not_creating", message=f"Cluster {c.name} is {c.phase.value}; nothing is to be looked for.")
    if record.external_id is not None:
        return _created(state, record.external_id, "Adopted by name after a lost reply", actor, now)
    empties = count_listing(c.empty_listings, c.last_listing_at, policy, now)
    counted = enter_cluster(
        state,
        ClusterPhase.AMBIGUOUS,
        "Its creator is gone or the reply was lost; looking for it by name.",
        actor=actor,
        now=now,
        empty_listings=empties,
        last_listing_at=now if empties > c.empty_listings else c.last_listing_at,
    )
    if record.may_repeat or may_send_again(sent_at=c.create_sent_at, empty_listings=empties, policy=policy, now=now):
        return enter_cluster(
            counted, ClusterPhase.INTENT, "It never arrived; it may be created again.", actor=actor, now=now, create_sent_at=None
        )
    return counted


def _observed(state: ClusterState, record: ClusterObserved, actor: str, now: datetime) -> ClusterState | Refused:
    c = state.cluster
    if c.external_id is None or c.phase.is_terminal:
        return Refused(code="not_observable", message=f"Cluster {c.name} is {c.phase.value}.")
    ended_by_us = c.phase is ClusterPhase.TERMINATING and c.failure_class is not None  # we know why; the backend says "by request"
    detail = merged(c.external_detail, record.external_detail)
    seen = replace(
        state,
        cluster=replace(
            c,
            observed_state=record.raw_state,
            observed_reason=c.observed_reason if ended_by_us else record.reason or None,
            observed_at=now,
            external_detail=detail,
        ),
    )
    klass = FailureClass(record.failure_class) if record.failure_class else None
    match record.state:
        case "starting":
            return seen
        case "ready":
            if c.phase is not ClusterPhase.STARTING:
                return seen
            return enter_cluster(seen, ClusterPhase.READY, "Ready.", actor=actor, now=now, healthy_since=now)
        case "terminating":
            message = f"Terminating: {record.reason}"
            return enter_cluster(seen, ClusterPhase.TERMINATING, message, actor=actor, now=now, failure_class=c.failure_class or klass)
        case "dead":
            klass = c.failure_class if ended_by_us else klass
            phase = ClusterPhase.FAILED if klass is FailureClass.USER else ClusterPhase.DEAD
            message = f"Ended: {record.reason_code} {record.reason}".strip()
            return enter_cluster(seen, phase, message, actor=actor, now=now, failure_class=klass)
        case _:
            assert_never(record.state)
