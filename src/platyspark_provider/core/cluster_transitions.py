"""How a recorded fact changes a cluster row; the same shape as `transitions`."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, assert_never

from platyspark_provider.core.app_state import Refused, count_listing, may_send_again, merged
from platyspark_provider.core.facts import ClusterDrainIntended, ClusterObserved, CreateEnded, CreateIntended, CreateLookedFor
from platyspark_provider.core.model import Cluster, Event
from platyspark_provider.core.records import Policy
from platyspark_provider.core.states import CLUSTER_ACCEPTS_WORK, ClusterDesired, ClusterPhase, FailureClass

ClusterRecord = CreateIntended | CreateEnded | CreateLookedFor | ClusterDrainIntended | ClusterObserved


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """The row one fact may touch, and the events it leads to.

    :param active: live applications on it; :param is_spare: its pool has more clusters than it is to keep.
    """

    cluster: Cluster
    events: tuple[Event, ...] = ()
    active: int = 0
    is_spare: bool = True


def apply_to_cluster(state: ClusterState, record: ClusterRecord, *, policy: Policy, actor: str, now: datetime) -> ClusterState | Refused:
    """Return the row after the fact, or why it can't be taken."""
    match record:
        case CreateIntended():
            return _intend(state, record, actor, now)
        case CreateEnded():
            return _create_ended(state, record, actor, now)
        case CreateLookedFor():
            return _looked_for(state, record, policy, actor, now)
        case ClusterDrainIntended():
            return _drain(state, record, actor, now)
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
    if c.desired is not ClusterDesired.UP:
        return Refused(code="not_wanted", message=f"Cluster {c.name} was called off.")
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
        case "throttled" | "unavailable" if state.cluster.desired is not ClusterDesired.UP:
            return _call_off(state, actor, now)
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


def _call_off(state: ClusterState, actor: str, now: datetime) -> ClusterState:
    return enter_cluster(state, ClusterPhase.DEAD, "Called off before it was created.", actor=actor, now=now, create_sent_at=None)


def _created(state: ClusterState, external_id: str | None, word: str, actor: str, now: datetime) -> ClusterState:
    if state.cluster.desired is not ClusterDesired.UP:
        message = f"{word}: {external_id}. Its end was asked for meanwhile."
        return enter_cluster(state, ClusterPhase.DRAINING, message, actor=actor, now=now, external_id=external_id)
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
        if c.desired is not ClusterDesired.UP:
            return _call_off(counted, actor, now)
        return enter_cluster(
            counted, ClusterPhase.INTENT, "It never arrived; it may be created again.", actor=actor, now=now, create_sent_at=None
        )
    return counted


def _drain(state: ClusterState, record: ClusterDrainIntended, actor: str, now: datetime) -> ClusterState | Refused:
    c = state.cluster
    refused = _refuse_drain(state, record)
    if refused is not None:
        return refused
    if c.phase is ClusterPhase.INTENT:
        return _call_off(state, actor, now)
    values: dict[str, Any] = {"observed_reason": record.reason}
    if c.desired is ClusterDesired.UP:
        values["desired"] = ClusterDesired.DRAINED
    if record.why == "late":
        values["failure_class"] = FailureClass.INFRASTRUCTURE
    return enter_cluster(state, ClusterPhase.DRAINING, f"Takes no more applications: {record.reason}", actor=actor, now=now, **values)


def _refuse_drain(state: ClusterState, record: ClusterDrainIntended) -> Refused | None:
    c = state.cluster
    match record.why:
        case "idle":
            fits = c.phase is ClusterPhase.READY and c.desired is ClusterDesired.UP
        case "late":
            fits = c.phase is ClusterPhase.STARTING
        case "asked":
            fits = c.desired is not ClusterDesired.UP and (c.phase in CLUSTER_ACCEPTS_WORK or c.phase is ClusterPhase.INTENT)
        case _:
            assert_never(record.why)
    if not fits:
        return Refused(
            code="not_drainable", message=f"Cluster {c.name} is {c.phase.value} ({c.desired.value}): not to be drained as {record.why}."
        )
    if record.why == "idle" and state.active:
        return Refused(code="in_use", message=f"Cluster {c.name} has {state.active} applications.")
    if record.why == "idle" and not state.is_spare:
        return Refused(code="kept", message=f"Cluster {c.name} is one of the {c.spec.pool_min} that its pool keeps.")
    return None


def _observed(state: ClusterState, record: ClusterObserved, actor: str, now: datetime) -> ClusterState | Refused:
    c = state.cluster
    if c.external_id is None or c.phase.is_terminal:
        return Refused(code="not_observable", message=f"Cluster {c.name} is {c.phase.value}.")
    klass = FailureClass(record.failure_class) if record.failure_class else None
    ended_by_us = klass in {None, FailureClass.EXTERNAL_KILL} and _is_ended_by_us(c)  # we know why; the backend says "by request"
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
    match record.state:
        case "starting":
            return seen
        case "ready":
            if c.phase is not ClusterPhase.STARTING:
                return seen
            return enter_cluster(seen, ClusterPhase.READY, "Ready.", actor=actor, now=now, healthy_since=now)
        case "terminating":
            message = f"Terminating: {record.reason}"
            return enter_cluster(
                seen,
                ClusterPhase.TERMINATING,
                message,
                actor=actor,
                now=now,
                failure_class=c.failure_class or (None if ended_by_us else klass),
            )
        case "dead":
            klass = c.failure_class if ended_by_us else klass
            phase = ClusterPhase.FAILED if klass is FailureClass.USER else ClusterPhase.DEAD
            message = f"Ended: {record.reason_code} {record.reason}".strip()
            return enter_cluster(seen, phase, message, actor=actor, now=now, failure_class=klass)
        case _:
            assert_never(record.state)


def _is_ended_by_us(cluster: Cluster) -> bool:
    if cluster.phase in {ClusterPhase.DRAINING, ClusterPhase.TERMINATING} and cluster.desired is not ClusterDesired.UP:
        return True
    return cluster.phase is ClusterPhase.TERMINATING and cluster.failure_class is not None
