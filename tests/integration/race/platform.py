"""The platform without Airflow: PostgreSQL, the worker API over HTTP, passes on emrsim's EMR with a clock that only tests move."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from platyspark_provider.backends.emr import EmrBackend
from platyspark_provider.client.http import HttpRegistry
from platyspark_provider.core.model import Target
from platyspark_provider.core.ports import Backend
from platyspark_provider.core.records import AppBrief, SubmitAnswer
from platyspark_provider.emrsim.client import EmrSim
from platyspark_provider.hooks.aws import clients_of
from platyspark_provider.hooks.clock import SystemClock
from platyspark_provider.packaging.artifacts import put_missing
from platyspark_provider.plugin.api.services import Services
from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.reconciler.passes import Bidding, run_pass
from platyspark_provider.reconciler.workbench import PassReport
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.registry.schema_gate import SchemaGate
from platyspark_provider.settings import Settings
from platyspark_provider.store.base import Store
from platyspark_provider.store.sql import sql_store_factory
from tests.api_server import SECRET, add_token, serve
from tests.builders import make_request
from tests.registry_world import make_task


@dataclass(slots=True)
class OneBackend:
    """The backend of every target, built once from the process's AWS variables."""

    emr: EmrSim
    _built: dict[str, Backend] = field(default_factory=dict)

    def of(self, target: Target) -> Backend:
        """Return the backend on emrsim."""
        if target.name not in self._built:
            self._built[target.name] = EmrBackend(clients_of(target), target, put=put_missing)
        return self._built[target.name]


@dataclass(slots=True, kw_only=True)
class Platform:
    """Tasks that submit, passes that act, and EMR; `registry` is the worker API over HTTP."""

    registry: HttpRegistry
    store: Store
    tasks: ScriptedTasks
    emr: EmrSim
    backends: OneBackend
    bidding: Bidding = field(default_factory=Bidding)

    def submit(self, number: int, **values: Any) -> SubmitAnswer:
        """Submit as a task of its own."""
        self.tasks.add(make_task(f"ti-{number}", dag_id=f"dag-{number}", state="deferred"))
        return self.registry.submit(make_request(**values), ti_id=f"ti-{number}")

    def turn(self, seconds: float = 0.0) -> PassReport:
        """Let simulated time pass, then make one pass as a triggerer does."""
        if seconds:
            self.emr.advance(seconds)
        return run_pass(self.registry, self.backends, holder="observer-1", clock=SystemClock(), bidding=self.bidding)

    def briefs(self) -> Mapping[int, AppBrief]:
        """Return the snapshot that waiting tasks look at, by application."""
        return {brief.app_id: brief for brief in self.registry.snapshot().apps}

    def created(self) -> list[str]:
        """Return the names of all clusters that were asked for."""
        return [str(call["request"]["Name"]) for call in self.emr.journal(operation="RunJobFlow")]

    def sent(self) -> list[tuple[str, str]]:
        """Return (cluster id, run name) of every step that EMR took, in order."""
        calls = [call for call in self.emr.journal(operation="AddJobFlowSteps") if call["status"] == 200]
        return [(call["request"]["JobFlowId"], step["Name"]) for call in calls for step in call["request"]["Steps"]]


@contextmanager
def platform(engine: sa.Engine, folder: Path, profiles: str, monkeypatch: Any, **emrsim: Any) -> Iterator[Platform]:
    """Yield a platform with tables in `engine`.

    :param profiles: text of profiles.yaml; `{emr_url}` becomes emrsim's address
    :param emrsim: knobs, see `platyspark_provider.emrsim.config.SimConfig`
    """
    with EmrSim.start(folder / "emrsim", **emrsim) as emr:
        for name, value in emr.env().items():
            monkeypatch.setitem(os.environ, name, value)
        emr.boto3("s3").create_bucket(Bucket="platyspark")
        file = folder / "profiles.yaml"
        file.write_text(profiles.replace("{emr_url}", emr.url), encoding="utf-8")
        tasks, open_store = ScriptedTasks(), sql_store_factory(engine)
        services = Services(
            open_store=open_store,
            tasks=tasks,
            profiles=ProfilesFile(file, artifacts="s3://platyspark/artifacts"),
            settings=Settings(settle_window=2.0, settle_gap=0.5, lease=5.0),
            schema=SchemaGate(lambda: "current"),
        )
        add_token(open_store)
        with open_store() as store, serve(services) as url, HttpRegistry(base_url=url, token=SECRET, actor="observer") as registry:
            yield Platform(registry=registry, store=store, tasks=tasks, emr=emr, backends=OneBackend(emr))
