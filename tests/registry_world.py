"""A registry over one store with scripted Airflow rows, and hands that move an application through its life as an executor would."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from platyspark_provider.client.http import HttpRegistry
from platyspark_provider.core.facts import AppObserved, ClusterAssigned, Record, SendEnded, SendIntended
from platyspark_provider.core.ports import Registry
from platyspark_provider.core.records import ClaimRequest, RecordAnswer, SubmitAnswer, TaskFacts
from platyspark_provider.core.spec import AppRequest, Artifact
from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.registry.service import RegistryService
from platyspark_provider.store.base import Store, StoreFactory
from tests.api_server import SECRET, add_token, make_services, serve
from tests.builders import make_request

HOLDER = "executor"
LOCAL_SHA = "ab" * 32


def make_task(ti_id: str = "ti-1", **values: Any) -> TaskFacts:
    """Return a running first try with two retries."""
    base: dict[str, Any] = {
        "ti_id": ti_id,
        "dag_id": "sales",
        "task_id": "daily",
        "run_id": "run-1",
        "map_index": -1,
        "try_number": 1,
        "max_tries": 2,
        "state": "running",
        "is_current": True,
        "owner": "dana",
    }
    return TaskFacts(**{**base, **values})


def local_request(sha256: str = LOCAL_SHA, **values: Any) -> AppRequest:
    """Return a request whose application is a local file."""
    return make_request(application=Artifact(name="daily.py", sha256=sha256, size_bytes=10), **values)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One registry and what it stands on."""

    registry: Registry
    store: Store
    tasks: ScriptedTasks

    def submit(self, request: AppRequest | None = None, *, ti_id: str = "ti-1") -> SubmitAnswer:
        """Submit as a task."""
        return self.registry.submit(request or make_request(), ti_id=ti_id)

    def claim(self, app_id: int, *, ti_id: str | None = None) -> int:
        """Claim an application and return the epoch."""
        (claim,) = self.registry.claim([ClaimRequest(kind="app", id=app_id)], holder=HOLDER, ti_id=ti_id)
        assert claim.epoch is not None
        return claim.epoch

    def record(self, *records: Record, ti_id: str | None = None) -> RecordAnswer:
        """Record facts that must be taken; return the last answer."""
        answers = self.registry.record(records, ti_id=ti_id)
        assert all(answer.accepted for answer in answers), answers
        return answers[-1]

    def bring_to(self, phase: str, app_id: int, generation: int) -> None:
        """Move a generation that can be sent to `sent`, `running`, `succeeded` or `failed`."""
        epoch = self.claim(app_id)
        named = {"app_id": app_id, "generation": generation, "epoch": epoch}
        self.record(
            ClusterAssigned(**named),
            SendIntended(**named, nonce="n"),
            SendEnded(**named, result="sent", external_id="s"),
        )
        if phase != "sent":
            self.record(AppObserved(**named, state="running"))
        if phase in {"succeeded", "failed"}:
            self.end(phase, app_id, generation)

    def end(self, how: str, app_id: int, generation: int) -> None:
        """Report the end of a sent generation, with its driver dead: `succeeded`, `failed` or `cancelled`."""
        state: Any = how
        epoch = self.claim(app_id)
        self.record(AppObserved(app_id=app_id, generation=generation, epoch=epoch, state=state, driver="dead", proof="yarn"))

    def phase(self, app_id: int, generation: int | None = None) -> str:
        """Return the phase of a generation."""
        return self.store.detail(app_id, generation).attempt.phase.value

    def replace_try(self, old: str, new: TaskFacts, *, state: str | None = "failed", had_trigger: bool = False) -> TaskFacts:
        """Do what Airflow does for a retry or a clear: archive the old row, make the new one current."""
        self.tasks.archive(old, state=state, had_trigger=had_trigger)
        return self.tasks.add(new)

    def set_state(self, ti_id: str, state: str) -> None:
        """Change a task instance's state."""
        facts = self.tasks.facts(ti_id)
        assert facts is not None
        self.tasks.add(replace(facts, state=state))

    def event_kinds(self, app_id: int) -> list[str]:
        """Return the kinds of an application's events in order."""
        return [event.kind for event in self.store.events(object_kind="app", object_id=app_id)]


@contextmanager
def open_world(open_store: StoreFactory, *, over_http: bool = False, profiles: ProfilesFile | None = None) -> Iterator[World]:
    """Yield a world whose first task instance is `ti-1`."""
    tasks = ScriptedTasks([make_task()])
    services = make_services(open_store, tasks, profiles=profiles)
    with open_store() as store:
        if not over_http:
            registry = RegistryService(store, tasks, services.profiles.current, policy=services.policy())
            yield World(registry=registry, store=store, tasks=tasks)
            return
        add_token(open_store)
        with serve(services) as url, HttpRegistry(base_url=url, token=SECRET, actor="observer") as client:
            yield World(registry=client, store=store, tasks=tasks)
