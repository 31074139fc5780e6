"""One suite for every store under many threads: one winner, one row, no circle of locks."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

import pytest

from platyspark_provider.core.app_state import AppState
from platyspark_provider.core.facts import ClusterAssigned, ClusterObserved, SendIntended, Waiting
from platyspark_provider.core.records import Claim, ClaimRequest, Policy
from platyspark_provider.core.states import AppPhase
from platyspark_provider.errors import StoreBusy
from platyspark_provider.store.base import Known, Store, StoreFactory, Write
from tests.builders import make_attempt, make_cluster_spec, make_spec, make_target
from tests.store_steps import first, hold, on_cluster, started, submit

T = TypeVar("T")


class Racers:
    """Threads that start together, each with a store of its own."""

    def __init__(self, open_store: StoreFactory, *, may_be_busy: bool) -> None:
        self.open_store = open_store
        self.may_be_busy = may_be_busy

    def run(self, count: int, act: Callable[[Store, int], T]) -> list[T]:
        """Return each thread's answer, in order; a locked SQLite is asked again, as a client does."""
        barrier = threading.Barrier(count)

        def one(number: int) -> T:
            with self.open_store() as store:
                barrier.wait(timeout=30)
                for _ in range(20):
                    try:
                        return act(store, number)
                    except StoreBusy:
                        if not self.may_be_busy:
                            raise
                raise AssertionError("locked twenty times")

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, range(count)))


@pytest.fixture
def racers(request: pytest.FixtureRequest, open_store: StoreFactory) -> Racers:
    """Return racers on a store that knows the default target; only SQLite may answer that it is busy."""
    with open_store() as store:
        store.ensure_target(make_target())
    return Racers(open_store, may_be_busy="sqlite" in request.node.callspec.id)


@pytest.fixture
def store(racers: Racers) -> Iterator[Store]:
    """Yield a store for what comes before and after a race."""
    with racers.open_store() as opened:
        yield opened


def test_claim_by_24_holders_has_one_winner_each_time(racers: Racers, store: Store) -> None:
    app_id = submit(store).app.id
    for turn in (1, 2, 3):
        claims = racers.run(24, lambda s, n: s.claim([ClaimRequest(kind="app", id=app_id)], holder=f"h{n}", seconds=60)[0])
        won = [c for c in claims if c.epoch is not None]
        assert [c.epoch for c in won] == [turn]
        store.release(won)


def test_claim_of_an_expired_lease_has_one_winner_and_the_next_epoch(racers: Racers, store: Store) -> None:
    app_id = submit(store).app.id
    (old,) = store.claim([ClaimRequest(kind="app", id=app_id)], holder="dead", seconds=0)
    claims = racers.run(24, lambda s, n: s.claim([ClaimRequest(kind="app", id=app_id)], holder=f"h{n}", seconds=60)[0])
    assert [c.epoch for c in claims if c.epoch is not None] == [(old.epoch or 0) + 1]


def test_lease_by_24_holders_has_one_winner(racers: Racers) -> None:
    assert sum(racers.run(24, lambda s, n: s.lease("observer:default", holder=f"h{n}", seconds=60))) == 1


def test_submit_first_of_a_key_by_20_makes_one_row(racers: Racers, store: Store) -> None:
    began: Counter[int] = Counter()

    def act(one: Store, number: int) -> int:
        def decide(known: Known | None, now: datetime) -> Write | None:
            write = first()(known, now)
            if write is not None:
                began[number] += 1
            return write

        return one.submit_app("ads", "k", decide).app.id

    assert len(set(racers.run(20, act))) == 1
    assert [e.kind for e in store.events()] == ["app.new"]
    assert len(store.due(policy=Policy()).apps) == 1
    assert began


def test_submit_of_20_keys_of_a_task_gives_20_slots(racers: Racers) -> None:
    slots = racers.run(20, lambda s, n: submit(s, f"k{n}").app.slot)
    assert sorted(slots) == list(range(20))


def test_cluster_assigned_to_20_apps_of_one_spec_makes_one_cluster(racers: Racers, store: Store) -> None:
    spec = make_spec(cluster=make_cluster_spec(step_concurrency=20))
    ids = [submit(store, f"k{n}", spec=spec).app.id for n in range(20)]
    epochs = {i: hold(store, "app", i) for i in ids}
    clusters = racers.run(20, lambda s, n: on_cluster(s, ids[n], epochs[ids[n]]).id)
    assert len(set(clusters)) == 1
    assert len(store.clusters(live_only=False)) == 1
    assert [e.kind for e in store.events(object_kind="cluster")] == ["cluster.intent"]


def test_cluster_assigned_to_20_apps_of_two_specs_makes_two_clusters(racers: Racers, store: Store) -> None:
    """Each racer asks for both specs, every other one in the opposite order."""
    specs = [make_spec(cluster=make_cluster_spec(name=name, step_concurrency=20)) for name in ("one", "two")]
    pairs = [[submit(store, f"k{n}-{spec.cluster.name}", spec=spec).app.id for spec in specs] for n in range(20)]
    epochs = {i: hold(store, "app", i) for pair in pairs for i in pair}

    def act(one: Store, number: int) -> list[int]:
        pair = pairs[number] if number % 2 else list(reversed(pairs[number]))
        facts = [ClusterAssigned(app_id=i, generation=1, epoch=epochs[i]) for i in pair]
        answers = one.record(facts, policy=Policy(), actor="observer")
        return [a.cluster.id for a in answers if a.cluster is not None]

    made = racers.run(20, act)
    assert [len(pair) for pair in made] == [2] * 20
    assert len({i for pair in made for i in pair}) == 2
    assert sorted(c.name for c in store.clusters(live_only=False)) == ["one", "two"]


def test_send_intended_by_20_with_one_epoch_is_taken_once(racers: Racers, store: Store) -> None:
    app_id = submit(store).app.id
    epoch = hold(store, "app", app_id)

    def act(one: Store, number: int) -> bool:
        fact = SendIntended(app_id=app_id, generation=1, epoch=epoch, nonce=str(number))
        return one.record([fact], policy=Policy(), actor="observer")[0].accepted

    taken = racers.run(20, act)
    assert sum(taken) == 1
    attempt = store.detail(app_id).attempt
    assert (attempt.sends, attempt.send_nonce) == (1, str(taken.index(True)))


def test_batches_over_the_same_rows_in_any_order_never_wait_in_a_circle(racers: Racers, store: Store) -> None:
    ids = [submit(store, f"k{n}", spec=make_spec(cluster=make_cluster_spec(name=f"c{n}"))).app.id for n in range(8)]
    epochs = {i: hold(store, "app", i) for i in ids}
    clusters = [on_cluster(store, i, epochs[i]) for i in ids]
    cluster_epochs = {c.id: started(store, c, external_id=f"j-{c.id}") for c in clusters}

    def act(one: Store, number: int) -> int:
        shuffle = random.Random(number).shuffle
        refused = 0
        for turn in range(4):
            facts: list[Waiting | ClusterAssigned | ClusterObserved] = [
                Waiting(app_id=i, generation=1, epoch=epochs[i], reason="x", message=f"{number}.{turn}") for i in ids
            ]
            facts += [ClusterAssigned(app_id=i, generation=1, epoch=epochs[i]) for i in ids]
            facts += [
                ClusterObserved(cluster_id=c.id, epoch=cluster_epochs[c.id], state="starting", raw_state=f"{number}") for c in clusters
            ]
            shuffle(facts)
            refused += sum(not a.accepted for a in one.record(facts, policy=Policy(), actor="observer"))
            requests = [ClaimRequest(kind="app", id=i) for i in ids] + [ClaimRequest(kind="cluster", id=c.id) for c in clusters]
            shuffle(requests)
            one.claim(requests, holder="me", seconds=60)
        return refused

    assert racers.run(8, act) == [0] * 8
    notes = {b.note for b in store.snapshot().apps}
    assert len(notes) == 1, "one batch wrote all rows last, or batches were mixed"


def test_release_and_claim_of_many_rows_in_any_order_never_wait_in_a_circle(racers: Racers, store: Store) -> None:
    ids = [submit(store, f"k{n}").app.id for n in range(12)]

    def act(one: Store, number: int) -> int:
        order, won = list(ids), 0
        for _ in range(5):
            random.Random(number).shuffle(order)
            claims = one.claim([ClaimRequest(kind="app", id=i) for i in order], holder=f"h{number}", seconds=60)
            won += sum(c.epoch is not None for c in claims)
            one.release([Claim(kind="app", id=c.id, epoch=c.epoch) for c in reversed(claims)])
        return won

    assert sum(racers.run(8, act)) == sum(store.detail(i).app.lease.epoch for i in ids)


def test_submit_again_of_an_ended_key_by_20_begins_one_generation(racers: Racers, store: Store) -> None:
    submit(store, phase=AppPhase.FAILED)

    def again(known: Known | None, now: datetime) -> Write | None:
        assert known is not None
        if not known.current.phase.is_terminal:
            return None
        generation = known.newest.generation + 1
        app = replace(known.app, phase=AppPhase.NEW, generation=generation, wanted_generation=generation)
        return Write(app=app, attempt=make_attempt(app_id=known.app.id, generation=generation, created_at=now))

    generations = racers.run(20, lambda s, n: s.submit_app("ads", "k", again).current.generation)
    assert generations == [2] * 20


def test_change_app_by_20_loses_no_change(racers: Racers, store: Store) -> None:
    app_id = submit(store).app.id

    def one_more(state: AppState, now: datetime) -> AppState:
        return replace(state, attempt=replace(state.attempt, stop_stage=state.attempt.stop_stage + 1))

    racers.run(20, lambda s, n: s.change_app(app_id, 1, one_more))
    assert store.detail(app_id).attempt.stop_stage == 20
