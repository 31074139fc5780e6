"""What the fakes offer beyond the contract: virtual time, listing lag, faults, and drivers that live on."""

from datetime import timedelta
from typing import Any

import pytest

from platyspark_provider.core.keys import AttemptName, ClusterName
from platyspark_provider.core.ports import AttemptRef, Launch
from platyspark_provider.errors import BackendRejected, BackendUnavailable, ClusterGone, NotFound
from platyspark_provider.testing import FakeBackend, FakeClock, Fault
from tests.builders import make_cluster_spec, make_spec

CLUSTER = ClusterName(environment="test", pool="shared", key="0" * 12, installation="abcdef", generation=1, send=1)
RUN = AttemptName(installation="abcdef", app_id=1, generation=1)


def launch(**values: Any) -> Launch:
    return Launch(name=str(RUN), yarn_tag=RUN.yarn_tag, spec=make_spec(**values), token=str(RUN))


def with_run(**values: Any) -> tuple[FakeBackend, AttemptRef]:
    """Return a fake with one cluster and one run that has started."""
    backend = FakeBackend(**values)
    cluster = backend.create_cluster(make_cluster_spec(), name=str(CLUSTER), token="c", tags={})
    (id_,) = backend.submit(cluster, [launch()])
    attempt = AttemptRef(app_id=1, generation=1, name=str(RUN), yarn_tag=RUN.yarn_tag, cluster=cluster, external_id=id_, spec=launch().spec)
    return backend, attempt


def test_clock_moves_only_when_told() -> None:
    clock = FakeClock()
    start = clock.now()

    clock.sleep(5)
    clock.advance(10)

    assert clock.now() - start == timedelta(seconds=15)


def test_fake_new_things_stay_out_of_listings_for_the_lag() -> None:
    backend, attempt = with_run(listing_lag_s=30.0)

    assert not backend.find_clusters(CLUSTER.incarnation)
    assert not backend.find_attempts(attempt.cluster, {attempt.name})[attempt.name]
    assert not backend.observe([], [attempt]).attempts
    backend.clock.advance(30)
    assert len(backend.find_clusters(CLUSTER.incarnation)) == 1
    assert backend.observe([], [attempt]).attempts


def test_fake_style_name_sends_again_and_style_token_does_not() -> None:
    for style, count in (("name", 2), ("token", 1)):
        backend, attempt = with_run(adopts_by=style)
        backend.submit(attempt.cluster, [launch()])
        assert len(backend.runs) == count


def test_fake_token_with_another_request_is_refused() -> None:
    backend, attempt = with_run(adopts_by="token")

    with pytest.raises(BackendRejected, match="another request"):
        backend.submit(attempt.cluster, [launch(args=("changed",))])
    with pytest.raises(BackendRejected, match="another request"):
        backend.create_cluster(make_cluster_spec(step_concurrency=2), name=str(CLUSTER), token="c", tags={})


def test_fake_faults_are_used_up_in_order_and_calls_counted() -> None:
    backend, attempt = with_run()
    backend.fail("submit", Fault.UNAVAILABLE)
    backend.fail("submit", Fault.CLUSTER_GONE, times=2)

    for expected in (BackendUnavailable, ClusterGone, ClusterGone):
        with pytest.raises(expected):
            backend.submit(attempt.cluster, [launch()])
    backend.submit(attempt.cluster, [launch()])

    assert backend.calls["submit"] == 5
    assert len(backend.runs) == 2


def test_fake_driver_survives_the_rungs_below_its_own() -> None:
    backend, attempt = with_run(drivers_end_at_stage=2)

    backend.stop(attempt, 1)
    assert backend.observe([], [attempt]).attempts[attempt.external_id or ""].driver == "alive"
    backend.stop(attempt, 2)
    assert backend.prove_dead(attempt).state == "dead"


def test_fake_driver_that_nothing_ends_lives_until_its_cluster_dies() -> None:
    backend, attempt = with_run(drivers_end_at_stage=None)
    for stage in (1, 2, 3, 4):
        backend.stop(attempt, stage)
    assert backend.prove_dead(attempt).state == "alive"

    backend.end_cluster(attempt.cluster or "")
    backend.end_cluster(attempt.cluster or "")

    assert backend.prove_dead(attempt).state == "dead"


def test_fake_failed_run_may_leave_its_driver_behind() -> None:
    backend, attempt = with_run()
    backend.finish(attempt.name, "failed", driver_lives=True)

    sight = backend.observe([], [attempt]).attempts[attempt.external_id or ""]
    assert (sight.state, sight.driver) == ("failed", "alive")
    backend.end_driver(attempt.name)
    assert backend.observe([], [attempt]).attempts[attempt.external_id or ""].driver == "dead"


def test_fake_unlisted_cluster_is_failed_and_its_runs_unknown() -> None:
    backend, attempt = with_run()
    backend.unlisted.add(attempt.cluster or "")

    sights = backend.observe([], [attempt])

    assert sights.failed == {attempt.cluster}
    assert not sights.attempts


def test_fake_run_without_a_cluster_starts_by_itself() -> None:
    backend = FakeBackend(adopts_by="token", start_after_s=5.0)
    backend.submit(None, [launch()])

    assert backend.run_named(str(RUN)).state == "pending"
    backend.clock.advance(5)
    assert backend.run_named(str(RUN)).state == "running"


def test_fake_unknown_run_is_an_error_for_the_test_and_nothing_for_the_port() -> None:
    backend, attempt = with_run()
    stranger = AttemptRef(app_id=9, generation=1, name="x", yarn_tag="x", cluster=attempt.cluster, external_id="r-9", spec=attempt.spec)

    with pytest.raises(NotFound):
        backend.run_named("x")
    assert "nothing to stop" in backend.stop(stranger, 1)
    assert backend.prove_dead(stranger).state == "unknown"
    assert backend.read_log(stranger) is None
