"""A cluster that never becomes ready: tried again with pauses, a few times, and then its applications say why they can't run."""

from datetime import timedelta

import pytest

from platyspark_provider.core.assignment import MAX_FAILED_STARTS, THRASH_PAUSE
from platyspark_provider.core.ports import Launch
from platyspark_provider.core.states import AppPhase, ClusterPhase, FailureClass
from platyspark_provider.testing import Fault
from tests.builders import make_request
from tests.desks import TI, Desk


@pytest.fixture
def desk() -> Desk:
    """Return a desk whose clusters never become ready by themselves."""
    desk = Desk()
    desk.backend.ready_after_s = 1e9
    return desk


def submit(desk: Desk, ti_id: str = TI) -> int:
    return desk.registry.submit(make_request(), ti_id=ti_id).app.id


def end_newest(desk: Desk, failure_class: str = "infrastructure", reason: str = "BOOTSTRAP_FAILURE") -> None:
    desk.backend.end_cluster(list(desk.backend.clusters)[-1], reason_code=reason, failure_class=failure_class)


def fail_starts(desk: Desk, rounds: int) -> None:
    """Let each cluster that is created die before it is ready, and the observer pass every ten seconds."""
    for _ in range(rounds):
        desk.pass_once()
        end_newest(desk)
        desk.clock.advance(10.0)


def test_cluster_that_can_never_start_by_its_owners_fault_fails_its_run_at_once(desk: Desk) -> None:
    app_id = submit(desk)
    desk.pass_once()
    end_newest(desk, "user", "VALIDATION_ERROR")
    desk.pass_once()
    attempt = desk.detail(app_id).attempt
    assert (attempt.phase, attempt.failure_class) == (AppPhase.FAILED, FailureClass.USER)
    assert attempt.failure is not None
    assert "can't be started" in attempt.failure.summary
    assert len(desk.backend.clusters) == 1


def test_cluster_that_dies_while_starting_is_created_again_only_after_a_pause(desk: Desk) -> None:
    app_id = submit(desk)
    desk.pass_once()
    end_newest(desk)
    desk.pass_once()
    desk.clock.advance(20.0)
    desk.pass_once()
    assert len(desk.backend.clusters) == 1
    detail = desk.detail(app_id)
    assert detail.cluster is not None
    assert (detail.attempt.phase, detail.cluster.phase, detail.cluster.restart_count) == (AppPhase.WAIT_CLUSTER, ClusterPhase.INTENT, 1)
    assert detail.place is not None
    assert "never became ready" in detail.place.message
    desk.clock.advance(11.0)
    desk.pass_once()
    assert len(desk.backend.clusters) == 2


def test_clusters_that_die_while_starting_are_not_created_for_ever(desk: Desk) -> None:
    app_id = submit(desk)
    fail_starts(desk, 60)
    attempt = desk.detail(app_id).attempt
    assert len(desk.backend.clusters) == MAX_FAILED_STARTS
    assert (attempt.phase, attempt.failure_class, attempt.death_proof) == (AppPhase.FAILED, FailureClass.THRASH, "never sent")
    assert attempt.failure is not None
    assert "was created 3 times and never became ready" in attempt.failure.summary


def test_next_application_of_a_thrashing_cluster_fails_until_the_pause_is_over_and_then_gets_one_trial(desk: Desk) -> None:
    submit(desk)
    fail_starts(desk, 60)
    desk.add_task("22222222-2222-7222-8222-222222222222", run_id="run-2")
    second = submit(desk, "22222222-2222-7222-8222-222222222222")
    desk.pass_once()
    assert desk.detail(second).attempt.failure_class is FailureClass.THRASH
    desk.clock.advance(THRASH_PAUSE / timedelta(seconds=1))
    desk.add_task("33333333-3333-7333-8333-333333333333", run_id="run-3")
    third = submit(desk, "33333333-3333-7333-8333-333333333333")
    fail_starts(desk, 60)
    assert len(desk.backend.clusters) == MAX_FAILED_STARTS + 1
    assert desk.detail(third).attempt.failure_class is FailureClass.THRASH


def test_cluster_that_became_ready_resets_the_count(desk: Desk) -> None:
    submit(desk)
    for _ in range(6):
        desk.pass_once()
        desk.backend.ready_after_s = 0.0
        desk.backend.start_after_s = 1e9
        desk.pass_once()
        end_newest(desk)
        desk.pass_once()
        desk.backend.ready_after_s = 1e9
    assert len(desk.backend.clusters) > MAX_FAILED_STARTS
    assert {c.restart_count for c in desk.store.clusters(live_only=False)} == {0}


def test_cluster_that_takes_too_long_to_start_is_ended_and_its_run_goes_to_the_next(desk: Desk) -> None:
    app_id = submit(desk)
    desk.pass_once()
    desk.clock.advance(1499.0)
    desk.pass_once()
    assert desk.backend.calls["terminate_cluster"] == 0
    desk.clock.advance(1.0)
    desk.pass_once()
    (cluster,) = desk.store.clusters()
    assert (desk.backend.calls["terminate_cluster"], cluster.phase) == (1, ClusterPhase.TERMINATING)
    desk.pass_once()
    detail = desk.detail(app_id)
    (ended,) = [c for c in desk.store.clusters(live_only=False) if c.phase.is_terminal]
    assert (ended.failure_class, detail.attempt.phase) == (FailureClass.INFRASTRUCTURE, AppPhase.WAIT_CLUSTER)
    assert "start_deadline" in (ended.observed_reason or "")
    desk.backend.ready_after_s = 0.0
    desk.clock.advance(31.0)
    desk.pass_once()
    desk.pass_once()
    assert desk.detail(app_id).attempt.phase is AppPhase.RUNNING
    assert desk.backend.calls["terminate_cluster"] == 1


def test_surplus_cluster_found_at_adoption_is_terminated(desk: Desk) -> None:
    submit(desk)
    desk.backend.fail("create_cluster", Fault.LOSE_AFTER)
    desk.pass_once()
    (first,) = desk.backend.clusters.values()
    desk.clock.advance(1.0)
    desk.backend.create_cluster(first.spec, name=first.name.rsplit("/s", 1)[0] + "/s2", token="other", tags=first.tags)
    desk.pass_once()
    assert [c.dead_at is not None for c in desk.backend.clusters.values()] == [False, True]
    assert desk.store.clusters()[0].external_id == first.external_id


def test_surplus_run_found_at_adoption_is_told_and_the_living_one_adopted(desk: Desk) -> None:
    desk.backend.ready_after_s = 0.0
    app_id = submit(desk)
    desk.backend.fail("submit", Fault.LOSE_AFTER)
    desk.pass_once()
    run = desk.backend.run_named(desk.run_name(app_id))
    launch = Launch(name=run.name, yarn_tag=run.yarn_tag, spec=run.spec, token=run.token)
    (second, third) = desk.backend.submit(run.cluster, [launch, launch])
    desk.backend.end_run(run, "failed")
    report = desk.pass_once()
    assert desk.detail(app_id).attempt.external_id == second
    assert any(third in alarm and "runs more than once" in alarm for alarm in report.alarms)
