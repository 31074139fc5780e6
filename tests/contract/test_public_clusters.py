"""What people may ask about clusters, on each kind of store: rights, generations, lists, and who did it in the events."""

from collections.abc import Iterator
from typing import Any

import pytest

from platyspark_provider import errors
from platyspark_provider.core.listing import ClusterFilter
from platyspark_provider.core.model import Cluster, Event
from platyspark_provider.core.spec import ClusterRequest
from platyspark_provider.core.states import ClusterPhase
from platyspark_provider.registry.public_clusters import PublicClusters
from platyspark_provider.registry.rights import ALL_RIGHTS, Rights, Subject
from platyspark_provider.store.base import Store, StoreFactory
from tests.public_world import OPERATOR, People, SomeRights

ONLOOKER = SomeRights(shared=("GET",))


@pytest.fixture
def store(open_store: StoreFactory) -> Iterator[Store]:
    with open_store() as store:
        yield store


def clusters_of(store: Store, rights: Rights = ALL_RIGHTS, request_id: str = "") -> PublicClusters:
    return PublicClusters(store, People(store=store).profiles, subject=Subject(name="olga", rights=rights, request_id=request_id))


def ensured(store: Store, name: str = "etl", **values: Any) -> Cluster:
    return clusters_of(store).ensure(ClusterRequest(name=name, **values), team=None).cluster


def last_event(store: Store, cluster: Cluster) -> Event:
    return store.events(object_kind="cluster", object_id=cluster.id)[-1]


def test_ensure_makes_one_and_finds_it_again_and_each_call_is_an_event(store: Store) -> None:
    first = clusters_of(store, OPERATOR, "r-1").ensure(ClusterRequest(name="etl"), team=None)
    again = clusters_of(store, OPERATOR, "r-2").ensure(ClusterRequest(name="etl"), team=None)
    assert (first.outcome, again.outcome, again.cluster.id) == ("created", "reused", first.cluster.id)
    asked = [e for e in store.events(object_kind="cluster", object_id=first.cluster.id) if e.kind == "cluster.ensured"]
    assert [(e.actor, e.detail["request_id"]) for e in asked] == [("user:olga", "r-1"), ("user:olga", "r-2")]


def test_ensure_with_another_spec_is_refused_or_replaces(store: Store) -> None:
    old = ensured(store)
    wider = ClusterRequest(name="etl", workers=(7, 7))
    with pytest.raises(errors.ClusterConflict) as refused:
        clusters_of(store).ensure(wider, team=None)
    assert refused.value.fields["cluster_id"] == old.id
    assert "instance_groups" in " ".join(refused.value.fields["differing"])
    done = clusters_of(store).ensure(wider, team=None, replace=True)
    assert ([one.id for one in done.drained], store.cluster(old.id).phase) == ([old.id], ClusterPhase.DEAD)
    assert last_event(store, done.cluster).detail["drained"] == [old.id]


def test_drain_and_terminate_say_who_why_and_which_call(store: Store) -> None:
    one, other = ensured(store, "one"), ensured(store, "other")
    clusters_of(store, OPERATOR, "r-1").drain(one.id, reason="too old", expected=one.generation)
    clusters_of(store, OPERATOR, "r-2").terminate(other.id, reason="too dear", expected=other.generation)
    said = [(last_event(store, c).actor, dict(last_event(store, c).detail)) for c in (one, other)]
    assert said == [
        ("user:olga", {"reason": "too old", "request_id": "r-1"}),
        ("user:olga", {"reason": "too dear", "request_id": "r-2"}),
    ]


def test_terminate_with_applications_names_them_and_by_force_stops_them(store: Store) -> None:
    people = People(store=store)
    app = people.submit().detail.app
    people.bring_to("running", app.id, 1)
    cluster_id = store.detail(app.id).app.cluster_id
    assert cluster_id is not None
    with pytest.raises(errors.ClusterInUse) as refused:
        clusters_of(store).terminate(cluster_id)
    assert refused.value.fields["apps"] == [app.id]
    clusters_of(store).terminate(cluster_id, force=True)
    assert store.detail(app.id).attempt.stop_actor == "user:olga"


@pytest.mark.parametrize("act", ["drain", "terminate"])
def test_stale_generation_changes_nothing(store: Store, act: str) -> None:
    cluster = ensured(store)
    with pytest.raises(errors.StaleGeneration):
        getattr(clusters_of(store), act)(cluster.id, expected=cluster.generation + 1)
    assert store.cluster(cluster.id) == cluster


def test_rights_are_those_on_pools_and_the_view_of_jobs(store: Store) -> None:
    cluster = ensured(store)
    assert clusters_of(store, ONLOOKER).cluster(cluster.id) == cluster
    assert clusters_of(store, ONLOOKER).clusters(ClusterFilter()).total == 1
    nobody, onlooker = clusters_of(store, SomeRights()), clusters_of(store, ONLOOKER)
    for refused in (lambda: nobody.cluster(cluster.id), lambda: nobody.clusters(ClusterFilter())):
        with pytest.raises(errors.NotAllowed, match="see clusters"):
            refused()
    for refused in (
        lambda: onlooker.ensure(ClusterRequest(name="x"), team=None),
        lambda: onlooker.drain(cluster.id),
        lambda: onlooker.terminate(cluster.id),
    ):
        with pytest.raises(errors.NotAllowed, match="on pools"):
            refused()
    assert store.cluster(cluster.id) == cluster


def test_list_filters_orders_and_pages(store: Store) -> None:
    made = {name: ensured(store, name) for name in ("etl-a", "etl-b", "ml")}
    clusters_of(store).terminate(made["ml"].id)

    def found(**values: Any) -> list[str]:
        return [one.name for one in clusters_of(store).clusters(ClusterFilter(**values)).items]

    assert found() == ["ml", "etl-b", "etl-a"]
    assert found(live=True) == ["etl-b", "etl-a"]
    assert found(live=False) == ["ml"]
    assert found(states=[ClusterPhase.DEAD]) == ["ml"]
    assert found(name="etl-a") == ["etl-a"]
    assert found(name_pattern="ETL", order_by="name", descending=False) == ["etl-a", "etl-b"]
    assert found(order_by="name", descending=False, limit=1, offset=1) == ["etl-b"]
    assert clusters_of(store).clusters(ClusterFilter(limit=1)).total == 3
