"""What both stores do alike around a decision: checks and small computations on values, no I/O."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from platyspark_provider.core.model import App, Attempt, Cluster, Condition, Event, Target, Token
from platyspark_provider.core.records import AppBrief, AppDetail, Awaited, Policy, QueuePlace, TaskKey
from platyspark_provider.core.states import AppPhase, ClusterPhase
from platyspark_provider.errors import InvalidRequest, NotFound, Superseded

KEY_CHARS = 1000
"""Longest app key; an index entry of PostgreSQL holds 2,700 bytes."""

UNTAKEN_FOR = timedelta(days=7)
"""How long an end that no task takes stays in the snapshot; a task that waits longer asks for its application itself."""

DUE_OF_A_QUEUE = 256
"""How many of those that wait for a pool are handed out as work, first come first: nothing can be done for the others."""


def check_key(app_key: str) -> None:
    """Raise InvalidRequest for a key that can't be stored."""
    if not app_key or len(app_key) > KEY_CHARS:
        raise InvalidRequest(f"An app key has 1 to {KEY_CHARS} characters; this one has {len(app_key)}.")


def may_overwrite(attempt: Attempt) -> None:
    """Raise Superseded for an attempt that has begun: its frozen spec may already run."""
    if attempt.sends or attempt.phase.is_terminal:
        raise Superseded(f"Generation {attempt.generation} of application {attempt.app_id} has begun and can't be overwritten.")


def needs_slot(old: App | None, new: App) -> bool:
    """Tell whether an application becomes live and so needs a slot among its task's live ones."""
    return not new.phase.is_terminal and (old is None or old.phase.is_terminal)


def smallest_free(taken: Collection[int]) -> int:
    """Return the smallest number from 0 that is not taken."""
    return next(n for n in range(len(taken) + 1) if n not in taken)


def events_for(app_id: int, events: Sequence[Event]) -> list[Event]:
    """Return the events with the id of their application."""
    return [replace(e, object_id=app_id) if e.object_kind == "app" else e for e in events]


def is_live_token(token: Token, now: datetime) -> bool:
    """Tell whether a token still opens anything."""
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now)


def full_teams(teams: Mapping[str, int], policy: Policy) -> frozenset[str]:
    """Return the teams that have as many applications on clusters as they may."""
    limits = {team: policy.max_apps_of(team) for team in {*teams, *policy.team_max_apps} - {""}}
    return frozenset(team for team, limit in limits.items() if limit is not None and teams.get(team, 0) >= limit)


def needs_nobody(cluster: Cluster) -> bool:
    """Tell whether a cluster has open work without an application: there may be machines, or somebody wants it by itself."""
    may_be_there = cluster.phase in {ClusterPhase.CREATING, ClusterPhase.AMBIGUOUS}
    return cluster.external_id is not None or may_be_there or cluster.ensured_by is not None


def may_wait(app: App, attempt: Attempt) -> bool:
    """Tell whether a generation may have a reason to wait that is told."""
    return app.generation == attempt.generation and attempt.phase in {AppPhase.WAIT_CLUSTER, AppPhase.PENDING}


def note_of(conditions: Sequence[Condition], place: QueuePlace | None) -> str:
    """Return what is to be said of an application: what its executor found out, else why it waits."""
    if conditions:
        return conditions[0].message
    return place.message if place else ""


def brief_of(app: App, attempt: Attempt, place: QueuePlace | None) -> AppBrief:
    """Return an application's line of the snapshot."""
    return AppBrief(
        app_id=app.id,
        generation=app.generation,
        wanted_generation=app.wanted_generation,
        phase=app.phase,
        log_state=attempt.log_state,
        ended_at=attempt.ended_at,
        note=note_of(app.conditions, place),
    )


def awaited_of(app: App, newest: Attempt) -> Awaited | None:
    """Return what the task of a live application is to take the end of; None when it took it, or a stop was asked for."""
    is_stopping = newest.stop_requested_at is not None and newest.stop_actor != "backend"
    if app.phase.is_terminal or app.owner_ti_id is None or newest.acknowledged_at is not None or is_stopping:
        return None
    place = TaskKey(dag_id=str(app.dag_id), task_id=str(app.task_id), run_id=str(app.run_id), map_index=app.map_index)
    return Awaited(app_id=app.id, generation=newest.generation, owner_ti_id=app.owner_ti_id, task=place)


def detail_of(
    app: App,
    attempt: Attempt | None,
    generation: int | None,
    cluster: Callable[[int], Cluster | None],
    target: Callable[[str], Target | None],
) -> AppDetail:
    """Return an application with an attempt, that attempt's cluster and its target; raises NotFound."""
    if attempt is None:
        raise NotFound(f"Application {app.id} has no generation {generation}.")
    cluster_id = app.cluster_id if attempt.generation == app.generation else attempt.cluster_id
    found = target(attempt.spec.cluster.target)
    if found is None:
        raise NotFound(f"There is no target {attempt.spec.cluster.target!r} any more.")
    return AppDetail(app=app, attempt=attempt, cluster=None if cluster_id is None else cluster(cluster_id), target=found)
