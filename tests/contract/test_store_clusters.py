"""One suite for every store: clusters by themselves, ensured, changed under their lock, and who is on them."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from platyspark_provider.core.cluster_transitions import ClusterState, enter_cluster
from platyspark_provider.core.facts import ClusterObserved
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.records import ClusterLoad
from platyspark_provider.core.states import AppPhase, ClusterDesired, ClusterPhase
from platyspark_provider.errors import NotFound
from platyspark_provider.store.base import Store, StoreFactory
from tests.builders import make_cluster, make_cluster_spec, make_target
from tests.store_steps import hold, move, on_cluster, record, started, submit


@pytest.fixture
def store(open_store: StoreFactory) -> Iterator[Store]:
    """Yield a store that knows the default target."""
    with open_store() as opened:
        opened.ensure_target(make_target())
        yield opened


def wanted(store: Store, ensured_by: str | None = "user:dana", **spec: object) -> Cluster:
    """Return a row to ensure."""
    now = store.now()
    return make_cluster(id=0, generation=0, ensured_by=ensured_by, created_at=now, updated_at=now, spec=make_cluster_spec(**spec))


def drained(state: ClusterState, active: int, now: datetime) -> ClusterState:
    return enter_cluster(state, ClusterPhase.DRAINING, f"{active} left.", actor="user:dana", now=now, desired=ClusterDesired.DRAINED)


def test_ensure_cluster_inserts_an_intent_with_its_first_event(store: Store) -> None:
    made, is_new = store.ensure_cluster(wanted(store), actor="user:dana")
    assert (is_new, made.generation, made.phase, made.ensured_by) == (True, 1, ClusterPhase.INTENT, "user:dana")
    assert store.cluster(made.id) == made
    assert store.clusters() == (made,)
    (event,) = store.events(object_kind="cluster", object_id=made.id)
    assert (event.kind, event.actor) == ("cluster.intent", "user:dana")


def test_ensure_cluster_again_returns_what_lives_and_keeps_who_asked_first(store: Store) -> None:
    made, _ = store.ensure_cluster(wanted(store), actor="user:dana")
    assert store.ensure_cluster(wanted(store, "pool"), actor="pool") == (made, False)
    assert len(store.events()) == 1


def test_ensured_clusters_are_those_that_live_or_ended_lately(store: Store) -> None:
    app_id = submit(store).app.id
    on_cluster(store, app_id, hold(store, "app", app_id))
    lives, ended = (store.ensure_cluster(wanted(store, name=name), actor="user:dana")[0] for name in ("lives", "ended"))
    store.change_cluster(ended.id, lambda state, _, now: enter_cluster(state, ClusterPhase.DEAD, "Over.", actor="user:dana", now=now))
    assert [one.name for one in store.ensured_clusters(ended_within=timedelta(hours=1))] == ["lives", "ended"]
    assert [one.id for one in store.ensured_clusters(ended_within=timedelta(0))] == [lives.id]


def test_ensure_cluster_that_applications_asked_for_notes_who_wants_it(store: Store) -> None:
    app_id = submit(store).app.id
    cluster = on_cluster(store, app_id, hold(store, "app", app_id))
    found, is_new = store.ensure_cluster(wanted(store, "pool"), actor="pool")
    assert (found.id, found.ensured_by, is_new) == (cluster.id, "pool", False)
    assert store.cluster(cluster.id) == found


def test_ensure_cluster_of_another_spec_lives_beside_it(store: Store) -> None:
    one, _ = store.ensure_cluster(wanted(store), actor="x")
    two, is_new = store.ensure_cluster(wanted(store, release_label="emr-7.6.0"), actor="x")
    assert is_new
    assert [c.id for c in store.clusters(name="shared")] == [two.id, one.id]
    assert store.clusters(name="other") == ()


def test_ensure_cluster_after_the_end_is_the_next_generation(store: Store) -> None:
    one, _ = store.ensure_cluster(wanted(store), actor="x")
    store.change_cluster(one.id, lambda state, active, now: enter_cluster(state, ClusterPhase.DEAD, "Called off.", actor="x", now=now))
    two, is_new = store.ensure_cluster(wanted(store), actor="x")
    assert (is_new, two.generation, two.next_reconcile_at) == (True, 2, None)
    assert store.clusters() == (two,)
    assert [c.id for c in store.clusters(live_only=False)] == [two.id, one.id]


def test_ensure_cluster_after_failed_starts_waits_longer_each_time(store: Store) -> None:
    pauses = []
    for number in range(1, 5):
        made, _ = store.ensure_cluster(wanted(store), actor="pool")
        pauses.append((made.restart_count, made.next_reconcile_at is not None))
        fact = ClusterObserved(
            cluster_id=made.id,
            epoch=started(store, made, f"j-{number}"),
            state="dead",
            raw_state="TERMINATED_WITH_ERRORS",
            failure_class="infrastructure",
        )
        assert record(store, fact)[0].accepted
    assert pauses == [(0, False), (1, True), (2, True), (3, True)]
    assert made.next_reconcile_at is not None
    assert timedelta(minutes=14) < made.next_reconcile_at - store.now() <= timedelta(minutes=15)


def test_change_cluster_counts_the_live_applications_on_it(store: Store) -> None:
    ids = [submit(store, key).app.id for key in "abc"]
    cluster = next(on_cluster(store, i, hold(store, "app", i)) for i in ids)
    for i in ids[1:]:
        on_cluster(store, i, hold(store, "app", i))
    move(store, ids[0], AppPhase.SUCCEEDED)
    done = store.change_cluster(cluster.id, drained)
    assert (done.phase, done.live_key, done.desired) == (ClusterPhase.DRAINING, None, ClusterDesired.DRAINED)
    assert store.cluster(cluster.id) == done
    assert store.events(object_kind="cluster")[-1].message == "2 left."


def test_change_cluster_keeps_the_lease_and_writes_nothing_when_refused(store: Store) -> None:
    made, _ = store.ensure_cluster(wanted(store), actor="x")
    epoch = hold(store, "cluster", made.id)

    def refuse(state: ClusterState, active: int, now: datetime) -> ClusterState:
        raise NotFound("no")

    with pytest.raises(NotFound):
        store.change_cluster(made.id, refuse)
    done = store.change_cluster(made.id, lambda state, active, now: replace(state, cluster=replace(state.cluster, ensured_by="z")))
    assert (done.lease.owner, done.lease.epoch, done.ensured_by) == ("me", epoch, "z")
    assert store.cluster(made.id) == done


def test_cluster_that_is_not_there_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        store.cluster(99)
    with pytest.raises(NotFound):
        store.change_cluster(99, drained)


def test_apps_on_are_the_live_ones_by_id(store: Store) -> None:
    ids = [submit(store, key).app.id for key in "abc"]
    clusters = {on_cluster(store, i, hold(store, "app", i)).id for i in reversed(ids)}
    move(store, ids[1], AppPhase.FAILED)
    (cluster_id,) = clusters
    assert [a.id for a in store.apps_on(cluster_id)] == [ids[0], ids[2]]
    assert store.apps_on(99) == ()


def test_loads_count_live_and_stuck_applications(store: Store) -> None:
    ids = [submit(store, key).app.id for key in "abc"]
    (cluster_id,) = {on_cluster(store, i, hold(store, "app", i)).id for i in ids}
    move(store, ids[0], AppPhase.STOP_UNPROVEN, cluster_id=cluster_id)
    move(store, ids[1], AppPhase.SUCCEEDED, cluster_id=cluster_id, ended_at=store.now())
    assert store.loads([cluster_id, 99]) == {cluster_id: ClusterLoad(active=2, stuck=1), 99: ClusterLoad()}


def test_loads_of_an_idle_cluster_tell_when_it_was_last_used(store: Store) -> None:
    ids = [submit(store, key).app.id for key in "ab"]
    (cluster_id,) = {on_cluster(store, i, hold(store, "app", i)).id for i in ids}
    ends = [store.now() - timedelta(minutes=5), store.now() - timedelta(minutes=9)]
    for app_id, at in zip(ids, ends, strict=True):
        move(store, app_id, AppPhase.SUCCEEDED, cluster_id=cluster_id, ended_at=at)
    assert store.loads([cluster_id]) == {cluster_id: ClusterLoad(last_used_at=ends[0])}
    assert store.loads([]) == {}
