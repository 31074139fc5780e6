"""Who gets which cluster: never more than fits, in order of the queue, and everybody in the end."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from platyspark_provider.core.app_state import in_queue
from platyspark_provider.core.assignment import new_cluster, slot_key
from platyspark_provider.core.keys import cluster_key
from platyspark_provider.core.placement import (
    Budget,
    Create,
    Member,
    Plan,
    Pool,
    Queued,
    Reuse,
    Wait,
    capacity_of,
    free_slots,
    plan_pool,
    takes_applications,
)
from platyspark_provider.core.records import Policy
from platyspark_provider.core.spec import ClusterSpec
from platyspark_provider.core.states import ClusterDesired, ClusterPhase
from tests.builders import JOINABLE, NOW, make_app, make_attempt, make_cluster, make_cluster_spec, make_spec

KEY = cluster_key("test", make_cluster_spec())


def member(slot: int, active: int, *, spec: ClusterSpec, phase: ClusterPhase = ClusterPhase.READY, **values: Any) -> Member:
    cluster = replace(new_cluster("test", spec, target_id=1, now=NOW, slot=slot), id=slot + 1, phase=phase, **values)
    return Member(cluster=cluster, active=active)


def queued(app_id: int, *, age_min: float = 0, team: str = "ads", **values: Any) -> Queued:
    return Queued(app_id=app_id, pool_key=KEY, queued_at=NOW - timedelta(minutes=age_min), team=team, **values)


def pool_of(*members: Member, queue: tuple[Queued, ...] = (), **spec: Any) -> Pool:
    return Pool(key=KEY, spec=make_cluster_spec(**{"step_concurrency": 2, **spec}), members=members, queue=queue)


def plan(pool: Pool, **policy: Any) -> Plan:
    return plan_pool(pool, Budget(policy=Policy(**policy)))


def test_plan_of_an_empty_pool_creates_its_first_cluster_and_fills_it() -> None:
    made = plan(pool_of(queue=tuple(queued(i) for i in (1, 2, 3))))
    assert made.placed == {1: Create(slot=0), 2: Create(slot=0)}
    assert made.decision(3) == Wait(position=1, waiting=1)


def test_plan_fills_living_clusters_before_it_creates_another() -> None:
    spec = make_cluster_spec(step_concurrency=2)
    pool = pool_of(member(0, 1, spec=spec), queue=tuple(queued(i) for i in (1, 2, 3, 4)), pool_max=3)
    assert plan(pool).placed == {1: Reuse(cluster_id=1), 2: Create(slot=1), 3: Create(slot=1), 4: Create(slot=2)}


def test_plan_prefers_ready_then_starting_then_the_emptiest_then_the_oldest() -> None:
    spec = make_cluster_spec(step_concurrency=3)
    members = (
        member(0, 0, spec=spec, phase=ClusterPhase.INTENT),
        member(1, 0, spec=spec, phase=ClusterPhase.STARTING),
        member(2, 2, spec=spec),
        member(3, 1, spec=spec),
        member(4, 1, spec=spec),
    )
    placed = plan(pool_of(*members, queue=tuple(queued(i) for i in range(1, 10)), step_concurrency=3)).placed
    assert [placed[i] for i in range(1, 9)] == [Reuse(cluster_id=i) for i in (4, 5, 3, 4, 5, 2, 2, 2)]
    assert placed[9] == Reuse(cluster_id=1)


def test_plan_serves_age_before_number_and_priority_as_minutes_of_age() -> None:
    old, young, urgent = queued(9, age_min=30), queued(1, age_min=1), queued(5, age_min=0)
    assert list(plan(pool_of(queue=(young, old), step_concurrency=1)).placed) == [9]
    attempt = make_attempt(spec=make_spec(priority=90))
    app = in_queue(make_app(id=5), attempt, since=NOW)
    assert (app.pool_key, app.queued_at) == (KEY, NOW - timedelta(minutes=90))
    ahead = replace(urgent, queued_at=app.queued_at or NOW)
    assert list(plan(pool_of(queue=(old, ahead), step_concurrency=1)).placed) == [5]


def test_plan_leaves_to_those_ahead_what_is_theirs() -> None:
    spec = make_cluster_spec(step_concurrency=5)
    pool = pool_of(member(0, 3, spec=spec), queue=tuple(queued(i) for i in (1, 2, 3)), step_concurrency=5)
    made = plan(pool)
    assert set(made.placed) == {1, 2}
    assert made.decision(3) == Wait(position=1, waiting=1)


def test_plan_passes_over_a_team_at_its_quota_and_counts_it_apart() -> None:
    queue = (queued(1, age_min=9), queued(2, age_min=8), queued(3, age_min=7), queued(4, team="ml"))
    made = plan_pool(pool_of(queue=queue, step_concurrency=9), Budget(policy=Policy(team_max_apps={"ads": 3}), teams=Counter(ads=2)))
    assert set(made.placed) == {1, 4}
    assert made.decision(3) == Wait(position=2, waiting=2, over_quota=True)


def test_plan_counts_a_teams_waiting_ones_against_its_quota() -> None:
    """Only as many of a team are ahead of others as it could have placed."""
    spec = make_cluster_spec(step_concurrency=1)
    queue = (queued(1, age_min=9), queued(2, age_min=8), queued(3, team="ml"))
    made = plan_pool(pool_of(member(0, 1, spec=spec), queue=queue), Budget(policy=Policy(team_max_apps={"": 1})))
    assert [made.decision(i) for i in (1, 2, 3)] == [
        Wait(position=1, waiting=2),
        Wait(position=1, waiting=1, over_quota=True),
        Wait(position=2, waiting=2),
    ]


def test_plan_creates_no_more_clusters_than_the_target_may_have() -> None:
    pool = pool_of(queue=tuple(queued(i) for i in range(1, 7)), pool_max=5)
    made = plan_pool(pool, Budget(policy=Policy(max_clusters={"default": 4}), targets=Counter(default=2)))
    assert set(made.placed.values()) == {Create(slot=0), Create(slot=1)}
    assert len(made.waiting) == 2


def test_plan_of_a_dedicated_spec_gives_everybody_a_cluster_of_its_own() -> None:
    pool = pool_of(queue=tuple(queued(i) for i in (1, 2, 3)), dedicated=True)
    assert plan(pool).placed == dict.fromkeys((1, 2, 3), Create(slot=0))
    limited = plan(pool, max_clusters={"default": 2})
    assert (set(limited.placed), limited.decision(3)) == ({1, 2}, Wait(position=1, waiting=1))


def test_plan_knows_only_its_queue() -> None:
    with pytest.raises(KeyError):
        plan(pool_of()).decision(1)


@pytest.mark.parametrize(
    ("values", "takes"),
    [
        *(({"phase": phase}, True) for phase in sorted(JOINABLE)),
        ({"phase": ClusterPhase.READY, "desired": ClusterDesired.DRAINED}, False),
        ({"phase": ClusterPhase.CREATING, "desired": ClusterDesired.DOWN}, False),
        ({"phase": ClusterPhase.DRAINING, "live_key": None}, False),
    ],
)
def test_cluster_takes_applications_while_it_lives_and_is_wanted(values: dict[str, Any], takes: bool) -> None:
    assert takes_applications(make_cluster(**values)) is takes


def test_capacity_is_concurrency_and_those_ahead_up_to_what_emr_takes() -> None:
    assert capacity_of(make_cluster_spec(step_concurrency=20, queue_ahead=5)) == 25
    assert capacity_of(make_cluster_spec(step_concurrency=200, queue_ahead=200)) == 250


def test_slots_are_apart_and_the_first_is_the_pools_own_key() -> None:
    assert slot_key(KEY, 0) == KEY
    assert len({slot_key(KEY, n) for n in range(20)}) == 20
    ending = member(1, 0, spec=make_cluster_spec(), desired=ClusterDesired.DOWN)
    assert free_slots(replace(pool_of(ending, pool_max=4), taken=frozenset({slot_key(KEY, 3)}))) == [0, 2]


SPECS = st.builds(
    make_cluster_spec,
    step_concurrency=st.integers(1, 4),
    queue_ahead=st.integers(0, 2),
    pool_max=st.integers(1, 3),
    dedicated=st.booleans(),
)
TEAMS = st.sampled_from(["ads", "ml", "bi"])


@st.composite
def situations(draw: st.DrawFn) -> tuple[Pool, Budget]:
    spec = draw(SPECS)
    slots = draw(st.lists(st.integers(0, spec.pool_max - 1), unique=True, max_size=spec.pool_max))
    phases = st.sampled_from(sorted(JOINABLE))
    desired = st.sampled_from([ClusterDesired.UP, ClusterDesired.UP, ClusterDesired.DRAINED])
    members = [
        member(slot, draw(st.integers(0, capacity_of(spec))), spec=spec, phase=draw(phases), desired=draw(desired))
        for slot in ([] if spec.dedicated else slots)
    ]
    ages = draw(st.lists(st.tuples(st.integers(0, 5), TEAMS), max_size=12))
    queue = tuple(queued(i, age_min=age, team=team) for i, (age, team) in enumerate(ages, 1))
    policy = Policy(
        team_max_apps=draw(st.dictionaries(st.sampled_from(["", "ads", "ml"]), st.integers(0, 4))),
        max_clusters=draw(st.dictionaries(st.just("default"), st.integers(0, 4))),
    )
    teams = Counter(draw(st.dictionaries(TEAMS, st.integers(0, 4))))
    budget = Budget(policy=policy, teams=teams, targets=Counter(default=len(members) + draw(st.integers(0, 2))))
    return Pool(key=KEY, spec=spec, members=tuple(members), queue=queue), budget


@given(situations())
@settings(max_examples=300, deadline=None)
def test_plan_never_gives_more_than_there_is(situation: tuple[Pool, Budget]) -> None:
    pool, budget = situation
    had = {"teams": Counter(budget.teams), "targets": Counter(budget.targets)}
    made = plan_pool(pool, budget)
    seats = Counter(made.placed.values())
    by_id = {m.cluster.id: m for m in pool.members}
    for seat, taken in seats.items():
        match seat:
            case Reuse(cluster_id=i):
                assert takes_applications(by_id[i].cluster)
                assert by_id[i].active + taken <= by_id[i].capacity
            case Create(slot=slot):
                assert pool.spec.dedicated or (slot in free_slots(pool) and taken <= capacity_of(pool.spec))
    creates = len(made.placed) if pool.spec.dedicated else sum(isinstance(seat, Create) for seat in seats)
    assert pool.spec.dedicated or len(pool.members) + creates <= pool.spec.pool_max
    limit = budget.policy.max_clusters.get("default")
    assert limit is None or creates == 0 or had["targets"]["default"] + creates <= limit
    placed_teams = Counter(one.team for one in pool.queue if one.app_id in made.placed)
    for team, count in placed_teams.items():
        most = budget.policy.max_apps_of(team)
        assert most is None or had["teams"][team] + count <= most
    assert budget.teams == had["teams"] + placed_teams or not placed_teams


@given(situations())
@settings(max_examples=300, deadline=None)
def test_plan_serves_in_order_and_leaves_nobody_out(situation: tuple[Pool, Budget]) -> None:
    pool, budget = situation
    made = plan_pool(pool, budget)
    groups = [set(made.placed), {one.app_id for one in made.waiting}, {one.app_id for one in made.over_quota}]
    assert sum(map(len, groups)) == len(pool.queue) == len(set().union(*groups))
    last_placed = max((one.order for one in pool.queue if one.app_id in made.placed), default=None)
    assert last_placed is None or all(last_placed < one.order for one in made.waiting), "someone was overtaken"
    for one in made.over_quota:
        assert budget.policy.max_apps_of(one.team) is not None


@given(
    queue=st.lists(st.tuples(st.integers(0, 60), TEAMS), min_size=1, max_size=25),
    spec=SPECS,
    quota=st.one_of(st.none(), st.integers(1, 3)),
    clusters=st.one_of(st.none(), st.integers(1, 3)),
)
@settings(max_examples=150, deadline=None)
def test_everybody_is_placed_within_as_many_rounds_as_there_are(
    queue: list[tuple[int, str]], spec: ClusterSpec, quota: int | None, clusters: int | None
) -> None:
    """In each round all that were placed end; newcomers of the same age and a higher number never overtake."""
    policy = Policy(team_max_apps={} if quota is None else {"": quota}, max_clusters={} if clusters is None else {"default": clusters})
    waiting = {i: queued(i, age_min=age, team=team) for i, (age, team) in enumerate(queue, 1)}
    members: dict[int, Member] = {}
    for _ in range(len(queue)):
        if not waiting:
            return
        pool = Pool(key=KEY, spec=spec, members=tuple(members.values()), queue=tuple(waiting.values()))
        placed = plan_pool(pool, Budget(policy=policy, targets=Counter(default=len(members)))).placed
        assert placed, "nobody got anything although nothing is taken"
        for app_id, seat in placed.items():
            del waiting[app_id]
            if isinstance(seat, Create) and not spec.dedicated:
                members[seat.slot] = member(seat.slot, 0, spec=spec)
    assert not waiting
