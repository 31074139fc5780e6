"""The worlds in which the backend contract runs: the fake in both styles, and EMR on emrsim with real drivers."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from botocore.config import Config

from platyspark_provider.backends.emr import EmrBackend
from platyspark_provider.backends.emr_api import EmrClients
from platyspark_provider.core.keys import AttemptName, ClusterName
from platyspark_provider.core.model import Target
from platyspark_provider.core.ports import AttemptRef, Backend, Launch
from platyspark_provider.core.spec import ClusterSpec, InstanceGroup
from platyspark_provider.emrsim.client import REGION, EmrSim
from platyspark_provider.packaging.artifacts import put_missing
from platyspark_provider.testing import FakeBackend, Fault
from tests.builders import make_cluster_spec, make_spec

BUCKET = "contract"
DEADLINE_S = 60.0
# Waits at a gate for a word; `ok` ends it, `fail` raises, and its process id is written down for all to check.
JOB = """
import os, pathlib, sys, time
gate = pathlib.Path(sys.argv[1])
(gate / "pid").write_text(str(os.getpid()))
while True:
    if (gate / "ok").exists():
        sys.exit(0)
    if (gate / "fail").exists():
        raise ValueError("told to fail")
    time.sleep(0.05)
"""


class World(Protocol):
    """A backend with the means to steer what runs on it."""

    backend: Backend

    def spec(self) -> ClusterSpec:
        """Return the spec of a cluster that this world can create."""

    def launch(self, app_id: int, generation: int = 1) -> Launch:
        """Return a run that waits until it is told how to end."""

    def end(self, name: str, state: str) -> None:
        """Tell a run to end: `succeeded` or `failed`."""

    def until(self, condition: Callable[[], bool]) -> None:
        """Let time pass until something is so; fails at a deadline."""

    def fail_next(self, operation: str, fault: Fault) -> None:
        """Let the next call of a port method go wrong."""

    def hold_starts(self) -> None:
        """Let nothing that is sent from now on start."""

    def cut_off_drivers(self) -> None:
        """Make drivers unreachable: their death can't be proven by asking."""

    def has_driver(self, name: str) -> bool:
        """Tell whether a run's driver has begun and its process is there."""


def cluster_name(generation: int = 1, send: int = 1) -> ClusterName:
    """Return one of our cluster names."""
    return ClusterName(environment="test", pool="shared", key="0" * 12, installation="abcdef", generation=generation, send=send)


def attempt_ref(world: World, launch: Launch, cluster: str, external_id: str, *, stop_stage: int = 0) -> AttemptRef:
    """Return a sent run as its backend is asked about it."""
    return AttemptRef(
        app_id=1,
        generation=1,
        name=launch.name,
        yarn_tag=launch.yarn_tag,
        cluster=cluster,
        external_id=external_id,
        spec=launch.spec,
        stop_stage=stop_stage,
    )


class FakeWorld:
    """The fake: time is virtual, and runs start one second after the send."""

    def __init__(self, backend: FakeBackend) -> None:
        self.fake = backend
        self.backend: Backend = backend
        backend.ready_after_s = backend.start_after_s = 1.0

    def spec(self) -> ClusterSpec:
        return make_cluster_spec(dedicated=True)

    def launch(self, app_id: int, generation: int = 1) -> Launch:
        name = AttemptName(installation="abcdef", app_id=app_id, generation=generation)
        return Launch(name=str(name), yarn_tag=name.yarn_tag, spec=make_spec(cluster=self.spec()), token=str(name))

    def end(self, name: str, state: str) -> None:
        self.fake.finish(name, "succeeded" if state == "succeeded" else "failed")
        if state == "failed":
            self.fake.write_log(
                name, "", 'Traceback (most recent call last):\n  File "job.py", line 9, in <module>\n    x\nValueError: told to fail\n'
            )

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(100):
            if condition():
                return
            self.fake.clock.advance(1.0)
        raise AssertionError("it did not become so within 100 virtual seconds")

    def fail_next(self, operation: str, fault: Fault) -> None:
        self.fake.fail(operation, fault)

    def hold_starts(self) -> None:
        self.fake.start_after_s = 1e9

    def cut_off_drivers(self) -> None:
        self.fake.death_is_provable = False

    def has_driver(self, name: str) -> bool:
        return self.fake.run_named(name).has_driver


_EMR_OPERATIONS = {"create_cluster": "RunJobFlow", "submit": "AddJobFlowSteps", "observe": "ListClusters", "find_attempts": "ListSteps"}


class EmrWorld:
    """EMR on emrsim: runs are real spark-submit processes that wait at a gate in `folder`."""

    def __init__(self, sim: EmrSim, folder: Path) -> None:
        self.sim, self.folder = sim, folder
        once = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)
        clients = EmrClients(mutating=sim.boto3("emr", config=once), reading=sim.boto3("emr", config=once), s3=sim.boto3("s3"))
        target = Target(id=1, name="sim", backend="emr", aws_conn_id="sim", region=REGION, yarn_url=sim.url + "/emrsim/yarn/{cluster}")
        self.backend: Backend = EmrBackend(clients, target, put=partial(put_missing, clients.s3))

    def spec(self) -> ClusterSpec:
        return make_cluster_spec(
            dedicated=True,
            instance_groups=(InstanceGroup(role="MASTER", instance_type="m5.xlarge", count=1),),
            service_role="EMR_DefaultRole",
            instance_profile="EMR_EC2_DefaultRole",
            log_uri=f"s3://{BUCKET}/logs/",
        )

    def launch(self, app_id: int, generation: int = 1) -> Launch:
        name = AttemptName(installation="abcdef", app_id=app_id, generation=generation)
        gate = self._gate(str(name))
        gate.mkdir(parents=True, exist_ok=True)
        spec = make_spec(cluster=self.spec(), application_uri=f"s3://{BUCKET}/job.py", args=(str(gate),))
        return Launch(name=str(name), yarn_tag=name.yarn_tag, spec=spec, token=str(name))

    def end(self, name: str, state: str) -> None:
        (self._gate(name) / ("ok" if state == "succeeded" else "fail")).touch()

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"it did not become so within {DEADLINE_S} s"
            time.sleep(0.1)

    def fail_next(self, operation: str, fault: Fault) -> None:
        name = _EMR_OPERATIONS[operation]
        match fault:
            case Fault.LOSE_AFTER:
                self.sim.fault(name, "drop", when="after")
            case Fault.LOSE_BEFORE:
                self.sim.fault(name, "drop", when="before")
            case Fault.THROTTLE:
                self.sim.fault(name, "error", code="ThrottlingException", http_status=400)
            case Fault.REJECT:
                self.sim.fault(name, "error", code="AccessDeniedException", http_status=400)
            case _:
                raise ValueError(f"emrsim plants no {fault}")

    def hold_starts(self) -> None:
        self.sim.configure(steps_stuck=True)

    def cut_off_drivers(self) -> None:
        self.sim.configure(yarn_reachable=False)

    def has_driver(self, name: str) -> bool:
        try:
            os.kill(int((self._gate(name) / "pid").read_text()), 0)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return False
        return True

    def _gate(self, name: str) -> Path:
        return self.folder / name
