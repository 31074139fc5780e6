"""Random histories of submits, retries, clears, kills, crashes and lost replies: one run a generation, one driver an app.

Virtual time, the in-memory store, the fake backend; the executor and all rules are the real ones.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from platyspark_provider.errors import PlatySparkError
from platyspark_provider.reconciler.advance import advance
from platyspark_provider.reconciler.passes import run_pass
from platyspark_provider.testing import Fault
from tests.builders import make_request
from tests.desks import Desk, OneBackend

LAG_S = 60.0


class ProcessDied(BaseException):
    """The executor's process is gone; nothing after this runs in it, not even a `finally`."""


class Mortal:
    """Passes calls on until `calls` of them were made; then the process is dead, before or after that call's effect."""

    def __init__(self, inner: Any, life: "Life") -> None:
        self._inner, self._life = inner, life

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        return self._life.guarded(value) if callable(value) else value


class Life:
    """How long one process lives, in calls; it may die right after the last call's effect."""

    def __init__(self, calls: int, dies_after: bool) -> None:
        self.left, self.dies_after = calls, dies_after

    def guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left < 0 or (self.left == 0 and not self.dies_after):
                self.left = -1
                raise ProcessDied
            answer = call(*args, **kwargs)
            if self.left == 0:
                raise ProcessDied
            return answer

        return run


class ExactlyOnce(RuleBasedStateMachine):
    """One task of one DAG run, its tries, two executors and the world."""

    @initialize(lag=st.sampled_from([0.0, LAG_S]), start=st.sampled_from([0.0, 20.0]))
    def begin(self, lag: float, start: float) -> None:
        self.desk = Desk()
        self.desk.backend.listing_lag_s, self.desk.backend.start_after_s = lag, start
        self.tries, self.max_tries = 1, 1
        self.app_id = self._submit()

    def _ti(self) -> str:
        return f"{self.tries:08d}-1111-7111-8111-111111111111"

    def _submit(self) -> int:
        self.desk.add_task(self._ti(), try_number=self.tries, max_tries=self.max_tries)
        answer = self.desk.registry.submit(make_request(), ti_id=self._ti())
        if not answer.attempt.phase.is_terminal:
            self.desk.registry.ready(answer.app.id, answer.generation, ti_id=self._ti())
        return answer.app.id

    def _next_try(self, *, state: str, had_trigger: bool, cleared: bool) -> None:
        self.desk.tasks.archive(self._ti(), state=state, had_trigger=had_trigger)
        self.tries += 1
        self.max_tries += cleared
        self._submit()

    @rule()
    def retry(self) -> None:
        """The worker died; Airflow tries again."""
        before = self._current()
        self._next_try(state="failed", had_trigger=False, cleared=False)
        if not before.phase.is_terminal and before.stop_requested_at is None:
            assert self.desk.detail(self.app_id).app.wanted_generation <= max(before.generation, self._newest())

    @rule(kill_comes_first=st.booleans(), moves=st.booleans())
    def clear(self, kill_comes_first: bool, moves: bool) -> None:
        """A user clears the deferred task; `on_kill` of the old trigger comes before or after the new try."""
        old = self._ti()
        generation = self.desk.detail(self.app_id).app.wanted_generation
        if kill_comes_first:
            self.desk.tasks.archive(old, state="failed", had_trigger=True)
            self.desk.registry.kill(self.app_id, generation, ti_id=old, reason="on_kill")
        self._next_try(state="failed", had_trigger=True, cleared=moves)
        if not kill_comes_first:
            answer = self.desk.registry.kill(self.app_id, generation, ti_id=old, reason="on_kill")
            assert not answer.granted, "a late on_kill must not hit the new try's run"

    @rule()
    def mark_failed(self) -> None:
        """A user marks the task failed; then it is cleared later by another rule, or not."""
        self.desk.add_task(self._ti(), try_number=self.tries, max_tries=self.max_tries, state="failed")
        app = self.desk.detail(self.app_id).app
        self.desk.registry.kill(self.app_id, app.wanted_generation, ti_id=self._ti(), reason="on_kill")

    @rule()
    def trigger_moves(self) -> None:
        """A stalled triggerer comes back: `on_kill` of a healthy task changes nothing."""
        if self.desk.tasks.facts(self._ti()).state != "running":
            return
        before = self._current()
        app = self.desk.detail(self.app_id).app
        assert not self.desk.registry.kill(self.app_id, app.wanted_generation, ti_id=self._ti(), reason="on_kill").granted
        assert self._current() == before

    @rule()
    def observe(self) -> None:
        """A pass that lives."""
        self.desk.pass_once()

    @rule(calls=st.integers(1, 14), dies_after=st.booleans(), holder=st.sampled_from(["a", "b"]))
    def observe_and_die(self, calls: int, dies_after: bool, holder: str) -> None:
        """A pass whose process is killed at any call."""
        life = Life(calls, dies_after)
        backends = OneBackend(Mortal(self.desk.backend, life))
        with suppress(ProcessDied):
            run_pass(Mortal(self.desk.registry, life), backends, holder=holder, clock=self.desk.clock)

    @rule(calls=st.integers(1, 10), dies_after=st.booleans())
    def advance_and_die(self, calls: int, dies_after: bool) -> None:
        """The operator's fast path in a worker that is killed at any call."""
        life = Life(calls, dies_after)
        backends = OneBackend(Mortal(self.desk.backend, life))
        registry = Mortal(self.desk.registry, life)
        with suppress(ProcessDied, PlatySparkError):
            advance(registry, backends, app_id=self.app_id, ti_id=self._ti(), holder="w", clock=self.desk.clock)

    @rule(
        operation=st.sampled_from(["create_cluster", "submit", "observe", "stop", "prove_dead", "find_attempts", "find_clusters"]),
        fault=st.sampled_from([Fault.THROTTLE, Fault.UNAVAILABLE, Fault.LOSE_BEFORE, Fault.LOSE_AFTER]),
    )
    def plant(self, operation: str, fault: Fault) -> None:
        """The next call of an operation goes wrong."""
        self.desk.backend.fail(operation, fault)

    @rule(seconds=st.sampled_from([1.0, 6.0, 30.0, 130.0, 310.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.desk.clock.advance(seconds)
        self.desk.backend.tick()

    @rule(state=st.sampled_from(["succeeded", "failed"]), driver_lives=st.booleans())
    def finish(self, state: str, driver_lives: bool) -> None:
        """A running job ends; a failed record may leave its driver behind."""
        for run in self.desk.backend.runs.values():
            if run.state == "running":
                self.desk.backend.finish(run.name, state, driver_lives=driver_lives and state == "failed")  # type: ignore[arg-type]
                return

    @precondition(lambda self: len(self.desk.backend.clusters) < 4)
    @rule()
    def lose_cluster(self) -> None:
        """The newest cluster ends under its runs."""
        for cluster in list(self.desk.backend.clusters)[-1:]:
            self.desk.backend.end_cluster(cluster)

    @invariant()
    def one_run_a_generation(self) -> None:
        """No generation ever runs twice."""
        started: dict[str, int] = {}
        for run in self.desk.backend.runs.values():
            started[run.name] = started.get(run.name, 0) + (run.started_at is not None)
        assert all(n <= 1 for n in started.values()), started

    @invariant()
    def one_driver(self) -> None:
        """At most one driver process of the application lives, over all its generations."""
        alive = [run.name for run in self.desk.backend.runs.values() if run.has_driver]
        assert len(alive) <= 1, alive

    @invariant()
    def one_live_cluster(self) -> None:
        """At most one cluster of the key is alive, the one we know or are looking for."""
        alive = [c.name for c in self.desk.backend.clusters.values() if c.dead_at is None]
        assert len(alive) <= 1, alive

    def teardown(self) -> None:
        """Once faults stop, everything converges: wanted generations run and end."""
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
        app = self.desk.detail(self.app_id).app
        assert app.phase.is_terminal, (app.phase, self._current())
        assert app.generation >= app.wanted_generation
        self.one_run_a_generation()
        self.one_driver()

    def _current(self) -> Any:
        return self.desk.detail(self.app_id).attempt

    def _newest(self) -> int:
        known = self.desk.store.app_by_key(self.desk.detail(self.app_id).app.scope, self.desk.detail(self.app_id).app.app_key)
        assert known is not None
        return known.newest.generation


TestExactlyOnce = ExactlyOnce.TestCase
TestExactlyOnce.settings = settings(
    max_examples=120, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
