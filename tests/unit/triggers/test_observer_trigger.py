"""`ObserverTrigger`: holds the shared loop, hands over within the process, and stops hard at its time."""

import asyncio
import time

from platyspark_provider.triggers.observer import ObserverTrigger
from platyspark_provider.triggers.stream import last_sighted, stream_key
from tests.desks import Desk
from tests.unit.triggers.conftest import CONN_ID, LONG_S, Triggerer, until
from tests.unit.triggers.test_app_trigger import Counted, counted, finish, submitted

__all__ = ["counted"]

FAST_S = 0.05


def observer(due: float, *, left_s: float = 600.0) -> ObserverTrigger:
    return ObserverTrigger(conn_id=CONN_ID, due=due, until=time.time() + left_s, poll_s=FAST_S)


async def test_observer_newer_one_in_the_process_takes_over(desk: Desk, api: str, triggerer: Triggerer) -> None:
    old = triggerer.start(observer(1000.0))
    await until(lambda: last_sighted(stream_key(CONN_ID, FAST_S)) is not None)
    assert not old.done()
    new = triggerer.start(observer(2000.0))
    assert await asyncio.wait_for(old, LONG_S) == {"reason": "a newer observer has taken over"}
    assert not new.done()
    await triggerer.stop(new)


async def test_observer_hard_stop_ends_it_while_the_api_server_is_away(triggerer: Triggerer) -> None:
    event = await asyncio.wait_for(triggerer.first_event(observer(3000.0, left_s=0.1)), LONG_S)
    assert event == {"reason": "its time is over"}


async def test_observer_past_its_time_ends_at_once(desk: Desk, api: str, triggerer: Triggerer) -> None:
    event = await asyncio.wait_for(triggerer.first_event(observer(4000.0, left_s=-60.0)), LONG_S)
    assert event == {"reason": "its time is over"}


async def test_observer_shares_the_loop_of_waiting_tasks(desk: Desk, api: str, triggerer: Triggerer, counted: type[Counted]) -> None:
    app_id = submitted(desk)
    waiting = triggerer.start(counted(app_id=app_id, generation=1, conn_id=CONN_ID, poll_s=FAST_S))
    await until(lambda: counted.opened == 1 and last_sighted(stream_key(CONN_ID, FAST_S)) is not None)
    watching = triggerer.start(observer(5000.0))
    seen = last_sighted(stream_key(CONN_ID, FAST_S))
    await until(lambda: last_sighted(stream_key(CONN_ID, FAST_S)) is not seen)
    finish(desk, app_id)
    await asyncio.wait_for(waiting, LONG_S)
    assert not watching.done()
    assert counted.opened == 1
    await triggerer.stop(watching)
