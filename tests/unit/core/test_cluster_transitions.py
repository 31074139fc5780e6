"""Facts about a cluster: created once, adopted, observed to its end; the live key is given back in time."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from platyspark_provider.core.app_state import Refused
from platyspark_provider.core.cluster_transitions import ClusterRecord, ClusterState, apply_to_cluster
from platyspark_provider.core.facts import ClusterDrainIntended, ClusterObserved, CreateEnded, CreateIntended, CreateLookedFor
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.records import Policy
from platyspark_provider.core.states import ClusterDesired, ClusterPhase, FailureClass
from tests.builders import JOINABLE, NOW, make_cluster

POLICY = Policy(settle_s=300, settle_gap_s=5)
MINUTE = timedelta(minutes=1)
CALLED = {ClusterPhase.CREATING, ClusterPhase.AMBIGUOUS}


def in_phase(phase: ClusterPhase, **values: Any) -> Cluster:
    key = make_cluster().live_key if phase in JOINABLE else None
    return make_cluster(phase=phase, live_key=key, **values)


def apply(cluster: Cluster, record: ClusterRecord) -> ClusterState:
    done = apply_to_cluster(ClusterState(cluster=cluster), record, policy=POLICY, actor="observer", now=NOW)
    assert isinstance(done, ClusterState), done
    return done


def refusal(cluster: Cluster, record: ClusterRecord) -> str:
    done = apply_to_cluster(ClusterState(cluster=cluster), record, policy=POLICY, actor="observer", now=NOW)
    assert isinstance(done, Refused), done
    assert cluster.name in done.message
    return done.code


def ended(result: Any, **values: Any) -> CreateEnded:
    return CreateEnded(cluster_id=7, epoch=1, result=result, **values)


def looked(external_id: str | None = None, **values: Any) -> CreateLookedFor:
    return CreateLookedFor(cluster_id=7, epoch=1, external_id=external_id, **values)


def observed(state: Any, **values: Any) -> ClusterObserved:
    return ClusterObserved(cluster_id=7, epoch=1, state=state, raw_state="RAW", **values)


INTENDED = CreateIntended(cluster_id=7, epoch=1, nonce="nonce")


def test_create_intended_counts_the_call() -> None:
    done = apply(in_phase(ClusterPhase.INTENT, send=1, empty_listings=2, last_listing_at=NOW), INTENDED)
    c = done.cluster
    assert (c.phase, c.send, c.send_nonce, c.create_sent_at) == (ClusterPhase.CREATING, 2, "nonce", NOW)
    assert (c.empty_listings, c.last_listing_at) == (0, None)
    assert [(e.object_kind, e.kind, e.actor) for e in done.events] == [("cluster", "cluster.creating", "observer")]


@pytest.mark.parametrize("phase", sorted(set(ClusterPhase) - {ClusterPhase.INTENT}))
def test_create_intended_in_any_other_phase_is_refused(phase: ClusterPhase) -> None:
    assert refusal(in_phase(phase), INTENDED) == "not_creatable"


@pytest.mark.parametrize("phase", sorted(CALLED))
def test_create_ended_created_keeps_the_id(phase: ClusterPhase) -> None:
    done = apply(in_phase(phase), ended("created", external_id="j-1"))
    assert (done.cluster.phase, done.cluster.external_id, done.cluster.live_key) == (ClusterPhase.STARTING, "j-1", make_cluster().live_key)


def test_create_ended_lost_has_to_be_looked_for() -> None:
    assert apply(in_phase(ClusterPhase.CREATING), ended("lost")).cluster.phase is ClusterPhase.AMBIGUOUS


@pytest.mark.parametrize("result", ["throttled", "unavailable"])
def test_create_ended_not_done_is_an_intent_again_later(result: str) -> None:
    c = apply(in_phase(ClusterPhase.CREATING, create_sent_at=NOW), ended(result, retry_after_s=60)).cluster
    assert (c.phase, c.create_sent_at, c.next_reconcile_at) == (ClusterPhase.INTENT, None, NOW + MINUTE)


def test_create_ended_rejected_fails_and_gives_the_live_key_back() -> None:
    c = apply(in_phase(ClusterPhase.CREATING), ended("rejected", message="no such subnet")).cluster
    assert (c.phase, c.live_key, c.failure_class, c.observed_reason) == (ClusterPhase.FAILED, None, FailureClass.USER, "no such subnet")
    assert c.ended_at == NOW


@pytest.mark.parametrize("phase", sorted(set(ClusterPhase) - CALLED))
def test_create_ended_without_a_call_is_refused(phase: ClusterPhase) -> None:
    assert refusal(in_phase(phase), ended("created", external_id="j-1")) == "not_creating"
    assert refusal(in_phase(phase), looked("j-1")) == "not_creating"


def test_create_looked_for_found_is_adopted() -> None:
    c = apply(in_phase(ClusterPhase.AMBIGUOUS), looked("j-1")).cluster
    assert (c.phase, c.external_id) == (ClusterPhase.STARTING, "j-1")


def test_create_looked_for_not_found_is_counted_until_the_window_is_over() -> None:
    one = apply(in_phase(ClusterPhase.CREATING, create_sent_at=NOW - MINUTE), looked()).cluster
    assert (one.phase, one.empty_listings, one.last_listing_at) == (ClusterPhase.AMBIGUOUS, 1, NOW)
    again = apply(one, looked())
    assert (again.cluster.empty_listings, again.cluster.last_listing_at, again.events) == (1, NOW, ())


def test_create_looked_for_settled_may_be_created_again() -> None:
    lost = in_phase(ClusterPhase.AMBIGUOUS, create_sent_at=NOW - 6 * MINUTE, empty_listings=1, last_listing_at=NOW - MINUTE)
    c = apply(lost, looked()).cluster
    assert (c.phase, c.create_sent_at, c.live_key) == (ClusterPhase.INTENT, None, lost.live_key)
    by_token = apply(in_phase(ClusterPhase.CREATING, create_sent_at=NOW), looked(may_repeat=True)).cluster
    assert by_token.phase is ClusterPhase.INTENT


def test_observed_starting_keeps_the_backends_words() -> None:
    state = in_phase(ClusterPhase.STARTING, external_id="j-1", external_detail={"dns": "a"})
    done = apply(state, observed("starting", reason="", external_detail={"dns": None, "x": 1}))
    c = done.cluster
    assert (c.observed_state, c.observed_reason, c.observed_at, c.external_detail) == ("RAW", None, NOW, {"dns": "a", "x": 1})
    assert done.events == ()


def test_observed_ready_is_ready_once() -> None:
    done = apply(in_phase(ClusterPhase.STARTING, external_id="j-1"), observed("ready"))
    assert (done.cluster.phase, done.cluster.healthy_since) == (ClusterPhase.READY, NOW)
    assert apply(replace(done.cluster, healthy_since=NOW - MINUTE), observed("ready")).cluster.healthy_since == NOW - MINUTE


@pytest.mark.parametrize("phase", [ClusterPhase.DRAINING, ClusterPhase.TERMINATING])
def test_observed_ready_does_not_bring_a_cluster_back(phase: ClusterPhase) -> None:
    c = apply(in_phase(phase, external_id="j-1"), observed("ready")).cluster
    assert (c.phase, c.live_key) == (phase, None)


def test_observed_terminating_gives_the_live_key_back() -> None:
    c = apply(in_phase(ClusterPhase.READY, external_id="j-1"), observed("terminating", reason="idle")).cluster
    assert (c.phase, c.live_key, c.ended_at, c.observed_reason) == (ClusterPhase.TERMINATING, None, None, "idle")


@pytest.mark.parametrize(
    ("klass", "phase"),
    [(None, ClusterPhase.DEAD), ("infrastructure", ClusterPhase.DEAD), ("user", ClusterPhase.FAILED)],
)
def test_observed_end_is_dead_or_failed_by_whose_fault_it_is(klass: str | None, phase: ClusterPhase) -> None:
    c = apply(in_phase(ClusterPhase.READY, external_id="j-1"), observed("dead", failure_class=klass)).cluster
    assert (c.phase, c.live_key, c.ended_at) == (phase, None, NOW)
    assert c.failure_class == (FailureClass(klass) if klass else None)


def test_observed_end_of_a_cluster_that_we_ended_keeps_our_reason() -> None:
    starting = in_phase(ClusterPhase.STARTING, external_id="j-1")
    ended = apply(starting, observed("terminating", reason="too late", failure_class="infrastructure")).cluster
    assert (ended.phase, ended.failure_class, ended.live_key) == (ClusterPhase.TERMINATING, FailureClass.INFRASTRUCTURE, None)
    again = apply(ended, observed("terminating", reason="by request")).cluster
    c = apply(again, observed("dead", reason="by request", failure_class="external_kill")).cluster
    assert (c.phase, c.failure_class, c.observed_reason) == (ClusterPhase.DEAD, FailureClass.INFRASTRUCTURE, "too late")


@pytest.mark.parametrize(
    "cluster",
    [
        in_phase(ClusterPhase.INTENT),
        in_phase(ClusterPhase.CREATING),
        in_phase(ClusterPhase.DEAD, external_id="j-1"),
        in_phase(ClusterPhase.FAILED, external_id="j-1"),
    ],
    ids=lambda c: c.phase.value,
)
def test_observed_without_an_id_or_after_the_end_is_refused(cluster: Cluster) -> None:
    assert refusal(cluster, observed("ready")) == "not_observable"


WISHED = [ClusterDesired.DRAINED, ClusterDesired.DOWN]


@pytest.mark.parametrize("desired", WISHED)
def test_cluster_whose_end_was_wished_while_it_was_created_drains_once_its_id_is_known(desired: ClusterDesired) -> None:
    for phase in sorted(CALLED):
        for fact in (ended("created", external_id="j-1"), looked("j-1")):
            c = apply(in_phase(phase, desired=desired), fact).cluster
            assert (c.phase, c.external_id, c.live_key, c.desired) == (ClusterPhase.DRAINING, "j-1", None, desired)


@pytest.mark.parametrize("desired", WISHED)
def test_cluster_whose_end_was_wished_is_not_created_and_called_off_when_it_never_was(desired: ClusterDesired) -> None:
    assert refusal(in_phase(ClusterPhase.INTENT, desired=desired), INTENDED) == "not_wanted"
    for result in ("throttled", "unavailable"):
        c = apply(in_phase(ClusterPhase.CREATING, desired=desired), ended(result, retry_after_s=60)).cluster
        assert (c.phase, c.live_key, c.failure_class, c.ended_at) == (ClusterPhase.DEAD, None, None, NOW)
    settled = {"create_sent_at": NOW - 6 * MINUTE, "empty_listings": 1, "last_listing_at": NOW - MINUTE}
    assert apply(in_phase(ClusterPhase.AMBIGUOUS, desired=desired, **settled), looked()).cluster.phase is ClusterPhase.DEAD


def drain(why: Any) -> ClusterDrainIntended:
    return ClusterDrainIntended(cluster_id=7, epoch=1, why=why, reason="the reason")


def test_drain_of_an_idle_cluster_gives_the_live_key_back_and_tells_why() -> None:
    done = apply(in_phase(ClusterPhase.READY, external_id="j-1", healthy_since=NOW), drain("idle"))
    c = done.cluster
    assert (c.phase, c.live_key, c.desired, c.observed_reason, c.failure_class) == (
        ClusterPhase.DRAINING,
        None,
        ClusterDesired.DRAINED,
        "the reason",
        None,
    )
    assert [(e.kind, e.message) for e in done.events] == [("cluster.draining", "Takes no more applications: the reason")]


@pytest.mark.parametrize(("values", "code"), [({"active": 1}, "in_use"), ({"is_spare": False}, "kept")])
def test_drain_of_an_idle_cluster_that_is_used_or_kept_is_refused(values: dict[str, Any], code: str) -> None:
    state = ClusterState(cluster=in_phase(ClusterPhase.READY, external_id="j-1"), **values)
    done = apply_to_cluster(state, drain("idle"), policy=POLICY, actor="observer", now=NOW)
    assert isinstance(done, Refused)
    assert done.code == code
    asked = replace(state, cluster=replace(state.cluster, desired=ClusterDesired.DRAINED))
    assert isinstance(apply_to_cluster(asked, drain("asked"), policy=POLICY, actor="observer", now=NOW), ClusterState)


def test_drain_of_a_late_cluster_is_infrastructures_fault_whoever_is_on_it() -> None:
    state = ClusterState(cluster=in_phase(ClusterPhase.STARTING, external_id="j-1"), active=3)
    done = apply_to_cluster(state, drain("late"), policy=POLICY, actor="observer", now=NOW)
    assert isinstance(done, ClusterState)
    assert (done.cluster.phase, done.cluster.failure_class, done.cluster.desired) == (
        ClusterPhase.DRAINING,
        FailureClass.INFRASTRUCTURE,
        ClusterDesired.DRAINED,
    )
    over = apply(done.cluster, observed("dead", reason="by request", failure_class="external_kill")).cluster
    assert (over.failure_class, over.observed_reason) == (FailureClass.INFRASTRUCTURE, "the reason")


def test_drain_of_an_intent_whose_end_is_wished_calls_it_off() -> None:
    c = apply(in_phase(ClusterPhase.INTENT, desired=ClusterDesired.DOWN), drain("asked")).cluster
    assert (c.phase, c.live_key) == (ClusterPhase.DEAD, None)


@pytest.mark.parametrize(
    ("why", "phase", "desired"),
    [
        ("idle", ClusterPhase.STARTING, ClusterDesired.UP),
        ("idle", ClusterPhase.READY, ClusterDesired.DRAINED),
        ("idle", ClusterPhase.DRAINING, ClusterDesired.DRAINED),
        ("late", ClusterPhase.READY, ClusterDesired.UP),
        ("asked", ClusterPhase.READY, ClusterDesired.UP),
        ("asked", ClusterPhase.CREATING, ClusterDesired.DOWN),
        ("asked", ClusterPhase.TERMINATING, ClusterDesired.DOWN),
    ],
)
def test_drain_that_does_not_fit_is_refused(why: str, phase: ClusterPhase, desired: ClusterDesired) -> None:
    assert refusal(in_phase(phase, desired=desired), drain(why)) == "not_drainable"


@pytest.mark.parametrize("phase", [ClusterPhase.DRAINING, ClusterPhase.TERMINATING])
def test_observed_end_that_we_asked_for_is_nobodys_failure(phase: ClusterPhase) -> None:
    ours = in_phase(phase, external_id="j-1", desired=ClusterDesired.DRAINED, observed_reason="idle")
    going = apply(ours, observed("terminating", reason="by request", failure_class="external_kill")).cluster
    c = apply(going, observed("dead", reason="by request", failure_class="external_kill")).cluster
    assert (c.phase, c.failure_class, c.observed_reason) == (ClusterPhase.DEAD, None, "idle")


def test_observed_end_of_a_draining_cluster_by_a_fault_of_its_own_is_that_fault() -> None:
    ours = in_phase(ClusterPhase.DRAINING, external_id="j-1", desired=ClusterDesired.DRAINED, observed_reason="idle")
    c = apply(ours, observed("dead", reason="master lost", failure_class="infrastructure")).cluster
    assert (c.failure_class, c.observed_reason) == (FailureClass.INFRASTRUCTURE, "master lost")
