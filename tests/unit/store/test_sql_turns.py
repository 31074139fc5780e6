"""Turns of writers on a SQLite file: one at a time in a process, with room for the writers of other processes in between."""

import threading

import pytest

from platyspark_provider.errors import StoreBusy
from platyspark_provider.store.sql_engine import LONGEST_PAUSE_S, Turns


class Watch:
    """A clock that moves when something sleeps, or is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(round(seconds, 6))


def turns_of(watch: Watch) -> Turns:
    return Turns(clock=lambda: watch.now, sleep=watch.sleep)


@pytest.mark.parametrize(("took", "pause"), [(0.03, 0.03), (10.0, LONGEST_PAUSE_S), (0.0, 0.0)])
def test_turn_after_another_leaves_room_for_as_long_as_that_took(took: float, pause: float) -> None:
    watch = Watch()
    turns = turns_of(watch)
    with turns.take():
        watch.now += took
    with turns.take():
        pass
    assert watch.pauses == [0.0, pause]


def test_turn_long_after_another_begins_at_once() -> None:
    watch = Watch()
    turns = turns_of(watch)
    with turns.take():
        watch.now += 1
    watch.now += 1
    with turns.take():
        pass
    assert watch.pauses == [0.0, 0.0]


def test_turn_that_does_not_come_is_busy() -> None:
    turns = Turns(patience_s=0.01)
    with turns.take(), pytest.raises(StoreBusy, match="Ask again"), turns.take():
        pass


def test_turn_of_a_failed_writer_is_given_back() -> None:
    turns = Turns(patience_s=0.01)
    with pytest.raises(ZeroDivisionError), turns.take():
        raise ZeroDivisionError
    with turns.take():
        pass


def test_turns_of_many_threads_never_overlap() -> None:
    turns, inside, most = Turns(), [], []

    def write() -> None:
        for _ in range(20):
            with turns.take():
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(most), max(most)) == (160, 1)
