"""Facts about a cluster: created once, adopted, observed to its end; the live key is given back in time."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from platyspark_provider.core.app_state import Refused
from platyspark_provider.core.cluster_transitions import ClusterRecord, ClusterState, apply_to_cluster
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.records import ClusterObserved, CreateEnded, CreateIntended, CreateLookedFor, Policy
from platyspark_provider.core.states import ClusterPhase, FailureClass
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
