"""Short ways to bring a store into a state: submit, claim, record, move."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from platyspark_provider.core.app_state import AppState, in_queue
from platyspark_provider.core.facts import ClusterAssigned, CreateEnded, CreateIntended, Record
from platyspark_provider.core.model import Cluster, Event
from platyspark_provider.core.records import ClaimRequest, Policy, RecordAnswer
from platyspark_provider.core.states import AppPhase
from platyspark_provider.store.base import Known, Store, Write
from tests.builders import make_app, make_attempt, make_spec

Decide = Callable[[Known | None, datetime], Write | None]


def first(**values: Any) -> Decide:
    """Return a decision that begins generation 1 of a new key and leaves a known one alone; `values` go to the app."""
    phase = values.pop("phase", AppPhase.WAIT_CLUSTER)
    spec = values.pop("spec", make_spec())

    def decide(known: Known | None, now: datetime) -> Write | None:
        if known is not None:
            return None
        event = Event(object_kind="app", object_id=0, kind="app.new", message="Submitted.", actor="task:x", at=now, generation=1)
        app = make_app(**{"id": 0, "phase": phase, "created_at": now, "updated_at": now, **values})
        attempt = make_attempt(app_id=0, phase=phase, spec=spec, created_at=now)
        queued = app if "queued_at" in values else in_queue(app, attempt, since=now)
        return Write(app=queued, attempt=attempt, events=(event,))

    return decide


def submit(store: Store, key: str = "k", **values: Any) -> Known:
    """Submit a new application under a key."""
    return store.submit_app("ads", key, first(**values))


def hold(store: Store, kind: Literal["app", "cluster"], row_id: int, holder: str = "me") -> int:
    """Claim a row for a minute and return the epoch."""
    (claim,) = store.claim([ClaimRequest(kind=kind, id=row_id)], holder=holder, seconds=60)
    assert claim.epoch is not None
    return claim.epoch


def record(store: Store, *facts: Record, only_app: int | None = None, policy: Policy | None = None) -> tuple[RecordAnswer, ...]:
    """Record facts as the observer."""
    return store.record(facts, policy=policy or Policy(), actor="observer", only_app=only_app)


def move(store: Store, app_id: int, phase: AppPhase, **attempt: Any) -> AppState:
    """Put the current generation into a phase, whatever it was."""

    def decide(state: AppState, now: datetime) -> AppState:
        return replace(
            state,
            app=replace(state.app, phase=phase, updated_at=now),
            attempt=replace(state.attempt, phase=phase, **attempt),
        )

    return store.change_app(app_id, store.detail(app_id).app.generation, decide)


def on_cluster(store: Store, app_id: int, epoch: int) -> Cluster:
    """Give a claimed, waiting application its cluster."""
    (answer,) = record(store, ClusterAssigned(app_id=app_id, generation=1, epoch=epoch))
    assert answer.cluster is not None, answer
    return answer.cluster


def started(store: Store, cluster: Cluster, external_id: str = "j-1") -> int:
    """Create a cluster and return the epoch of the claim."""
    epoch = hold(store, "cluster", cluster.id)
    answers = record(
        store,
        CreateIntended(cluster_id=cluster.id, epoch=epoch, nonce="n"),
        CreateEnded(cluster_id=cluster.id, epoch=epoch, result="created", external_id=external_id),
    )
    assert all(a.accepted for a in answers), answers
    return epoch
