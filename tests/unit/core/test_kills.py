"""When a try is over, and which kill is meant; the whole table runs in the contract suite."""

from dataclasses import replace

import pytest

from platyspark_provider.core.kills import CallOffWanted, Denied, StopCurrent, judge_kill, why_over
from platyspark_provider.core.records import TaskFacts
from platyspark_provider.core.states import AppPhase
from tests.builders import make_app, make_attempt, make_request


def make_task(state: str | None, *, is_current: bool = True) -> TaskFacts:
    return TaskFacts(
        ti_id="ti-1", dag_id="d", task_id="t", run_id="r", map_index=-1, try_number=1, max_tries=2, state=state, is_current=is_current
    )


OVER = make_task("failed")


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (None, "its task instance was deleted"),
        (make_task("failed", is_current=False), "the task was cleared"),
        (make_task("success"), "the task was marked success"),
        (make_task("removed"), "the task was marked removed"),
        (make_task("upstream_failed"), "the task was marked upstream_failed"),
        (make_task("restarting"), None),
        (make_task(None), None),
    ],
)
def test_why_over_goes_by_airflows_rows(task: object, why: str | None) -> None:
    assert why_over(task) == why  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("phase", "wanted_phase", "generation", "verdict"),
    [
        (AppPhase.RUNNING, None, 1, StopCurrent),
        (AppPhase.SUCCEEDED, None, 1, Denied),
        (AppPhase.CANCELLING, AppPhase.NEW, 2, CallOffWanted),
        (AppPhase.CANCELLING, AppPhase.STOPPED, 2, Denied),
        (AppPhase.RUNNING, None, 2, Denied),
        (AppPhase.RUNNING, AppPhase.NEW, 7, Denied),
    ],
)
def test_judge_kill_of_a_try_that_is_over_stops_what_it_named(
    phase: AppPhase, wanted_phase: AppPhase | None, generation: int, verdict: type
) -> None:
    wanted = make_attempt(generation=2, phase=wanted_phase) if wanted_phase else None
    app = make_app(phase=phase, request=make_request())
    assert isinstance(judge_kill(app, make_attempt(phase=phase), wanted, generation, ti_id="ti-1", task=OVER), verdict)


def test_judge_kill_by_another_owner_or_a_living_try_is_denied() -> None:
    app, attempt = make_app(phase=AppPhase.RUNNING), make_attempt(phase=AppPhase.RUNNING)
    assert isinstance(judge_kill(app, attempt, None, 1, ti_id="ti-2", task=OVER), Denied)
    verdict = judge_kill(app, attempt, None, 1, ti_id="ti-1", task=replace(OVER, state="deferred"))
    assert verdict == Denied(why="the try is not over (its task is deferred)")
