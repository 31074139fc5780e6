"""What every backend owes its callers: the same cases on the fake (both styles) and on EMR, where drivers are processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from platyspark_provider.core.failures import failure_from_log
from platyspark_provider.core.ports import AttemptRef, AttemptSight, ClusterRef, Launch
from platyspark_provider.core.states import FailureClass
from platyspark_provider.emrsim.client import EmrSim
from platyspark_provider.errors import BackendRejected, BackendThrottled, ClusterGone, ReplyLost
from platyspark_provider.testing import FakeBackend, Fault
from tests.contract.backend_worlds import BUCKET, JOB, EmrWorld, FakeWorld, World, attempt_ref, cluster_name

WORLDS = ["fake-name", "fake-token", pytest.param("emr", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmrSim]:
    """Start one emrsim for all cases; each takes a cluster of its own."""
    with EmrSim.start(tmp_path_factory.mktemp("emrsim")) as running:
        running.boto3("s3").create_bucket(Bucket=BUCKET)
        running.boto3("s3").put_object(Bucket=BUCKET, Key="job.py", Body=JOB.encode())
        yield running


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param != "emr":
        yield FakeWorld(FakeBackend(adopts_by="token" if request.param == "fake-token" else "name"))
        return
    sim: EmrSim = request.getfixturevalue("sim")
    quick = {"starting_s": 0.2, "bootstrapping_s": 0.2, "terminating_s": 0.2, "step_start_s": 0.05, "log_delay_s": 0.2}
    sim.configure(**quick, steps_stuck=False, yarn_reachable=True)
    yield EmrWorld(sim, tmp_path)
    sim.release()
    emr = sim.boto3("emr")
    live = [one["Id"] for one in emr.list_clusters(ClusterStates=["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"])["Clusters"]]
    for cluster in live:
        emr.terminate_job_flows(JobFlowIds=[cluster])


def create(world: World, *, name: str | None = None) -> str:
    return world.backend.create_cluster(world.spec(), name=name or str(cluster_name()), token="c-1", tags={"plsp:key": "k"})


def cluster_state(world: World, cluster: str) -> str | None:
    sight = world.backend.observe([ClusterRef(id=1, external_id=cluster)], []).clusters.get(cluster)
    return sight.state if sight else None


def ready_cluster(world: World) -> str:
    cluster = create(world)
    world.until(lambda: cluster_state(world, cluster) == "ready")
    return cluster


def look(world: World, attempt: AttemptRef) -> AttemptSight:
    return world.backend.observe([], [attempt]).attempts[attempt.external_id or ""]


def sent(world: World, cluster: str, launch: Launch) -> AttemptRef:
    (external_id,) = world.backend.submit(cluster, [launch])
    return attempt_ref(world, launch, cluster, external_id)


def running(world: World, cluster: str, app_id: int = 1) -> AttemptRef:
    attempt = sent(world, cluster, world.launch(app_id))
    world.until(lambda: look(world, attempt).state == "running" and world.has_driver(attempt.name))
    return attempt


def test_create_cluster_starts_and_becomes_ready_under_its_name(world: World) -> None:
    cluster = create(world)

    assert cluster_state(world, cluster) in {"starting", "ready"}
    world.until(lambda: cluster_state(world, cluster) == "ready")
    sight = world.backend.observe([ClusterRef(id=1, external_id=cluster)], []).clusters[cluster]
    assert (sight.name, sight.failure_class) == (str(cluster_name()), None)
    assert sight.created_at is not None


def test_create_cluster_lost_reply_leaves_one_that_is_found_again(world: World) -> None:
    world.fail_next("create_cluster", Fault.LOSE_AFTER)

    name = cluster_name(generation=11)
    with pytest.raises(ReplyLost):
        create(world, name=str(name))

    found = world.backend.find_clusters(name.incarnation)
    assert len(found) == 1
    if world.backend.adopts_by == "token":
        assert create(world, name=str(name)) == found[0].external_id


@pytest.mark.parametrize(
    ("fault", "expected"), [(Fault.THROTTLE, BackendThrottled), (Fault.REJECT, BackendRejected), (Fault.LOSE_BEFORE, ReplyLost)]
)
def test_create_cluster_that_did_not_happen_leaves_nothing(world: World, fault: Fault, expected: type[Exception]) -> None:
    world.fail_next("create_cluster", fault)

    name = cluster_name(generation=12)
    with pytest.raises(expected):
        create(world, name=str(name))

    assert not world.backend.find_clusters(name.incarnation)


def test_find_clusters_generation_1_is_not_found_under_10(world: World) -> None:
    ten, one = cluster_name(generation=210), cluster_name(generation=21)
    create(world, name=str(ten))

    assert not world.backend.find_clusters(one.incarnation)
    assert len(world.backend.find_clusters(ten.incarnation)) == 1


def test_terminate_cluster_ends_it_and_asking_again_is_harmless(world: World) -> None:
    cluster = ready_cluster(world)

    world.backend.terminate_cluster(cluster)
    world.until(lambda: cluster_state(world, cluster) == "dead")
    world.backend.terminate_cluster(cluster)

    assert cluster_state(world, cluster) == "dead"
    with pytest.raises(ClusterGone):
        world.backend.submit(cluster, [world.launch(1)])


def test_observe_unknown_cluster_and_run_are_absent(world: World) -> None:
    attempt = attempt_ref(world, world.launch(1), "j-0000000000000", "s-00000000000000000000")

    sights = world.backend.observe([ClusterRef(id=1, external_id="j-0000000000000")], [attempt])

    assert not sights.clusters
    assert not sights.attempts
    assert not sights.failed


def test_observe_throttled_names_the_clusters_and_raises_nothing(world: World) -> None:
    cluster = ready_cluster(world)
    world.fail_next("observe", Fault.THROTTLE)

    sights = world.backend.observe([ClusterRef(id=1, external_id=cluster)], [])

    assert sights.failed == {cluster}
    assert sights.failure


def test_submit_returns_ids_in_order_and_names_find_them(world: World) -> None:
    cluster = ready_cluster(world)
    world.hold_starts()
    launches = [world.launch(app_id) for app_id in (1, 11, 111)]

    ids = world.backend.submit(cluster, launches)

    found = world.backend.find_attempts(cluster, {launches[0].name, launches[2].name, "plsp-abcdef-9-g1"})
    assert [sight.external_id for sight in found[launches[0].name]] == [ids[0]]
    assert [sight.external_id for sight in found[launches[2].name]] == [ids[2]]
    assert not found["plsp-abcdef-9-g1"]


def test_submit_lost_reply_leaves_one_run_that_is_found_again(world: World) -> None:
    cluster = ready_cluster(world)
    world.hold_starts()
    launch = world.launch(1)
    world.fail_next("submit", Fault.LOSE_AFTER)

    with pytest.raises(ReplyLost):
        world.backend.submit(cluster, [launch])

    found = world.backend.find_attempts(cluster, {launch.name})[launch.name]
    assert len(found) == 1
    if world.backend.adopts_by == "token":
        assert list(world.backend.submit(cluster, [launch])) == [found[0].external_id]
        assert len(world.backend.find_attempts(cluster, {launch.name})[launch.name]) == 1


@pytest.mark.parametrize(
    ("fault", "expected"), [(Fault.THROTTLE, BackendThrottled), (Fault.REJECT, BackendRejected), (Fault.LOSE_BEFORE, ReplyLost)]
)
def test_submit_that_did_not_happen_leaves_nothing(world: World, fault: Fault, expected: type[Exception]) -> None:
    cluster = ready_cluster(world)
    world.fail_next("submit", fault)
    launch = world.launch(1)

    with pytest.raises(expected):
        world.backend.submit(cluster, [launch])

    assert not world.backend.find_attempts(cluster, {launch.name})[launch.name]


def test_run_that_succeeds_is_seen_from_start_to_end(world: World) -> None:
    cluster = ready_cluster(world)
    attempt = running(world, cluster)
    assert look(world, attempt).started_at is not None

    world.end(attempt.name, "succeeded")
    world.until(lambda: look(world, attempt).state == "succeeded")

    sight = look(world, attempt)
    assert (sight.name, sight.driver) == (attempt.name, "dead")
    assert sight.ended_at is not None
    assert world.backend.prove_dead(attempt).state == "dead"
    assert not world.has_driver(attempt.name)


def test_run_that_fails_is_dead_and_its_log_says_why(world: World) -> None:
    cluster = ready_cluster(world)
    attempt = running(world, cluster)
    assert world.backend.read_log(attempt) is None

    world.end(attempt.name, "failed")
    world.until(lambda: look(world, attempt).state == "failed")
    sight = look(world, attempt)
    assert sight.driver == "dead"
    assert sight.proof

    world.until(lambda: world.backend.read_log(attempt) is not None)
    tail = world.backend.read_log(attempt)
    assert tail is not None
    failure = failure_from_log(tail.stderr, tail.stdout, application_name="job.py", log_uri=tail.uri)
    assert (failure.klass, failure.summary) == (FailureClass.USER, "ValueError: told to fail")
    assert failure.user_line is not None
    assert failure.user_line.startswith("job.py:9")
    assert world.backend.log_uri(attempt)


def test_stop_running_run_ends_its_process_with_proof(world: World) -> None:
    cluster = ready_cluster(world)
    attempt = running(world, cluster)
    assert world.backend.prove_dead(attempt).state == "alive"

    words = world.backend.stop(attempt, 1)
    world.until(lambda: world.backend.prove_dead(attempt).state == "dead")

    assert words
    assert not world.has_driver(attempt.name)
    assert look(world, attempt).state in {"cancelled", "failed"}
    assert world.backend.stop(attempt, 1)
    assert world.backend.prove_dead(attempt).proof


def test_stop_queued_run_never_starts_and_that_is_proof(world: World) -> None:
    cluster = ready_cluster(world)
    world.hold_starts()
    attempt = sent(world, cluster, world.launch(1))
    assert look(world, attempt).state == "pending"

    world.backend.stop(attempt, 1)
    world.until(lambda: look(world, attempt).state == "cancelled")

    sight = look(world, attempt)
    assert (sight.started_at, sight.driver) == (None, "dead")
    assert world.backend.prove_dead(attempt).state == "dead"


def test_stop_unreachable_driver_is_unproven_until_its_cluster_ends(world: World) -> None:
    """The rule against a second writer: without proof nothing is called dead, and a dedicated cluster's end is proof."""
    cluster = ready_cluster(world)
    attempt = running(world, cluster)
    world.cut_off_drivers()

    world.backend.stop(attempt, 1)
    world.backend.stop(attempt, 2)
    world.until(lambda: look(world, attempt).state in {"cancelled", "failed"})
    assert look(world, attempt).driver == "unknown"
    assert world.backend.prove_dead(attempt).state == "unknown"

    world.backend.stop(attempt, 4)
    world.until(lambda: cluster_state(world, cluster) == "dead")
    assert world.backend.prove_dead(attempt).state == "dead"
    world.until(lambda: not world.has_driver(attempt.name))


def test_cluster_that_ends_takes_its_runs_with_it(world: World) -> None:
    cluster = ready_cluster(world)
    attempt = running(world, cluster)

    world.backend.terminate_cluster(cluster)
    world.until(lambda: cluster_state(world, cluster) == "dead")

    world.until(lambda: look(world, attempt).state in {"failed", "cancelled"})
    assert look(world, attempt).driver == "dead"
    world.until(lambda: not world.has_driver(attempt.name))


def test_busy_tells_what_works_on_a_cluster_until_it_is_over(world: World) -> None:
    cluster = ready_cluster(world)
    assert world.backend.busy(cluster) == ""
    attempt = running(world, cluster)
    assert attempt.name in world.backend.busy(cluster)
    world.end(attempt.name, "succeeded")
    world.until(lambda: world.backend.busy(cluster) == "")
    world.backend.terminate_cluster(cluster)
    assert world.backend.busy(cluster) == ""


def test_busy_is_over_once_a_stopped_driver_is_gone(world: World) -> None:
    cluster = ready_cluster(world)
    attempt = running(world, cluster)
    world.backend.stop(attempt, 1)
    world.until(lambda: not world.has_driver(attempt.name))
    world.until(lambda: world.backend.busy(cluster) == "")
