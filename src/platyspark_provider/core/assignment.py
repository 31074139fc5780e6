"""Which cluster an application's next run needs, and what changes when it gets one. Joining or inserting is the store's."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from platyspark_provider.core.app_state import AppState, Refused, end, event_of
from platyspark_provider.core.facts import ClusterAssigned
from platyspark_provider.core.keys import cluster_key
from platyspark_provider.core.model import App, Attempt, Cluster, Event, Failure
from platyspark_provider.core.spec import ClusterSpec, content_hash, spec_hash
from platyspark_provider.core.states import AppPhase, ClusterDesired, ClusterPhase, FailureClass

MAX_FAILED_STARTS = 3
FIRST_BACKOFF = timedelta(seconds=30)
THRASH_PAUSE = timedelta(minutes=15)
FORGET_AFTER = timedelta(hours=1)


def live_key_of(app: App, attempt: Attempt) -> str:
    """Return the key of the cluster that the attempt joins: shared by spec, but an application's own if it is dedicated."""
    key = cluster_key(app.environment, attempt.spec.cluster)
    return content_hash([key, "app", app.id]) if attempt.spec.cluster.dedicated else key


def refuse_assignment(state: AppState, record: ClusterAssigned) -> Refused | None:
    """Return why the application takes no cluster now; None if it does."""
    app, attempt = state.app, state.attempt
    if record.generation != app.generation:
        return Refused(code="other_generation", message=f"Generation {app.generation} is current, not {record.generation}.")
    if attempt.phase is not AppPhase.WAIT_CLUSTER:
        return Refused(code="not_waiting", message=f"The application is {attempt.phase.value}; it waits for no cluster.")
    if attempt.stop_requested_at is not None:
        return Refused(code="stop_requested", message=f"A stop was asked for: {attempt.stop_reason}.")
    return None


def failed_start(clusters: Iterable[Cluster], key: str, *, now: datetime) -> Cluster | None:
    """Return the key's newest incarnation that is over if it never became ready; None if it did, or failed long ago.

    One that ended without a fault or was never created (a refused call costs nothing) does not count as a failed start.
    """
    over = (c for c in clusters if c.cluster_key == key and c.live_key is None and c.external_id is not None)
    newest = max(over, key=lambda c: c.generation, default=None)
    if newest is None or newest.healthy_since is not None or newest.failure_class is None:
        return None
    return newest if now < _ended_at(newest) + FORGET_AFTER else None


def _ended_at(cluster: Cluster) -> datetime:
    return cluster.ended_at or cluster.updated_at


def is_thrashing(before: Cluster | None, *, now: datetime) -> bool:
    """Tell whether one more incarnation is refused for now: as many in a row as are tried never became ready."""
    return before is not None and before.restart_count + 1 >= MAX_FAILED_STARTS and now < _ended_at(before) + THRASH_PAUSE


def end_thrashing(state: AppState, before: Cluster, *, actor: str, now: datetime) -> AppState:
    """Return the state with the application failed, because its cluster is not created again for now."""
    why = before.observed_reason or before.observed_state or "no reason was given"
    message = (
        f"Cluster {before.name} was created {before.restart_count + 1} times and never became ready; the last one "
        f"({before.external_id}, generation {before.generation}) ended at {_ended_at(before):%H:%M:%S} UTC: {why}. "
        f"Mend that, or wait, and clear the task: it is created again after {_ended_at(before) + THRASH_PAUSE:%H:%M:%S} UTC."
    )
    failure = Failure(klass=FailureClass.THRASH, summary=message)
    return end(
        state,
        AppPhase.FAILED,
        message,
        actor=actor,
        now=now,
        failure=failure,
        failure_class=FailureClass.THRASH,
        death_proof="never sent",
    )


def slot_key(pool_key: str, slot: int) -> str:
    """Return the live key of one of a pool's clusters; the first holds the pool's own key."""
    return content_hash([pool_key, "slot", slot]) if slot else pool_key


def new_cluster(
    environment: str,
    spec: ClusterSpec,
    *,
    target_id: int,
    now: datetime,
    key: str | None = None,
    slot: int = 0,
    ensured_by: str | None = None,
) -> Cluster:
    """Return the row to insert for a cluster of a spec; the store gives it its id and generation.

    :param key: of the pool; None: that of the spec.
    :param slot: which of the pool's clusters it is.
    """
    pool = key or cluster_key(environment, spec)
    return Cluster(
        id=0,
        cluster_key=pool,
        name=spec.name,
        environment=environment,
        target_id=target_id,
        spec_hash=spec_hash(spec),
        spec=spec,
        desired=ClusterDesired.UP,
        phase=ClusterPhase.INTENT,
        generation=0,
        created_at=now,
        updated_at=now,
        live_key=slot_key(pool, slot),
        ensured_by=ensured_by,
    )


def after_failed_start(cluster: Cluster, before: Cluster | None, *, now: datetime) -> Cluster:
    """Return a new cluster's row with the pause that failed starts before it call for: doubled by each one in a row.

    :param before: the failed start that it follows, if any.
    """
    if before is None:
        return cluster
    failed = before.restart_count + 1
    later = _ended_at(before) + (THRASH_PAUSE if failed >= MAX_FAILED_STARTS else FIRST_BACKOFF * 2 ** (failed - 1))
    return replace(cluster, restart_count=failed, next_reconcile_at=later if later > now else None)


def intended_cluster(app: App, attempt: Attempt, *, target_id: int, now: datetime, before: Cluster | None = None, slot: int = 0) -> Cluster:
    """Return the row to insert for an application that no living cluster can take.

    :param before: the failed start that it follows: it is created only after a pause.
    """
    key = live_key_of(app, attempt)
    made = new_cluster(app.environment, attempt.spec.cluster, target_id=target_id, now=now, key=key, slot=slot)
    return after_failed_start(made, before, now=now)


def intended_event(cluster: Cluster, *, actor: str) -> Event:
    """Return the first line of a cluster's history."""
    return Event(
        object_kind="cluster",
        object_id=cluster.id,
        generation=cluster.generation,
        kind="cluster.intent",
        message=f"Generation {cluster.generation} of {cluster.name} is wanted.",
        actor=actor,
        at=cluster.created_at,
    )


def assign(state: AppState, cluster: Cluster, *, actor: str, now: datetime) -> AppState:
    """Return the state with the application on `cluster`; no event if it already was."""
    app = state.app
    if app.cluster_id == cluster.id:
        return replace(state, cluster=cluster)
    message = f"Goes to cluster {cluster.name}, generation {cluster.generation} ({cluster.phase.value})."
    line = event_of(app, state.attempt.generation, "app.cluster_assigned", message, actor=actor, now=now, cluster_id=cluster.id)
    placed = replace(app, cluster_id=cluster.id, conditions=(), updated_at=now, next_reconcile_at=None)
    return replace(state, app=placed, cluster=cluster, events=(*state.events, line))


def leave(state: AppState, *, actor: str, now: datetime) -> AppState:
    """Return the state with the application back in the queue; no event if it was there."""
    app, cluster = state.app, state.cluster
    if app.cluster_id is None:
        return state
    name = f"cluster {cluster.name} is {cluster.phase.value}" if cluster is not None else "its cluster is gone"
    line = event_of(app, state.attempt.generation, "app.queued", f"Waits for another cluster: {name}.", actor=actor, now=now)
    return replace(state, app=replace(app, cluster_id=None, conditions=(), updated_at=now), cluster=None, events=(*state.events, line))
