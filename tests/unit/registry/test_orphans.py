"""What the registry stops because no task will come back for it: each row of what Airflow may have done to the task meanwhile."""

from collections.abc import Callable, Collection, Mapping

import pytest

from platyspark_provider.core.profiles import profiles_from_mapping
from platyspark_provider.core.records import TaskKey
from platyspark_provider.core.states import AppPhase
from platyspark_provider.operators.submission import Held, advance_now
from platyspark_provider.registry.service import RegistryService
from tests.builders import make_request
from tests.desks import TI, Desk

NEXT = "22222222-2222-7222-8222-222222222222"


def running(desk: Desk) -> int:
    """Bring an application of the desk's task to run and return its id."""
    answer = desk.registry.submit(make_request(), ti_id=TI)
    desk.registry.ready(answer.app.id, 1, ti_id=TI)
    settle(desk, answer.app.id, AppPhase.RUNNING)
    return answer.app.id


def settle(desk: Desk, app_id: int, phase: AppPhase) -> None:
    """Let passes happen until the application is in a phase."""
    for _ in range(6):
        desk.pass_once()
        if desk.detail(app_id).attempt.phase is phase:
            return
        desk.clock.advance(60)
    raise AssertionError(f"application {app_id} is {desk.detail(app_id).attempt.phase}")


def marked(state: str | None) -> Callable[[Desk], None]:
    def change(desk: Desk) -> None:
        desk.add_task(state=state)

    return change


def archived(state: str | None) -> Callable[[Desk], None]:
    """Do what a retry or a clear does; the row that follows is in `state`."""

    def change(desk: Desk) -> None:
        desk.tasks.archive(TI)
        desk.add_task(NEXT, try_number=2, state=state)

    return change


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        pytest.param(marked("failed"), True, id="marked failed, or failed without a retry left"),
        pytest.param(marked("success"), True, id="marked success"),
        pytest.param(marked("skipped"), True, id="marked skipped"),
        pytest.param(marked("removed"), True, id="its DAG lost the task"),
        pytest.param(lambda desk: desk.tasks.remove(TI), True, id="run deleted"),
        pytest.param(archived("failed"), True, id="the retry ended before it submitted"),
        pytest.param(archived("success"), True, id="cleared, then marked success"),
        pytest.param(marked("deferred"), False, id="waits"),
        pytest.param(marked("running"), False, id="works"),
        pytest.param(marked("up_for_retry"), False, id="a retry follows"),
        pytest.param(marked("scheduled"), False, id="moved"),
        pytest.param(archived(None), False, id="cleared, not scheduled yet"),
        pytest.param(archived("up_for_retry"), False, id="archived, the retry waits"),
        pytest.param(archived("queued"), False, id="archived, the next try is queued"),
        pytest.param(archived("running"), False, id="archived, the next try has not submitted yet"),
    ],
)
def test_pass_stops_the_run_of_a_task_that_is_over(change: Callable[[Desk], None], gone: bool) -> None:
    desk = Desk()
    app_id = running(desk)
    change(desk)
    desk.pass_once()
    attempt = desk.detail(app_id).attempt
    if not gone:
        assert (attempt.phase, attempt.stop_requested_at) == (AppPhase.RUNNING, None)
        return
    assert (attempt.stop_actor, attempt.stop_requested_at is not None) == ("registry", True)
    settle(desk, app_id, AppPhase.STOPPED)


def test_pass_asks_for_the_stop_of_an_orphan_once() -> None:
    """A ladder that began anew at each pass would never climb."""
    desk = Desk()
    app_id = running(desk)
    desk.add_task(state="failed")
    desk.registry.due()
    first = desk.detail(app_id).attempt
    desk.clock.advance(60)
    desk.registry.due()
    assert desk.detail(app_id).attempt == first
    kinds = [event.kind for event in desk.store.events(object_kind="app", object_id=app_id)]
    assert kinds.count("app.cancelling") == 1


def test_pass_lets_run_what_its_task_did_not_wait_for() -> None:
    desk = Desk()
    app_id = running(desk)
    desk.registry.acknowledge(app_id, 1, ti_id=TI)
    desk.add_task(state="success")
    desk.pass_once()
    assert desk.detail(app_id).attempt.phase is AppPhase.RUNNING


def test_pass_ends_what_stayed_new_because_its_task_died() -> None:
    desk = Desk()
    app_id = desk.registry.submit(make_request(), ti_id=TI, hold=True).app.id
    desk.pass_once()
    assert desk.detail(app_id).app.phase is AppPhase.NEW
    desk.add_task(state="failed")
    desk.pass_once()
    detail = desk.detail(app_id)
    assert (detail.app.phase, detail.attempt.death_proof, detail.attempt.stop_reason) == (
        AppPhase.STOPPED,
        "never sent",
        "its task ended (failed)",
    )


def replaced(desk: Desk) -> int:
    """Clear the task of a running application and let its next try ask for a new generation; return the id."""
    app_id = running(desk)
    desk.tasks.archive(TI, had_trigger=True)
    desk.add_task(NEXT, try_number=2, max_tries=2)
    answer = desk.registry.submit(make_request(), ti_id=NEXT)
    assert (answer.outcome, answer.generation) == ("replacing", 2)
    return app_id


def test_pass_calls_off_the_replacement_of_a_task_that_is_over() -> None:
    desk = Desk()
    app_id = replaced(desk)
    desk.add_task(NEXT, try_number=2, max_tries=2, state="failed")
    desk.registry.due()
    assert desk.detail(app_id, 2).attempt.phase is AppPhase.STOPPED
    settle(desk, app_id, AppPhase.STOPPED)
    assert desk.detail(app_id).app.generation == 1


def test_pass_sends_the_replacement_whose_task_did_not_wait() -> None:
    desk = Desk()
    app_id = replaced(desk)
    desk.registry.acknowledge(app_id, 2, ti_id=NEXT)
    desk.add_task(NEXT, try_number=2, max_tries=2, state="success")
    for _ in range(8):
        desk.pass_once()
        desk.clock.advance(60)
    assert desk.run_name(app_id, 2) in {run.name for run in desk.backend.runs.values()}
    assert desk.detail(app_id).attempt.stop_requested_at is None


class MovingTasks:
    """Rows that move on right after they were read."""

    def __init__(self, desk: Desk, move: Callable[[], object]) -> None:
        self._tasks, self._move = desk.tasks, move
        self.facts, self.past = desk.tasks.facts, desk.tasks.past

    def states(self, tasks: Collection[TaskKey]) -> Mapping[TaskKey, str | None]:
        """Return the states of before the move."""
        seen = self._tasks.states(tasks)
        self._move()
        return seen


def test_try_that_takes_over_between_the_look_and_the_stop_keeps_its_run() -> None:
    desk = Desk()
    app_id = running(desk)
    desk.add_task(state="failed")

    def clear_and_submit() -> None:
        desk.tasks.archive(TI)
        desk.add_task(NEXT, try_number=2)
        desk.registry.submit(make_request(), ti_id=NEXT)

    RegistryService(desk.store, MovingTasks(desk, clear_and_submit), lambda: profiles_from_mapping(None)).due()
    detail = desk.detail(app_id)
    assert (detail.app.owner_ti_id, detail.attempt.stop_requested_at) == (NEXT, None)


def test_generation_that_is_superseded_between_the_look_and_the_stop_is_passed_over() -> None:
    desk = Desk()
    app_id = replaced(desk)
    desk.add_task(NEXT, try_number=2, max_tries=2, state="failed")

    def call_off() -> None:
        assert desk.registry.kill(app_id, 2, ti_id=NEXT, reason="the kill came after all").granted

    RegistryService(desk.store, MovingTasks(desk, call_off), lambda: profiles_from_mapping(None)).due()
    assert (desk.detail(app_id).app.wanted_generation, desk.detail(app_id, 2).attempt.phase) == (1, AppPhase.STOPPED)


def test_operator_that_advances_its_own_application_sweeps_nothing() -> None:
    desk = Desk()
    app_id = running(desk)
    desk.add_task(NEXT, dag_id="other")
    mine = desk.registry.submit(make_request(), ti_id=NEXT)
    desk.add_task(state="failed")
    advance_now(desk.caller(ti_id=NEXT), Held(app_id=mine.app.id, generation=1))
    assert desk.detail(app_id).attempt.stop_requested_at is None
