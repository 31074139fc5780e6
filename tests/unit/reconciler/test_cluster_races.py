"""Passes that hang while others join, drain and terminate: what they have read counts only as far as the rows still say so."""

import pytest

from platyspark_provider.core.states import AppPhase, ClusterDesired
from platyspark_provider.reconciler.advance import advance
from platyspark_provider.reconciler.passes import run_pass
from tests.desks import Desk, Paused, desk_with


def join(desk: Desk, number: int) -> None:
    """Let the task of a run take its fast path."""
    (app,) = desk.store.apps_of_task("daily", "agg", f"many-{number}", -1)
    advance(desk.registry, desk.backends, app_id=app.id, ti_id=str(app.owner_ti_id), holder="w", clock=desk.clock)


def idle_desk() -> Desk:
    """Return a desk with a ready cluster that is idle for longer than it may be."""
    desk = desk_with(idle_timeout=60)
    desk.submit_many(1)
    desk.pass_once()
    desk.pass_once()
    desk.finish_running()
    desk.pass_once()
    desk.clock.advance(61.0)
    return desk


@pytest.mark.parametrize("before", range(2, 8))
def test_pass_that_hangs_while_someone_joins_does_not_drain_the_cluster_under_it(before: int) -> None:
    desk = idle_desk()

    def submit_and_join() -> None:
        desk.submit_many(1, first=2)
        join(desk, 2)

    run_pass(Paused(desk.registry, before, submit_and_join), desk.backends, holder="a", clock=desk.clock)
    for _ in range(3):
        desk.pass_once()
    (app,) = desk.store.apps_of_task("daily", "agg", "many-2", -1)
    attempt = desk.detail(app.id).attempt
    assert (attempt.phase, attempt.sends) == (AppPhase.RUNNING, 1)
    joined = [e.detail["cluster_id"] for e in desk.store.events(object_kind="app", object_id=app.id) if e.kind == "app.cluster_assigned"]
    assert joined == [1] if desk.backend.calls["terminate_cluster"] == 0 else joined == [2]


@pytest.mark.parametrize("before", range(2, 9))
def test_pass_that_hangs_while_someone_joins_and_a_person_terminates_waits_for_the_applications_end(before: int) -> None:
    """What it had read says that nothing is on the cluster; by now something is, which is only being stopped."""
    desk = idle_desk()
    desk.backend.drivers_end_at_stage = 2
    (app_id,) = desk.submit_many(1, first=2)

    def join_and_terminate() -> None:
        join(desk, 2)
        desk.wish(desk.only_cluster().id, ClusterDesired.DOWN)

    run_pass(Paused(desk.registry, before, join_and_terminate), desk.backends, holder="a", clock=desk.clock)
    events = [(e.object_kind, e.object_id, e.kind) for e in desk.store.events()]
    assert ("cluster", 1, "cluster.terminating") not in events or not any(a.id == app_id for a in desk.store.apps_on(1))
    for _ in range(4):
        desk.clock.advance(61.0)
        desk.pass_once()
    assert ("cluster", 1, "cluster.dead") in [(e.object_kind, e.object_id, e.kind) for e in desk.store.events()]


@pytest.mark.parametrize("before", range(2, 9))
def test_pass_that_hangs_while_a_person_drains_sends_nothing_to_that_cluster(before: int) -> None:
    desk = idle_desk()
    (app_id,) = desk.submit_many(1, first=2)
    wish = Paused(desk.registry, before, lambda: desk.wish(desk.only_cluster().id, ClusterDesired.DRAINED))
    run_pass(wish, desk.backends, holder="a", clock=desk.clock)
    kinds = [(e.object_id, e.kind) for e in desk.store.events() if e.kind in {"app.sending", "cluster.draining"}]
    assert (1, "cluster.draining") in kinds
    sent_before = (app_id, "app.sending") in kinds[: kinds.index((1, "cluster.draining"))]
    for _ in range(3):
        desk.pass_once()
    attempt = desk.detail(app_id).attempt
    assert (attempt.phase, attempt.sends, attempt.cluster_id) == (AppPhase.RUNNING, 1, 1 if sent_before else 2)
