"""A cluster that never becomes ready: tried again with pauses, a few times, and then its applications say why they can't run."""

from datetime import timedelta

import pytest

from platyspark_provider.core.assignment import MAX_FAILED_STARTS, THRASH_PAUSE
from platyspark_provider.core.states import AppPhase, ClusterPhase, FailureClass
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
    assert "never became ready" in detail.app.conditions[0].message
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
