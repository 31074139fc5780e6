"""Targets that can't be reached, and clusters that their target does not know: nothing is concluded, and others get their turn."""

from datetime import timedelta

import pytest

from platyspark_provider.core.model import Target
from platyspark_provider.core.ports import Backend
from platyspark_provider.core.states import AppPhase, ClusterPhase
from platyspark_provider.errors import BackendUnavailable
from platyspark_provider.reconciler.passes import LONGEST_ABSTENTION, Bidding, run_pass
from platyspark_provider.reconciler.workbench import PassReport
from platyspark_provider.testing import Fault
from tests.builders import NOW, make_request
from tests.desks import TI, Desk


class Unreachable:
    """Backends of a process without a way to AWS."""

    def of(self, target: Target) -> Backend:
        raise BackendUnavailable(f"Target {target.name}: no credentials.")


@pytest.fixture
def desk() -> Desk:
    """Return a desk with one submitted application."""
    desk = Desk()
    desk.registry.submit(make_request(), ti_id=TI)
    return desk


def cut_off(desk: Desk, bidding: Bidding) -> PassReport:
    return run_pass(desk.registry, Unreachable(), holder="cut off", clock=desk.clock, bidding=bidding)


def connected(desk: Desk, bidding: Bidding | None = None) -> PassReport:
    return run_pass(desk.registry, desk.backends, holder="connected", clock=desk.clock, bidding=bidding)


def test_pass_that_reaches_nothing_leaves_the_target_to_another_process(desk: Desk) -> None:
    report = cut_off(desk, Bidding())
    assert report.silent() == {"default": "Target default: no credentials."}
    assert any("can't be reached" in line for line in report.lines())
    connected(desk)
    assert desk.backend.calls["submit"] == 1


def test_pass_of_a_process_that_reaches_nothing_does_not_bid_again_at_once(desk: Desk) -> None:
    bidding = Bidding()
    cut_off(desk, bidding)
    desk.clock.advance(10.0)
    assert cut_off(desk, bidding).is_blind
    desk.clock.advance(20.0)
    assert cut_off(desk, bidding).silent()


def test_bidding_abstains_twice_as_long_each_time_up_to_ten_minutes_until_it_reaches_the_target() -> None:
    bidding, now = Bidding(), NOW
    for pause in (30, 60, 120, 240, 480, 600, 600):
        bidding.missed("a", now)
        assert not bidding.may_bid("a", now + timedelta(seconds=pause - 1))
        assert bidding.may_bid("b", now)
        now += timedelta(seconds=pause)
        assert bidding.may_bid("a", now)
    for _ in range(2000):
        bidding.missed("a", now)
    assert bidding.may_bid("a", now + LONGEST_ABSTENTION)
    bidding.reached("a")
    assert bidding.may_bid("a", now)


def test_process_that_reaches_its_target_keeps_it_between_passes(desk: Desk) -> None:
    connected(desk, Bidding())
    assert not desk.registry.lease("observer:default", holder="another", seconds=1)


def test_look_that_the_whole_backend_leaves_unanswered_gives_the_target_back(desk: Desk) -> None:
    bidding = Bidding()
    connected(desk, bidding)
    desk.backend.fail("observe", Fault.UNAVAILABLE)
    assert set(connected(desk, bidding).silent()) == {"default"}
    assert desk.registry.lease("observer:default", holder="another", seconds=1)


def test_throttled_look_is_an_answer(desk: Desk) -> None:
    bidding = Bidding()
    connected(desk, bidding)
    desk.backend.fail("observe", Fault.THROTTLE)
    assert connected(desk, bidding).silent() == {}


def test_calls_that_can_not_be_made_leave_no_intent_behind(desk: Desk) -> None:
    cut_off(desk, Bidding())
    (cluster,) = desk.store.clusters()
    assert (cluster.phase, cluster.send) == (ClusterPhase.INTENT, 0)
    desk.backend.fail("submit", Fault.THROTTLE)
    connected(desk)
    desk.clock.advance(60.0)
    cut_off(desk, Bidding())
    attempt = desk.detail(1).attempt
    assert (attempt.phase, attempt.sends) == (AppPhase.WAIT_CLUSTER, 1)


def test_cluster_that_its_target_does_not_know_ends_nothing_and_gets_nothing(desk: Desk) -> None:
    """As after a change of the connection's account or region: the run goes on, and one day is seen again."""
    desk.pass_once()
    desk.pass_once()
    assert desk.detail(1).attempt.phase is AppPhase.RUNNING
    desk.clock.advance(3600.0)
    other_account = dict(desk.backend.clusters), dict(desk.backend.runs)
    desk.backend.clusters, desk.backend.runs = {}, {}
    desk.add_task("22222222-2222-7222-8222-222222222222", run_id="run-2")
    second = desk.registry.submit(make_request(), ti_id="22222222-2222-7222-8222-222222222222").app.id
    for _ in range(100):
        report = desk.pass_once()
        desk.clock.advance(10.0)
    (cluster,) = desk.store.clusters(live_only=False)
    assert cluster.phase is ClusterPhase.READY
    assert "was its region, account or connection changed?" in report.alarms[0]
    assert (desk.detail(1).attempt.phase, desk.detail(second).attempt.sends) == (AppPhase.RUNNING, 0)
    assert "unknown to its target" in desk.detail(second).app.conditions[0].message
    assert desk.backend.clusters == {}
    desk.backend.clusters, desk.backend.runs = other_account
    desk.backend.finish(desk.run_name(1))
    desk.pass_once()
    assert desk.detail(1).attempt.phase is AppPhase.SUCCEEDED
    assert desk.detail(second).attempt.phase is AppPhase.PENDING
