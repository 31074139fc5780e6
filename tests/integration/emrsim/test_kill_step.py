"""YARN's REST can't be reached: the kill step ends drivers, the step's log proves deaths, and nothing starts without a proof.

Everything is real but the machines: the executor, the EMR backend, the steps' processes, Spark drivers that record their pid.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from platyspark_provider.core.model import Attempt, Event
from platyspark_provider.core.ports import AttemptRef
from platyspark_provider.core.profiles import profiles_from_mapping
from platyspark_provider.core.records import Policy, TaskFacts
from platyspark_provider.core.spec import Artifact
from platyspark_provider.core.states import AppPhase, FailureClass
from platyspark_provider.emrsim.client import EmrSim
from platyspark_provider.hooks.clock import SystemClock
from platyspark_provider.reconciler.passes import run_pass
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.registry.service import RegistryService
from platyspark_provider.store.memory import InMemoryStore
from tests.builders import make_request
from tests.contract.backend_worlds import BUCKET, JOB, EmrWorld, attempt_ref, cluster_name
from tests.desks import OneBackend
from tests.integration.emrsim.runner_harness import is_running, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[EmrSim]:
    quick = {"starting_s": 0.1, "bootstrapping_s": 0.1, "terminating_s": 0.1, "step_start_s": 0.05, "cancel_s": 0.1, "log_delay_s": 2.0}
    with EmrSim.start(tmp_path / "sim", **quick) as running:
        s3 = running.boto3("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="job.py", Body=JOB.encode())
        yield running


class Office:
    """An executor with its registry in memory, on emrsim; one task that asks for one application.

    :param grace_s: from one rung of the stop ladder to the next.
    """

    def __init__(self, sim: EmrSim, gate: Path, *, grace_s: float) -> None:
        self.sim, self.gate = sim, gate
        gate.mkdir()
        target = {"aws_conn_id": "sim", "region": "us-east-1", "yarn_url": sim.url + "/emrsim/yarn/{cluster}"}
        profile = {"log_uri": f"s3://{BUCKET}/logs"}
        profiles = profiles_from_mapping({"targets": {"default": target}, "profiles": {"shared": profile}})
        self.clock = SystemClock()
        self.store, self.tasks = InMemoryStore(self.clock.now), ScriptedTasks()
        self.registry = RegistryService(self.store, self.tasks, lambda: profiles, policy=Policy(stop_grace_s=grace_s))
        self.backends = OneBackend(EmrWorld(sim, gate).backend)

    def submit(self, ti_id: str, **task: Any) -> None:
        facts = {"dag_id": "daily", "task_id": "agg", "run_id": "r", "map_index": -1, "max_tries": 1, "state": "running"}
        self.tasks.add(TaskFacts(ti_id=ti_id, is_current=True, **{"try_number": 1, **facts, **task}))
        job = make_request(application=Artifact(name="job.py", uri=f"s3://{BUCKET}/job.py"), args=(str(self.gate),))
        answer = self.registry.submit(job, ti_id=ti_id)
        self.registry.ready(answer.app.id, answer.generation, ti_id=ti_id)

    def clear(self, old: str, new: str) -> None:
        """Clear the deferred task: its next try wants a run of its own."""
        self.tasks.archive(old, state="failed", had_trigger=True)
        self.submit(new, try_number=2, max_tries=2)

    def attempt(self, generation: int = 1) -> Attempt:
        return self.registry.detail(1, generation).attempt

    def events(self, kind: str) -> list[Event]:
        return [event for event in self.store.events(object_kind="app", object_id=1) if event.kind == kind]

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Pass by pass, until something is so."""

        def passed() -> bool:
            report = run_pass(self.registry, self.backends, holder="office", clock=self.clock)
            assert report.errors == 0, report.lines()
            return condition()

        wait_for(passed, what, 100.0)

    def driver(self) -> int:
        """Return the pid that the newest driver wrote down; 0 before it did."""
        written = self.gate / "pid"
        return int(written.read_text() or 0) if written.exists() else 0


def test_kill_step_ends_the_unreachable_driver_with_proof_and_spares_the_other(sim: EmrSim, tmp_path: Path) -> None:
    world = EmrWorld(sim, tmp_path)
    cluster = world.backend.create_cluster(world.spec(), name=str(cluster_name()), token="c", tags={})
    doomed, spared = _running(world, cluster, 1), _running(world, cluster, 11)
    sim.configure(yarn_reachable=False)

    world.backend.stop(doomed, 1)
    words = world.backend.stop(doomed, 2)
    world.until(lambda: _state(world, doomed) == "cancelled")

    assert "YARN does not answer" in words
    assert world.backend.prove_dead(doomed).state == "unknown"
    assert world.has_driver(doomed.name), "cancelling a step does not end its driver"

    added = world.backend.stop(doomed, 3)
    world.until(lambda: world.backend.prove_dead(doomed).state == "dead")

    kill_step = added.removeprefix("YARN does not answer; kill step ").removesuffix(" was added")
    assert world.backend.prove_dead(doomed).proof == f"kill step {kill_step} found nothing left of it in YARN"
    assert not world.has_driver(doomed.name)
    assert world.has_driver(spared.name)
    assert _state(world, spared) == "running"
    assert world.backend.prove_dead(spared).state == "unknown"
    assert world.backend.stop(doomed, 3) == "YARN does not answer; the kill step has already succeeded"


def _running(world: EmrWorld, cluster: str, app_id: int) -> AttemptRef:
    launch = world.launch(app_id)
    (external_id,) = world.backend.submit(cluster, [launch])
    world.until(lambda: world.has_driver(launch.name))
    return attempt_ref(world, launch, cluster, external_id)


def _state(world: EmrWorld, attempt: AttemptRef) -> str:
    return world.backend.observe([], [attempt]).attempts[attempt.external_id or ""].state


def test_run_that_simply_fails_is_proven_by_its_steps_log_and_explained(sim: EmrSim, tmp_path: Path) -> None:
    office = Office(sim, tmp_path / "gate", grace_s=5.0)
    sim.configure(yarn_reachable=False)
    office.submit("ti-1")
    office.until(lambda: office.driver() > 0, "the driver's begin")

    (office.gate / "fail").touch()
    office.until(lambda: office.attempt().phase is AppPhase.FAILED, "the failure")

    assert len(sim.journal(operation="AddJobFlowSteps")) == 1, "a kill step was added although the log was there"
    assert str(office.attempt().death_proof).startswith("the step's log: application_")
    assert not is_running(office.driver())
    office.until(lambda: bool(office.events("app.failure_explained")), "the explanation")
    failure = office.attempt().failure
    assert failure is not None
    assert (failure.klass, failure.summary) == (FailureClass.USER, "ValueError: told to fail")


def test_stop_without_means_is_unproven_until_yarn_answers_and_only_then_the_next_run_begins(sim: EmrSim, tmp_path: Path) -> None:
    office = Office(sim, tmp_path / "gate", grace_s=0.5)
    office.submit("ti-1")
    office.until(lambda: office.driver() > 0 and office.attempt().phase is AppPhase.RUNNING, "the driver's begin")
    first = office.driver()
    sim.configure(yarn_reachable=False, steps_stuck=True)

    office.clear("ti-1", "ti-2")
    office.until(lambda: office.attempt().phase is AppPhase.STOP_UNPROVEN, "the end of all means")
    assert is_running(first)
    assert (office.attempt(2).phase, office.attempt(2).external_id) == (AppPhase.WAIT_CLUSTER, None)

    sim.configure(yarn_reachable=True)
    office.until(lambda: office.attempt().phase is AppPhase.STOPPED, "the proof")
    assert not is_running(first)
    assert str(office.attempt().death_proof).startswith("YARN: application_")

    sim.configure(steps_stuck=False)
    office.until(lambda: office.driver() not in {0, first} and office.attempt(2).phase is AppPhase.RUNNING, "the next run")
    assert is_running(office.driver())
