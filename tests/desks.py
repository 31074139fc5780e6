"""A whole registry in memory with a fake backend and S3, as a task sees it; time stands still unless told."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from botocore.exceptions import ClientError

from platyspark_provider.core.model import Cluster, Target
from platyspark_provider.core.ports import Backend, Registry
from platyspark_provider.core.profiles import profiles_from_mapping
from platyspark_provider.core.records import AppDetail, Policy, TaskFacts
from platyspark_provider.core.states import AppPhase, ClusterDesired
from platyspark_provider.operators.patience import Patience
from platyspark_provider.operators.submission import Caller
from platyspark_provider.reconciler.passes import run_pass
from platyspark_provider.reconciler.workbench import PassReport
from platyspark_provider.registry.clusters import ClusterDesk
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.registry.service import RegistryService
from platyspark_provider.store.memory import InMemoryStore
from platyspark_provider.testing import FakeBackend, FakeClock
from tests.builders import make_request

TI = "11111111-1111-7111-8111-111111111111"


class FakeS3:
    """Objects in a dict behind the four S3 calls that artifacts need."""

    def __init__(self, *addresses: str) -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.heads: list[str] = []
        for address in addresses:
            bucket, _, key = address.removeprefix("s3://").partition("/")
            self.objects[bucket, key] = b"content"

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        self.heads.append(f"s3://{Bucket}/{Key}")
        if (Bucket, Key) not in self.objects:
            answer = {"Error": {"Code": "404", "Message": "Not Found"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
            raise ClientError(answer, "HeadObject")  # type: ignore[arg-type]
        return {"ContentLength": len(self.objects[Bucket, Key])}

    def upload_fileobj(self, file: IO[bytes], bucket: str, key: str) -> None:
        self.objects[bucket, key] = file.read()


@dataclass
class OneBackend:
    """`Backends` with the same backend for every target."""

    backend: Backend

    def of(self, target: Target) -> Backend:
        return self.backend


class Paused:
    """Passes calls on; before one of them somebody else gets a turn, as while a process hangs in a call or is frozen."""

    def __init__(self, inner: Any, before: int, act: Callable[[], object]) -> None:
        self._inner, self._left, self._act = inner, before, act

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        return self._guarded(value) if callable(value) else value

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                self._act()
            return call(*args, **kwargs)

        return run


@dataclass
class Desk:
    """A registry with its store, its tasks and its backend.

    :param s3: what every target's S3 holds.
    :param document: profiles.yaml; None: the built-in profile alone.
    :param policy: the numbers of the registry, but for its quotas, which are the document's.
    """

    s3: FakeS3 = field(default_factory=FakeS3)
    clock: FakeClock = field(default_factory=FakeClock)
    document: Mapping[str, Any] | None = None
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        self.store = InMemoryStore(self.clock.now)
        self.tasks = ScriptedTasks()
        self.backend = FakeBackend(clock=self.clock)
        self.backends = OneBackend(self.backend)
        self.profiles = profiles_from_mapping(self.document, artifacts="s3://artifacts/files")
        policy = self.profiles.with_quotas(self.policy)
        self.registry = RegistryService(self.store, self.tasks, lambda: self.profiles, policy=policy)
        self.add_task()

    def add_task(self, ti_id: str = TI, **values: Any) -> TaskFacts:
        """Add the task instance that asks, running in its first try unless told otherwise."""
        base: dict[str, Any] = {
            "dag_id": "daily",
            "task_id": "agg",
            "run_id": "run-1",
            "map_index": -1,
            "try_number": 1,
            "max_tries": 1,
            "state": "running",
            "is_current": True,
        }
        return self.tasks.add(TaskFacts(ti_id=ti_id, **{**base, **values}))

    def caller(self, *, ti_id: str = TI, registry: Registry | None = None, patience_s: float = 600.0) -> Caller:
        """Return what a task's worker part talks to."""
        log = logging.getLogger("desk")
        return Caller(
            registry=registry or self.registry,
            backends=self.backends,
            s3_of=lambda target: self.s3,  # type: ignore[arg-type,return-value]
            ti_id=ti_id,
            clock=self.clock,
            patience=Patience(seconds=patience_s, clock=self.clock, log=log),
            log=log,
        )

    def submit_many(self, count: int, *, first: int = 1, **request: Any) -> list[int]:
        """Submit as tasks of as many DAG runs, in order, and return the applications' ids."""
        ids = []
        for number in range(first, first + count):
            ti_id = f"{number:08d}-2222-7222-8222-222222222222"
            self.add_task(ti_id, run_id=f"many-{number}")
            ids.append(self.registry.submit(make_request(**request), ti_id=ti_id).app.id)
        return ids

    def finish_running(self, count: int | None = None) -> list[str]:
        """End the oldest runs that are running, well, and return their names."""
        self.backend.tick()
        names = [run.name for run in self.backend.runs.values() if run.state == "running"][:count]
        for name in names:
            self.backend.finish(name)
        return names

    def phases(self, ids: list[int]) -> list[AppPhase]:
        """Return where applications are."""
        return [self.detail(i).attempt.phase for i in ids]

    def only_cluster(self) -> Cluster:
        """Return the one cluster that has not ended."""
        (cluster,) = self.store.clusters()
        return cluster

    def wish(self, cluster_id: int, desired: ClusterDesired) -> Cluster:
        """Let a person drain a cluster, or terminate it with all that is on it."""
        desk = ClusterDesk(self.store, lambda: self.profiles)
        if desired is ClusterDesired.DOWN:
            return desk.terminate(cluster_id, actor="user:dana", reason="asked for", force=True)
        return desk.drain(cluster_id, actor="user:dana", reason="asked for")

    def pass_once(self) -> PassReport:
        """Let the observer do its work once."""
        return run_pass(self.registry, self.backends, holder="observer", clock=self.clock)

    def detail(self, app_id: int, generation: int | None = None) -> AppDetail:
        """Return where an application is."""
        return self.registry.detail(app_id, generation)

    def run_name(self, app_id: int, generation: int = 1) -> str:
        """Return the name of a run at the backend."""
        return f"plsp-{self.store.installation().inst}-{app_id}-g{generation}"


def desk_with(**profile: Any) -> Desk:
    """Return a desk whose `shared` profile has these values."""
    return Desk(document={"profiles": {"shared": profile}})
