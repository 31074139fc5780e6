"""Next actions for applications and clusters, and what a look amounts to."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from platyspark_provider.core.ports import AttemptSight, ClusterSight, Death
from platyspark_provider.core.reconcile import (
    STOP_AGAIN_GRACES,
    Assign,
    Climb,
    Create,
    Drain,
    Fail,
    GiveUpStop,
    Hold,
    LookFor,
    Send,
    Terminate,
    Watch,
    app_fact,
    attempt_name,
    cluster_fact,
    cluster_name,
    decide_app,
    decide_cluster,
    is_proof_due,
    is_unknown,
    last_stage,
    needs_proof,
)
from platyspark_provider.core.records import ClusterLoad, Policy
from platyspark_provider.core.states import AppPhase, ClusterDesired, ClusterPhase, DeployMode, FailureClass
from tests.builders import JOINABLE, NOW, in_phase, make_app, make_attempt, make_cluster, make_cluster_spec, make_spec

POLICY = Policy()
SETTLED = NOW - timedelta(seconds=POLICY.settle_s)


def cluster_in(phase: ClusterPhase, **values: Any):
    key = make_cluster().live_key if phase in JOINABLE else None
    return make_cluster(phase=phase, live_key=key, **values)


@pytest.mark.parametrize(
    ("phase", "values", "expected"),
    [
        (ClusterPhase.INTENT, {}, Create()),
        (ClusterPhase.CREATING, {"create_sent_at": NOW}, LookFor()),
        (ClusterPhase.AMBIGUOUS, {"create_sent_at": SETTLED, "empty_listings": 2}, LookFor()),
        (ClusterPhase.STARTING, {}, Watch()),
        (ClusterPhase.READY, {}, Watch()),
        (ClusterPhase.TERMINATING, {}, Watch()),
    ],
)
def test_decide_cluster_by_phase_returns_next_action(phase, values, expected):
    assert decide_cluster(cluster_in(phase, **values), policy=POLICY, now=NOW) == expected


def test_decide_cluster_that_this_pass_sees_starting_after_the_deadline_is_drained_as_late():
    created = NOW - timedelta(seconds=POLICY.start_deadline_s)
    late = cluster_in(ClusterPhase.STARTING, create_sent_at=created, observed_at=NOW)
    action = decide_cluster(late, policy=POLICY, now=NOW)
    assert isinstance(action, Drain)
    assert action.why == "late"
    assert "start_deadline" in action.reason
    for other in (
        replace(late, create_sent_at=created + timedelta(seconds=1)),
        replace(late, observed_at=NOW - timedelta(seconds=1)),
        replace(late, observed_at=None),
        replace(late, phase=ClusterPhase.READY),
    ):
        assert decide_cluster(other, policy=POLICY, now=NOW) == Watch()


@pytest.mark.parametrize(
    ("healthy_s", "load", "is_idle"),
    [
        (3600, ClusterLoad(), True),
        (3599, ClusterLoad(), False),
        (9999, ClusterLoad(last_used_at=NOW - timedelta(seconds=3600)), True),
        (9999, ClusterLoad(last_used_at=NOW - timedelta(seconds=3599)), False),
        (9999, ClusterLoad(active=1), False),
        (9999, None, False),
        (None, ClusterLoad(), False),
    ],
)
def test_decide_cluster_that_nothing_is_on_for_its_idle_timeout_is_drained(healthy_s, load, is_idle):
    healthy = None if healthy_s is None else NOW - timedelta(seconds=healthy_s)
    action = decide_cluster(cluster_in(ClusterPhase.READY, healthy_since=healthy), policy=POLICY, now=NOW, load=load)
    assert isinstance(action, Drain) == is_idle
    if isinstance(action, Drain):
        assert (action.why, action.reason) == ("idle", "idle for 1:00:00 (idle_timeout)")


@pytest.mark.parametrize("desired", [ClusterDesired.DRAINED, ClusterDesired.DOWN])
@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (ClusterPhase.INTENT, Drain(why="asked", reason="its end was asked for")),
        (ClusterPhase.CREATING, LookFor()),
        (ClusterPhase.AMBIGUOUS, LookFor()),
        (ClusterPhase.STARTING, Drain(why="asked", reason="its end was asked for")),
        (ClusterPhase.READY, Drain(why="asked", reason="its end was asked for")),
        (ClusterPhase.DRAINING, Watch()),
        (ClusterPhase.TERMINATING, Watch()),
        (ClusterPhase.DEAD, Watch()),
    ],
)
def test_decide_cluster_whose_end_is_wished_is_drained_as_soon_as_its_id_is_known(desired, phase, expected):
    busy = ClusterLoad(active=1)
    assert decide_cluster(cluster_in(phase, desired=desired), policy=POLICY, now=NOW, load=busy) == expected


@pytest.mark.parametrize(
    ("values", "load", "expected"),
    [
        ({"desired": ClusterDesired.DRAINED}, ClusterLoad(), Terminate(if_quiet=True)),
        ({"desired": ClusterDesired.DRAINED}, ClusterLoad(active=1, stuck=1), Watch()),
        ({"desired": ClusterDesired.DRAINED}, None, Watch()),
        ({"desired": ClusterDesired.DOWN}, ClusterLoad(), Terminate(if_quiet=False)),
        ({"desired": ClusterDesired.DOWN}, ClusterLoad(active=2, stuck=1), Watch()),
        ({"desired": ClusterDesired.DOWN}, ClusterLoad(active=2, stuck=2), Terminate(if_quiet=False)),
        ({"failure_class": FailureClass.INFRASTRUCTURE}, ClusterLoad(active=5), Terminate(if_quiet=False)),
    ],
)
def test_decide_cluster_that_drains_is_terminated_when_its_last_application_left(values, load, expected):
    assert decide_cluster(cluster_in(ClusterPhase.DRAINING, **values), policy=POLICY, now=NOW, load=load) == expected


def test_decide_cluster_in_backoff_holds_with_time():
    cluster = cluster_in(ClusterPhase.INTENT, next_reconcile_at=NOW + timedelta(seconds=30))
    action = decide_cluster(cluster, policy=POLICY, now=NOW)
    assert isinstance(action, Hold)
    assert "12:00:30" in action.message
    assert decide_cluster(cluster, policy=POLICY, now=NOW + timedelta(seconds=30)) == Create()


@pytest.mark.parametrize(
    ("phase", "values", "expected"),
    [
        (AppPhase.SENDING, {"sent_at": NOW}, LookFor()),
        (AppPhase.AMBIGUOUS, {"sent_at": SETTLED, "empty_listings": 2}, LookFor()),
        (AppPhase.PENDING, {}, Watch()),
        (AppPhase.RUNNING, {}, Watch()),
        (AppPhase.STOP_UNPROVEN, {}, Watch()),
        (AppPhase.SUCCEEDED, {}, Watch()),
        (AppPhase.CANCELLING, {}, Climb(stage=1)),
        (AppPhase.CANCELLING, {"stop_stage": 1, "stop_stage_at": NOW}, Watch()),
        (AppPhase.CANCELLING, {"stop_stage": 1, "stop_stage_at": NOW - timedelta(seconds=60)}, Climb(stage=2)),
        (AppPhase.CANCELLING, {"stop_stage": 3, "stop_stage_at": NOW - timedelta(seconds=60)}, GiveUpStop()),
    ],
)
def test_decide_app_by_phase_returns_next_action(phase, values, expected):
    app, attempt = in_phase(phase, **values)
    assert decide_app(app, attempt, None, policy=POLICY, now=NOW) == expected


def test_decide_app_without_files_holds():
    app, attempt = in_phase(AppPhase.NEW)
    assert isinstance(decide_app(app, attempt, None, policy=POLICY, now=NOW), Hold)


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        (None, Assign),
        (cluster_in(ClusterPhase.INTENT), Hold),
        (cluster_in(ClusterPhase.AMBIGUOUS), Hold),
        (cluster_in(ClusterPhase.CREATING, desired=ClusterDesired.DOWN), Assign),
        (cluster_in(ClusterPhase.STARTING), Send),
        (cluster_in(ClusterPhase.READY), Send),
        (cluster_in(ClusterPhase.DRAINING), Assign),
        (cluster_in(ClusterPhase.TERMINATING), Assign),
        (cluster_in(ClusterPhase.DEAD), Assign),
        (cluster_in(ClusterPhase.FAILED, failure_class=FailureClass.INFRASTRUCTURE), Assign),
        (cluster_in(ClusterPhase.FAILED, failure_class=FailureClass.USER, observed_reason="no such subnet"), Fail),
    ],
)
def test_decide_app_waiting_for_cluster_depends_on_its_phase(cluster, expected):
    app, attempt = in_phase(AppPhase.WAIT_CLUSTER)
    action = decide_app(app, attempt, cluster, policy=POLICY, now=NOW)
    assert isinstance(action, expected)
    if isinstance(action, Fail):
        assert "no such subnet" in action.message


def test_decide_app_in_backoff_holds():
    app, attempt = in_phase(AppPhase.WAIT_CLUSTER)
    app = replace(app, next_reconcile_at=NOW + timedelta(seconds=9))
    assert isinstance(decide_app(app, attempt, cluster_in(ClusterPhase.READY), policy=POLICY, now=NOW), Hold)
    assert decide_app(app, attempt, cluster_in(ClusterPhase.READY), policy=POLICY, now=NOW + timedelta(seconds=9)) == Send()


@pytest.mark.parametrize(
    ("mode", "dedicated", "stages"), [(DeployMode.CLIENT, True, 2), (DeployMode.CLUSTER, False, 3), (DeployMode.CLUSTER, True, 4)]
)
def test_last_stage_terminates_only_dedicated_clusters(mode, dedicated, stages):
    spec = make_spec(deploy_mode=mode, cluster=make_cluster_spec(dedicated=dedicated))
    assert last_stage(make_attempt(spec=spec)) == stages


def test_names_carry_installation_key_and_generation():
    assert str(attempt_name(make_app(id=42), make_attempt(generation=3), "abc123")) == "plsp-abc123-42-g3"
    name = cluster_name(make_cluster(generation=2), "abc123", send=4)
    assert str(name).endswith("/iabc123/g2/s4")


@pytest.mark.parametrize(
    ("phase", "stage", "needed"),
    [(AppPhase.CANCELLING, 0, False), (AppPhase.CANCELLING, 1, True), (AppPhase.STOP_UNPROVEN, 3, True), (AppPhase.RUNNING, 1, False)],
)
def test_needs_proof_only_once_a_rung_was_climbed(phase, stage, needed):
    assert needs_proof(in_phase(phase, stop_stage=stage)[1]) is needed


@pytest.mark.parametrize(
    ("phase", "observed_s", "now_s", "due"),
    [
        (AppPhase.CANCELLING, 10, 20, True),
        (AppPhase.STOP_UNPROVEN, None, 20, True),
        (AppPhase.STOP_UNPROVEN, -1, 9, True),
        (AppPhase.STOP_UNPROVEN, 9, 19, False),
        (AppPhase.STOP_UNPROVEN, 49, 59, False),
        (AppPhase.STOP_UNPROVEN, 59, 69, True),
    ],
)
def test_is_proof_due_once_in_each_grace_after_every_means_was_tried(
    phase: AppPhase, observed_s: float | None, now_s: float, due: bool
) -> None:
    observed = None if observed_s is None else NOW + timedelta(seconds=observed_s)
    attempt = in_phase(phase, stop_stage=3, stop_stage_at=NOW, observed_at=observed)[1]
    assert is_proof_due(attempt, policy=Policy(stop_grace_s=60.0), now=NOW + timedelta(seconds=now_s)) is due
    assert is_proof_due(attempt, policy=Policy(stop_grace_s=0.0), now=NOW + timedelta(seconds=now_s))


@pytest.mark.parametrize(
    ("state", "driver", "needed"),
    [
        ("failed", "unknown", True),
        ("cancelled", "unknown", True),
        ("failed", "dead", False),
        ("failed", "alive", False),
        ("running", "unknown", False),
        ("succeeded", "dead", False),
    ],
)
def test_needs_proof_of_a_record_that_is_over_and_leaves_its_driver_open(state, driver, needed):
    assert needs_proof(in_phase(AppPhase.RUNNING)[1], sight(state, driver=driver)) is needed


def test_decide_app_unproven_stop_climbs_its_last_rung_again_after_ten_graces():
    app, attempt = in_phase(AppPhase.STOP_UNPROVEN, stop_stage=3, stop_stage_at=NOW)
    pause = timedelta(seconds=STOP_AGAIN_GRACES * POLICY.stop_grace_s)
    assert decide_app(app, attempt, None, policy=POLICY, now=NOW + pause - timedelta(seconds=1)) == Watch()
    assert decide_app(app, attempt, None, policy=POLICY, now=NOW + pause) == Climb(stage=3)


def sight(state: str, **values: Any) -> AttemptSight:
    return AttemptSight(external_id="s-1", name="n", state=state, **values)


def fact_of(phase: AppPhase, seen: AttemptSight | None, death: Death | None = None, **values: Any):
    app, attempt = in_phase(phase, **values)
    return app_fact(app, attempt, seen, death, epoch=5)


def test_app_fact_of_unsent_app_is_none():
    assert fact_of(AppPhase.WAIT_CLUSTER, sight("running")) is None


def test_app_fact_passes_the_sight_on():
    fact = fact_of(AppPhase.RUNNING, sight("failed", driver="alive", reason="lost", proof=None, started_at=NOW))
    assert fact is not None
    assert (fact.state, fact.driver, fact.reason, fact.epoch, fact.started_at) == ("failed", "alive", "lost", 5, NOW)


def test_app_fact_with_proven_death_ends_a_run_the_backend_still_lists():
    fact = fact_of(AppPhase.CANCELLING, sight("running"), Death(state="dead", proof="YARN says KILLED"))
    assert fact is not None
    assert (fact.state, fact.driver, fact.proof) == ("cancelled", "dead", "YARN says KILLED")


def test_app_fact_with_proven_death_keeps_a_success():
    fact = fact_of(AppPhase.CANCELLING, sight("succeeded"), Death(state="dead", proof="finished"))
    assert fact is not None
    assert fact.state == "succeeded"


def test_app_fact_with_unknown_death_keeps_what_the_backend_said():
    fact = fact_of(AppPhase.CANCELLING, sight("cancelled", driver="alive"), Death(state="unknown"))
    assert fact is not None
    assert (fact.state, fact.driver) == ("cancelled", "alive")


def test_app_fact_unlisted_and_dead_is_cancelled():
    fact = fact_of(AppPhase.CANCELLING, None, Death(state="dead", proof="killed"))
    assert fact is not None
    assert (fact.state, fact.proof) == ("cancelled", "killed")


def test_app_fact_unlisted_is_gone():
    fact = fact_of(AppPhase.PENDING, None)
    assert fact is not None
    assert (fact.state, fact.driver) == ("gone", "unknown")


def test_cluster_fact_passes_the_sight_on():
    seen = ClusterSight(external_id="j-1", name="n", state="dead", raw_state="TERMINATED", reason_code="X", failure_class="capacity")
    fact = cluster_fact(make_cluster(), seen, epoch=2)
    assert (fact.state, fact.raw_state, fact.failure_class, fact.epoch) == ("dead", "TERMINATED", "capacity", 2)


def test_is_unknown_of_a_cluster_that_is_too_new_to_be_listed_waits_for_the_settle_window():
    fresh = make_cluster(create_sent_at=NOW)
    assert not is_unknown(fresh, policy=POLICY, now=NOW)
    assert is_unknown(fresh, policy=POLICY, now=NOW + timedelta(seconds=POLICY.settle_s))
