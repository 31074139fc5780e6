"""One suite for every store: pools are filled in the order of their queue and never beyond what they take, and reasons are told."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from platyspark_provider.core.cluster_transitions import ClusterState, enter_cluster
from platyspark_provider.core.facts import ClusterAssigned, ClusterDrainIntended, ClusterObserved, SendIntended
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.records import Policy, QueuePlace, RecordAnswer
from platyspark_provider.core.states import AppPhase, ClusterDesired, ClusterPhase
from platyspark_provider.errors import StoreBusy
from platyspark_provider.store.base import Store, StoreFactory
from platyspark_provider.store.writing import DUE_OF_A_QUEUE
from tests.builders import make_cluster, make_cluster_spec, make_spec, make_target
from tests.store_steps import hold, move, record, started, submit


@pytest.fixture
def store(open_store: StoreFactory) -> Iterator[Store]:
    """Yield a store that knows the default target."""
    with open_store() as opened:
        opened.ensure_target(make_target())
        yield opened


def submit_many(store: Store, count: int, *, team: str = "ads", prefix: str = "k", **spec: Any) -> list[int]:
    """Submit applications of one pool, the first ones first, and claim them."""
    resolved = make_spec(team=team, cluster=make_cluster_spec(**{"step_concurrency": 2, **spec}))
    ids = [submit(store, f"{prefix}{n}", spec=resolved, team=team).app.id for n in range(count)]
    for app_id in ids:
        hold(store, "app", app_id)
    return ids


def assign(store: Store, *ids: int, policy: Policy | None = None, only_app: int | None = None) -> list[int | None]:
    """Ask for clusters in one batch and return which each one got."""
    facts = [ClusterAssigned(app_id=i, generation=1, epoch=1) for i in ids]
    answers = record(store, *facts, policy=policy, only_app=only_app)
    assert all(a.accepted for a in answers), answers
    return [None if a.cluster is None else a.cluster.id for a in answers]


def end(store: Store, app_id: int) -> None:
    move(store, app_id, AppPhase.SUCCEEDED, ended_at=store.now())


def ready(store: Store, cluster_id: int, external_id: str = "j-1") -> int:
    """Bring a cluster up and return the epoch of the claim."""
    epoch = started(store, store.cluster(cluster_id), external_id)
    record(store, ClusterObserved(cluster_id=cluster_id, epoch=epoch, state="ready", raw_state="WAITING"))
    return epoch


def test_cluster_assigned_beyond_what_the_pool_takes_is_accepted_and_left_in_the_queue(store: Store) -> None:
    ids = submit_many(store, 4)
    before = store.detail(ids[3]).app
    assert assign(store, *ids) == [1, 1, None, None]
    assert store.detail(ids[3]).app == before
    assert store.loads([1])[1].active == 2
    assert [e.kind for e in store.events(object_kind="app", object_id=ids[3])] == ["app.new"]


def test_cluster_assigned_alone_leaves_to_those_ahead_what_is_theirs(store: Store) -> None:
    ids = submit_many(store, 4)
    assert assign(store, ids[3]) == [None]
    assert store.clusters() == ()
    assert assign(store, ids[1], only_app=ids[1]) == [1]
    assert assign(store, ids[2]) == [None], "the first of the queue has not come yet"
    assert assign(store, ids[0]) == [1]


def test_cluster_assigned_in_any_order_of_facts_serves_the_queue(store: Store) -> None:
    ids = submit_many(store, 4)
    assert assign(store, *reversed(ids)) == [None, None, 1, 1]
    end(store, ids[0])
    assert assign(store, ids[3], ids[2]) == [None, 1]


def test_cluster_assigned_to_a_pool_of_two_makes_the_second_cluster_when_the_first_is_full(store: Store) -> None:
    ids = submit_many(store, 5, pool_max=2)
    assert assign(store, *ids) == [1, 2, 1, 2, None]
    one, two = store.clusters()
    assert one.cluster_key == two.cluster_key
    assert {one.generation, two.generation} == {1, 2}
    assert one.cluster_key in {one.live_key, two.live_key}
    assert one.live_key != two.live_key
    end(store, ids[1])
    end(store, ids[3])
    more = submit_many(store, 2, prefix="m", pool_max=2)
    assert assign(store, ids[4], *more) == [2, 2, None]


def test_cluster_assigned_prefers_the_ready_cluster_and_then_the_emptiest(store: Store) -> None:
    ids = submit_many(store, 4, pool_max=2)
    assign(store, *ids)
    ready(store, 2)
    for app_id in ids:
        end(store, app_id)
    more = submit_many(store, 3, prefix="m", pool_max=2)
    assert assign(store, *more) == [2, 2, 1]


def test_cluster_assigned_holds_teams_to_their_quota_and_lets_others_pass(store: Store) -> None:
    policy = Policy(team_max_apps={"ads": 2, "": 9})
    ads = submit_many(store, 4, step_concurrency=9)
    ml = submit_many(store, 1, team="ml", prefix="m", step_concurrency=9)
    assert assign(store, *ads, *ml, policy=policy) == [1, 1, None, None, 1]
    assert [w.app.id for w in store.due(policy=policy).apps] == []
    end(store, ads[0])
    assert assign(store, ads[3], policy=policy) == [None]
    assert assign(store, ads[2], policy=policy) == [1]


def test_cluster_assigned_holds_targets_to_their_clusters(store: Store) -> None:
    policy = Policy(max_clusters={"default": 1})
    one = submit_many(store, 1, prefix="a", name="a")
    two = submit_many(store, 1, prefix="b", name="b")
    alone = submit_many(store, 1, prefix="c", dedicated=True)
    assert assign(store, *one, *two, *alone, policy=policy) == [1, None, None]
    store.change_cluster(1, lambda state, active, now: enter_cluster(state, ClusterPhase.TERMINATING, "x", actor="x", now=now))
    assert assign(store, *two, policy=policy) == [None], "it still costs money"
    store.change_cluster(1, lambda state, active, now: enter_cluster(state, ClusterPhase.DEAD, "x", actor="x", now=now))
    assert assign(store, *two, *alone, policy=policy) == [2, None]


def test_cluster_assigned_to_dedicated_ones_goes_in_order_up_to_what_the_target_has(store: Store) -> None:
    ids = submit_many(store, 3, dedicated=True)
    assert assign(store, ids[2], policy=Policy(max_clusters={"default": 2})) == [None]
    got = assign(store, *ids, policy=Policy(max_clusters={"default": 2}))
    assert (set(got[:2]), got[2]) == ({1, 2}, None)


def test_cluster_assigned_to_one_whose_cluster_drains_goes_back_to_its_old_place(store: Store) -> None:
    ids = submit_many(store, 3, step_concurrency=1)
    assert assign(store, *ids) == [1, None, None]

    def drained(state: ClusterState, active: int, now: datetime) -> ClusterState:
        return enter_cluster(state, ClusterPhase.DRAINING, "x", actor="x", now=now, desired=ClusterDesired.DRAINED)

    store.change_cluster(1, drained)
    assert assign(store, ids[1], ids[0]) == [None, 2]
    assert store.events(object_kind="app", object_id=ids[0])[-1].kind == "app.cluster_assigned"
    store.change_cluster(2, drained)
    assert assign(store, ids[0], policy=Policy(max_clusters={"default": 2})) == [None]
    app = store.detail(ids[0]).app
    assert (app.cluster_id, app.queued_at) == (None, store.detail(ids[0]).app.queued_at)
    assert store.events(object_kind="app", object_id=ids[0])[-1].message == "Waits for another cluster: cluster shared is draining."


def test_cluster_assigned_to_a_row_of_the_release_before_gives_it_its_place(store: Store) -> None:
    app_id = submit(store, queued_at=None, pool_key=None).app.id
    hold(store, "app", app_id)
    policy = Policy(max_clusters={"default": 0})
    assert assign(store, app_id, policy=policy) == [None]
    app = store.detail(app_id).app
    assert app.pool_key == make_cluster().cluster_key
    assert app.queued_at == app.created_at - timedelta(minutes=50)


def test_send_to_a_cluster_that_is_ending_is_refused(store: Store) -> None:
    ids = submit_many(store, 1)
    assign(store, *ids)
    ready(store, 1)
    store.change_cluster(1, lambda state, active, now: enter_cluster(state, ClusterPhase.DRAINING, "x", actor="x", now=now))
    (answer,) = record(store, SendIntended(app_id=ids[0], generation=1, epoch=1, nonce="n"))
    assert (answer.accepted, answer.refusal) == (False, "cluster_ending")
    assert store.detail(ids[0]).attempt.sends == 0


def drain(store: Store, cluster_id: int, epoch: int, **values: Any) -> RecordAnswer:
    (answer,) = record(store, ClusterDrainIntended(cluster_id=cluster_id, epoch=epoch, why="idle", reason="idle"), **values)
    return answer


def test_drain_of_a_cluster_with_an_application_is_refused_and_after_its_end_taken(store: Store) -> None:
    ids = submit_many(store, 2)
    assign(store, ids[0])
    epoch = ready(store, 1)
    assert drain(store, 1, epoch).refusal == "in_use"
    end(store, ids[0])
    assert drain(store, 1, epoch - 1).refusal == "stale_epoch"
    assert drain(store, 1, epoch, only_app=ids[0]).refusal == "not_yours"
    assert drain(store, 1, epoch).accepted
    assert assign(store, ids[1]) == [2], "a drained cluster is joined by nobody"


def test_drain_keeps_as_many_clusters_as_the_pool_wants(store: Store) -> None:
    ids = submit_many(store, 4, pool_min=1, pool_max=2)
    assign(store, *ids)
    epochs = {i: ready(store, i, f"j-{i}") for i in (1, 2)}
    for app_id in ids:
        end(store, app_id)
    assert drain(store, 1, epochs[1]).accepted
    assert drain(store, 2, epochs[2]).refusal == "kept"


def test_due_hands_out_the_first_of_each_queue_and_everything_else(store: Store) -> None:
    now = store.now()
    late = [submit(store, f"z{n}", queued_at=now, pool_key="p1").app.id for n in range(4)]
    first = [submit(store, f"a{n}", queued_at=now - timedelta(hours=1), pool_key="p1").app.id for n in range(DUE_OF_A_QUEUE - 2)]
    other = submit(store, "o", queued_at=now, pool_key="p2").app.id
    paused = submit(store, "n", queued_at=now - timedelta(hours=2), pool_key="p1", next_reconcile_at=now + timedelta(hours=1)).app.id
    running = submit(store, "r", phase=AppPhase.RUNNING, pool_key="p1", queued_at=now).app.id
    found = {w.app.id for w in store.due(policy=Policy()).apps}
    assert found == {*first, *late[:2], other, running}
    assert {w.app.id for w in store.due(policy=Policy(), app_id=late[3]).apps} == {late[3]}
    assert paused not in found


def test_due_tells_what_is_on_the_clusters_that_it_hands_out(store: Store) -> None:
    ids = submit_many(store, 2)
    assign(store, *ids)
    assert store.due(policy=Policy()).loads == {1: store.loads([1])[1]}
    assert store.due(policy=Policy(), app_id=ids[0]).loads[1].active == 2


def test_due_holds_clusters_that_may_exist_or_are_wanted_without_an_application(store: Store) -> None:
    def ensured(name: str, ensured_by: str | None) -> Cluster:
        wanted = make_cluster(id=0, generation=0, created_at=store.now(), spec=make_cluster_spec(name=name), ensured_by=ensured_by)
        return store.ensure_cluster(wanted, actor="x")[0]

    wanted, nobodys, lost = ensured("a", "user:dana"), ensured("b", None), ensured("c", None)

    def creating(state: ClusterState, active: int, now: datetime) -> ClusterState:
        return enter_cluster(state, ClusterPhase.CREATING, "x", actor="x", now=now)

    store.change_cluster(lost.id, creating)
    found = {c.id for c in store.due(policy=Policy()).clusters}
    assert found == {wanted.id, lost.id}
    assert nobodys.id not in found


def test_queue_places_tell_each_one_why_it_waits(store: Store) -> None:
    policy = Policy(team_max_apps={"ml": 0})
    ids = submit_many(store, 4)
    ml = submit_many(store, 1, team="ml", prefix="m")
    assign(store, *ids[:2])
    places = store.queue_places(policy=policy)
    assert [places[i].message for i in (*ids, *ml)] == [
        "cluster shared is created next",
        "cluster shared is created next",
        "1st of 2: cluster shared is created next, and 2 of 2 places on it are taken",
        "2nd of 2: cluster shared is created next, and 2 of 2 places on it are taken",
        "1st of 1: team ml has 0 of 0 applications running",
    ]
    ready(store, 1)
    for app_id in ids[:2]:
        move(store, app_id, AppPhase.RUNNING)
    assert store.queue_places(ids[3]) == {
        i: QueuePlace(position=n, waiting=3, reason="cluster_full", message=f"{word} of 3: cluster shared has 2 of 2 steps running")
        for n, (i, word) in enumerate(zip((*ids[2:], *ml), ("1st", "2nd", "3rd"), strict=True), 1)
    }
    assert store.detail(ids[2]).place == store.queue_places()[ids[2]]
    assert store.detail(ids[0]).place is None
    notes = {b.app_id: b.note for b in store.snapshot(policy=policy).apps}
    assert (notes[ids[2]], notes[ids[0]]) == ("1st of 2: cluster shared has 2 of 2 steps running", "")


def test_queue_places_of_a_target_at_its_quota_and_of_one_sent_early(store: Store) -> None:
    sent, other = submit_many(store, 1, name="a"), submit_many(store, 1, prefix="o", name="b")
    policy = Policy(max_clusters={"default": 1})
    assign(store, *sent)
    started(store, store.cluster(1))
    move(store, sent[0], AppPhase.PENDING)
    places = store.queue_places(policy=policy)
    assert places[other[0]].message == "1st of 1: target default has 1 of 1 clusters"
    assert places[sent[0]].message == "cluster a is starting (created 0 s ago)"
    assert store.queue_places() != places


@pytest.mark.parametrize("quota", [None, 5])
def test_many_executors_at_once_fill_a_pool_exactly(open_store: StoreFactory, store: Store, quota: int | None) -> None:
    """Batches of four executors over the same queue: never beyond the capacity, never beyond a quota, and all of it is used."""
    ids = submit_many(store, 24, step_concurrency=3, pool_max=3)
    policy = Policy(team_max_apps={} if quota is None else {"": quota}, max_clusters={"default": 2})

    def act(number: int) -> None:
        facts = [ClusterAssigned(app_id=i, generation=1, epoch=1) for i in ids[number::4]]
        with open_store() as own:
            for _ in range(20):
                try:
                    own.record(facts, policy=policy, actor="observer")
                    return
                except StoreBusy:
                    continue
        raise AssertionError("locked twenty times")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(4)))
    assign(store, *ids, policy=policy)
    on = Counter(store.detail(i).app.cluster_id for i in ids)
    assert sorted(n for k, n in on.items() if k is not None) == ([3, 3] if quota is None else [2, 3])
    assert [store.detail(i).app.cluster_id is not None for i in ids] == [n < (quota or 6) for n in range(24)]


def test_record_of_a_whole_queue_keeps_the_rows_of_those_that_wait(store: Store) -> None:
    ids = submit_many(store, 12)
    rows = {i: store.detail(i).app for i in ids[2:]}
    assign(store, *ids)
    assert {i: store.detail(i).app for i in ids[2:]} == rows
    assert replace(store.detail(ids[0]).app, cluster_id=None).queued_at is not None


def test_whole_queue_of_a_cluster_that_never_becomes_ready_fails_at_once(store: Store) -> None:
    ids = submit_many(store, 5, step_concurrency=1)
    for number in range(1, 4):
        (cluster_id, *_) = [i for i in assign(store, *ids) if i is not None]
        epoch = started(store, store.cluster(cluster_id), f"j-{number}")
        fact = ClusterObserved(cluster_id=cluster_id, epoch=epoch, state="dead", raw_state="X", failure_class="infrastructure")
        assert record(store, fact)[0].accepted
    assert assign(store, *ids) == [None] * 5
    assert {store.detail(i).attempt.phase for i in ids} == {AppPhase.FAILED}
