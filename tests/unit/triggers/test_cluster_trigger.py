"""`ClusterTrigger` on Airflow's own shared streams: one loop with the tasks that wait for applications."""

import asyncio
import logging
from typing import Any

import pytest
from airflow.sdk.module_loading import import_string
from airflow.triggers.base import BaseTrigger
from structlog.testing import capture_logs

from platyspark_provider.core.cluster_polling import Goal
from platyspark_provider.core.spec import ClusterRequest
from platyspark_provider.triggers.app import AppTrigger
from platyspark_provider.triggers.cluster import ClusterTrigger
from platyspark_provider.triggers.stream import last_sighted, stream_key
from tests.api_servers import add_token, connection_json, free_socket, url_of
from tests.desks import TI, Desk
from tests.unit.triggers.conftest import CONN_ID, LONG_S, Triggerer, until
from tests.unit.triggers.test_app_trigger import FAST_S, NEVER_S, Counted, said, submitted


def ensured(desk: Desk, name: str = "etl") -> int:
    return desk.registry.ensure_cluster(ClusterRequest(name=name), ti_id=TI).cluster.id


def trigger(cluster_id: int, goal: Goal = Goal.READY, **values: Any) -> ClusterTrigger:
    return ClusterTrigger(**{"cluster_id": cluster_id, "goal": goal.value, "conn_id": CONN_ID, "poll_s": FAST_S, **values})


def test_cluster_trigger_shares_the_loop_of_the_tasks_that_wait_for_applications() -> None:
    app = AppTrigger(app_id=1, generation=1, conn_id=CONN_ID, poll_s=FAST_S)
    assert trigger(1).shared_stream_key() == app.shared_stream_key()


@pytest.mark.parametrize("one", [trigger(4, Goal.OVER, max_blind_s=60.0, memo={"ids": [4, 5]}), ClusterTrigger(cluster_id=4, conn_id="c")])
def test_cluster_trigger_serialize_round_trip_keeps_every_field(one: ClusterTrigger) -> None:
    from airflow.sdk.serde import deserialize, serialize

    path, kwargs = one.serialize()
    again = import_string(path)(**deserialize(serialize(kwargs)))
    assert type(again) is ClusterTrigger
    assert again.serialize() == (path, kwargs)


def test_cluster_trigger_of_a_killed_task_leaves_the_cluster_alone() -> None:
    assert ClusterTrigger.on_kill is BaseTrigger.on_kill


async def test_cluster_trigger_waits_beside_an_application_until_it_is_ready(desk: Desk, api: str, triggerer: Triggerer) -> None:
    Counted.opened, Counted.contexts = 0, []
    app_id, cluster_id = submitted(desk), ensured(desk)
    app = triggerer.start(Counted(app_id=app_id, generation=1, conn_id=CONN_ID, poll_s=FAST_S))
    await until(lambda: Counted.opened == 1)
    with capture_logs() as lines:
        waits = triggerer.start(trigger(cluster_id, memo={"outcome": "created"}))
        await until(lambda: any("is intent: no pass has created it yet" in said(line) for line in lines))
        desk.pass_once()
        desk.pass_once()
        event = await asyncio.wait_for(waits, LONG_S)
    assert event == {"cluster_id": cluster_id, "outcome": "reached", "message": "", "memo": {"outcome": "created"}}
    assert Counted.opened == 1
    assert not app.done()
    await triggerer.stop(app)


async def test_cluster_trigger_of_an_end_fires_when_it_is_over(desk: Desk, api: str, triggerer: Triggerer) -> None:
    cluster_id = ensured(desk)
    desk.pass_once()
    desk.pass_once()
    waits = triggerer.start(trigger(cluster_id, Goal.OVER))
    await until(lambda: last_sighted(stream_key(CONN_ID, FAST_S)) is not None)
    desk.registry.end_cluster("etl", "drain", ti_id=TI)
    desk.pass_once()
    assert not waits.done()
    desk.pass_once()
    assert (await asyncio.wait_for(waits, LONG_S))["outcome"] == "reached"


async def test_cluster_trigger_late_subscriber_fires_from_the_last_snapshot(desk: Desk, api: str, triggerer: Triggerer) -> None:
    ready = ensured(desk)
    desk.pass_once()
    desk.pass_once()
    app = triggerer.start(AppTrigger(app_id=submitted(desk), generation=1, conn_id=CONN_ID, poll_s=NEVER_S))
    await until(lambda: last_sighted(stream_key(CONN_ID, NEVER_S)) is not None)
    event = await asyncio.wait_for(triggerer.first_event(trigger(ready, poll_s=NEVER_S)), LONG_S)
    assert event["outcome"] == "reached"
    await triggerer.stop(app)


async def test_cluster_trigger_without_an_api_server_waits_and_says_so(
    desk: Desk, triggerer: Triggerer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add_token(desk, "secret")
    held = free_socket()
    monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url_of(held), "secret"))
    with capture_logs() as lines, caplog.at_level(logging.INFO):
        waits = triggerer.start(trigger(1))
        await until(lambda: any("this task waits" in said(line) for line in lines))
    assert not waits.done()
    await triggerer.stop(waits)
    event = await asyncio.wait_for(triggerer.first_event(trigger(1, max_blind_s=0.0)), LONG_S)
    assert event["outcome"] == "blind"
    held.close()
