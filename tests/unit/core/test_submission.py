"""What a submit under a known key means: attach, begin again, replace, refuse."""

from dataclasses import replace
from typing import Any

import pytest

from platyspark_provider.core.model import App, Attempt
from platyspark_provider.core.records import PastTry, TaskFacts
from platyspark_provider.core.spec import request_hash
from platyspark_provider.core.states import APP_TERMINAL, AppPhase, Reuse
from platyspark_provider.core.submission import Attach, Decision, Refuse, Replace, Start, decide_submission, is_same_task, was_cleared
from tests.builders import NOW, make_app, make_attempt, make_request

RETRY = {"ti_id": "ti-2", "try_number": 2}


def task(**values: Any) -> TaskFacts:
    base = {
        "ti_id": "ti-1",
        "dag_id": "dag",
        "task_id": "task",
        "run_id": "run",
        "map_index": -1,
        "try_number": 1,
        "max_tries": 1,
        "state": "running",
        "is_current": True,
    }
    return TaskFacts(**{**base, **values})


def stored(phase: AppPhase, **attempt: Any) -> tuple[App, Attempt]:
    request = attempt.pop("request", make_request())
    ready = attempt.pop("artifacts_ready", True)
    app = make_app(phase=phase, request=request)
    return app, make_attempt(phase=phase, artifacts_ready=ready, **attempt)


def decide(app: App | None, attempt: Attempt | None, *, by: dict[str, Any] | None = None, **request: Any) -> Decision:
    return decide_submission(app, attempt, make_request(**request), task=task(**(by or {})), past=None)


def test_new_key_starts_its_first_generation() -> None:
    assert decide(None, None) == Start(generation=1)


@pytest.mark.parametrize("phase", sorted(set(AppPhase) - APP_TERMINAL))
def test_retry_attaches_to_what_lives(phase: AppPhase) -> None:
    assert decide(*stored(phase), by=RETRY) == Attach(generation=1)


@pytest.mark.parametrize("phase", sorted(APP_TERMINAL))
def test_retry_is_handed_an_end_that_nobody_took(phase: AppPhase) -> None:
    assert decide(*stored(phase), by=RETRY) == Attach(generation=1)


@pytest.mark.parametrize("phase", sorted(APP_TERMINAL - {AppPhase.SUCCEEDED}))
def test_retry_after_an_end_that_was_taken_runs_again(phase: AppPhase) -> None:
    assert decide(*stored(phase, acknowledged_at=NOW), by=RETRY) == Start(generation=2)


def test_retry_after_a_success_that_was_taken_gets_it_again() -> None:
    """The task died between taking the success and reporting it: running again would run the job twice."""
    assert decide(*stored(AppPhase.SUCCEEDED, acknowledged_at=NOW), by=RETRY) == Attach(generation=1)


def test_retry_with_a_changed_request_attaches_and_names_what_changed() -> None:
    assert decide(*stored(AppPhase.RUNNING), by=RETRY, args=("x",)) == Attach(generation=1, changed=("args",))


def test_retry_with_a_changed_request_before_the_files_are_there_replaces() -> None:
    decision = decide(*stored(AppPhase.NEW, artifacts_ready=False), by=RETRY, args=("x",))
    assert isinstance(decision, Replace)
    assert decision.generation == 2


def test_explicit_key_with_another_request_is_refused() -> None:
    app, attempt = stored(AppPhase.RUNNING)
    assert decide(app, attempt, by={"dag_id": "other"}, app_key="k", args=("x",), team="t") == Refuse(differing=("args", "team"))


def test_explicit_key_with_another_request_after_a_clear_replaces() -> None:
    decision = decide(*stored(AppPhase.RUNNING), by={**RETRY, "max_tries": 2}, app_key="k", args=("x",))
    assert isinstance(decision, Replace)


def test_clear_of_what_lives_replaces_it() -> None:
    decision = decide(*stored(AppPhase.RUNNING), by={**RETRY, "max_tries": 2})
    assert isinstance(decision, Replace)
    assert (decision.generation, "cleared" in decision.reason) == (2, True)


def test_clear_of_what_has_ended_starts_the_next_generation() -> None:
    assert decide(*stored(AppPhase.SUCCEEDED), by={**RETRY, "max_tries": 2}) == Start(generation=2)


def test_clear_while_a_generation_waits_to_begin_gives_it_the_new_request() -> None:
    app, _ = stored(AppPhase.CANCELLING)
    waiting = make_attempt(generation=2, phase=AppPhase.NEW)
    decision = decide(replace(app, wanted_generation=2), waiting, by={**RETRY, "max_tries": 2})
    assert isinstance(decision, Replace)
    assert decision.generation == 2


def test_clear_after_the_waiting_generation_was_called_off_takes_the_next_number() -> None:
    app, _ = stored(AppPhase.CANCELLING)
    off = make_attempt(generation=2, phase=AppPhase.STOPPED)
    decision = decide(app, off, by={**RETRY, "max_tries": 2})
    assert isinstance(decision, Replace)
    assert decision.generation == 3


def test_reuse_never_replaces_what_another_task_instance_runs() -> None:
    decision = decide(*stored(AppPhase.RUNNING), by=RETRY, reuse=Reuse.NEVER)
    assert isinstance(decision, Replace)


def test_reuse_never_asked_twice_by_one_task_instance_attaches() -> None:
    assert decide(*stored(AppPhase.RUNNING), reuse=Reuse.NEVER) == Attach(generation=1)


@pytest.mark.parametrize(
    ("reuse", "phase", "expected"),
    [
        (Reuse.RESULT, AppPhase.SUCCEEDED, Attach(generation=1)),
        (Reuse.RESULT, AppPhase.FAILED, Start(generation=2)),
        (Reuse.RUNNING, AppPhase.SUCCEEDED, Start(generation=2)),
    ],
)
def test_reuse_of_an_end_by_another_task(reuse: Reuse, phase: AppPhase, expected: Decision) -> None:
    assert decide(*stored(phase), by={"dag_id": "other", "ti_id": "ti-9"}, reuse=reuse, app_key="k") == expected


def test_other_task_attaches_to_what_lives_under_its_key() -> None:
    assert decide(*stored(AppPhase.RUNNING), by={"dag_id": "other", "ti_id": "ti-9"}, app_key="k") == Attach(generation=1)


@pytest.mark.parametrize(
    ("by", "past", "stop", "cleared"),
    [
        ({}, None, None, False),
        (RETRY, None, None, False),
        ({**RETRY, "max_tries": 2}, None, None, True),
        (RETRY, PastTry(try_number=1, state="failed", had_trigger=False), None, False),
        (RETRY, PastTry(try_number=1, state="success", had_trigger=False), None, True),
        (RETRY, PastTry(try_number=1, state="skipped", had_trigger=False), None, True),
        (RETRY, PastTry(try_number=1, state="removed", had_trigger=False), None, True),
        (RETRY, PastTry(try_number=1, state=None, had_trigger=True), None, True),
        (RETRY, None, "user:x", True),
        (RETRY, None, "backend", False),
        ({"max_tries": 5}, PastTry(try_number=1, state="success", had_trigger=True), "user:x", False),
    ],
)
def test_was_cleared_tells_a_clear_from_a_retry(by: dict[str, Any], past: PastTry | None, stop: str | None, cleared: bool) -> None:
    app, attempt = stored(AppPhase.RUNNING, stop_requested_at=NOW if stop else None, stop_actor=stop)
    assert was_cleared(app, attempt, task(**by), past) is cleared


def test_was_cleared_without_a_recorded_token_looks_at_the_rest() -> None:
    app, attempt = stored(AppPhase.RUNNING)
    assert not was_cleared(replace(app, rerun_token=None), attempt, task(**RETRY, max_tries=9), None)


@pytest.mark.parametrize("name", ["dag_id", "task_id", "run_id", "map_index"])
def test_is_same_task_any_try_of_it_and_nothing_else(name: str) -> None:
    app = make_app()
    assert is_same_task(app, task(**RETRY))
    assert not is_same_task(app, task(**{name: 4 if name == "map_index" else "other"}))


def test_stored_hash_is_that_of_the_request() -> None:
    app, _ = stored(AppPhase.RUNNING)
    assert app.request_hash == request_hash(app.request)
