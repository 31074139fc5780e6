"""Whatever is recorded, asked and cleared, in whatever order: what may never happen."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from platyspark_provider.core.app_state import AppState
from platyspark_provider.core.batch import (
    Rows,
)
from platyspark_provider.core.facts import (
    AppObserved,
    ClusterAssigned,
    ClusterObserved,
    CreateEnded,
    CreateIntended,
    CreateLookedFor,
    LogLookedFor,
    Record,
    SendEnded,
    SendIntended,
    SendLookedFor,
    StopAdvanced,
    Waiting,
)
from platyspark_provider.core.model import App, Attempt, Cluster, Event
from platyspark_provider.core.recording import record_all
from platyspark_provider.core.records import Policy, TaskFacts
from platyspark_provider.core.states import APP_SENT, AppPhase, ClusterPhase
from platyspark_provider.core.submission import Replace, Start, decide_submission
from platyspark_provider.core.transitions import mark_ready, request_stop, stop_wanted
from tests.builders import JOINABLE, NOW, make_app, make_attempt, make_request, make_spec

CURRENT = 0
"""Stands for the current generation, or the newest cluster, of the moment at which a fact is recorded."""
GENERATIONS = st.sampled_from([CURRENT, CURRENT, CURRENT, 1, 2, 3])
BOOLEANS = st.booleans()


def of_app(kind: type, **values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(kind, app_id=st.just(1), generation=GENERATIONS, epoch=st.just(0), **values)


def of_cluster(kind: type, **values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(kind, cluster_id=st.sampled_from([CURRENT, CURRENT, 1, 2]), epoch=st.just(0), **values)


OBSERVED = of_app(
    AppObserved,
    state=st.sampled_from(["pending", "running", "succeeded", "failed", "cancelled", "gone"]),
    driver=st.sampled_from(["alive", "dead", "unknown"]),
)
SENDS = st.one_of(
    of_app(ClusterAssigned),
    of_app(SendIntended, nonce=st.just("n")),
    of_app(
        SendEnded,
        result=st.sampled_from(["sent", "throttled", "unavailable", "cluster_gone", "lost", "rejected"]),
        external_id=st.just("s-1"),
        retry_after_s=st.sampled_from([0.0, 5.0]),
    ),
    of_app(SendLookedFor, external_id=st.sampled_from([None, None, "s-1"]), may_repeat=BOOLEANS),
)
OTHERS = st.one_of(
    of_app(StopAdvanced, stage=st.integers(1, 4), message=st.just("m"), unproven=BOOLEANS),
    st.builds(
        LogLookedFor, app_id=st.just(1), generation=GENERATIONS, tail=st.sampled_from([None, "t"]), log_uri=st.none(), given_up=BOOLEANS
    ),
    of_app(Waiting, reason=st.just("r"), message=st.just("m")),
)
CLUSTERS = st.one_of(
    of_cluster(CreateIntended, nonce=st.just("n")),
    of_cluster(
        CreateEnded,
        result=st.sampled_from(["created", "throttled", "unavailable", "lost", "rejected"]),
        external_id=st.just("j-1"),
    ),
    of_cluster(CreateLookedFor, external_id=st.sampled_from([None, "j-1"]), may_repeat=BOOLEANS),
    of_cluster(
        ClusterObserved,
        state=st.sampled_from(["starting", "ready", "terminating", "dead"]),
        raw_state=st.just("RAW"),
        failure_class=st.sampled_from([None, "user", "infrastructure"]),
    ),
)
COMMANDS = st.sampled_from(["stop", "stop_wanted", "ready", "again"])
KINDS = {"observed": OBSERVED, "send": SENDS, "cluster": CLUSTERS, "other": OTHERS, "command": COMMANDS, "onward": st.just("onward")}
STEP = st.sampled_from(["onward"] * 6 + ["observed"] * 3 + ["command"] * 2 + ["send", "cluster", "other"]).flatmap(KINDS.__getitem__)
STEPS = st.lists(st.tuples(STEP, st.sampled_from([1, 10, 400])), min_size=15, max_size=50)


CLEARED = TaskFacts(
    ti_id="ti-2",
    dag_id="dag",
    task_id="task",
    run_id="run",
    map_index=-1,
    try_number=2,
    max_tries=2,
    state="running",
    is_current=True,
)


class World:
    """One application and its clusters under facts and commands, as a store would keep them."""

    def __init__(self) -> None:
        self.now = NOW
        self.rows = Rows(apps={1: make_app()}, attempts={(1, 1): make_attempt()})
        self.events: list[Event] = []

    @property
    def app(self) -> App:
        return self.rows.apps[1]

    @property
    def current(self) -> Attempt:
        return self.rows.attempts[1, self.app.generation]

    def record(self, fact: Record) -> bool:
        while True:
            done = record_all(self.rows, [fact], targets={"default": 1}, policy=Policy(), actor="o", only_app=None, now=self.now)
            if not done.missing:
                break
            self.rows = replace(self.rows, clusters={**self.rows.clusters, **{c.id: c for c in map(self.inserted, done.missing)}})
        self.rows = done.rows
        self.events.extend(done.events)
        return done.answers[0].accepted

    def addressed(self, fact: Any) -> Record:
        """Return the fact with the current generation or the newest cluster in it, where it names none."""
        if getattr(fact, "generation", None) == CURRENT:
            return replace(fact, generation=self.app.generation)
        if getattr(fact, "cluster_id", None) == CURRENT:
            return replace(fact, cluster_id=max(self.rows.clusters, default=1))
        return fact

    def next_fact(self) -> Any:
        """Return what an executor would record next if all went well; None where only time helps."""
        cluster = self.rows.clusters.get(self.app.cluster_id or 0)
        if self.app.phase is AppPhase.WAIT_CLUSTER and (cluster is None or cluster.live_key is None):
            return ClusterAssigned(app_id=1, generation=CURRENT, epoch=0)
        if cluster is not None and cluster.phase in CREATE_STEPS:
            return CREATE_STEPS[cluster.phase](cluster.id)
        return APP_STEPS.get(self.app.phase)

    def inserted(self, cluster: Cluster) -> Cluster:
        return replace(cluster, id=len(self.rows.clusters) + 1, generation=len(self.rows.clusters) + 1)

    def command(self, name: str) -> None:
        if name == "again":
            self.again()
            return
        wanted = self.rows.attempts.get((1, self.app.wanted_generation)) if self.app.wanted_generation > self.app.generation else None
        state = AppState(app=self.app, attempt=self.current, wanted=wanted)
        self.keep(COMMAND[name](state, self.now))

    def again(self) -> None:
        """Submit after a clear, as the registry does: begin, or want, the generation that the rules of submission name."""
        newest = self.rows.attempts[1, max(g for _, g in self.rows.attempts)]
        decision = decide_submission(self.app, newest, make_request(), task=CLEARED, past=None)
        assert isinstance(decision, Start | Replace)
        generation = decision.generation
        fresh = make_attempt(generation=generation, spec=make_spec(), artifacts_ready=generation % 2 == 0)
        self.rows = replace(self.rows, attempts={**self.rows.attempts, (1, generation): fresh})
        if isinstance(decision, Start):
            app = replace(self.app, phase=AppPhase.NEW, generation=generation, wanted_generation=generation, cluster_id=None)
            self.rows = replace(self.rows, apps={1: app})
            return
        state = AppState(app=replace(self.app, wanted_generation=generation), attempt=self.current, wanted=fresh)
        self.keep(request_stop(state, reason=decision.reason, actor="user:x", now=self.now))

    def keep(self, state: AppState) -> None:
        attempts = {a.generation: a for a in (state.attempt, state.wanted) if a is not None}
        self.rows = replace(
            self.rows, apps={1: state.app}, attempts={**self.rows.attempts, **{(1, generation): a for generation, a in attempts.items()}}
        )
        self.events.extend(state.events)


COMMAND = {
    "stop": lambda state, now: request_stop(state, reason="asked", actor="user:x", now=now),
    "stop_wanted": lambda state, now: stop_wanted(state, reason="asked", actor="user:x", now=now),
    "ready": lambda state, now: mark_ready(state, state.wanted or state.attempt, actor="task:x", now=now),
}


CREATE_STEPS = {
    ClusterPhase.INTENT: lambda i: CreateIntended(cluster_id=i, epoch=0, nonce="n"),
    ClusterPhase.CREATING: lambda i: CreateEnded(cluster_id=i, epoch=0, result="created", external_id="j-1"),
    ClusterPhase.STARTING: lambda i: ClusterObserved(cluster_id=i, epoch=0, state="ready", raw_state="WAITING"),
}
APP_STEPS = {
    AppPhase.WAIT_CLUSTER: SendIntended(app_id=1, generation=CURRENT, epoch=0, nonce="n"),
    AppPhase.SENDING: SendEnded(app_id=1, generation=CURRENT, epoch=0, result="sent", external_id="s-1"),
    AppPhase.AMBIGUOUS: SendLookedFor(app_id=1, generation=CURRENT, epoch=0, external_id=None),
    AppPhase.PENDING: AppObserved(app_id=1, generation=CURRENT, epoch=0, state="running"),
    AppPhase.CANCELLING: AppObserved(app_id=1, generation=CURRENT, epoch=0, state="cancelled", driver="dead", proof="yarn"),
}


def walk(steps: list[tuple[Any, int]]) -> Any:
    """Yield the world after each step, with the rows before it, the fact or command, and whether the fact was taken."""
    world = World()
    for what, seconds in steps:
        world.now += timedelta(seconds=seconds)
        before, done = world.rows, what
        if what == "onward":
            done = world.next_fact() or ("ready" if world.app.phase is AppPhase.NEW else "again")
        if isinstance(done, str):
            world.command(done)
            yield world, before, done, False
        else:
            fact = world.addressed(done)
            yield world, before, fact, world.record(fact)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_any_history_generations_only_grow_and_at_most_one_lives(steps: list[tuple[Any, int]]) -> None:
    for world, before, _, _ in walk(steps):
        app = world.app
        assert app.generation >= before.apps[1].generation
        assert app.wanted_generation >= app.generation
        begun = [a for (_, generation), a in world.rows.attempts.items() if generation < app.generation]
        assert all(a.phase.is_terminal for a in begun)
        assert app.phase is world.current.phase
        assert all(a.sends == 0 for (_, g), a in world.rows.attempts.items() if g > app.generation)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_any_history_a_terminal_attempt_never_changes_phase(steps: list[tuple[Any, int]]) -> None:
    for world, before, _, _ in walk(steps):
        for key, old in before.attempts.items():
            if old.phase.is_terminal:
                new = world.rows.attempts[key]
                assert (new.phase, new.ended_at, new.sends, new.death_proof) == (old.phase, old.ended_at, old.sends, old.death_proof)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_any_history_nothing_is_sent_that_was_not_intended(steps: list[tuple[Any, int]]) -> None:
    for world, before, what, taken in walk(steps):
        for key, new in world.rows.attempts.items():
            old = before.attempts.get(key, new)
            if new.sends != old.sends:
                assert taken
                assert isinstance(what, SendIntended)
                assert (new.sends, old.phase, old.stop_requested_at) == (old.sends + 1, AppPhase.WAIT_CLUSTER, None)
            if new.external_id is not None or new.phase in APP_SENT or new.phase in {AppPhase.SENDING, AppPhase.AMBIGUOUS}:
                assert new.sends > 0


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_any_history_the_next_run_begins_after_proof_of_the_last_ones_death(steps: list[tuple[Any, int]]) -> None:
    for world, before, _, _ in walk(steps):
        if world.app.generation == before.apps[1].generation:
            continue
        last = world.rows.attempts[1, before.apps[1].generation]
        cluster = world.rows.clusters.get(last.cluster_id or 0)
        was_never_sent = last.sends == 0 or last.external_id is None
        assert last.death_proof or was_never_sent or cluster is None or cluster.phase.is_terminal


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_any_history_every_change_of_phase_is_an_event(steps: list[tuple[Any, int]]) -> None:
    for world, before, what, _ in walk(steps):
        if what == "again":
            continue
        kinds = [e.kind for e in world.events]
        for key, new in world.rows.attempts.items():
            if key in before.attempts and new.phase is not before.attempts[key].phase:
                assert f"app.{new.phase.value}" in kinds
        assert all(e.actor and e.message and isinstance(e.at, datetime) for e in world.events)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_any_history_an_end_is_dated_and_a_refusal_changes_nothing(steps: list[tuple[Any, int]]) -> None:
    for world, before, what, taken in walk(steps):
        assert all((a.ended_at is not None) is a.phase.is_terminal for a in world.rows.attempts.values())
        if not isinstance(what, str) and not taken:
            assert world.rows == before


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_any_history_a_live_key_is_held_once_and_only_while_work_may_join(steps: list[tuple[Any, int]]) -> None:
    for world, before, _, _ in walk(steps):
        clusters = world.rows.clusters.values()
        assert all((c.live_key is not None) is (c.phase in JOINABLE) for c in clusters)
        held = [c.live_key for c in clusters if c.live_key is not None]
        assert len(held) == len(set(held))
        for cluster_id, old in before.clusters.items():
            new = world.rows.clusters[cluster_id]
            assert old.external_id in {None, new.external_id}
            assert not old.phase.is_terminal or new.phase is old.phase
            assert new.send - old.send in {0, 1}
