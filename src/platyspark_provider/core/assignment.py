"""Which cluster an application's next run needs, and what changes when it gets one. Joining or inserting is the store's."""

from dataclasses import replace
from datetime import datetime

from platyspark_provider.core.app_state import AppState, Refused, event_of
from platyspark_provider.core.keys import cluster_key
from platyspark_provider.core.model import App, Attempt, Cluster, Event
from platyspark_provider.core.records import ClusterAssigned
from platyspark_provider.core.spec import content_hash, spec_hash
from platyspark_provider.core.states import AppPhase, ClusterDesired, ClusterPhase


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


def intended_cluster(app: App, attempt: Attempt, *, target_id: int, now: datetime) -> Cluster:
    """Return the row to insert when no cluster of the key is live; the store gives it its id and generation."""
    spec, key = attempt.spec.cluster, live_key_of(app, attempt)
    return Cluster(
        id=0,
        cluster_key=key,
        name=spec.name,
        environment=app.environment,
        target_id=target_id,
        spec_hash=spec_hash(spec),
        spec=spec,
        desired=ClusterDesired.UP,
        phase=ClusterPhase.INTENT,
        generation=0,
        created_at=now,
        updated_at=now,
        live_key=key,
    )


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
