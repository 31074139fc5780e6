"""What an observed run changes: it is over only when its driver is proven dead."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from platyspark_provider.core.app_state import AppState, Refused
from platyspark_provider.core.facts import AppObserved
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.records import Policy
from platyspark_provider.core.states import APP_SENT, AppPhase, ClusterDesired, ClusterPhase, FailureClass, LogState
from platyspark_provider.core.transitions import apply_to_app
from tests.builders import NOW, in_phase, make_attempt, make_cluster

READY = make_cluster(phase=ClusterPhase.READY, external_id="j-1")
DEAD = make_cluster(phase=ClusterPhase.DEAD, external_id="j-1", live_key=None, observed_state="TERMINATED")
ASKED = {"stop_requested_at": NOW, "stop_reason": "killed", "stop_actor": "user:x"}
OURS = {"stop_requested_at": NOW, "stop_reason": "the backend reports failed", "stop_actor": "backend"}


def state_in(phase: AppPhase, *, cluster: Cluster | None = READY, wanted: bool = False, **attempt: Any) -> AppState:
    app, current = in_phase(phase, **{"cluster_id": 7, "external_id": "s-1", **attempt})
    app = replace(app, cluster_id=7, wanted_generation=2 if wanted else 1)
    return AppState(app=app, attempt=current, wanted=make_attempt(generation=2) if wanted else None, cluster=cluster)


MISSING: dict[str, Any] = {"empty_listings": 1, "last_listing_at": NOW - timedelta(seconds=300)}


def observe(state: AppState, seen: Any, *, at: datetime = NOW, **values: Any) -> AppState:
    fact = AppObserved(app_id=1, generation=1, epoch=1, state=seen, **values)
    done = apply_to_app(state, fact, policy=Policy(), actor="observer", now=at)
    assert isinstance(done, AppState), done
    return done


@pytest.mark.parametrize("phase", sorted(set(AppPhase) - APP_SENT))
def test_observed_what_nobody_sent_is_refused(phase: AppPhase) -> None:
    fact = AppObserved(app_id=1, generation=1, epoch=1, state="running")
    done = apply_to_app(state_in(phase), fact, policy=Policy(), actor="observer", now=NOW)
    assert isinstance(done, Refused)
    assert done.code == "not_sent"


def test_observed_pending_keeps_what_is_told() -> None:
    done = observe(state_in(AppPhase.PENDING), "pending", external_detail={"link": "u"})
    assert (done.attempt.phase, done.attempt.observed_at, done.attempt.external_detail) == (AppPhase.PENDING, NOW, {"link": "u"})
    assert done.events == ()


def test_observed_running_for_the_first_time_is_running() -> None:
    earlier = NOW - timedelta(minutes=1)
    assert observe(state_in(AppPhase.PENDING), "running", started_at=earlier).attempt.started_at == earlier
    done = observe(state_in(AppPhase.PENDING), "running")
    assert (done.attempt.phase, done.app.phase, done.attempt.started_at) == (AppPhase.RUNNING, AppPhase.RUNNING, NOW)
    assert observe(replace(done, events=()), "running").events == ()


@pytest.mark.parametrize("phase", [AppPhase.CANCELLING, AppPhase.STOP_UNPROVEN])
def test_observed_running_while_it_is_stopped_changes_no_phase(phase: AppPhase) -> None:
    assert observe(state_in(phase, **ASKED), "running").attempt.phase is phase


@pytest.mark.parametrize("phase", sorted(APP_SENT))
def test_observed_succeeded_ends_well_from_any_phase_and_has_a_log(phase: AppPhase) -> None:
    done = observe(state_in(phase), "succeeded")
    assert (done.attempt.phase, done.attempt.ended_at, done.attempt.log_state) == (AppPhase.SUCCEEDED, NOW, LogState.PENDING)


def test_observed_succeeded_keeps_how_that_is_known() -> None:
    told = observe(state_in(AppPhase.RUNNING), "succeeded", driver="dead", proof="YARN: application_1 SUCCEEDED")
    assert told.attempt.death_proof == "YARN: application_1 SUCCEEDED"
    assert observe(state_in(AppPhase.RUNNING), "succeeded").attempt.death_proof == "succeeded"


def test_observed_failed_with_a_dead_driver_is_failed() -> None:
    done = observe(state_in(AppPhase.RUNNING, started_at=NOW), "failed", driver="dead", proof="yarn", reason="exit 1", ended_at=NOW)
    attempt = done.attempt
    assert (attempt.phase, attempt.death_proof, attempt.log_state) == (AppPhase.FAILED, "yarn", LogState.PENDING)
    assert attempt.failure is not None
    assert (attempt.failure.summary, attempt.failure.is_complete) == ("exit 1", False)
    silent = observe(state_in(AppPhase.RUNNING), "failed", driver="dead").attempt
    assert (silent.failure.summary if silent.failure else None) == "The backend reports a failure."
    assert silent.death_proof == "dead"


@pytest.mark.parametrize("driver", ["alive", "unknown"])
def test_observed_failed_without_proof_is_ended_by_us_before_anything_else(driver: str) -> None:
    done = observe(state_in(AppPhase.RUNNING, started_at=NOW, wanted=True), "failed", driver=driver, reason="exit 1")
    attempt = done.attempt
    assert (attempt.phase, attempt.stop_actor, attempt.stop_reason) == (
        AppPhase.CANCELLING,
        "backend",
        "the backend reports failed: exit 1",
    )
    assert done.app.generation == 1


def test_observed_failed_without_proof_during_a_stop_leaves_the_stop_as_it_is() -> None:
    state = state_in(AppPhase.CANCELLING, started_at=NOW, **ASKED)
    done = observe(state, "failed")
    assert (done.attempt.stop_actor, done.attempt.phase, done.events) == ("user:x", AppPhase.CANCELLING, ())


def test_observed_over_after_a_stop_was_asked_for_is_stopped_and_begins_the_wanted() -> None:
    done = observe(state_in(AppPhase.CANCELLING, started_at=NOW, wanted=True, **ASKED), "cancelled", driver="dead", proof="yarn")
    assert (done.attempt.phase, done.attempt.death_proof) == (AppPhase.STOPPED, "yarn")
    assert (done.app.generation, done.app.phase) == (2, AppPhase.NEW)


def test_observed_cancelled_by_somebody_else_says_so() -> None:
    attempt = observe(state_in(AppPhase.RUNNING, started_at=NOW), "cancelled", driver="dead", reason="console").attempt
    assert attempt.failure is not None
    assert (attempt.failure.klass, attempt.failure.summary) == (FailureClass.EXTERNAL_KILL, "Cancelled by somebody else. console")


def test_observed_cancelled_because_we_distrusted_the_record_is_nobody_elses_kill() -> None:
    attempt = observe(state_in(AppPhase.CANCELLING, started_at=NOW, **OURS), "cancelled", driver="dead").attempt
    assert attempt.failure is not None
    assert (attempt.phase, attempt.failure.klass) == (AppPhase.FAILED, FailureClass.UNKNOWN)
    assert "the backend reports failed" in attempt.failure.summary


def test_observed_cancelled_before_its_start_is_dead_without_further_proof() -> None:
    attempt = observe(state_in(AppPhase.PENDING), "cancelled").attempt
    assert (attempt.phase, attempt.death_proof, attempt.log_state) == (AppPhase.FAILED, "never started", LogState.NONE)


def test_observed_cancelled_before_its_start_with_its_cluster_goes_elsewhere_for_free() -> None:
    done = observe(state_in(AppPhase.PENDING, cluster=DEAD, sends=1, sent_at=NOW), "cancelled")
    attempt = done.attempt
    assert (attempt.phase, attempt.external_id, attempt.cluster_id, done.app.cluster_id) == (AppPhase.WAIT_CLUSTER, None, None, None)
    assert attempt.sent_at is None


def test_observed_cancelled_before_its_start_waits_for_how_its_terminating_cluster_ends() -> None:
    state = state_in(AppPhase.PENDING, cluster=replace(DEAD, phase=ClusterPhase.TERMINATING))
    done = observe(state, "cancelled")
    assert (done.attempt.phase, done.attempt.observed_at, done.events) == (AppPhase.PENDING, NOW, ())


def test_observed_cancelled_before_its_start_with_a_cluster_that_can_never_start_fails() -> None:
    cluster = replace(DEAD, failure_class=FailureClass.USER, observed_reason="no such subnet")
    attempt = observe(state_in(AppPhase.PENDING, cluster=cluster), "cancelled").attempt
    assert (attempt.phase, attempt.failure_class, attempt.death_proof) == (AppPhase.FAILED, FailureClass.USER, "never started")
    assert attempt.failure is not None
    assert "no such subnet" in attempt.failure.summary
    was_ready = replace(cluster, healthy_since=NOW)
    assert observe(state_in(AppPhase.PENDING, cluster=was_ready), "cancelled").attempt.phase is AppPhase.WAIT_CLUSTER


def test_observed_cancelled_before_its_start_after_a_stop_is_stopped() -> None:
    assert observe(state_in(AppPhase.CANCELLING, cluster=DEAD, **ASKED), "cancelled").attempt.phase is AppPhase.STOPPED


@pytest.mark.parametrize(
    ("klass", "reason", "expected", "summary"),
    [
        (None, None, FailureClass.INFRASTRUCTURE, "Its cluster ended: TERMINATED"),
        (FailureClass.CAPACITY, "no spot", FailureClass.CAPACITY, "Its cluster ended: no spot"),
    ],
)
def test_observed_over_with_its_cluster_has_the_clusters_fault(
    klass: FailureClass | None, reason: str | None, expected: FailureClass, summary: str
) -> None:
    cluster = replace(DEAD, failure_class=klass, observed_reason=reason)
    attempt = observe(state_in(AppPhase.RUNNING, cluster=cluster, started_at=NOW), "failed").attempt
    assert attempt.failure is not None
    assert (attempt.failure_class, attempt.failure.summary, attempt.death_proof) == (expected, summary, "cluster terminated")


def test_observed_gone_counts_only_after_looks_have_missed_the_run_for_the_settle_window() -> None:
    """An outage of our own makes `observed_at` old: one look after it proves nothing."""
    stale = state_in(AppPhase.RUNNING, started_at=NOW - timedelta(days=1), observed_at=NOW - timedelta(hours=5))
    once = observe(stale, "gone")
    assert (once.attempt.phase, once.attempt.empty_listings, once.attempt.last_listing_at) == (AppPhase.RUNNING, 1, NOW)
    assert (once.attempt.observed_at, once.events) == (NOW - timedelta(hours=5), ())
    again = observe(once, "gone", at=NOW + timedelta(seconds=299))
    assert (again.attempt.phase, again.attempt.last_listing_at) == (AppPhase.RUNNING, NOW)
    assert observe(again, "gone", at=NOW + timedelta(seconds=300)).attempt.phase is AppPhase.CANCELLING
    found = observe(again, "running", at=NOW + timedelta(seconds=299))
    assert found.attempt.empty_listings == 0
    assert observe(found, "gone", at=NOW + timedelta(seconds=300)).attempt.phase is AppPhase.RUNNING


def test_observed_gone_from_a_living_cluster_is_not_over() -> None:
    """A record may age out (1,000 on EMR) while a detached driver writes on: no second writer may start."""
    done = observe(state_in(AppPhase.RUNNING, started_at=NOW, wanted=True, **MISSING), "gone")
    assert (done.attempt.phase, done.attempt.stop_reason, done.app.generation) == (AppPhase.CANCELLING, "the backend reports gone", 1)
    assert observe(replace(done, events=()), "gone").attempt.phase is AppPhase.CANCELLING


@pytest.mark.parametrize("cluster", [DEAD, None], ids=["ended", "none"])
def test_observed_gone_with_its_cluster_is_lost(cluster: Cluster | None) -> None:
    attempt = observe(state_in(AppPhase.RUNNING, cluster=cluster, started_at=NOW, **MISSING), "gone").attempt
    assert (attempt.phase, attempt.failure_class, attempt.log_state) == (AppPhase.LOST, FailureClass.UNKNOWN, LogState.PENDING)
    assert attempt.death_proof == ("cluster terminated" if cluster else None)


@pytest.mark.parametrize(("proof", "kept"), [("yarn", "yarn"), (None, "dead")])
def test_observed_gone_and_proven_dead_is_lost_with_the_proof(proof: str | None, kept: str) -> None:
    attempt = observe(state_in(AppPhase.RUNNING), "gone", driver="dead", proof=proof).attempt
    assert (attempt.phase, attempt.death_proof) == (AppPhase.LOST, kept)


def test_observed_gone_with_its_cluster_after_a_stop_is_stopped() -> None:
    attempt = observe(state_in(AppPhase.CANCELLING, cluster=DEAD, started_at=NOW, **ASKED, **MISSING), "gone").attempt
    assert (attempt.phase, attempt.death_proof) == (AppPhase.STOPPED, "cluster terminated")


DYING = make_cluster(phase=ClusterPhase.READY, external_id="j-1")
LATE = make_cluster(
    phase=ClusterPhase.DRAINING, external_id="j-1", live_key=None, failure_class=FailureClass.INFRASTRUCTURE, desired=ClusterDesired.DRAINED
)


def test_observed_cancelled_before_its_start_waits_a_minute_whether_its_cluster_dies() -> None:
    state = state_in(AppPhase.PENDING, cluster=DYING)
    assert observe(state, "cancelled", ended_at=NOW).attempt.phase is AppPhase.PENDING
    done = observe(state, "cancelled", ended_at=NOW - timedelta(seconds=60))
    assert (done.attempt.phase, done.attempt.failure_class) == (AppPhase.FAILED, FailureClass.EXTERNAL_KILL)
    elsewhere = observe(replace(state, cluster=DEAD), "cancelled", ended_at=NOW)
    assert (elsewhere.attempt.phase, elsewhere.app.cluster_id, elsewhere.attempt.generation) == (AppPhase.WAIT_CLUSTER, None, 1)


def test_observed_cancelled_before_its_start_on_a_cluster_that_we_end_as_late_waits_for_that_end() -> None:
    done = observe(state_in(AppPhase.PENDING, cluster=LATE), "cancelled", ended_at=NOW - timedelta(hours=1))
    assert done.attempt.phase is AppPhase.PENDING


@pytest.mark.parametrize(
    ("phase", "seen", "then"), [(AppPhase.PENDING, "pending", AppPhase.WAIT_CLUSTER), (AppPhase.RUNNING, "running", AppPhase.FAILED)]
)
def test_observed_alive_on_a_cluster_that_ended_long_ago_went_down_with_it(phase: AppPhase, seen: str, then: AppPhase) -> None:
    started = None if phase is AppPhase.PENDING else NOW
    settled = NOW - timedelta(seconds=300)
    over = replace(DEAD, ended_at=settled, failure_class=FailureClass.INFRASTRUCTURE)
    state = state_in(phase, cluster=over, started_at=started)
    done = observe(state, seen)
    assert done.attempt.phase is then
    if then is AppPhase.FAILED:
        assert (done.attempt.failure_class, done.attempt.death_proof) == (FailureClass.INFRASTRUCTURE, "cluster terminated")
    for cluster in (replace(over, ended_at=settled + timedelta(seconds=1)), replace(over, ended_at=None), DYING, None):
        assert observe(replace(state, cluster=cluster), seen).attempt.phase is phase
