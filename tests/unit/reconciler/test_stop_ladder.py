"""The stop ladder as the executor climbs it: how a stop ends, and that nothing starts beside a driver that may live."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from platyspark_provider.core.model import Attempt
from platyspark_provider.core.ports import AttemptRef, AttemptSight, Death
from platyspark_provider.core.states import AppPhase, FailureClass
from platyspark_provider.testing import FakeBackend, Fault
from platyspark_provider.testing.world import FakeRun
from tests.builders import make_request
from tests.desks import TI, Desk, OneBackend

GRACE_S = 61.0
SECOND_TI = "22222222-2222-7222-8222-222222222222"


@dataclass(kw_only=True)
class ShyBackend(FakeBackend):
    """A backend whose listings say nothing of ended drivers, as where YARN can't be reached; `prove_dead` knows more.

    :param knows_after: rungs that have to be climbed before it does.
    """

    knows_after: int = 0

    def run_sight(self, run: FakeRun) -> AttemptSight:
        return replace(super().run_sight(run), driver="dead" if run.state == "succeeded" else "unknown", proof=None)

    def prove_dead(self, attempt: AttemptRef) -> Death:
        known = super().prove_dead(attempt)
        return known if self.calls["stop"] >= self.knows_after else Death(state="unknown")


def started(backend: FakeBackend | None = None) -> tuple[Desk, int]:
    """Return a desk with one running application."""
    desk = Desk()
    if backend is not None:
        backend.clock = desk.clock
        desk.backend, desk.backends = backend, OneBackend(backend)
    answer = desk.registry.submit(make_request(), ti_id=TI)
    desk.registry.ready(answer.app.id, answer.generation, ti_id=TI)
    passes(desk, 2, seconds=1.0)
    assert attempt_of(desk).phase is AppPhase.RUNNING
    return desk, answer.app.id


def passes(desk: Desk, count: int, *, seconds: float = GRACE_S) -> None:
    for _ in range(count):
        desk.pass_once()
        desk.clock.advance(seconds)


def attempt_of(desk: Desk, generation: int = 1) -> Attempt:
    return desk.detail(1, generation).attempt


def clear(desk: Desk) -> None:
    """Clear the deferred task and let its next try ask for a new run."""
    desk.tasks.archive(TI, state="failed", had_trigger=True)
    desk.add_task(SECOND_TI, try_number=2, max_tries=2)
    answer = desk.registry.submit(make_request(), ti_id=SECOND_TI)
    assert answer.outcome == "replacing"
    desk.registry.ready(answer.app.id, answer.generation, ti_id=SECOND_TI)


def kinds(desk: Desk) -> list[str]:
    return [event.kind for event in desk.store.events(object_kind="app", object_id=1)]


def stages(desk: Desk) -> list[Any]:
    return [e.detail["stage"] for e in desk.store.events(object_kind="app", object_id=1) if e.kind == "app.stop_stage"]


def test_stop_driver_that_dies_at_once_is_stopped_in_one_pass_with_its_proof() -> None:
    desk, _ = started()
    clear(desk)

    desk.pass_once()

    assert (attempt_of(desk).phase, attempt_of(desk).death_proof) == (AppPhase.STOPPED, "no process is left")
    assert stages(desk) == [1]


@pytest.mark.parametrize("rung", [2, 3])
def test_stop_driver_that_resists_is_stopped_by_the_rung_that_ends_it(rung: int) -> None:
    desk, _ = started(FakeBackend(drivers_end_at_stage=rung))
    clear(desk)

    passes(desk, rung - 1)
    assert attempt_of(desk).phase is AppPhase.CANCELLING
    assert attempt_of(desk, 2).external_id is None
    passes(desk, 1)

    assert attempt_of(desk).phase is AppPhase.STOPPED
    assert stages(desk) == list(range(1, rung + 1))


def test_stop_rungs_keep_their_distance() -> None:
    desk, _ = started(FakeBackend(drivers_end_at_stage=None))
    clear(desk)

    passes(desk, 4, seconds=14.0)

    assert stages(desk) == [1]


def test_stop_that_nobody_can_prove_ends_unproven_and_nothing_starts_beside_it() -> None:
    desk, _ = started(FakeBackend(drivers_end_at_stage=None, death_is_provable=False))
    clear(desk)

    passes(desk, 30)

    assert attempt_of(desk).phase is AppPhase.STOP_UNPROVEN
    assert desk.detail(1).app.generation == 1
    assert (attempt_of(desk, 2).phase, attempt_of(desk, 2).external_id) == (AppPhase.WAIT_CLUSTER, None)
    assert len(desk.backend.runs) == 1
    assert kinds(desk).count("app.stop_unproven") == 1


def test_stop_unproven_asks_for_a_proof_once_in_a_grace() -> None:
    desk, _ = started(FakeBackend(drivers_end_at_stage=None, death_is_provable=False))
    clear(desk)
    passes(desk, 6)
    assert attempt_of(desk).phase is AppPhase.STOP_UNPROVEN

    before = desk.backend.calls["prove_dead"]
    passes(desk, 30, seconds=10.0)

    assert 4 <= desk.backend.calls["prove_dead"] - before <= 6


def test_stop_unproven_ends_with_the_proof_and_the_wanted_run_begins() -> None:
    desk, _ = started(FakeBackend(drivers_end_at_stage=None, death_is_provable=False))
    clear(desk)
    passes(desk, 6)
    assert attempt_of(desk).phase is AppPhase.STOP_UNPROVEN

    desk.backend.end_driver(desk.run_name(1))
    desk.backend.death_is_provable = True
    passes(desk, 2)

    assert (attempt_of(desk).phase, attempt_of(desk).death_proof) == (AppPhase.STOPPED, "no process is left")
    assert attempt_of(desk, 2).phase is AppPhase.RUNNING
    assert [run.has_driver for run in desk.backend.runs.values()] == [False, True]


def test_stop_unproven_driver_that_still_lives_when_it_is_reachable_again_is_ended() -> None:
    desk, _ = started(FakeBackend(drivers_end_at_stage=None, death_is_provable=False))
    clear(desk)
    passes(desk, 6)
    assert attempt_of(desk).phase is AppPhase.STOP_UNPROVEN

    desk.backend.drivers_end_at_stage, desk.backend.death_is_provable = 3, True
    passes(desk, 14)

    assert attempt_of(desk).phase is AppPhase.STOPPED
    assert attempt_of(desk, 2).phase is AppPhase.RUNNING
    assert [run.has_driver for run in desk.backend.runs.values()] == [False, True]


def test_failed_run_with_a_proof_at_hand_fails_without_the_ladder() -> None:
    desk, _ = started(ShyBackend())
    desk.backend.finish(desk.run_name(1), "failed")

    desk.pass_once()

    assert (attempt_of(desk).phase, attempt_of(desk).death_proof) == (AppPhase.FAILED, "no process is left")
    assert desk.backend.calls["stop"] == 0


def test_failed_run_whose_proof_arrives_between_two_rungs_fails_then() -> None:
    desk, _ = started(ShyBackend(death_is_provable=False))
    desk.backend.finish(desk.run_name(1), "failed")
    passes(desk, 2, seconds=14.0)
    assert attempt_of(desk).phase is AppPhase.CANCELLING

    desk.backend.death_is_provable = True
    desk.pass_once()

    assert attempt_of(desk).phase is AppPhase.FAILED
    assert stages(desk) == [1]


def test_failed_run_proven_right_after_a_rung_still_counts_as_failed_by_itself() -> None:
    desk, _ = started(ShyBackend(knows_after=1))
    run = desk.backend.run_named(desk.run_name(1))
    desk.backend.finish(run.name, "failed")
    run.reason = "Application finished with failed status"
    desk.backend.write_log(run.name, 'Traceback (most recent call last):\n  File "job.py", line 9, in <module>\n    x\nValueError: no\n')

    passes(desk, 2)

    failure = attempt_of(desk).failure
    assert attempt_of(desk).phase is AppPhase.FAILED
    assert failure is not None
    assert (failure.klass, failure.summary) == (FailureClass.USER, "ValueError: no")
    ended = next(e for e in desk.store.events(object_kind="app", object_id=1) if e.kind == "app.failed")
    assert ended.message == "Application finished with failed status"


def test_stop_rung_that_fails_is_climbed_again_by_the_next_pass() -> None:
    desk, _ = started()
    clear(desk)
    desk.backend.fail("stop", Fault.THROTTLE)

    desk.pass_once()
    assert (attempt_of(desk).phase, stages(desk)) == (AppPhase.CANCELLING, [])
    desk.pass_once()

    assert attempt_of(desk).phase is AppPhase.STOPPED
