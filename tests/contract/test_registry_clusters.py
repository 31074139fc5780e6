"""One suite for every registry: what a task may do to clusters by name, and what the snapshot tells those that wait."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from platyspark_provider.core.facts import ClusterAssigned
from platyspark_provider.core.records import ClaimRequest
from platyspark_provider.core.spec import ClusterRequest
from platyspark_provider.core.states import AppPhase, ClusterDesired, ClusterPhase
from platyspark_provider.errors import (
    ClusterConflict,
    ClusterInUse,
    InvalidRequest,
    NotAllowed,
    NotFound,
    PolicyViolated,
    StaleTry,
    TargetFull,
)
from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.registry.clusters import ClusterDesk
from platyspark_provider.registry.identity import Caller
from platyspark_provider.registry.service import RegistryService
from platyspark_provider.store.base import StoreFactory
from tests.builders import make_request
from tests.registry_world import HOLDER, World, make_task, open_world

pytestmark = pytest.mark.parametrize(
    ("open_store", "over_http"),
    [("memory", False), ("sqlite", False), ("postgresql", False), ("sqlite", True)],
    ids=["service-memory", "service-sqlite", "service-postgresql", "http-sqlite"],
    indirect=["open_store"],
)

PROFILES = """
targets: {default: {max_clusters: 3}}
profiles:
  shared: {}
  urgent: {extends: shared, cluster: shared, priority: 90}
policies:
  teams:
    ads: {max_workers: 40}
"""
ETL = ClusterRequest(name="etl", workers=(2, 8), spot=0.5, idle_timeout_s=600)


@pytest.fixture
def world(open_store: StoreFactory, over_http: bool, tmp_path: Path) -> Iterator[World]:
    """Yield a world of each kind in turn, with three more tasks."""
    file = tmp_path / "profiles.yaml"
    file.write_text(PROFILES)
    with open_world(open_store, over_http=over_http, profiles=ProfilesFile(file, artifacts="s3://artifacts/x")) as opened:
        opened.tasks.add(make_task("ti-same-dag", task_id="other"))
        opened.tasks.add(make_task("ti-ads", dag_id="ads_one", team="ads"))
        opened.tasks.add(make_task("ti-ads-2", dag_id="ads_two", team="ads"))
        opened.tasks.add(make_task("ti-ml", dag_id="ml", team="ml"))
        yield opened


def join(world: World, ti_id: str, cluster: ClusterRequest = ETL) -> int:
    """Submit as a task and let the application get its cluster."""
    app_id = world.submit(make_request(cluster=cluster), ti_id=ti_id).app.id
    world.record(ClusterAssigned(app_id=app_id, generation=1, epoch=world.claim(app_id)))
    assert world.store.detail(app_id).app.cluster_id is not None
    return app_id


def test_ensure_cluster_is_asked_for_by_the_task_and_told_by_the_snapshot(world: World) -> None:
    found = world.registry.ensure_cluster(ETL, ti_id="ti-1")
    assert (found.outcome, found.cluster.name, found.cluster.ensured_by) == ("created", "etl", "task:sales/daily/run-1#1")
    assert (found.cluster.spec.max_workers, found.cluster.spec.idle_timeout_s) == (8, 600)
    (brief,) = world.registry.snapshot().clusters
    assert (brief.id, brief.name, brief.phase, brief.generation) == (found.cluster.id, "etl", ClusterPhase.INTENT, 1)
    assert brief.note == "no pass has created it yet"
    assert world.registry.cluster(found.cluster.id, ti_id="ti-1") == world.store.cluster(found.cluster.id)


def test_ensure_cluster_by_other_tasks_is_the_one_that_lives(world: World) -> None:
    first = world.registry.ensure_cluster(ETL, ti_id="ti-1")
    for ti_id in ("ti-1", "ti-ads", "ti-ml"):
        again = world.registry.ensure_cluster(ETL, ti_id=ti_id)
        assert (again.outcome, again.cluster.id) == ("reused", first.cluster.id)


def test_ensure_cluster_is_where_applications_of_the_same_request_go(world: World) -> None:
    found = world.registry.ensure_cluster(ETL, ti_id="ti-1")
    assert world.store.detail(join(world, "ti-ads")).app.cluster_id == found.cluster.id


def test_ensure_cluster_of_another_spec_lives_beside_unless_told_otherwise(world: World) -> None:
    first = world.registry.ensure_cluster(ETL, ti_id="ti-1")
    other = replace(ETL, size="large")
    with pytest.raises(ClusterConflict, match="instance_groups differ") as refused:
        world.registry.ensure_cluster(other, ti_id="ti-1", alongside=False)
    assert (refused.value.fields["differing"], refused.value.fields["cluster_id"]) == (["instance_groups"], first.cluster.id)
    beside = world.registry.ensure_cluster(other, ti_id="ti-1")
    assert [one.id for one in beside.siblings] == [first.cluster.id]


def test_ensure_cluster_holds_the_ceilings_of_the_tasks_team(world: World) -> None:
    big = replace(ETL, workers=(2, 80))
    with pytest.raises(PolicyViolated, match="Cluster 'etl' asks for 80 workers; team 'ads' may use 40"):
        world.registry.ensure_cluster(big, ti_id="ti-ads")
    with pytest.raises(PolicyViolated, match="team 'ads' may use 40"):
        world.registry.ensure_cluster(big, ti_id="ti-1", team="ads")
    with pytest.raises(PolicyViolated, match="the DAG has the tag 'team:ml'"):
        world.registry.ensure_cluster(big, ti_id="ti-ml", team="ads")
    assert world.registry.ensure_cluster(big, ti_id="ti-ml").outcome == "created"


def test_ensure_cluster_beyond_the_targets_quota_may_pass_later(world: World) -> None:
    for name in ("a", "b", "c"):
        world.registry.ensure_cluster(ClusterRequest(name=name), ti_id="ti-1")
    with pytest.raises(TargetFull, match="Target 'default' has 3 of 3 clusters") as full:
        world.registry.ensure_cluster(ClusterRequest(name="d"), ti_id="ti-1")
    assert full.value.retry_after == 60


def test_ensure_cluster_of_a_dedicated_one_is_refused(world: World) -> None:
    with pytest.raises(InvalidRequest, match="each application makes its own"):
        world.registry.ensure_cluster(replace(ETL, dedicated=True), ti_id="ti-1")


def test_ensure_cluster_by_a_try_that_is_over_is_refused(world: World) -> None:
    world.tasks.archive("ti-1")
    with pytest.raises(StaleTry):
        world.registry.ensure_cluster(ETL, ti_id="ti-1")
    with pytest.raises(NotAllowed):
        world.registry.ensure_cluster(ETL, ti_id="nobody")


def test_end_cluster_by_name_drains_it_and_the_snapshot_says_why(world: World) -> None:
    found = world.registry.ensure_cluster(ETL, ti_id="ti-1")
    (done,) = world.registry.end_cluster("etl", "drain", ti_id="ti-same-dag")
    assert (done.id, done.phase, done.desired) == (found.cluster.id, ClusterPhase.DEAD, ClusterDesired.DRAINED)
    (brief,) = world.registry.snapshot().clusters
    assert (brief.phase, brief.note) == (ClusterPhase.DEAD, "task:sales/other/run-1#1 drains it")
    assert world.registry.end_cluster("etl", "drain", ti_id="ti-1") == ()
    assert world.registry.end_cluster(done.id, "terminate", ti_id="ti-1") == ()


def test_end_cluster_by_a_profiles_name_means_that_profiles_clusters(world: World) -> None:
    found = world.registry.ensure_cluster(ClusterRequest(name="urgent"), ti_id="ti-1")
    assert found.cluster.name == "shared"
    assert [one.id for one in world.registry.end_cluster("urgent", "drain", ti_id="ti-1")] == [found.cluster.id]


def test_end_cluster_that_nobody_knows(world: World) -> None:
    assert world.registry.end_cluster("etl", "drain", ti_id="ti-1") == ()
    with pytest.raises(NotFound):
        world.registry.end_cluster(99, "drain", ti_id="ti-1")
    with pytest.raises(NotFound):
        world.registry.cluster(99, ti_id="ti-1")


@pytest.mark.parametrize("action", ["drain", "terminate"])
def test_end_cluster_of_another_dag_is_not_allowed_unless_the_team_is_the_same(world: World, action: str) -> None:
    found = world.registry.ensure_cluster(ETL, ti_id="ti-ads")
    for ti_id in ("ti-1", "ti-ml"):
        with pytest.raises(NotAllowed, match="may not end cluster etl"):
            world.registry.end_cluster("etl", action, ti_id=ti_id)  # type: ignore[arg-type]
    assert world.store.cluster(found.cluster.id).phase is ClusterPhase.INTENT
    assert len(world.registry.end_cluster("etl", action, ti_id="ti-ads-2")) == 1  # type: ignore[arg-type]


def test_end_cluster_that_people_or_applications_asked_for_is_not_allowed(world: World) -> None:
    app_id = join(world, "ti-1")
    with pytest.raises(NotAllowed, match="by the applications on it"):
        world.registry.end_cluster("etl", "drain", ti_id="ti-1")
    cluster_id = world.store.detail(app_id).app.cluster_id
    assert cluster_id is not None
    world.store.ensure_cluster(replace(world.store.cluster(cluster_id), ensured_by="user:dana"), actor="user:dana")
    with pytest.raises(NotAllowed, match="by user:dana"):
        world.registry.end_cluster(cluster_id, "drain", ti_id="ti-1")


def test_end_cluster_under_a_name_ends_the_callers_own_of_several(world: World) -> None:
    mine = world.registry.ensure_cluster(ETL, ti_id="ti-1")
    theirs = world.registry.ensure_cluster(replace(ETL, size="large"), ti_id="ti-ads")
    assert [one.id for one in world.registry.end_cluster("etl", "drain", ti_id="ti-1")] == [mine.cluster.id]
    assert world.store.cluster(theirs.cluster.id).phase is ClusterPhase.INTENT


def test_terminate_with_own_applications_needs_force(world: World) -> None:
    world.registry.ensure_cluster(ETL, ti_id="ti-1")
    app_id = join(world, "ti-1")
    with pytest.raises(ClusterInUse, match="has 1 applications") as refused:
        world.registry.end_cluster("etl", "terminate", ti_id="ti-1")
    assert refused.value.fields["apps"] == [app_id]
    (done,) = world.registry.end_cluster("etl", "terminate", ti_id="ti-1", force=True)
    assert done.desired is ClusterDesired.DOWN
    assert world.store.detail(app_id).attempt.phase is AppPhase.STOPPED


def test_terminate_by_force_with_applications_of_others_is_not_allowed(world: World) -> None:
    found = world.registry.ensure_cluster(ETL, ti_id="ti-1")
    app_id = join(world, "ti-ml")
    with pytest.raises(NotAllowed, match="is on cluster etl"):
        world.registry.end_cluster("etl", "terminate", ti_id="ti-1", force=True)
    assert world.store.detail(app_id).attempt.stop_requested_at is None
    assert world.store.cluster(found.cluster.id).desired is ClusterDesired.UP


def test_snapshot_tells_clusters_that_were_ensured_alone(world: World) -> None:
    join(world, "ti-1")
    assert world.registry.snapshot().clusters == ()
    world.registry.ensure_cluster(ETL, ti_id="ti-ads")
    assert [one.name for one in world.registry.snapshot().clusters] == ["etl"]


def test_tasks_clusters_are_held_to_the_teams_of_the_token(world: World) -> None:
    caller = Caller(actor="token:ml", scopes=("worker",), teams=("ml",))
    profiles = ProfilesFile(None).current()
    registry = RegistryService(world.store, world.tasks, lambda: profiles, caller=caller)
    with pytest.raises(NotAllowed, match="may not act for team 'ads'"):
        registry.ensure_cluster(ETL, ti_id="ti-ads")
    ClusterDesk(world.store, lambda: profiles).ensure(ETL, team="ads", actor="task:ml/x/r#1")
    join(world, "ti-ads")
    with pytest.raises(NotAllowed, match="may not act for team 'ads'"):
        registry.end_cluster("etl", "drain", ti_id="ti-ml")


def test_claim_of_an_ensured_cluster_by_a_task_that_is_not_on_it_is_not_allowed(world: World) -> None:
    world.submit(make_request())
    found = world.registry.ensure_cluster(ETL, ti_id="ti-1")
    with pytest.raises(NotAllowed):
        world.registry.claim([ClaimRequest(kind="cluster", id=found.cluster.id)], holder=HOLDER, ti_id="ti-1")
