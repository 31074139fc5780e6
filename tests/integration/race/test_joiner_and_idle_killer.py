"""A joiner and the idle killer race 200 times on PostgreSQL: nobody is ever sent to a cluster that we end, and nobody fails for it.

Both are the real executor, each in a thread with a connection of its own; the backend is the fake one with a journal.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from platyspark_provider.core.ports import Launch
from platyspark_provider.core.profiles import profiles_from_mapping
from platyspark_provider.core.states import AppPhase, ClusterPhase
from platyspark_provider.reconciler.passes import run_pass, run_steps
from platyspark_provider.reconciler.workbench import PassReport, Workbench
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.registry.service import RegistryService
from platyspark_provider.store.sql import SqlStore
from platyspark_provider.testing import FakeBackend, FakeClock
from tests.builders import make_cluster_spec, make_spec, make_target
from tests.desks import OneBackend
from tests.store_steps import submit

T = TypeVar("T")
ROUNDS = 200
SPEC = make_spec(cluster=make_cluster_spec(idle_timeout_s=0))
"""A cluster that nothing is on is idle at once."""


@dataclass(kw_only=True)
class SharedBackend(FakeBackend):
    """The fake backend for several threads, with a journal of what ends clusters and what is sent to them, in order."""

    journal: list[tuple[str, str]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.RLock)

    def _call(self, operation: str, effect: Callable[[], T]) -> T:
        with self.lock:
            return super()._call(operation, effect)

    def terminate_cluster(self, external_id: str) -> None:
        with self.lock:
            self.journal.append(("terminate", external_id))
            super().terminate_cluster(external_id)

    def submit(self, cluster: str | None, launches: Sequence[Launch]) -> Sequence[str]:
        with self.lock:
            self.journal.append(("submit", str(cluster)))
            return super().submit(cluster, launches)

    def finish_all(self) -> None:
        """End every run that is running, well."""
        with self.lock:
            self.tick()
            for run in self.runs.values():
                if run.state == "running":
                    self.end_run(run, "succeeded")


class Ring:
    """Two executors over one database."""

    def __init__(self, engine: sa.Engine) -> None:
        self.store, self.clock = SqlStore(engine), FakeClock()
        self.backend = SharedBackend(clock=self.clock)
        self.backends = OneBackend(self.backend)
        profiles = profiles_from_mapping(None)
        self.registry = RegistryService(self.store, ScriptedTasks(), lambda: profiles)
        self.store.ensure_target(make_target())

    def kill_idle(self) -> PassReport:
        return run_pass(self.registry, self.backends, holder="killer", clock=self.clock)

    def join(self, app_id: int) -> PassReport:
        """Take the steps of a pass for one application, as its own task does."""
        bench = Workbench(
            registry=self.registry,
            backends=self.backends,
            due=self.registry.due(app_id=app_id),
            ti_id=None,
            report=PassReport(),
            now=self.clock.now,
        )
        run_steps(bench, f"joiner#{app_id}")
        return bench.report

    def race(self, key: str, chance: random.Random) -> tuple[int, list[PassReport]]:
        """Let a task submit and join while the killer passes; which one is held up by a few reads is left to chance."""
        start = threading.Barrier(2)

        def hold_up(reads: int) -> None:
            start.wait(timeout=30)
            for _ in range(reads):
                self.store.now()

        def kill() -> PassReport:
            hold_up(chance.randrange(8))
            return self.kill_idle()

        def submit_and_join() -> tuple[int, PassReport]:
            hold_up(chance.randrange(24))
            app_id = submit(self.store, key, spec=SPEC, owner_ti_id=None).app.id
            return app_id, self.join(app_id)

        with ThreadPoolExecutor(2) as pool:
            killer, joiner = pool.submit(kill), pool.submit(submit_and_join)
            app_id, joined = joiner.result()
            return app_id, [killer.result(), joined]

    def until_ended(self, app_id: int) -> None:
        for _ in range(20):
            if self.store.detail(app_id).attempt.phase.is_terminal:
                return
            self.backend.finish_all()
            self.join(app_id)
        raise AssertionError(self.store.detail(app_id))


@pytest.mark.timeout(240)
def test_joiner_and_idle_killer_racing_200_times_send_nobody_to_a_cluster_that_ends(postgres_engine: sa.Engine) -> None:
    ring, chance = Ring(postgres_engine), random.Random(7)
    ids: list[int] = []
    outcomes: Counter[str] = Counter()
    for number in range(ROUNDS):
        before = [c.id for c in ring.store.clusters() if c.phase is ClusterPhase.READY]
        app_id, reports = ring.race(f"k{number}", chance)
        assert [r.errors for r in reports] == [0, 0], [r.lines() for r in reports]
        outcomes["killer was refused"] += any("cluster_drain_intended" in line for line in reports[0].skipped)
        ring.until_ended(app_id)
        ids.append(app_id)
        used = ring.store.detail(app_id).attempt.cluster_id
        outcomes["first cluster" if not before else "joined" if used in before else "killed before"] += 1
    attempts = [ring.store.detail(i).attempt for i in ids]
    assert Counter(a.phase for a in attempts) == {AppPhase.SUCCEEDED: ROUNDS}
    assert {a.sends for a in attempts} == {1}, "a send was in vain"
    ended: set[str] = set()
    for operation, cluster in ring.backend.journal:
        assert operation == "terminate" or cluster not in ended, f"sent to {cluster}, which we had ended"
        ended |= {cluster} if operation == "terminate" else set()
    assert outcomes["joined"], outcomes
    assert outcomes["killed before"], outcomes
