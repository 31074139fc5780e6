"""A batch of facts over rows: what it needs loaded, what it leaves, which clusters it asks for."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from platyspark_provider.core.assignment import failed_start, intended_cluster, intended_event, live_key_of, slot_key
from platyspark_provider.core.batch import (
    Rows,
    app_ids,
    askers,
    cluster_ids,
    cluster_keys,
    draining_ids,
    live_keys,
    logged_attempts,
    pool_keys,
    sending_to,
)
from platyspark_provider.core.facts import (
    AppObserved,
    ClusterAssigned,
    ClusterDrainIntended,
    ClusterObserved,
    CreateEnded,
    CreateIntended,
    LogLookedFor,
    Record,
    SendIntended,
    Waiting,
)
from platyspark_provider.core.keys import cluster_key
from platyspark_provider.core.model import App, Attempt, Cluster, Lease
from platyspark_provider.core.placement import Queued
from platyspark_provider.core.recording import Recorded, record_all
from platyspark_provider.core.records import Policy
from platyspark_provider.core.states import AppPhase, ClusterPhase, FailureClass, LogState
from tests.builders import NOW, in_phase, make_app, make_attempt, make_cluster, make_cluster_spec, make_spec

HELD = Lease(owner="me", epoch=1)


def waiting_app(app_id: int = 1, **spec: Any) -> tuple[App, Attempt]:
    app = make_app(id=app_id, phase=AppPhase.WAIT_CLUSTER, lease=HELD)
    return app, make_attempt(app_id=app_id, phase=AppPhase.WAIT_CLUSTER, spec=make_spec(cluster=make_cluster_spec(**spec)))


def rows_of(*works: tuple[App, Attempt], clusters: tuple[Cluster, ...] = (), more: tuple[Attempt, ...] = ()) -> Rows:
    attempts = [attempt for _, attempt in works] + list(more)
    return Rows(
        apps={app.id: app for app, _ in works},
        attempts={(a.app_id, a.generation): a for a in attempts},
        clusters={c.id: c for c in clusters},
    )


def take(rows: Rows, *facts: Record, only_app: int | None = None) -> Recorded:
    return record_all(rows, facts, targets={"default": 1}, policy=Policy(), actor="observer", only_app=only_app, now=NOW)


def assigned(app_id: int = 1, epoch: int = 1) -> ClusterAssigned:
    return ClusterAssigned(app_id=app_id, generation=1, epoch=epoch)


def test_ids_of_a_batch_are_sorted_and_apart() -> None:
    facts: list[Record] = [
        Waiting(app_id=9, generation=1, epoch=1, reason="x", message="x"),
        CreateIntended(cluster_id=4, epoch=1, nonce="n"),
        LogLookedFor(app_id=2, generation=5, tail=None, log_uri=None),
        assigned(2),
        ClusterObserved(cluster_id=1, epoch=1, state="ready", raw_state="WAITING"),
        LogLookedFor(app_id=2, generation=3, tail=None, log_uri=None),
    ]
    assert (app_ids(facts), cluster_ids(facts), logged_attempts(facts)) == ([2, 9], [1, 4], [(2, 3), (2, 5)])


def test_keys_of_a_batch_are_those_of_known_apps_that_ask_for_a_cluster() -> None:
    work, alone = waiting_app(), waiting_app(2, dedicated=True)
    rows = rows_of(work, alone)
    facts: list[Record] = [assigned(1), assigned(1), assigned(2), assigned(99), SendIntended(app_id=1, generation=1, epoch=1, nonce="n")]
    pools = [cluster_key("test", attempt.spec.cluster) for _, attempt in (work, alone)]
    assert pool_keys(rows, facts) == sorted(pools)
    assert live_keys(rows, facts) == [live_key_of(*alone)]
    assert cluster_keys(rows, facts) == sorted({live_key_of(*work), live_key_of(*alone)})


def test_clusters_that_a_batch_sends_to_or_drains_are_named() -> None:
    app, attempt = waiting_app()
    rows = rows_of((replace(app, cluster_id=7), attempt), waiting_app(2))
    facts: list[Record] = [SendIntended(app_id=i, generation=1, epoch=1, nonce="n") for i in (1, 2, 99)]
    facts.append(ClusterDrainIntended(cluster_id=8, epoch=1, why="idle", reason="r"))
    assert (sending_to(rows, facts), draining_ids(facts), cluster_ids(facts)) == ([7], [8], [8])


def test_assigned_without_a_live_cluster_asks_for_it_and_changes_nothing() -> None:
    rows = rows_of(waiting_app(1), waiting_app(2), waiting_app(3, name="other"))
    done = take(rows, assigned(1), assigned(2), assigned(3))
    assert done.rows == rows
    assert (done.answers, done.events) == ((), ())
    assert [c.live_key for c in done.missing] == sorted({live_key_of(*waiting_app(i, name=n)) for i, n in ((1, "shared"), (3, "other"))})
    assert {c.phase for c in done.missing} == {ClusterPhase.INTENT}


def test_assigned_with_the_cluster_inserted_joins_it() -> None:
    rows = rows_of(waiting_app())
    (missing,) = take(rows, assigned()).missing
    made = replace(missing, id=5, generation=3)
    done = take(replace(rows, clusters={5: made}), assigned())
    assert done.missing == ()
    assert done.rows.apps[1].cluster_id == 5
    assert done.answers[0].cluster == made
    assert [(e.kind, e.detail) for e in done.events] == [("app.cluster_assigned", {"cluster_id": 5})]
    again = take(done.rows, assigned())
    assert (again.events, again.rows) == ((), done.rows)


def test_assigned_after_its_cluster_ended_in_the_batch_is_refused_until_the_next() -> None:
    cluster = make_cluster(phase=ClusterPhase.READY, external_id="j-1", lease=HELD)
    rows = rows_of(waiting_app(), clusters=(cluster,))
    over = ClusterObserved(cluster_id=7, epoch=1, state="dead", raw_state="TERMINATED")
    done = take(rows, over, assigned())
    assert [a.refusal for a in done.answers] == [None, "cluster_ending"]
    assert len(take(done.rows, assigned()).missing) == 1


def test_live_key_is_shared_unless_the_cluster_is_dedicated() -> None:
    app, attempt = waiting_app()
    other = replace(app, id=2)
    assert live_key_of(app, attempt) == live_key_of(other, attempt) == cluster_key("test", attempt.spec.cluster)
    _, alone = waiting_app(dedicated=True)
    assert live_key_of(app, alone) != live_key_of(other, alone)
    assert live_key_of(app, alone) != cluster_key("test", alone.spec.cluster)


def test_intended_cluster_holds_its_live_key_from_the_start() -> None:
    app, attempt = waiting_app()
    cluster = intended_cluster(app, attempt, target_id=3, now=NOW)
    assert (cluster.live_key, cluster.cluster_key, cluster.target_id, cluster.spec) == (
        live_key_of(app, attempt),
        live_key_of(app, attempt),
        3,
        attempt.spec.cluster,
    )
    event = intended_event(replace(cluster, id=5, generation=2), actor="observer")
    assert (event.object_kind, event.object_id, event.generation, event.kind) == ("cluster", 5, 2, "cluster.intent")


def test_refused_fact_leaves_the_rows_and_answers_with_them() -> None:
    work = waiting_app()
    cluster = make_cluster(lease=HELD)
    rows = rows_of(work, clusters=(cluster,))
    done = take(
        rows,
        SendIntended(app_id=1, generation=1, epoch=0, nonce="n"),
        AppObserved(app_id=1, generation=1, epoch=1, state="running"),
        CreateIntended(cluster_id=7, epoch=0, nonce="n"),
        CreateEnded(cluster_id=7, epoch=1, result="created", external_id="j-1"),
        LogLookedFor(app_id=1, generation=9, tail="x", log_uri=None),
    )
    assert [a.refusal for a in done.answers] == ["stale_epoch", "not_sent", "stale_epoch", "not_creating", "not_found"]
    assert (done.rows, done.events) == (rows, ())
    assert [a.cluster for a in done.answers[2:4]] == [cluster, cluster]
    assert all(a.work is not None and a.work.app == work[0] for a in (done.answers[0], done.answers[1], done.answers[4]))


def test_unknown_rows_and_targets_are_refused() -> None:
    rows = rows_of(waiting_app(target="gone"))
    done = take(rows, assigned(), assigned(99), CreateIntended(cluster_id=99, epoch=1, nonce="n"))
    assert [a.refusal for a in done.answers] == ["no_target", "not_found", "not_found"]


def test_facts_for_one_app_are_its_own_and_its_clusters() -> None:
    app, attempt = waiting_app()
    cluster = make_cluster(lease=HELD)
    rows = rows_of((replace(app, cluster_id=7), attempt), waiting_app(2), clusters=(cluster, replace(cluster, id=8, live_key=None)))
    facts: list[Record] = [CreateIntended(cluster_id=i, epoch=1, nonce="n") for i in (7, 8)]
    done = take(rows, *facts, Waiting(app_id=2, generation=1, epoch=1, reason="x", message="x"), only_app=1)
    assert [a.refusal for a in done.answers] == [None, "not_yours", "not_yours"]
    assert done.answers[2].work is None
    assert [a.refusal for a in take(rows, facts[0], only_app=99).answers] == ["not_yours"]


@pytest.mark.parametrize("state", ["starting", "ready", "terminating", "dead"])
@pytest.mark.parametrize("dedicated", [False, True])
def test_task_may_not_end_a_cluster_that_others_may_be_on(state: Any, dedicated: bool) -> None:
    app, attempt = waiting_app(dedicated=dedicated)
    cluster = make_cluster(
        lease=HELD,
        spec=make_cluster_spec(dedicated=dedicated),
        phase=ClusterPhase.READY,
        live_key="k",
        external_id="j-1",
        create_sent_at=NOW,
    )
    rows = rows_of((replace(app, cluster_id=7), attempt), clusters=(cluster,))
    fact = ClusterObserved(cluster_id=7, epoch=1, state=state, raw_state="X")
    is_end = state in {"terminating", "dead"}
    by_task = take(rows, fact, only_app=1)
    assert [a.refusal for a in by_task.answers] == ["not_yours" if is_end and not dedicated else None]
    if is_end and not dedicated:
        assert by_task.rows.clusters[7] == cluster
        assert by_task.answers[0].cluster == cluster
    by_observer = take(rows, fact)
    assert [a.refusal for a in by_observer.answers] == [None]
    assert (by_observer.rows.clusters[7].live_key is None) is is_end


def test_task_may_create_the_shared_cluster_it_waits_for() -> None:
    app, attempt = waiting_app()
    rows = rows_of((replace(app, cluster_id=7), attempt), clusters=(make_cluster(lease=HELD),))
    facts: list[Record] = [
        CreateIntended(cluster_id=7, epoch=1, nonce="n"),
        CreateEnded(cluster_id=7, epoch=1, result="created", external_id="j-1"),
        ClusterObserved(cluster_id=7, epoch=1, state="ready", raw_state="WAITING"),
    ]
    done = take(rows, *facts, only_app=1)
    assert [a.refusal for a in done.answers] == [None] * 3
    assert done.rows.clusters[7].phase is ClusterPhase.READY


def test_log_of_an_older_generation_neither_sees_nor_begins_the_wanted_one() -> None:
    app, current = in_phase(AppPhase.CANCELLING, generation=2)
    app = replace(app, generation=2, wanted_generation=3, lease=HELD)
    old = make_attempt(generation=1, phase=AppPhase.FAILED, log_state=LogState.PENDING, cluster_id=7)
    wanted = make_attempt(generation=3)
    rows = rows_of((app, current), clusters=(make_cluster(),), more=(old, wanted))
    done = take(rows, LogLookedFor(app_id=1, generation=1, tail="x", log_uri=None))
    assert done.rows.attempts[1, 1].log_state is LogState.ARRIVED
    assert (done.rows.apps[1], done.rows.attempts[1, 2], done.rows.attempts[1, 3]) == (app, current, wanted)
    assert done.answers[0].work is not None
    assert done.answers[0].work.attempt == current


@pytest.mark.parametrize(
    ("generation", "attempt", "code"),
    [
        (2, {}, "other_generation"),
        (1, {"phase": AppPhase.SENDING}, "not_waiting"),
        (1, {"stop_requested_at": NOW, "stop_reason": "killed"}, "stop_requested"),
    ],
)
def test_assigned_to_an_app_that_waits_for_no_cluster_is_refused(generation: int, attempt: dict[str, Any], code: str) -> None:
    app, current = waiting_app()
    done = take(rows_of((app, replace(current, **attempt))), replace(assigned(), generation=generation))
    assert [a.refusal for a in done.answers] == [code]
    assert done.missing == ()


@pytest.mark.parametrize(
    ("lease", "held"),
    [
        (Lease(), False),
        (Lease(owner="me"), False),
        (Lease(owner="me", until=NOW), False),
        (Lease(owner="me", until=NOW + timedelta(milliseconds=1)), True),
        (Lease(owner=None, until=NOW + timedelta(days=1)), False),
    ],
)
def test_lease_is_held_until_its_end(lease: Lease, held: bool) -> None:
    assert lease.is_held(NOW) is held


def ended_cluster(**values: Any) -> Cluster:
    base = {"phase": ClusterPhase.DEAD, "live_key": None, "external_id": "j-1", "ended_at": NOW, "failure_class": FailureClass.CAPACITY}
    return make_cluster(**{**base, **values})


@pytest.mark.parametrize(
    ("values", "minutes", "counts"),
    [
        ({}, 0, True),
        ({"ended_at": None, "phase": ClusterPhase.TERMINATING}, 0, True),
        ({}, 59, True),
        ({}, 60, False),
        ({"healthy_since": NOW}, 0, False),
        ({"failure_class": None}, 0, False),
        ({"external_id": None}, 0, False),
        ({"cluster_key": "other"}, 0, False),
        ({"live_key": "alive"}, 0, False),
    ],
)
def test_failed_start_is_a_recent_end_by_a_fault_of_a_cluster_that_was_created_and_never_ready(
    values: dict[str, Any], minutes: int, counts: bool
) -> None:
    cluster = ended_cluster(**values)
    found = failed_start([cluster], make_cluster().cluster_key, now=NOW + timedelta(minutes=minutes))
    assert found == (cluster if counts else None)


def test_failed_start_is_the_newest_end_alone() -> None:
    well = ended_cluster(id=8, generation=2, healthy_since=NOW)
    assert failed_start([ended_cluster(), well], make_cluster().cluster_key, now=NOW) is None
    assert failed_start([], make_cluster().cluster_key, now=NOW) is None


@pytest.mark.parametrize(("restarts", "pause_s"), [(0, 30), (1, 60), (2, 900), (9, 900)])
def test_intended_cluster_after_failed_starts_waits_longer_each_time(restarts: int, pause_s: int) -> None:
    before = ended_cluster(restart_count=restarts)
    cluster = intended_cluster(*waiting_app(), target_id=1, now=NOW, before=before)
    assert (cluster.restart_count, cluster.next_reconcile_at) == (restarts + 1, NOW + timedelta(seconds=pause_s))
    later = intended_cluster(*waiting_app(), target_id=1, now=NOW + timedelta(seconds=pause_s), before=before)
    assert later.next_reconcile_at is None


def planned(rows: Rows, *facts: Record, **policy: Any) -> Recorded:
    return record_all(rows, facts, targets={"default": 1}, policy=Policy(**policy), actor="observer", only_app=None, now=NOW)


def test_assigned_in_a_batch_gets_the_places_that_are_left_in_the_queues_order() -> None:
    works = [waiting_app(i, step_concurrency=2) for i in (1, 2, 3)]
    cluster = make_cluster(phase=ClusterPhase.READY, spec=make_cluster_spec(step_concurrency=2))
    rows = replace(rows_of(*works, clusters=(cluster,)), active={7: 1}, queue=(ahead(9, minutes=60),))
    done = planned(rows, *(assigned(i) for i in (1, 2, 3)))
    assert [a.cluster for a in done.answers] == [None] * 3, "the one place left is for who is ahead"
    assert done.rows.apps[1].pool_key == cluster.cluster_key
    alone = planned(replace(rows, queue=()), *(assigned(i) for i in (3, 2, 1)))
    assert [a.cluster for a in alone.answers] == [None, None, cluster]


def ahead(app_id: int, *, minutes: float) -> Queued:
    queued_at = NOW - timedelta(minutes=50 + minutes)
    return Queued(app_id=app_id, pool_key=cluster_key("test", make_cluster_spec()), queued_at=queued_at, team="ads")


def test_assigned_of_a_newer_spec_says_how_much_a_new_cluster_takes() -> None:
    app, attempt = waiting_app(1, step_concurrency=1)
    newer_app, newer = waiting_app(2, step_concurrency=2)
    rows = rows_of((app, attempt), (newer_app, replace(newer, created_at=NOW + timedelta(seconds=1))))
    (made,) = planned(rows, assigned(2), assigned(1)).missing
    joined = planned(replace(rows, clusters={5: replace(made, id=5, generation=1)}), assigned(1), assigned(2))
    assert [a.cluster is not None for a in joined.answers] == [True, made.spec.step_concurrency == 2]


def test_assigned_on_a_cluster_that_takes_no_more_goes_back_to_the_queue_and_frees_its_teams_place() -> None:
    app, attempt = waiting_app()
    ending = make_cluster(phase=ClusterPhase.DRAINING, live_key=None)
    other = make_cluster(id=8, phase=ClusterPhase.READY, generation=2)
    rows = replace(rows_of((replace(app, cluster_id=7), attempt), clusters=(ending, other)), teams={"ads": 1})
    done = planned(rows, assigned(), team_max_apps={"ads": 1})
    assert done.answers[0].cluster == other
    full = planned(replace(rows, active={8: 10}), assigned())
    assert (full.answers[0].cluster, full.rows.apps[1].cluster_id) == (None, None)
    assert [(e.kind, e.message) for e in full.events] == [("app.queued", "Waits for another cluster: cluster shared is draining.")]
    gone = planned(replace(rows, clusters={8: other}, active={8: 10}), assigned())
    assert [e.message for e in gone.events] == ["Waits for another cluster: its cluster is gone."]


def test_assigned_after_one_of_two_clusters_ended_in_the_batch_goes_to_the_other() -> None:
    """What the plan before had reserved is given back."""
    spec = make_cluster_spec(step_concurrency=1, pool_max=3)
    pool = make_cluster(spec=spec).cluster_key
    one = make_cluster(spec=spec, phase=ClusterPhase.READY, external_id="j-1", lease=HELD)
    two = replace(one, id=8, live_key=slot_key(pool, 1), generation=2, external_id="j-2")
    works = [waiting_app(i, step_concurrency=1, pool_max=3) for i in (1, 2, 3)]
    rows = replace(rows_of(*works, clusters=(one, two)), active={8: 0})
    over = ClusterObserved(cluster_id=8, epoch=1, state="dead", raw_state="TERMINATED")
    done = planned(rows, assigned(1), over, assigned(2), assigned(3), max_clusters={"default": 2}, team_max_apps={"ads": 2})
    assert done.missing
    assert {c.live_key for c in done.missing} == {slot_key(pool, 2)}, "the key of the one that ended is free only after the batch"
    full = planned(rows, assigned(1), over, assigned(2), max_clusters={"default": 0})
    assert [a.refusal for a in full.answers] == [None, None, "cluster_ending"]


def test_assigned_on_a_cluster_that_ends_in_the_batch_is_planned_anew() -> None:
    app, attempt = waiting_app(pool_max=2)
    spec = attempt.spec.cluster
    one = make_cluster(spec=spec, phase=ClusterPhase.READY, external_id="j-1", lease=HELD)
    two = replace(one, id=8, live_key=slot_key(one.cluster_key, 1), generation=2, external_id="j-2")
    rows = rows_of((replace(app, cluster_id=7), attempt), waiting_app(2, pool_max=2), clusters=(one, two))
    over = ClusterObserved(cluster_id=7, epoch=1, state="dead", raw_state="TERMINATED")
    done = planned(rows, assigned(2), over, assigned(1))
    assert [a.cluster.id for a in done.answers if a.cluster is not None] == [7, 7, 8]


def test_assigned_dedicated_joins_its_own_living_cluster_unless_its_team_is_full() -> None:
    app, attempt = waiting_app(dedicated=True)
    own = intended_cluster(app, attempt, target_id=1, now=NOW)
    rows = replace(rows_of((app, attempt), clusters=(replace(own, id=7, generation=1),)), teams={"ads": 1})
    assert planned(rows, assigned()).answers[0].cluster is not None
    full = planned(rows, assigned(), team_max_apps={"ads": 1})
    assert (full.answers[0].accepted, full.answers[0].cluster) == (True, None)


def test_assigned_to_a_pool_whose_second_cluster_never_becomes_ready_waits_for_the_first() -> None:
    work = waiting_app(step_concurrency=1, pool_max=2)
    living = make_cluster(spec=work[1].spec.cluster, phase=ClusterPhase.READY)
    failed = ended_cluster(id=8, generation=2, restart_count=2, spec=work[1].spec.cluster)
    rows = replace(rows_of(work, clusters=(living, failed)), active={7: 1})
    (answer,) = planned(rows, assigned()).answers
    assert (answer.accepted, answer.cluster) == (True, None)
    assert answer.work is not None
    assert answer.work.attempt.phase is AppPhase.WAIT_CLUSTER
    alone = planned(replace(rows, clusters={8: failed}), assigned())
    assert alone.rows.attempts[1, 1].failure_class is FailureClass.THRASH


def test_drain_counts_what_the_batch_itself_put_on_the_cluster_and_its_pool() -> None:
    spec = make_cluster_spec(pool_min=1, pool_max=2)
    one = make_cluster(spec=spec, phase=ClusterPhase.READY, external_id="j-1", lease=HELD)
    drain = ClusterDrainIntended(cluster_id=7, epoch=1, why="idle", reason="r")
    rows = rows_of(waiting_app(pool_min=1, pool_max=2), clusters=(one,))
    assert [a.refusal for a in planned(rows, assigned(), drain).answers] == [None, "in_use"]
    assert [a.refusal for a in planned(rows, drain).answers] == ["kept"]
    two = replace(one, id=8, live_key=slot_key(one.cluster_key, 1), generation=2)
    both = planned(replace(rows, clusters={7: one, 8: two}), drain, replace(drain, cluster_id=8))
    assert [a.refusal for a in both.answers] == [None, "kept"]


def test_askers_are_those_that_a_fact_can_be_taken_for() -> None:
    app, attempt = waiting_app()
    rows = rows_of((app, attempt), waiting_app(2), in_phase(AppPhase.RUNNING))
    rows = replace(rows, apps={**rows.apps, 1: app}, attempts={**rows.attempts, (1, 1): attempt})
    facts: list[Record] = [assigned(1), assigned(2, epoch=9), assigned(99), SendIntended(app_id=1, generation=1, epoch=1, nonce="n")]
    assert askers(rows, facts) == [(app, attempt)]
