"""One suite of the rules over clusters on every store: ensured, drained, terminated, whoever asks."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from platyspark_provider.core.assignment import slot_key
from platyspark_provider.core.facts import ClusterAssigned, ClusterObserved, CreateEnded, CreateIntended, Record
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.profiles import profiles_from_mapping
from platyspark_provider.core.records import ClaimRequest, Policy
from platyspark_provider.core.spec import ClusterRequest
from platyspark_provider.core.states import AppPhase, ClusterDesired, ClusterPhase
from platyspark_provider.errors import ClusterConflict, ClusterInUse, InvalidRequest, NotFound, PolicyViolated, TargetFull
from platyspark_provider.registry.clusters import ClusterDesk, Ensured
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.registry.service import RegistryService
from platyspark_provider.store.base import Store, StoreFactory
from tests.builders import make_request
from tests.registry_world import HOLDER, make_task

ETL = ClusterRequest(name="etl", workers=(4, 4))
OTHER = ClusterRequest(name="etl", workers=(4, 4), size="large")


@pytest.fixture
def store(open_store: StoreFactory) -> Iterator[Store]:
    with open_store() as opened:
        yield opened


def desk_of(store: Store, document: Any = None, **policy: Any) -> ClusterDesk:
    return ClusterDesk(store, lambda: profiles_from_mapping(document, artifacts="s3://artifacts/x"), Policy(**policy))


def ensured(store: Store, request: ClusterRequest = ETL, **values: Any) -> Ensured:
    return desk_of(store).ensure(request, **{"team": "ads", "actor": "user:dana", **values})


def bring_to(store: Store, cluster: Cluster, *facts: Record) -> None:
    """Record facts about a cluster as its executor."""
    registry = RegistryService(store, ScriptedTasks(), lambda: profiles_from_mapping(None))
    assert all(answer.accepted for answer in registry.record(facts))


def in_phase(store: Store, phase: ClusterPhase, request: ClusterRequest = ETL) -> Cluster:
    """Ensure a cluster and move it on to a phase."""
    cluster = ensured(store, request).cluster
    (claim,) = store.claim([ClaimRequest(kind="cluster", id=cluster.id)], holder=HOLDER, seconds=60)
    named: dict[str, Any] = {"cluster_id": cluster.id, "epoch": claim.epoch}
    steps: list[tuple[ClusterPhase, Record]] = [
        (ClusterPhase.CREATING, CreateIntended(**named, nonce="n")),
        (ClusterPhase.AMBIGUOUS, CreateEnded(**named, result="lost")),
        (ClusterPhase.STARTING, CreateEnded(**named, result="created", external_id=f"j-{cluster.id}")),
        (ClusterPhase.READY, ClusterObserved(**named, state="ready", raw_state="WAITING")),
        (ClusterPhase.TERMINATING, ClusterObserved(**named, state="terminating", raw_state="TERMINATING")),
        (ClusterPhase.DEAD, ClusterObserved(**named, state="dead", raw_state="TERMINATED")),
    ]
    reached = ClusterPhase.INTENT
    for then, fact in steps:
        if reached is phase:
            break
        if then is ClusterPhase.AMBIGUOUS and phase is not then:
            continue
        bring_to(store, cluster, fact)
        reached = then
    found = store.cluster(cluster.id)
    assert found.phase is phase
    return found


def submitted_to(store: Store, cluster: Cluster, ti_id: str = "ti-1") -> int:
    """Submit an application and let it join the cluster; return its id."""
    registry = RegistryService(store, ScriptedTasks([make_task(ti_id, task_id=ti_id)]), lambda: profiles_from_mapping(None))
    app_id = registry.submit(make_request(cluster=ETL), ti_id=ti_id).app.id
    (claim,) = registry.claim([ClaimRequest(kind="app", id=app_id)], holder=HOLDER)
    assert claim.epoch is not None
    (answer,) = registry.record([ClusterAssigned(app_id=app_id, generation=1, epoch=claim.epoch)])
    assert answer.work is not None
    assert answer.work.app.cluster_id == cluster.id
    return app_id


def kinds(store: Store, cluster: Cluster) -> list[tuple[str, str]]:
    return [(event.kind, event.actor) for event in store.events(object_kind="cluster", object_id=cluster.id)]


# Ensure


def test_ensure_of_a_new_name_asks_for_one_cluster_and_says_who_did(store: Store) -> None:
    found = ensured(store)
    cluster = store.cluster(found.cluster.id)
    assert (found.outcome, found.siblings, found.drained, found.warnings) == ("created", (), (), ())
    assert (cluster.name, cluster.phase, cluster.ensured_by, cluster.generation) == ("etl", ClusterPhase.INTENT, "user:dana", 1)
    assert [group.count for group in cluster.spec.instance_groups] == [1, 4]
    assert kinds(store, cluster) == [("cluster.intent", "user:dana")]


def test_ensure_again_by_anybody_reuses_what_lives(store: Store) -> None:
    first = ensured(store)
    again = ensured(store, team="ml", actor="user:bob")
    assert (again.outcome, again.cluster.id, again.cluster.ensured_by) == ("reused", first.cluster.id, "user:dana")
    assert len(store.clusters()) == 1


def test_ensure_of_what_an_application_asked_for_reuses_it(store: Store) -> None:
    first = ensured(store)
    submitted_to(store, first.cluster)
    assert ensured(store).cluster.id == first.cluster.id


def test_ensure_of_another_spec_under_the_name_is_a_conflict_that_names_it(store: Store) -> None:
    first = ensured(store)
    with pytest.raises(ClusterConflict, match=r"Cluster 'etl' lives with another spec \(\d+\): instance_groups differ") as refused:
        ensured(store, OTHER)
    assert (refused.value.fields["differing"], refused.value.fields["cluster_id"]) == (["instance_groups"], first.cluster.id)
    assert len(store.clusters()) == 1


def test_ensure_alongside_makes_a_sibling(store: Store) -> None:
    first = ensured(store)
    second = ensured(store, OTHER, alongside=True)
    assert (second.outcome, [one.id for one in second.siblings]) == ("created", [first.cluster.id])
    assert len(store.clusters(name="etl")) == 2
    again = ensured(store, OTHER, alongside=True)
    assert (again.outcome, [one.id for one in again.siblings]) == ("reused", [first.cluster.id])


def test_ensure_in_place_of_another_drains_it(store: Store) -> None:
    first = in_phase(store, ClusterPhase.READY)
    second = ensured(store, OTHER, replace=True)
    assert ([one.id for one in second.drained], second.siblings) == ([first.id], ())
    old = store.cluster(first.id)
    assert (old.phase, old.desired, old.observed_reason) == (
        ClusterPhase.DRAINING,
        ClusterDesired.DRAINED,
        f"cluster {second.cluster.id} replaces it",
    )
    assert ensured(store, OTHER).outcome == "reused"


def test_ensure_with_both_answers_to_a_conflict_is_refused(store: Store) -> None:
    with pytest.raises(InvalidRequest, match="contradict"):
        ensured(store, alongside=True, replace=True)
    assert store.clusters() == ()


def test_ensure_says_which_values_a_living_cluster_keeps(store: Store) -> None:
    first = ensured(store)
    again = ensured(store, ClusterRequest(name="etl", workers=(4, 10), idle_timeout_s=900))
    assert again.cluster.id == first.cluster.id
    assert [warning.partition(" keeps ")[2] for warning in again.warnings] == [
        "idle_timeout_s = 3600; 900 was asked for and counts for the next one.",
        "max_workers = None; 10 was asked for and counts for the next one.",
    ]


def test_ensure_beyond_the_targets_quota_may_pass_later_and_reuse_always_does(store: Store) -> None:
    desk = desk_of(store, max_clusters={"default": 1})
    first = desk.ensure(ETL, team="ads", actor="user:dana")
    with pytest.raises(TargetFull, match="Target 'default' has 1 of 1 clusters") as full:
        desk.ensure(ClusterRequest(name="more"), team="ads", actor="user:dana")
    assert full.value.retry_after == 60
    assert desk.ensure(ETL, team="ads", actor="user:bob").outcome == "reused"
    desk.drain(first.cluster.id, actor="user:dana", reason="done")
    assert desk.ensure(ClusterRequest(name="more"), team="ads", actor="user:dana").outcome == "created"


def test_ensure_holds_the_ceilings_of_the_team(store: Store) -> None:
    desk = desk_of(store, {"policies": {"teams": {"ads": {"max_workers": 3}}}})
    with pytest.raises(PolicyViolated, match="team 'ads' may use 3"):
        desk.ensure(ETL, team="ads", actor="user:dana")
    assert desk.ensure(ETL, team="ml", actor="user:dana").outcome == "created"


def test_ensure_of_a_dedicated_cluster_is_refused(store: Store) -> None:
    with pytest.raises(InvalidRequest, match="each application makes its own"):
        ensured(store, ClusterRequest(name="etl", dedicated=True))


def test_ensure_of_one_of_a_pool_takes_the_one_that_lives(store: Store) -> None:
    document = {"profiles": {"shared": {"pool": {"max": 2}}}}
    desk, request = desk_of(store, document), ClusterRequest(name="shared")
    first = desk.ensure(request, team="ads", actor="user:dana").cluster
    second, _ = store.ensure_cluster(replace(first, live_key=slot_key(first.cluster_key, 1)), actor="pool")
    desk.drain(first.id, actor="user:dana", reason="old")
    again = desk.ensure(request, team="ads", actor="user:dana")
    assert (again.outcome, again.cluster.id) == ("reused", second.id)


@pytest.mark.parametrize("phase", [ClusterPhase.CREATING, ClusterPhase.AMBIGUOUS])
def test_ensure_wants_a_cluster_again_whose_create_is_under_way(store: Store, phase: ClusterPhase) -> None:
    cluster = in_phase(store, phase)
    desk_of(store).drain(cluster.id, actor="user:bob", reason="not needed")
    again = ensured(store)
    assert (again.outcome, again.cluster.id, again.cluster.desired) == ("reused", cluster.id, ClusterDesired.UP)
    assert kinds(store, cluster)[-2:] == [("cluster.drained_wished", "user:bob"), ("cluster.up_wished", "user:dana")]


def test_ensure_after_a_drain_makes_the_next_generation(store: Store) -> None:
    first = in_phase(store, ClusterPhase.READY)
    desk_of(store).drain(first.id, actor="user:dana", reason="old")
    again = ensured(store)
    assert (again.outcome, again.cluster.generation) == ("created", 2)
    assert again.cluster.id != first.id


def test_ensure_by_many_at_once_makes_one(open_store: StoreFactory) -> None:
    found: list[Ensured] = []
    start = threading.Barrier(8)

    def ask(number: int) -> None:
        with open_store() as mine:
            start.wait()
            found.append(ensured(mine, actor=f"user:{number}"))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.outcome for one in found) == ["created"] + ["reused"] * 7
    assert len({one.cluster.id for one in found}) == 1


# Drain and terminate


@pytest.mark.parametrize("end", ["drain", "terminate"])
@pytest.mark.parametrize(
    ("phase", "then", "is_wished"),
    [
        (ClusterPhase.INTENT, ClusterPhase.DEAD, True),
        (ClusterPhase.CREATING, ClusterPhase.CREATING, True),
        (ClusterPhase.AMBIGUOUS, ClusterPhase.AMBIGUOUS, True),
        (ClusterPhase.STARTING, ClusterPhase.DRAINING, True),
        (ClusterPhase.READY, ClusterPhase.DRAINING, True),
        (ClusterPhase.TERMINATING, ClusterPhase.TERMINATING, True),
        (ClusterPhase.DEAD, ClusterPhase.DEAD, False),
    ],
)
def test_end_of_a_cluster_in_each_phase_is_noted_once(
    store: Store, end: str, phase: ClusterPhase, then: ClusterPhase, is_wished: bool
) -> None:
    cluster, desk = in_phase(store, phase), desk_of(store)
    before = len(kinds(store, cluster))
    verb = getattr(desk, end)
    done = verb(cluster.id, actor="user:dana", reason="over")
    wished = ClusterDesired.DRAINED if end == "drain" else ClusterDesired.DOWN
    assert (done.phase, done.desired) == (then, wished if is_wished else ClusterDesired.UP)
    assert len(kinds(store, cluster)) == before + is_wished
    assert verb(cluster.id, actor="user:bob", reason="again") == done == store.cluster(cluster.id)
    assert len(kinds(store, cluster)) == before + is_wished


def test_terminate_of_a_draining_cluster_is_the_harder_wish_and_drain_does_not_soften_it(store: Store) -> None:
    cluster, desk = in_phase(store, ClusterPhase.READY), desk_of(store)
    desk.drain(cluster.id, actor="user:dana", reason="over")
    assert desk.terminate(cluster.id, actor="user:bob", reason="now").desired is ClusterDesired.DOWN
    assert desk.drain(cluster.id, actor="user:dana", reason="softer").desired is ClusterDesired.DOWN


def test_create_of_a_cluster_that_was_called_off_is_refused(store: Store) -> None:
    cluster = ensured(store).cluster
    (claim,) = store.claim([ClaimRequest(kind="cluster", id=cluster.id)], holder=HOLDER, seconds=60)
    desk_of(store).drain(cluster.id, actor="user:dana", reason="over")
    intended = CreateIntended(cluster_id=cluster.id, epoch=claim.epoch or 0, nonce="n")
    (answer,) = store.record([intended], policy=Policy(), actor="observer")
    assert (answer.accepted, answer.refusal) == (False, "not_creatable")


def test_drain_lets_applications_that_are_on_it_go_on(store: Store) -> None:
    cluster = in_phase(store, ClusterPhase.READY)
    app_id = submitted_to(store, cluster)
    assert desk_of(store).drain(cluster.id, actor="user:dana", reason="over").phase is ClusterPhase.DRAINING
    assert store.detail(app_id).attempt.stop_requested_at is None


def test_terminate_with_applications_on_it_is_refused_with_their_ids(store: Store) -> None:
    cluster = in_phase(store, ClusterPhase.READY)
    apps = [submitted_to(store, cluster, ti_id) for ti_id in ("ti-1", "ti-2")]
    with pytest.raises(ClusterInUse, match="has 2 applications") as refused:
        desk_of(store).terminate(cluster.id, actor="user:dana", reason="over")
    assert refused.value.fields["apps"] == apps
    assert store.cluster(cluster.id) == cluster


def test_terminate_by_force_asks_its_applications_to_stop(store: Store) -> None:
    cluster = in_phase(store, ClusterPhase.READY)
    app_id = submitted_to(store, cluster)
    done = desk_of(store).terminate(cluster.id, actor="user:dana", reason="budget", force=True)
    assert (done.phase, done.desired, done.live_key) == (ClusterPhase.DRAINING, ClusterDesired.DOWN, None)
    attempt = store.detail(app_id).attempt
    assert (attempt.phase, attempt.stop_actor) == (AppPhase.STOPPED, "user:dana")
    assert attempt.stop_reason == f"cluster etl ({cluster.id}) is terminated: budget"


def test_end_of_an_unknown_cluster_is_not_found(store: Store) -> None:
    for verb in (desk_of(store).drain, desk_of(store).terminate):
        with pytest.raises(NotFound):
            verb(99, actor="user:dana", reason="x")
