"""One pool seen by passes: filled in order, drained when idle, ended as asked, replaced when it dies."""

import pytest

from platyspark_provider.core.states import AppPhase, ClusterDesired, ClusterPhase, FailureClass
from platyspark_provider.reconciler.advance import advance
from platyspark_provider.testing import Fault
from tests.builders import make_request
from tests.desks import TI, Desk, desk_with


def test_queue_on_one_cluster_runs_in_order_and_never_more_than_it_takes() -> None:
    desk = desk_with(step_concurrency=3)
    ids = desk.submit_many(20)
    ended: list[str] = []
    for _ in range(30):
        desk.pass_once()
        desk.pass_once()
        assert sum(r.ended_at is None for r in desk.backend.runs.values()) <= 3
        ended += desk.finish_running(2)
        desk.clock.advance(10.0)
    assert set(desk.phases(ids)) == {AppPhase.SUCCEEDED}
    assert ended == [desk.run_name(i) for i in ids]
    assert len(desk.backend.clusters) == 1


def test_pool_of_two_takes_a_second_cluster_when_the_first_is_full_and_gives_it_back() -> None:
    desk = desk_with(step_concurrency=2, pool={"max": 2}, idle_timeout=60)
    ids = desk.submit_many(5)
    for _ in range(3):
        desk.pass_once()
    assert len(desk.backend.clusters) == 2
    assert desk.phases(ids) == [AppPhase.RUNNING] * 4 + [AppPhase.WAIT_CLUSTER]
    place = desk.detail(ids[4]).place
    assert place is not None
    assert place.message == "1st of 1: the 2 clusters of shared have 4 of 4 steps running"
    for _ in range(4):
        desk.finish_running()
        desk.pass_once()
        desk.pass_once()
    desk.clock.advance(60.0)
    desk.pass_once()
    desk.pass_once()
    assert {c.phase for c in desk.store.clusters(live_only=False)} == {ClusterPhase.DEAD}
    assert desk.backend.calls["terminate_cluster"] == 2


def test_priority_goes_first_and_age_wins_in_the_end() -> None:
    desk = Desk(
        document={
            "profiles": {
                "shared": {"step_concurrency": 1},
                "urgent": {"extends": "shared", "cluster": "shared", "priority": 80},
            }
        }
    )
    (holder,) = desk.submit_many(1)
    desk.pass_once()
    waiting = desk.submit_many(2, first=2)
    (urgent,) = desk.submit_many(1, first=4, cluster="urgent")
    desk.clock.advance(31 * 60)
    (late,) = desk.submit_many(1, first=5, cluster="urgent")
    order = []
    for _ in range(5):
        desk.pass_once()
        desk.pass_once()
        order += desk.finish_running()
    assert order == [desk.run_name(i) for i in (holder, urgent, *waiting, late)]


def test_fast_path_of_one_task_does_not_overtake_the_queue() -> None:
    desk = desk_with(step_concurrency=1)
    ids = desk.submit_many(2)
    ti = f"{2:08d}-2222-7222-8222-222222222222"
    detail, report = advance(desk.registry, desk.backends, app_id=ids[1], ti_id=ti, holder="w", clock=desk.clock)
    assert detail.app.cluster_id is None
    assert detail.place is not None
    assert detail.place.message == "2nd of 2: cluster shared is about to be created for those ahead of it"
    assert (desk.backend.calls["create_cluster"], report.errors) == (0, 0)


def test_idle_cluster_is_drained_looked_at_and_terminated_once() -> None:
    desk = desk_with(idle_timeout="10m")
    ids = desk.submit_many(1)
    desk.pass_once()
    desk.pass_once()
    desk.clock.advance(3600.0)
    desk.pass_once()
    desk.finish_running()
    desk.pass_once()
    desk.clock.advance(599.0)
    desk.pass_once()
    assert desk.only_cluster().phase is ClusterPhase.READY
    desk.clock.advance(1.0)
    report = desk.pass_once()
    assert [line for line in report.done if line.startswith("drained")] == ["drained cluster shared (c-1): idle for 0:10:00 (idle_timeout)"]
    assert desk.only_cluster().phase is ClusterPhase.TERMINATING
    desk.pass_once()
    (cluster,) = desk.store.clusters(live_only=False)
    assert (cluster.phase, cluster.failure_class, desk.backend.calls["terminate_cluster"]) == (ClusterPhase.DEAD, None, 1)
    kinds = [e.kind for e in desk.store.events(object_kind="cluster")]
    assert kinds[-3:] == ["cluster.draining", "cluster.terminating", "cluster.dead"]
    assert desk.phases(ids) == [AppPhase.SUCCEEDED]


def test_idle_cluster_that_somebody_else_uses_is_not_drained() -> None:
    desk = desk_with(idle_timeout=60)
    desk.submit_many(1)
    desk.pass_once()
    desk.pass_once()
    desk.finish_running()
    desk.pass_once()
    desk.backend.foreign["c-1"] = "YARN's application_1_7 still run there"
    desk.clock.advance(61.0)
    report = desk.pass_once()
    assert any("application_1_7" in line for line in report.skipped)
    assert desk.only_cluster().phase is ClusterPhase.READY
    desk.backend.foreign.clear()
    desk.pass_once()
    assert desk.only_cluster().phase is ClusterPhase.TERMINATING


def test_idle_cluster_with_someone_in_the_queue_is_joined_and_not_drained() -> None:
    desk = desk_with(idle_timeout=60)
    desk.submit_many(1)
    desk.pass_once()
    desk.pass_once()
    desk.finish_running()
    desk.pass_once()
    desk.clock.advance(3600.0)
    (late,) = desk.submit_many(1, first=2)
    desk.pass_once()
    desk.pass_once()
    assert desk.phases([late]) == [AppPhase.RUNNING]
    assert (len(desk.backend.clusters), desk.backend.calls["terminate_cluster"]) == (1, 0)


@pytest.mark.parametrize("operation", ["busy", "terminate_cluster"])
@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.THROTTLE, Fault.LOSE_AFTER, Fault.LOSE_BEFORE])
def test_drain_that_breaks_off_is_continued_by_the_next_pass(operation: str, fault: Fault) -> None:
    desk = desk_with(idle_timeout=60)
    desk.submit_many(1)
    desk.pass_once()
    desk.pass_once()
    desk.finish_running()
    desk.pass_once()
    desk.clock.advance(61.0)
    desk.backend.fail(operation, fault)
    desk.pass_once()
    desk.pass_once()
    desk.pass_once()
    assert desk.store.clusters() == ()
    assert desk.backend.clusters["c-1"].dead_at is not None


def test_drained_cluster_ends_with_its_last_application_and_new_ones_go_elsewhere() -> None:
    desk = desk_with()
    (old,) = desk.submit_many(1)
    desk.pass_once()
    desk.pass_once()
    desk.wish(desk.only_cluster().id, ClusterDesired.DRAINED)
    (new,) = desk.submit_many(1, first=2)
    for _ in range(3):
        desk.pass_once()
    assert desk.phases([old, new]) == [AppPhase.RUNNING] * 2
    assert [c.dead_at is None for c in desk.backend.clusters.values()] == [True, True]
    desk.backend.finish(desk.run_name(old))
    for _ in range(3):
        desk.pass_once()
    assert [c.dead_at is None for c in desk.backend.clusters.values()] == [False, True]
    assert desk.phases([old, new]) == [AppPhase.SUCCEEDED, AppPhase.RUNNING]


def test_terminated_cluster_ends_when_its_applications_were_stopped_or_no_means_is_left() -> None:
    desk = desk_with()
    (app_id,) = desk.submit_many(1)
    desk.pass_once()
    desk.pass_once()
    desk.backend.drivers_end_at_stage, desk.backend.death_is_provable = None, False
    desk.wish(desk.only_cluster().id, ClusterDesired.DOWN)
    for _ in range(3):
        desk.pass_once()
        desk.clock.advance(61.0)
    assert (desk.phases([app_id]), desk.backend.clusters["c-1"].dead_at) == ([AppPhase.CANCELLING], None)
    for _ in range(3):
        desk.pass_once()
        desk.clock.advance(61.0)
    attempt = desk.detail(app_id).attempt
    assert (attempt.phase, attempt.death_proof) == (AppPhase.STOPPED, "cluster terminated")
    (cluster,) = desk.store.clusters(live_only=False)
    assert (cluster.phase, cluster.failure_class) == (ClusterPhase.DEAD, None)


def test_cluster_that_is_drained_while_its_create_call_is_lost_ends_once_it_is_found() -> None:
    desk = desk_with()
    (app_id,) = desk.submit_many(1)
    desk.backend.fail("create_cluster", Fault.LOSE_AFTER)
    desk.pass_once()
    desk.wish(desk.only_cluster().id, ClusterDesired.DRAINED)
    for _ in range(3):
        desk.pass_once()
    assert [c.dead_at is None for c in desk.backend.clusters.values()] == [False, True]
    attempt = desk.detail(app_id).attempt
    assert (attempt.phase, attempt.sends) == (AppPhase.RUNNING, 1)


def test_cluster_that_is_terminated_while_its_create_call_is_lost_ends_without_an_application() -> None:
    desk = desk_with()
    (app_id,) = desk.submit_many(1)
    desk.backend.fail("create_cluster", Fault.LOSE_AFTER)
    desk.pass_once()
    desk.wish(desk.only_cluster().id, ClusterDesired.DOWN)
    assert desk.detail(app_id).attempt.phase is AppPhase.STOPPED
    for _ in range(3):
        desk.pass_once()
    assert [c.dead_at is None for c in desk.backend.clusters.values()] == [False]
    assert desk.store.clusters() == ()


def test_master_lost_under_running_and_pending_ones_leads_to_one_new_cluster() -> None:
    """Pending ones are sent again, the same generation and free; running ones fail by the cluster's class."""
    desk = desk_with(step_concurrency=5, queue_ahead=5)
    ids = desk.submit_many(10)
    for _ in range(3):
        desk.pass_once()
    assert desk.phases(ids) == [AppPhase.RUNNING] * 5 + [AppPhase.PENDING] * 5
    desk.backend.end_cluster("c-1", reason_code="MASTER_FAILURE", failure_class="infrastructure")
    for _ in range(4):
        desk.pass_once()
    assert desk.phases(ids) == [AppPhase.FAILED] * 5 + [AppPhase.RUNNING] * 5
    assert {desk.detail(i).attempt.failure_class for i in ids[:5]} == {FailureClass.INFRASTRUCTURE}
    assert {(desk.detail(i).app.generation, desk.detail(i).attempt.sends) for i in ids[5:]} == {(1, 2)}
    assert len(desk.backend.clusters) == 2
    assert [c.generation for c in desk.store.clusters(live_only=False)] == [2, 1]


def test_start_deadline_passes_under_pending_and_waiting_ones_and_all_go_to_one_new_cluster() -> None:
    desk = desk_with(step_concurrency=2)
    desk.backend.ready_after_s = 1e9
    ids = desk.submit_many(4)
    desk.pass_once()
    desk.pass_once()
    assert desk.phases(ids) == [AppPhase.PENDING] * 2 + [AppPhase.WAIT_CLUSTER] * 2
    desk.clock.advance(1500.0)
    desk.pass_once()
    desk.backend.ready_after_s = 0.0
    for _ in range(4):
        desk.clock.advance(31.0)
        desk.pass_once()
    assert sorted(desk.phases(ids)) == [AppPhase.RUNNING] * 2 + [AppPhase.WAIT_CLUSTER] * 2
    assert (len(desk.backend.clusters), desk.backend.calls["terminate_cluster"]) == (2, 1)
    assert {desk.detail(i).app.generation for i in ids} == {1}


def test_quota_of_a_team_holds_over_passes_and_is_told() -> None:
    desk = Desk(document={"profiles": {"shared": {"team": "ads"}}, "policies": {"teams": {"ads": {"max_apps": 1}}}})
    ids = desk.submit_many(2)
    for _ in range(3):
        desk.pass_once()
    assert desk.phases(ids) == [AppPhase.RUNNING, AppPhase.WAIT_CLUSTER]
    notes = {b.app_id: b.note for b in desk.registry.snapshot().apps}
    assert notes[ids[1]] == "1st of 1: team ads has 1 of 1 applications running"
    desk.finish_running()
    for _ in range(3):
        desk.pass_once()
    assert desk.phases(ids)[1] is AppPhase.RUNNING


def test_reason_is_right_at_every_moment_of_a_wait() -> None:
    desk = desk_with(step_concurrency=1)
    desk.backend.ready_after_s = 60.0
    first, second = desk.submit_many(2)

    def note() -> str:
        return next(b.note for b in desk.registry.snapshot().apps if b.app_id == second)

    notes = [note()]
    desk.pass_once()
    desk.clock.advance(30.0)
    desk.pass_once()
    notes.append(note())
    desk.clock.advance(30.0)
    desk.pass_once()
    notes.append(note())
    desk.finish_running()
    desk.pass_once()
    notes.append(note())
    assert notes == [
        "2nd of 2: cluster shared is about to be created for those ahead of it",
        "1st of 1: cluster shared is starting (created 30 s ago), and 1 of 1 places on it are taken",
        "1st of 1: cluster shared has 1 of 1 steps running",
        "",
    ]
    assert desk.phases([first, second]) == [AppPhase.SUCCEEDED, AppPhase.PENDING]


def test_task_alone_ends_no_shared_cluster() -> None:
    desk = desk_with(idle_timeout=60)
    app_id = desk.registry.submit(make_request(), ti_id=TI).app.id
    desk.backend.ready_after_s = 1e9
    desk.pass_once()
    desk.clock.advance(1500.0)
    advance(desk.registry, desk.backends, app_id=app_id, ti_id=TI, holder="w", clock=desk.clock)
    advance(desk.registry, desk.backends, app_id=app_id, ti_id=TI, holder="w", clock=desk.clock)
    assert desk.backend.calls["terminate_cluster"] == 0
