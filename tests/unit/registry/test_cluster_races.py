"""What another process does to a cluster between two steps of `ClusterDesk`, which locks one row at a time."""

from dataclasses import replace
from typing import Any

import pytest

from platyspark_provider.core.facts import ClusterObserved, CreateEnded, CreateIntended
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.profiles import profiles_from_mapping
from platyspark_provider.core.records import ClaimRequest, Policy
from platyspark_provider.core.spec import ClusterRequest
from platyspark_provider.core.states import ClusterPhase
from platyspark_provider.errors import ClusterConflict, StoreBusy
from platyspark_provider.registry.clusters import ClusterDesk
from platyspark_provider.store.memory import InMemoryStore

ETL = ClusterRequest(name="etl", workers=(4, 4))


class RacingStore(InMemoryStore):
    """A store on which something happens just before, or just after, a cluster is ensured; each once unless kept."""

    before: Any = None
    after: Any = None
    keep = False

    def ensure_cluster(self, wanted: Cluster, *, actor: str) -> tuple[Cluster, bool]:
        self._happen("before")
        found, is_new = super().ensure_cluster(wanted, actor=actor)
        self._happen("after")
        return self.cluster(found.id), is_new

    def _happen(self, when: str) -> None:
        happens = getattr(self, when)
        if happens is not None:
            if not self.keep:
                setattr(self, when, None)
            happens()


def desk_of(store: InMemoryStore) -> ClusterDesk:
    profiles = profiles_from_mapping(None)
    return ClusterDesk(store, lambda: profiles)


def creating(store: RacingStore) -> Cluster:
    """Have a cluster whose create is under way and whose end is wished."""
    cluster = desk_of(store).ensure(ETL, team="ads", actor="user:dana").cluster
    (claim,) = store.claim([ClaimRequest(kind="cluster", id=cluster.id)], holder="x", seconds=60)
    assert claim.epoch is not None
    store.record([CreateIntended(cluster_id=cluster.id, epoch=claim.epoch, nonce="n")], policy=Policy(), actor="observer")
    return desk_of(store).drain(cluster.id, actor="user:dana", reason="over")


def known(store: RacingStore, cluster: Cluster) -> None:
    """Let the create of a cluster be known, which begins its end."""
    epoch = store.cluster(cluster.id).lease.epoch
    (answer,) = store.record(
        [CreateEnded(cluster_id=cluster.id, epoch=epoch, result="created", external_id="j-1")], policy=Policy(), actor="observer"
    )
    assert answer.accepted
    assert store.cluster(cluster.id).phase is ClusterPhase.DRAINING


def test_ensure_of_a_cluster_that_begins_to_end_meanwhile_makes_the_next() -> None:
    store = RacingStore()
    cluster = creating(store)
    store.after = lambda: known(store, cluster)
    found = desk_of(store).ensure(ETL, team="ads", actor="user:bob")
    assert (found.outcome, found.cluster.generation, found.cluster.phase) == ("created", 2, ClusterPhase.INTENT)


def test_ensure_of_what_ends_again_and_again_may_pass_later() -> None:
    store = RacingStore()
    store.keep = True

    def end_all() -> None:
        for one in store.clusters():
            (claim,) = store.claim([ClaimRequest(kind="cluster", id=one.id)], holder="x", seconds=60)
            named: dict[str, Any] = {"cluster_id": one.id, "epoch": claim.epoch}
            facts = [
                CreateIntended(**named, nonce="n"),
                CreateEnded(**named, result="created", external_id=f"j-{one.id}"),
                ClusterObserved(**named, state="terminating", raw_state="TERMINATING"),
            ]
            store.record(facts, policy=Policy(), actor="observer")

    store.after = end_all
    with pytest.raises(StoreBusy, match="Cluster 'etl' ends faster than it can be asked for"):
        desk_of(store).ensure(ETL, team="ads", actor="user:dana")


def test_ensure_beside_another_spec_that_came_at_the_same_moment_gives_way() -> None:
    store = RacingStore()
    first = replace(ETL, size="large")
    store.before = lambda: desk_of(store).ensure(first, team="ads", actor="user:bob")
    with pytest.raises(ClusterConflict, match=r"Cluster 'etl' lives with another spec \(1\)") as refused:
        desk_of(store).ensure(ETL, team="ads", actor="user:dana")
    assert refused.value.fields["cluster_id"] == 1
    (lives,) = store.clusters()
    assert (lives.id, lives.ensured_by) == (1, "user:bob")
    assert store.cluster(2).observed_reason == "cluster 1 of that name came first"
