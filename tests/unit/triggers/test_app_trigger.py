"""`AppTrigger` on Airflow's own shared streams: the contract that waiting tasks stand on."""

import asyncio
import logging
import types
from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog
from airflow.sdk.module_loading import import_string
from airflow.triggers.base import BaseEventTrigger
from structlog.testing import capture_logs

from platyspark_provider.core.states import AppPhase
from platyspark_provider.triggers import stream
from platyspark_provider.triggers.app import AppTrigger
from platyspark_provider.triggers.observer import ObserverTrigger
from platyspark_provider.triggers.stream import last_sighted, stream_key
from tests.api_servers import add_token, connection_json, free_socket, serve, url_of
from tests.builders import make_request
from tests.desks import TI, Desk
from tests.unit.triggers.conftest import CONN_ID, LONG_S, Triggerer, until

FAST_S = 0.05
NEVER_S = 3600.0


def said(line: MutableMapping[str, Any]) -> str:
    """Return a captured log line's text."""
    event, args = str(line["event"]), line.get("positional_args", ())
    return event % args if args else event


def submitted(desk: Desk, ti_id: str = TI, **values: Any) -> int:
    """Submit and start an application; return its id."""
    answer = desk.registry.submit(make_request(**values), ti_id=ti_id)
    desk.pass_once()
    return answer.app.id


def finish(desk: Desk, app_id: int) -> None:
    """End an application's run and let the observer see it."""
    desk.backend.finish(desk.run_name(app_id))
    desk.pass_once()


def trigger(app_id: int, *, poll_s: float = FAST_S, generation: int = 1, **values: Any) -> AppTrigger:
    return AppTrigger(app_id=app_id, generation=generation, conn_id=CONN_ID, poll_s=poll_s, **values)


class Counted(AppTrigger):
    """Counts its loops, and keeps what the logging context of the loop held after each snapshot."""

    opened = 0
    contexts: list[dict[str, Any]] = []

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> Any:
        cls.opened += 1
        async for item in super().open_shared_stream(kwargs):
            cls.contexts.append(structlog.contextvars.get_contextvars())
            yield item


@pytest.fixture
def counted() -> type[Counted]:
    Counted.opened, Counted.contexts = 0, []
    return Counted


def test_app_trigger_is_of_the_kind_that_airflow_shares() -> None:
    assert issubclass(AppTrigger, BaseEventTrigger)
    assert AppTrigger.supports_triggerer_queue
    assert trigger(1).shared_stream_key() == trigger(2, generation=3).shared_stream_key()
    assert trigger(1).shared_stream_key() != trigger(1, poll_s=9.0).shared_stream_key()
    observer = ObserverTrigger(conn_id=CONN_ID, due=1.0, until=2.0, poll_s=FAST_S)
    assert observer.shared_stream_key() == trigger(1).shared_stream_key()


@pytest.mark.parametrize(
    "one",
    [
        AppTrigger(app_id=4, generation=2, conn_id="c", poll_s=7, log_wait_s=5.0, max_blind_s=60.0, log_on_success=True),
        AppTrigger(app_id=4, generation=2, conn_id="c"),
        ObserverTrigger(conn_id="c", due=10.0, until=20.0),
    ],
)
def test_trigger_serialize_round_trip_keeps_every_field(one: Any) -> None:
    from airflow.sdk.serde import deserialize, serialize

    path, kwargs = one.serialize()
    again = import_string(path)(**deserialize(serialize(kwargs)))
    assert type(again) is type(one)
    assert again.serialize() == (path, kwargs)


def test_app_trigger_fields_of_an_older_version_are_enough() -> None:
    fields = AppTrigger(app_id=1, generation=1, conn_id="c").fields()
    assert (fields["poll_s"], fields["log_on_success"]) == (10.0, False)


async def test_app_trigger_of_a_triggerer_resumes_no_task_before_airflow_can_know_of_its_deferral(
    desk: Desk, api: str, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The floor is held: as long as it has not passed, an application that has ended resumes nobody."""
    monkeypatch.setattr(stream, "RESUME_FLOOR_S", NEVER_S)
    app_id = submitted(desk)
    finish(desk, app_id)
    deferred, inline = trigger(app_id), trigger(app_id)
    deferred.task_instance = types.SimpleNamespace(id=TI, dag_id="daily", task_id="agg")  # type: ignore[assignment]
    waiting = triggerer.start(deferred)
    assert (await asyncio.wait_for(triggerer.start(inline), LONG_S))["outcome"] == "ended", "without a triggerer nothing waits"
    assert not waiting.done()
    waiting.cancel()

    monkeypatch.setattr(stream, "RESUME_FLOOR_S", FAST_S)
    later = trigger(app_id)
    later.task_instance = deferred.task_instance
    assert (await asyncio.wait_for(triggerer.start(later), LONG_S))["outcome"] == "ended"


async def test_app_trigger_two_tasks_share_one_loop_and_get_their_own_event(
    desk: Desk, api: str, triggerer: Triggerer, counted: type[Counted]
) -> None:
    desk.add_task("ti-b", task_id="other")
    first, second = submitted(desk), submitted(desk, "ti-b")
    tasks = [triggerer.start(counted(app_id=i, generation=1, conn_id=CONN_ID, poll_s=FAST_S)) for i in (first, second)]
    finish(desk, first)
    event = await asyncio.wait_for(tasks[0], LONG_S)
    assert event == {"app_id": first, "generation": 1, "outcome": "ended", "message": ""}
    assert not tasks[1].done()
    finish(desk, second)
    assert (await asyncio.wait_for(tasks[1], LONG_S))["app_id"] == second
    assert counted.opened == 1


async def test_app_trigger_late_subscriber_fires_from_the_last_snapshot(desk: Desk, api: str, triggerer: Triggerer) -> None:
    desk.add_task("ti-b", task_id="other")
    waiting, ended = submitted(desk), submitted(desk, "ti-b")
    finish(desk, ended)
    first = triggerer.start(trigger(waiting, poll_s=NEVER_S))
    await until(lambda: last_sighted(stream_key(CONN_ID, NEVER_S)) is not None)
    event = await asyncio.wait_for(triggerer.first_event(trigger(ended, poll_s=NEVER_S)), LONG_S)
    assert event["outcome"] == "ended"
    assert not first.done()
    await triggerer.stop(first)


async def test_app_trigger_api_server_away_keeps_every_task_waiting(
    desk: Desk, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add_token(desk, "secret")
    held = free_socket()
    monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url_of(held), "secret"))
    desk.add_task("ti-b", task_id="other")
    apps = [submitted(desk), submitted(desk, "ti-b")]
    with capture_logs() as lines, caplog.at_level(logging.INFO):
        tasks = [triggerer.start(trigger(app_id)) for app_id in apps]
        await until(lambda: sum("this task waits" in said(line) for line in lines) >= 2)
    assert not any(task.done() for task in tasks)
    for app_id in apps:
        finish(desk, app_id)
    with serve(desk, held):
        events = await asyncio.wait_for(asyncio.gather(*tasks), LONG_S)
    assert [event["outcome"] for event in events] == ["ended", "ended"]
    assert sum("No snapshot" in r.message for r in caplog.records) == 1, "the same error is written once a minute"


async def test_app_trigger_new_token_is_picked_up(desk: Desk, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(desk) as url:
        monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, "old"))
        app_id = submitted(desk)
        finish(desk, app_id)
        task = triggerer.start(trigger(app_id))
        await asyncio.sleep(FAST_S)
        assert not task.done()
        add_token(desk, "new")
        monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, "new"))
        assert (await asyncio.wait_for(task, LONG_S))["outcome"] == "ended"


async def test_app_trigger_blind_for_too_long_ends_with_the_cause(
    desk: Desk, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = free_socket()
    monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url_of(held), "secret"))
    event = await asyncio.wait_for(triggerer.first_event(trigger(1, max_blind_s=0.2)), LONG_S)
    assert event["outcome"] == "blind"
    assert url_of(held) in event["message"]
    held.close()


async def test_app_trigger_missing_connection_keeps_waiting(triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", raising=False)
    event = await asyncio.wait_for(triggerer.first_event(trigger(1, max_blind_s=0.1)), LONG_S)
    assert event["outcome"] == "blind"


async def test_app_trigger_superseded_generation_ends_its_wait(desk: Desk, api: str, triggerer: Triggerer) -> None:
    app_id = submitted(desk)
    finish(desk, app_id)
    desk.registry.acknowledge(app_id, 1, ti_id=TI)
    desk.tasks.archive(TI, state="success")
    desk.add_task("ti-2", try_number=2, max_tries=2)
    assert desk.registry.submit(make_request(), ti_id="ti-2").generation == 2
    event = await asyncio.wait_for(triggerer.first_event(trigger(app_id)), LONG_S)
    assert event["outcome"] == "superseded"


async def test_app_trigger_acknowledged_by_another_task_ends_as_missing(desk: Desk, api: str, triggerer: Triggerer) -> None:
    app_id = submitted(desk)
    finish(desk, app_id)
    desk.registry.acknowledge(app_id, 1, ti_id=TI)
    event = await asyncio.wait_for(triggerer.first_event(trigger(app_id)), LONG_S)
    assert event["outcome"] == "missing"


async def test_app_trigger_failed_run_waits_for_its_log(desk: Desk, api: str, triggerer: Triggerer) -> None:
    app_id = submitted(desk)
    desk.backend.finish(desk.run_name(app_id), "failed")
    desk.pass_once()
    assert desk.detail(app_id).attempt.phase is AppPhase.FAILED
    task = triggerer.start(trigger(app_id))
    key = stream_key(CONN_ID, FAST_S)
    await until(lambda: last_sighted(key) is not None)
    seen = last_sighted(key)
    await until(lambda: last_sighted(key) is not seen)
    assert not task.done()
    desk.backend.write_log(desk.run_name(app_id), "Traceback ...")
    desk.pass_once()
    assert (await asyncio.wait_for(task, LONG_S))["outcome"] == "ended"


async def test_app_trigger_of_a_task_that_wants_the_result_waits_for_the_log_of_a_success(
    desk: Desk, api: str, triggerer: Triggerer
) -> None:
    app_id = submitted(desk)
    finish(desk, app_id)
    assert desk.detail(app_id).attempt.phase is AppPhase.SUCCEEDED
    task = triggerer.start(trigger(app_id, log_on_success=True))
    key = stream_key(CONN_ID, FAST_S)
    await until(lambda: last_sighted(key) is not None)
    seen = last_sighted(key)
    await until(lambda: last_sighted(key) is not seen)
    assert not task.done()
    desk.backend.write_log(desk.run_name(app_id), 'platyspark-result: {"rows": 1}')
    desk.pass_once()
    assert (await asyncio.wait_for(task, LONG_S))["outcome"] == "ended"


async def test_app_trigger_log_that_never_comes_is_waited_for_so_long(desk: Desk, api: str, triggerer: Triggerer) -> None:
    app_id = submitted(desk)
    desk.backend.finish(desk.run_name(app_id), "failed")
    desk.pass_once()
    task = triggerer.start(trigger(app_id, log_wait_s=120.0))
    desk.clock.advance(121)
    assert (await asyncio.wait_for(task, LONG_S))["outcome"] == "ended"


async def test_app_trigger_tells_the_task_log_what_changed(desk: Desk, api: str, triggerer: Triggerer) -> None:
    app_id = submitted(desk)
    with capture_logs() as lines:
        task = triggerer.start(trigger(app_id))
        await until(lambda: len(lines) > 0)
        finish(desk, app_id)
        await asyncio.wait_for(task, LONG_S)
    told = [said(line) for line in lines if f"Application {app_id}" in said(line)]
    assert told[-1] == f"Application {app_id} generation 1: succeeded."
    assert len(told) == len(set(told)) == 2


async def test_stream_lines_stay_out_of_the_first_tasks_log(desk: Desk, api: str, triggerer: Triggerer, counted: type[Counted]) -> None:
    app_id = submitted(desk)
    with structlog.contextvars.bound_contextvars(ti_id="first-subscriber"):
        task = triggerer.start(counted(app_id=app_id, generation=1, conn_id=CONN_ID, poll_s=FAST_S))
    await until(lambda: len(counted.contexts) >= 1)
    assert counted.contexts[0] == {}
    finish(desk, app_id)
    await asyncio.wait_for(task, LONG_S)


async def test_stream_last_subscriber_leaving_ends_the_loop_and_its_cache(desk: Desk, api: str, triggerer: Triggerer) -> None:
    task = triggerer.start(trigger(submitted(desk)))
    key = stream_key(CONN_ID, FAST_S)
    await until(lambda: last_sighted(key) is not None)
    await triggerer.stop(task)
    await until(lambda: last_sighted(key) is None)


async def test_app_trigger_run_waits_by_itself_for_dag_test(desk: Desk, api: str) -> None:
    app_id = submitted(desk)
    finish(desk, app_id)
    events = [event.payload async for event in trigger(app_id).run()]
    assert [event["outcome"] for event in events] == ["ended"]


@pytest.mark.parametrize(
    ("archived", "phase"),
    [(True, AppPhase.CANCELLING), (False, AppPhase.RUNNING)],
    ids=["cleared", "moved to another triggerer"],
)
async def test_app_trigger_on_kill_stops_only_what_a_user_ended(desk: Desk, api: str, archived: bool, phase: AppPhase) -> None:
    app_id = submitted(desk)
    desk.pass_once()
    desk.add_task(TI, state="deferred")
    if archived:
        desk.tasks.archive(TI, state="failed", had_trigger=True)
    killed = trigger(app_id)
    killed.task_instance = types.SimpleNamespace(id=TI, dag_id="daily", task_id="agg")  # type: ignore[assignment]
    await killed.on_kill()
    assert desk.detail(app_id).attempt.phase is phase


def test_defer_task_sends_the_tasks_queue_to_the_triggerer(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk.exceptions import TaskDeferred
    from airflow.sdk.execution_time.task_runner import _defer_task

    monkeypatch.setenv("AIRFLOW__TRIGGERER__QUEUES_ENABLED", "True")
    instance = types.SimpleNamespace(dag_id="d", task_id="t", run_id="r", task=types.SimpleNamespace(queue="etl"))
    message, _ = _defer_task(TaskDeferred(trigger=trigger(1), method_name="resume"), instance, structlog.get_logger())  # type: ignore[arg-type]
    assert message.queue == "etl"  # type: ignore[union-attr]
