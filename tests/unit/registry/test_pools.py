"""Pools of which profiles keep clusters up: filled by passes without any application, given back when nobody wants them."""

from typing import Any

from platyspark_provider.core.assignment import MAX_FAILED_STARTS
from platyspark_provider.core.profiles import profiles_from_mapping
from platyspark_provider.core.records import Policy
from platyspark_provider.core.states import AppPhase, ClusterDesired, ClusterPhase
from platyspark_provider.registry.pools import keep_pools
from platyspark_provider.registry.service import RegistryService
from tests.desks import Desk


def kept(least: int = 1, most: int = 2, **profile: Any) -> Desk:
    return Desk(document={"profiles": {"shared": {"pool": {"min": least, "max": most}, "idle_timeout": 60, **profile}}})


def passes(desk: Desk, count: int, seconds: float = 0.0) -> None:
    for _ in range(count):
        desk.pass_once()
        desk.clock.advance(seconds)


def phases(desk: Desk) -> list[ClusterPhase]:
    return [c.phase for c in reversed(desk.store.clusters(live_only=False))]


def test_pool_with_a_minimum_is_up_without_any_application_and_stays() -> None:
    desk = kept(2)
    passes(desk, 2)
    assert phases(desk) == [ClusterPhase.READY] * 2
    assert {c.ensured_by for c in desk.store.clusters()} == {"pool"}
    passes(desk, 20, seconds=3600.0)
    assert (phases(desk), len(desk.backend.clusters)) == ([ClusterPhase.READY] * 2, 2)
    assert desk.backend.calls["busy"] == 0, "what is kept is not even looked at"


def test_pool_gives_back_what_is_beyond_its_minimum() -> None:
    desk = kept(1, 2, step_concurrency=1)
    ids = desk.submit_many(2)
    passes(desk, 3)
    assert [desk.detail(i).attempt.phase for i in ids] == [AppPhase.RUNNING] * 2
    for run in list(desk.backend.runs.values()):
        desk.backend.finish(run.name)
    desk.pass_once()
    desk.clock.advance(60.0)
    passes(desk, 3)
    assert sorted(phases(desk)) == [ClusterPhase.DEAD, ClusterPhase.READY]


def test_pool_replaces_a_kept_cluster_that_dies_or_that_a_person_drains() -> None:
    desk = kept()
    passes(desk, 2)
    desk.backend.end_cluster("c-1")
    passes(desk, 3)
    assert phases(desk) == [ClusterPhase.DEAD, ClusterPhase.READY]
    desk.wish(desk.store.clusters()[0].id, ClusterDesired.DRAINED)
    passes(desk, 3)
    assert phases(desk) == [ClusterPhase.DEAD, ClusterPhase.DEAD, ClusterPhase.READY]


def test_pool_whose_clusters_never_become_ready_is_tried_with_pauses() -> None:
    desk = kept()
    desk.backend.ready_after_s = 1e9
    for _ in range(30):
        desk.pass_once()
        desk.backend.end_cluster(list(desk.backend.clusters)[-1])
        desk.clock.advance(10.0)
    assert len(desk.backend.clusters) == MAX_FAILED_STARTS
    desk.clock.advance(15 * 60.0)
    passes(desk, 2)
    assert len(desk.backend.clusters) == MAX_FAILED_STARTS + 1


def test_pool_stays_within_what_its_target_may_have() -> None:
    desk = Desk(
        document={
            "targets": {"default": {"max_clusters": 1}},
            "profiles": {"shared": {"pool": {"min": 1}}, "big": {"pool": {"min": 2, "max": 2}, "release_label": "emr-7.9.0"}},
        }
    )
    passes(desk, 3)
    assert len(desk.backend.clusters) == 1


def test_profiles_that_share_a_pool_keep_the_greater_number_of_clusters_once() -> None:
    profiles = {
        "shared": {"pool": {"min": 1, "max": 3}},
        "urgent": {"extends": "shared", "cluster": "shared", "pool": {"min": 2, "max": 3}},
    }
    desk = Desk(document={"profiles": profiles})
    passes(desk, 3)
    assert len(desk.backend.clusters) == 2


def test_cluster_that_no_profile_keeps_any_more_ends_when_it_is_idle() -> None:
    desk = kept()
    passes(desk, 2)
    changed = profiles_from_mapping({"profiles": {"shared": {"idle_timeout": 60, "release_label": "emr-7.9.0", "pool": {"min": 1}}}})
    desk.registry = RegistryService(desk.store, desk.tasks, lambda: changed)
    passes(desk, 3, seconds=60.0)
    assert phases(desk) == [ClusterPhase.DEAD, ClusterPhase.READY]
    none = profiles_from_mapping(None)
    keep_pools(desk.store, none, Policy())
    assert {c.spec.pool_min for c in desk.store.clusters()} == {0}


def test_minimum_that_is_raised_holds_for_the_cluster_that_is_there() -> None:
    desk = Desk(document={"profiles": {"shared": {"idle_timeout": 60}}})
    desk.submit_many(1)
    passes(desk, 2)
    raised = profiles_from_mapping({"profiles": {"shared": {"idle_timeout": 60, "pool": {"min": 1}}}}, artifacts="s3://artifacts/files")
    desk.registry = RegistryService(desk.store, desk.tasks, lambda: raised)
    for run in list(desk.backend.runs.values()):
        desk.backend.finish(run.name)
    passes(desk, 5, seconds=60.0)
    assert (phases(desk), len(desk.backend.clusters)) == ([ClusterPhase.READY], 1)
