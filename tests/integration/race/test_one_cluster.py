"""Forty tasks in eight processes ask for one cluster at the same instant: one RunJobFlow, counted in emrsim's journal.

Processes, HTTP, PostgreSQL and EMR's API are real; the task instances are scripted, and the clusters never leave STARTING, so
that no step has to run.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from platyspark_provider.emrsim.client import EmrSim
from platyspark_provider.plugin.api.services import Services
from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.registry.schema_gate import SchemaGate
from platyspark_provider.settings import Settings
from platyspark_provider.store.sql import sql_store_factory
from tests.api_server import SECRET, add_token, serve
from tests.registry_world import make_task

PROCESSES, TASKS_EACH = 8, 5
PROFILES = """
profiles:
  shared: {step_concurrency: 256}
  other: {step_concurrency: 256, release_label: emr-7.9.0}
"""
pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Where a herd runs: the api-server's address and EMR."""

    url: str
    emr: EmrSim

    def created(self) -> list[str]:
        """Return the names of the RunJobFlow calls."""
        return [str(call["request"]["Name"]) for call in self.emr.journal(operation="RunJobFlow")]


@pytest.fixture
def field(postgres_engine: sa.Engine, tmp_path: Path) -> Iterator[Field]:
    """Yield an api-server on PostgreSQL with forty running tasks, and an EMR whose clusters stay in STARTING."""
    profiles = tmp_path / "profiles.yaml"
    profiles.write_text(PROFILES, encoding="utf-8")
    tasks = ScriptedTasks(make_task(f"ti-{n}", dag_id=f"dag-{n}") for n in range(PROCESSES * TASKS_EACH))
    open_store = sql_store_factory(postgres_engine)
    services = Services(
        open_store=open_store,
        tasks=tasks,
        profiles=ProfilesFile(profiles, artifacts="s3://artifacts/x"),
        settings=Settings(settle_window=2.0, settle_gap=0.5, lease=5.0),
        schema=SchemaGate(lambda: "current"),
    )
    add_token(open_store)
    with EmrSim.start(tmp_path / "emrsim", starting_s=3600) as emr, serve(services) as url:
        yield Field(url=url, emr=emr)


@dataclass(frozen=True, slots=True, kw_only=True)
class Herd:
    """Eight processes that have been let go; `pids` are theirs."""

    process: "subprocess.Popen[str]"
    pids: tuple[int, ...]

    def placed(self) -> Mapping[str, str]:
        """Wait for all, and return where each task's application was sent to; every process that was not killed must end well."""
        output, _ = self.process.communicate(timeout=120)
        assert self.process.returncode == 0
        lines = map(json.loads, (text for text in output.splitlines() if text.startswith('{"ti"')))
        return {line["ti"]: line["cluster"] for line in lines}


@contextmanager
def herd(field: Field, clusters: Sequence[str]) -> Iterator[Herd]:
    """Start eight processes of five tasks each, let them go at once, and end what is left of them."""
    aws = {"conn_type": "aws", "extra": {"endpoint_url": field.emr.url, "region_name": "us-east-1"}}
    env = {**os.environ, **field.emr.env(), "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws)}
    members = [[(f"ti-{number * TASKS_EACH + i}", clusters[i % len(clusters)]) for i in range(TASKS_EACH)] for number in range(PROCESSES)]
    order = json.dumps({"url": field.url, "secret": SECRET, "members": members})
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.race.herd", order],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    pids: tuple[int, ...] = ()
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        pids = tuple(json.loads(next(text for text in process.stdout if text.startswith('{"pids"')))["pids"])
        process.stdin.write("go\n")
        process.stdin.flush()
        yield Herd(process=process, pids=pids)
    finally:
        if process.poll() is None:  # else all are reaped, and their ids may be others'
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.kill()
        process.communicate()


@pytest.mark.parametrize("latency_s", [0.0, 0.15], ids=["no-latency", "150ms-per-call"])
def test_one_cluster_asked_for_by_forty_tasks_at_once_is_created_once(field: Field, latency_s: float) -> None:
    field.emr.configure(reply_latency_s=latency_s)
    with herd(field, ["shared"]) as running:
        placed = running.placed()
    assert len(placed) == PROCESSES * TASKS_EACH
    assert len(set(placed.values())) == 1
    assert len(field.created()) == 1


def test_two_specs_asked_for_by_forty_tasks_at_once_make_two_clusters(field: Field) -> None:
    with herd(field, ["shared", "other"]) as running:
        placed = running.placed()
    assert len(set(placed.values())) == 2
    assert sorted(name.split("/")[2] for name in field.created()) == ["other", "shared"]


def test_one_cluster_whose_first_creator_is_killed_after_its_call_left_is_created_once(field: Field) -> None:
    """The reply is held back until its caller is dead; another process finds the cluster by its name."""
    fault = field.emr.fault("RunJobFlow", "hold", when="after")
    with herd(field, ["shared"]) as running:
        os.kill(_creator(field, fault, running.pids), signal.SIGKILL)
        field.emr.release(fault)
        placed = running.placed()
    assert len(placed) == (PROCESSES - 1) * TASKS_EACH
    assert len(set(placed.values())) == 1
    assert len(field.created()) == 1


def _creator(field: Field, fault: str, pids: Sequence[int]) -> int:
    """Return the process whose RunJobFlow is held: the one with a connection to EMR while all others wait."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if next(one["held"] for one in field.emr.faults() if one["id"] == fault):
            busy = [pid for pid in pids if _speaks_to(pid, field.emr.port)]
            if len(busy) == 1:
                return busy[0]
        time.sleep(0.05)
    raise AssertionError("no single process waits for RunJobFlow")


def _speaks_to(pid: int, port: int) -> bool:
    return any(one.raddr and one.raddr.port == port for one in psutil.Process(pid).net_connections("tcp"))
