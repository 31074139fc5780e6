"""Random histories of a shared pool: queues, crashes, idle drains, people who drain and terminate, clusters that die.

Virtual time, the in-memory store, the fake backend; executors and rules are the real ones. Up to two clusters with two
places each.
"""

from collections import Counter
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from platyspark_provider.core.model import Event
from platyspark_provider.core.placement import takes_applications
from platyspark_provider.core.states import AppPhase, ClusterDesired, ClusterPhase
from platyspark_provider.errors import PlatySparkError
from platyspark_provider.reconciler.advance import advance
from platyspark_provider.reconciler.passes import run_pass
from platyspark_provider.testing import Fault
from tests.desks import Desk, OneBackend, Paused
from tests.property.test_exactly_once import Life, Mortal, ProcessDied

MOST_APPS = 16
PLACES = 2
IDLE_S = 60.0
PROFILE: dict[str, Any] = {"step_concurrency": PLACES, "pool": {"max": 2}, "idle_timeout": int(IDLE_S)}


class History:
    """Who was on which cluster, and what happened to that, event by event."""

    def __init__(self) -> None:
        self.on: dict[int, int] = {}
        self.ending: set[int] = set()

    def follow(self, event: Event) -> None:
        match event.object_kind, event.kind.partition(".")[2]:
            case "app", "cluster_assigned":
                assert event.detail["cluster_id"] not in self.ending, "joined a cluster that is ending"
                self.on[event.object_id] = event.detail["cluster_id"]
            case "app", "sending":
                assert self.on[event.object_id] not in self.ending, "sent to a cluster that is ending"
            case "app", "succeeded" | "failed" | "stopped" | "lost" | "queued" | "stop_unproven":
                self.on.pop(event.object_id, None)
            case "app", "wait_cluster" if "cluster_gone" in event.message or "elsewhere" in event.message:
                self.on.pop(event.object_id, None)
            case "cluster", "draining" if "idle" in event.message:
                assert event.object_id not in self.on.values(), "drained as idle under an application"
                self.ending.add(event.object_id)
            case "cluster", "terminating":
                assert event.object_id not in self.on.values(), "terminated under an application"
                self.ending.add(event.object_id)
            case "cluster", "draining" | "dead" | "failed":
                self.ending.add(event.object_id)


class SharedPool(RuleBasedStateMachine):
    """Many tasks, two executors, one pool and whoever ends its clusters."""

    @initialize(lag=st.sampled_from([0.0, 60.0]), start=st.sampled_from([0.0, 20.0]), is_warm=st.booleans())
    def begin(self, lag: float, start: float, is_warm: bool) -> None:
        self.desk = Desk(document={"profiles": {"shared": PROFILE}})
        self.desk.backend.listing_lag_s, self.desk.backend.ready_after_s = lag, start
        self.ids = self.desk.submit_many(1)
        if is_warm:
            for _ in range(3):
                self.desk.pass_once()
                self.wait(30.0)
                self.finish(1)

    @precondition(lambda self: len(self.ids) < MOST_APPS // 4)
    @rule(count=st.integers(1, 3))
    def submit(self, count: int) -> None:
        """Tasks of other runs ask for the same cluster."""
        self.ids += self.desk.submit_many(count, first=len(self.ids) + 1)

    @rule()
    def observe(self) -> None:
        """A pass that lives."""
        self.desk.pass_once()

    @rule(calls=st.integers(1, 20), dies_after=st.booleans(), holder=st.sampled_from(["a", "b"]))
    def observe_and_die(self, calls: int, dies_after: bool, holder: str) -> None:
        """A pass whose process is killed at any call, of the registry or the backend."""
        life = Life(calls, dies_after)
        with suppress(ProcessDied):
            run_pass(Mortal(self.desk.registry, life), OneBackend(Mortal(self.desk.backend, life)), holder=holder, clock=self.desk.clock)

    @rule(number=st.integers(0, MOST_APPS), calls=st.integers(1, 12))
    def advance_and_die(self, number: int, calls: int) -> None:
        """The fast path of one task, in a worker that is killed at any call."""
        self._advance(number, Life(calls, dies_after=True))

    def _advance(self, number: int, life: Life) -> None:
        app = self.desk.detail(self.ids[number % len(self.ids)]).app
        registry, backends = Mortal(self.desk.registry, life), OneBackend(Mortal(self.desk.backend, life))
        with suppress(ProcessDied, PlatySparkError):
            advance(registry, backends, app_id=app.id, ti_id=str(app.owner_ti_id), holder="w", clock=self.desk.clock)

    @rule(
        before=st.integers(2, 8),
        in_backend=st.booleans(),
        what=st.sampled_from(["submit and join", "join", "wish end", "join, wish end", "pass", "lose"]),
        number=st.integers(0, MOST_APPS),
    )
    def observe_and_pause(self, before: int, in_backend: bool, what: str, number: int) -> None:
        """A pass that hangs before one of its calls, while somebody else acts on what it has read already."""
        self._paused_pass(before, in_backend, what, number)

    @precondition(lambda self: len(self.ids) < MOST_APPS)
    @rule(before=st.integers(2, 6), calls=st.integers(3, 9), what=st.sampled_from(["submit and join", "wish end", "pass"]))
    def end_idle_clusters_and_pause(self, before: int, calls: int, what: str) -> None:
        """The same where all is idle: that pass is the one that drains; a joiner may die before it sends."""
        self._become_idle()
        self.wait(IDLE_S)
        self._paused_pass(before, False, what, -1, calls)

    @precondition(lambda self: len(self.ids) < MOST_APPS // 2)
    @rule(before=st.integers(2, 8), in_backend=st.booleans(), what=st.sampled_from(["wish end", "join, wish end", "lose"]))
    def send_and_pause(self, before: int, in_backend: bool, what: str) -> None:
        """The same where somebody waits: that pass is the one that sends."""
        self._become_idle()
        self.submit(1)
        self._paused_pass(before, in_backend, what, -1)

    def _become_idle(self) -> None:
        """Let faults pass, a cluster come up and everything on it end."""
        self.desk.backend._faults.clear()
        if not any(c.phase is ClusterPhase.READY for c in self.desk.store.clusters()):
            self.submit(1)
            for _ in range(5):
                self.desk.pass_once()
                self.wait(15.0)
        self.finish(9)
        self.desk.pass_once()

    def _paused_pass(self, before: int, in_backend: bool, what: str, number: int, calls: int = 99) -> None:
        def act() -> None:
            match what:
                case "submit and join":
                    if len(self.ids) < MOST_APPS:
                        self.submit(1)
                    self._advance(-1, Life(calls, dies_after=True))
                case "join":
                    self._advance(number, Life(calls, dies_after=True))
                case "wish end":
                    self.wish_end(True, ClusterDesired.DRAINED)
                case "join, wish end":
                    self._advance(-1, Life(99, dies_after=True))
                    self.wish_end(True, ClusterDesired.DOWN)
                case "lose":
                    self.lose_cluster()
                case _:
                    run_pass(self.desk.registry, self.desk.backends, holder="b", clock=self.desk.clock)

        registry: Any = self.desk.registry if in_backend else Paused(self.desk.registry, before, act)
        backend: Any = Paused(self.desk.backend, before, act) if in_backend else self.desk.backend
        run_pass(registry, OneBackend(backend), holder="a", clock=self.desk.clock)

    @rule(
        operation=st.sampled_from(["create_cluster", "submit", "observe", "busy", "terminate_cluster", "find_attempts", "find_clusters"]),
        fault=st.sampled_from([Fault.THROTTLE, Fault.UNAVAILABLE, Fault.LOSE_BEFORE, Fault.LOSE_AFTER]),
    )
    def plant(self, operation: str, fault: Fault) -> None:
        """The next call of an operation goes wrong."""
        self.desk.backend.fail(operation, fault)

    @rule(seconds=st.sampled_from([1.0, 6.0, IDLE_S, 130.0, 310.0]))
    def wait(self, seconds: float) -> None:
        """Time passes: leases end, clusters become idle."""
        self.desk.clock.advance(seconds)
        self.desk.backend.tick()

    @rule(count=st.integers(1, 4))
    def finish(self, count: int) -> None:
        """Running jobs end well."""
        for run in [r for r in self.desk.backend.runs.values() if r.state == "running"][:count]:
            self.desk.backend.finish(run.name)

    @rule(newest=st.booleans(), desired=st.sampled_from([ClusterDesired.DRAINED, ClusterDesired.DOWN]))
    def wish_end(self, newest: bool, desired: ClusterDesired) -> None:
        """A person drains a cluster, or terminates it with all that is on it."""
        clusters = [c for c in self.desk.store.clusters() if c.desired is ClusterDesired.UP]
        if clusters:
            self.desk.wish(clusters[0 if newest else -1].id, desired)

    @precondition(lambda self: len(self.desk.backend.clusters) < 6)
    @rule()
    def lose_cluster(self) -> None:
        """The newest cluster ends under its runs."""
        for cluster in list(self.desk.backend.clusters)[-1:]:
            self.desk.backend.end_cluster(cluster)

    @invariant()
    def nobody_is_sent_to_or_left_on_a_cluster_that_ends(self) -> None:
        """At the moment of every join and send the cluster took work by our rows, and at that of its end nobody was on it."""
        history = History()
        for event in self.desk.store.events(limit=100_000):
            history.follow(event)

    @invariant()
    def no_cluster_has_more_than_it_takes(self) -> None:
        """Neither by our rows nor at the backend."""
        for cluster in self.desk.store.clusters():
            assert len(self.desk.store.apps_on(cluster.id)) <= PLACES
        living = Counter(r.cluster for r in self.desk.backend.runs.values() if r.ended_at is None)
        assert all(n <= PLACES for n in living.values()), living

    @invariant()
    def no_pool_has_more_clusters_than_it_may(self) -> None:
        """Those that take applications are two at most, each in a slot of its own."""
        open_ones = [c for c in self.desk.store.clusters() if takes_applications(c)]
        assert len(open_ones) <= PROFILE["pool"]["max"]
        assert len({c.live_key for c in open_ones}) == len(open_ones)

    @invariant()
    def one_run_a_generation(self) -> None:
        """No generation ever starts twice."""
        started = Counter(r.name for r in self.desk.backend.runs.values() if r.started_at is not None)
        assert all(n <= 1 for n in started.values()), started

    def teardown(self) -> None:
        """Once faults stop, every application ends, and every cluster with them."""
        if not hasattr(self, "desk"):
            return
        backend = self.desk.backend
        backend._faults.clear()
        for _ in range(40):
            self.desk.clock.advance(70.0)
            backend.tick()
            self.desk.pass_once()
            for run in backend.runs.values():
                if run.state == "running":
                    backend.finish(run.name)
        attempts = [self.desk.detail(i).attempt for i in self.ids]
        assert all(a.phase.is_terminal for a in attempts), [a.phase for a in attempts]
        allowed = {AppPhase.SUCCEEDED, AppPhase.FAILED, AppPhase.STOPPED}
        assert {a.phase for a in attempts} <= allowed
        left = [c for c in self.desk.store.clusters() if c.phase is not ClusterPhase.INTENT]
        assert left == [], [(c.phase, c.desired) for c in left]
        assert [c.external_id for c in backend.clusters.values() if c.dead_at is None] == []
        self.one_run_a_generation()


TestSharedPool = SharedPool.TestCase
TestSharedPool.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
