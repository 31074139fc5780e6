"""Who acts while a task waits in its worker: an observer where there is one, else the task itself."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from platyspark_provider.core.polling import Outcome, WaitRule
from platyspark_provider.core.records import AppDetail
from platyspark_provider.core.states import AppPhase
from platyspark_provider.operators.submission import Held, advance_now
from platyspark_provider.operators.waiting import SILENT_LOOKS, Others, wait_in_worker
from platyspark_provider.registry.service import RegistryService
from tests.builders import make_request
from tests.desks import TI, Desk

POLL_S = 10.0


class Acting:
    """The registry of a task, which counts how often the task acts instead of looking."""

    def __init__(self, real: RegistryService) -> None:
        self.real, self.acts = real, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def due(self, **values: Any) -> Any:
        self.acts += 1
        return self.real.due(**values)


def submitted(desk: Desk) -> Held:
    return Held(app_id=desk.registry.submit(make_request(), ti_id=TI).app.id, generation=1)


def wait(desk: Desk, held: Held, meanwhile: Callable[[int], None], *, limit: int = 60) -> Acting:
    """Wait for the end with something else happening in each pause; return what the task did for it."""
    registry = Acting(desk.registry)
    caller = desk.caller(registry=registry)
    sleep, pauses = desk.clock.sleep, []

    def pause(seconds: float) -> None:
        sleep(seconds)
        pauses.append(seconds)
        assert len(pauses) < limit, "it waits for ever"
        meanwhile(len(pauses))

    desk.clock.sleep = pause  # type: ignore[method-assign]
    event = wait_in_worker(caller, held, WaitRule(poll_s=POLL_S), tell=lambda _: None)
    assert event.outcome is Outcome.ENDED
    return registry


def end_run(desk: Desk, held: Held, state: Any = "succeeded") -> None:
    desk.backend.finish(desk.run_name(held.app_id), state)


def test_wait_in_worker_beside_an_observer_makes_no_call_of_its_own() -> None:
    desk = Desk()
    held = submitted(desk)
    advance_now(desk.caller(), held)

    def observer(pause: int) -> None:
        desk.pass_once()
        if pause == 20:
            end_run(desk, held)

    assert wait(desk, held, observer).acts == 0
    assert desk.backend.calls["observe"] >= 20


def test_wait_in_worker_alone_sends_observes_and_ends() -> None:
    desk = Desk()
    held = submitted(desk)

    def nobody(pause: int) -> None:
        if pause == 20:
            end_run(desk, held)

    assert wait(desk, held, nobody).acts > 10
    assert desk.backend.calls["submit"] == 1


def test_wait_in_worker_takes_over_when_the_observer_dies() -> None:
    desk = Desk()
    held = submitted(desk)

    def dying_observer(pause: int) -> None:
        if pause < 10:
            desk.pass_once()
        if pause == 15:
            end_run(desk, held)

    assert 0 < wait(desk, held, dying_observer).acts < 10


def test_wait_in_worker_alone_gets_the_log_of_a_failure() -> None:
    desk = Desk()
    held = submitted(desk)

    def nobody(pause: int) -> None:
        if pause == 10:
            end_run(desk, held, "failed")
        if pause == 14:
            desk.backend.write_log(desk.run_name(held.app_id), "Traceback (most recent call last):\nValueError: no\n")

    wait(desk, held, nobody)
    failure = desk.detail(held.app_id).attempt.failure
    assert failure is not None
    assert failure.is_complete


def seen(desk: Desk, held: Held, phase: AppPhase, **app: Any) -> AppDetail:
    detail = desk.detail(held.app_id)
    return replace(detail, app=replace(detail.app, phase=phase, **app), attempt=replace(detail.attempt, phase=phase))


@pytest.mark.parametrize(
    ("phase", "looks"),
    [(AppPhase.WAIT_CLUSTER, 1), (AppPhase.CANCELLING, 1), (AppPhase.PENDING, SILENT_LOOKS), (AppPhase.RUNNING, SILENT_LOOKS)],
)
def test_others_are_silent_after_looks_in_which_nothing_moved(phase: AppPhase, looks: int) -> None:
    desk = Desk()
    detail, others = seen(desk, submitted(desk), phase), Others()
    answers = [others.are_silent(detail, desk.clock.now()) for _ in range(looks + 1)]
    assert answers == [False] * looks + [True]
    moved = replace(detail, attempt=replace(detail.attempt, observed_at=desk.clock.now()))
    assert not others.are_silent(moved, desk.clock.now())


def test_others_silence_during_a_pause_that_the_backend_asked_for_is_no_call_to_act() -> None:
    desk = Desk()
    others, now = Others(), desk.clock.now()
    detail = seen(desk, submitted(desk), AppPhase.WAIT_CLUSTER, next_reconcile_at=now + timedelta(seconds=60))
    assert not any(others.are_silent(detail, now) for _ in range(5))
    assert others.are_silent(detail, now + timedelta(seconds=61))
