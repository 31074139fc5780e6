"""One suite for every store: which applications a task instance owns, and which ones tasks wait for."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from platyspark_provider.core.app_state import AppState
from platyspark_provider.core.records import Awaited, TaskKey
from platyspark_provider.core.states import AppPhase
from platyspark_provider.store.base import Known, Store, StoreFactory, Write
from tests.builders import make_app, make_attempt, make_target
from tests.store_steps import move

THEN = datetime(2026, 1, 1, tzinfo=UTC)


def add(store: Store, key: str, **values: object) -> int:
    """Submit an application under a key and return its id."""

    def decide(_known: Known | None, now: datetime) -> Write:
        app = make_app(id=0, updated_at=now, **values)
        return Write(app=app, attempt=make_attempt(app_id=0))

    return store.submit_app("task", key, decide).app.id


def test_apps_of_task_are_those_of_its_run_and_index_newest_first(open_store: StoreFactory) -> None:
    with open_store() as store:
        one = add(store, "a")
        add(store, "b", run_id="other")
        add(store, "c", map_index=3)
        add(store, "d", task_id="other")
        add(store, "e", dag_id="other")
        two = add(store, "f")
        assert {app.id for app in store.apps_of_task("dag", "task", "run", -1)} == {one, two}
        assert [app.map_index for app in store.apps_of_task("dag", "task", "run", 3)] == [3]
        assert store.apps_of_task("dag", "task", "run", 7) == ()
        newest = store.apps_of_task("dag", "task", "run", -1)
        assert [app.updated_at for app in newest] == sorted((app.updated_at for app in newest), reverse=True)
        assert newest[0].id == two


def test_awaited_names_owner_and_place_of_each_live_application(open_store: StoreFactory) -> None:
    with open_store() as store:
        one = add(store, "a", phase=AppPhase.RUNNING)
        two = add(store, "b", map_index=3, owner_ti_id="ti-2")
        place = {"dag_id": "dag", "task_id": "task", "run_id": "run"}
        assert store.awaited() == (
            Awaited(app_id=one, generation=1, owner_ti_id="ti-1", task=TaskKey(**place, map_index=-1)),
            Awaited(app_id=two, generation=1, owner_ti_id="ti-2", task=TaskKey(**place, map_index=3)),
        )


@pytest.mark.parametrize(
    ("phase", "attempt", "is_awaited"),
    [
        (AppPhase.RUNNING, {}, True),
        (AppPhase.CANCELLING, {"stop_requested_at": THEN, "stop_actor": "backend"}, True),
        (AppPhase.CANCELLING, {"stop_requested_at": THEN, "stop_actor": "task:x"}, False),
        (AppPhase.RUNNING, {"acknowledged_at": THEN}, False),
        (AppPhase.SUCCEEDED, {}, False),
    ],
)
def test_awaited_leaves_out_what_ended_was_taken_or_is_stopping(
    open_store: StoreFactory, phase: AppPhase, attempt: dict[str, object], is_awaited: bool
) -> None:
    with open_store() as store:
        store.ensure_target(make_target())
        move(store, add(store, "a"), phase, **attempt)
        assert bool(store.awaited()) is is_awaited


def test_awaited_of_an_application_without_a_task_is_nothing(open_store: StoreFactory) -> None:
    with open_store() as store:
        add(store, "a", dag_id=None, task_id=None, run_id=None, owner_ti_id=None)
        assert store.awaited() == ()


def test_awaited_goes_by_the_generation_that_follows(open_store: StoreFactory) -> None:
    def replacing(known: Known | None, _now: datetime) -> Write:
        assert known is not None
        stopping = replace(known.current, stop_requested_at=THEN, stop_actor="task:x")
        following = make_attempt(app_id=known.app.id, generation=2)
        return Write(app=replace(known.app, wanted_generation=2), attempt=following, current=stopping)

    def take(state: AppState, _now: datetime) -> AppState:
        assert state.wanted is not None
        return replace(state, wanted=replace(state.wanted, acknowledged_at=THEN))

    with open_store() as store:
        app_id = add(store, "a", phase=AppPhase.RUNNING)
        store.submit_app("task", "a", replacing)
        assert [(one.app_id, one.generation) for one in store.awaited()] == [(app_id, 2)]
        store.change_app(app_id, 2, take)
        assert store.awaited() == ()
