"""One suite for every store: what a caller of the port may rely on."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from builders import make_app, make_attempt, make_cluster_spec, make_request, make_spec, make_target

from platyspark_provider.core.app_state import AppState, end, enter
from platyspark_provider.core.model import Condition, Event, Failure, Token
from platyspark_provider.core.records import (
    AppObserved,
    Claim,
    ClaimRequest,
    ClusterAssigned,
    ClusterObserved,
    CreateEnded,
    CreateIntended,
    LogLookedFor,
    Policy,
    SendEnded,
    SendIntended,
    Waiting,
)
from platyspark_provider.core.spec import request_hash
from platyspark_provider.core.states import AppPhase, ClusterPhase, FailureClass, LogState
from platyspark_provider.errors import InvalidRequest, NotFound, Superseded
from platyspark_provider.store.base import Known, Store, StoreFactory, Write


@pytest.fixture
def store(open_store: StoreFactory) -> Iterator[Store]:
    """Yield a store that knows the default target."""
    with open_store() as opened:
        opened.ensure_target(make_target())
        yield opened


def first(**values: Any) -> Callable[[Known | None, datetime], Write | None]:
    """Return a decision that begins generation 1 of a new key and leaves a known one alone."""
    phase = values.pop("phase", AppPhase.WAIT_CLUSTER)
    spec = values.pop("spec", make_spec())

    def decide(known: Known | None, now: datetime) -> Write | None:
        if known is not None:
            return None
        event = Event(object_kind="app", object_id=0, kind="app.new", message="Submitted.", actor="task:x", at=now, generation=1)
        app = make_app(id=0, phase=phase, created_at=now, updated_at=now, **values)
        return Write(app=app, attempt=make_attempt(app_id=0, phase=phase, spec=spec, created_at=now), events=(event,))

    return decide


def submit(store: Store, key: str = "k", **values: Any) -> Known:
    return store.submit_app("ads", key, first(**values))


def hold(store: Store, kind: Any, row_id: int, holder: str = "me") -> int:
    (claim,) = store.claim([ClaimRequest(kind=kind, id=row_id)], holder=holder, seconds=60)
    assert claim.epoch is not None
    return claim.epoch


def record(store: Store, *facts: Any, only_app: int | None = None, policy: Policy | None = None) -> Any:
    return store.record(list(facts), policy=policy or Policy(), actor="observer", only_app=only_app)


def test_submit_app_new_key_round_trips_every_value(store: Store) -> None:
    request = make_request(args=("--date", "2026-11-25"), conf={"spark.x": "1"}, tags={"a": "b"}, max_runtime_s=60)
    conditions = (Condition(type="Waiting", reason="files", message="Waits.", since=datetime(2026, 11, 25, 12, 0, 0, 123456, tzinfo=UTC)),)
    spec = make_spec(conf={"k": "v"}, uploads={"aa": "s3://b/aa"}, cluster=make_cluster_spec(configurations=({"Classification": "spark"},)))
    known = submit(store, request=request, conditions=conditions, spec=spec, deadline_at=datetime(2026, 11, 26, tzinfo=UTC))
    assert known.app.request == request
    assert known.app.request_hash == request_hash(request)
    assert known.app.conditions == conditions
    assert known.app.deadline_at == datetime(2026, 11, 26, tzinfo=UTC)
    assert known.current.spec == spec
    assert known.current == known.newest
    assert store.app_by_key("ads", "k") == known
    assert store.detail(known.app.id).attempt == known.current
