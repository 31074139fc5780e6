"""A `PublicService` over any store, people with chosen rights, and the executor's hands that move what they submit."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from platyspark_provider.core.facts import (
    AppObserved,
    ClusterAssigned,
    ClusterObserved,
    CreateEnded,
    CreateIntended,
    SendEnded,
    SendIntended,
)
from platyspark_provider.core.profiles import Profiles, profiles_from_mapping
from platyspark_provider.core.records import ClaimRequest
from platyspark_provider.core.spec import AppRequest
from platyspark_provider.core.states import ClusterPhase
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.registry.public import PublicService, Submitted
from platyspark_provider.registry.rights import ALL_RIGHTS, Method, Rights, Subject
from platyspark_provider.registry.service import RegistryService
from platyspark_provider.store.base import Store
from tests.builders import make_request
from tests.registry_world import HOLDER, World, make_task


@dataclass(frozen=True, slots=True, kw_only=True)
class SomeRights:
    """Rights as a test lists them.

    :param reads: the DAGs whose runs may be seen; :param acts: those whose runs may be made and changed.
    :param shared: methods allowed on shared capacity, GET included; :param tokens: likewise on tokens.
    """

    reads: Collection[str] = ()
    acts: Collection[str] = ()
    shared: Collection[Method] = ()
    tokens: Collection[Method] = ()

    def may_read_dag(self, dag_id: str) -> bool:
        return dag_id in self.reads

    def may_act_on_dag(self, method: Method, dag_id: str) -> bool:
        return dag_id in self.acts

    def may_read_shared(self) -> bool:
        return "GET" in self.shared

    def may_write_shared(self, method: Method) -> bool:
        return method in self.shared

    def may_manage_tokens(self, method: Method) -> bool:
        return method in self.tokens

    def readable_dags(self, dag_ids: Collection[str]) -> Collection[str]:
        return [one for one in dag_ids if one in self.reads]


OPERATOR = SomeRights(shared=("GET", "POST", "PUT", "DELETE"), tokens=("GET", "POST", "DELETE"))


@dataclass(kw_only=True)
class People:
    """Services of several people over one store, and the executor's world beside them."""

    store: Store
    tasks: ScriptedTasks = field(default_factory=lambda: ScriptedTasks([make_task()]))
    document: Any = None

    def profiles(self) -> Profiles:
        """Return the profiles that are in force; change `document` to edit the file."""
        return profiles_from_mapping(self.document, artifacts="s3://artifacts/x")

    def service(self, rights: Rights = ALL_RIGHTS, *, name: str = "dana", via: str = "user", request_id: str = "") -> PublicService:
        """Return what one person talks to."""
        subject = Subject(name=name, rights=rights, via=via, request_id=request_id)
        return PublicService(self.store, self.profiles, subject=subject, tasks=self.tasks)

    @property
    def world(self) -> World:
        """Return tasks and executor over the same store."""
        registry = RegistryService(self.store, self.tasks, self.profiles)
        return World(registry=registry, store=self.store, tasks=self.tasks)

    def bring_to(self, phase: str, app_id: int, generation: int) -> None:
        """Do as an executor does: place a generation, make its cluster ready, send it, and report it on to `phase`."""
        world = self.world
        named: dict[str, Any] = {"app_id": app_id, "generation": generation, "epoch": world.claim(app_id)}
        cluster = world.record(ClusterAssigned(**named)).cluster
        assert cluster is not None
        if cluster.phase is ClusterPhase.INTENT:
            self._make_ready(cluster.id)
        world.record(SendIntended(**named, nonce="n"), SendEnded(**named, result="sent", external_id=f"s-{app_id}-{generation}"))
        if phase != "sent":
            world.record(AppObserved(**named, state="running"))
        if phase in {"succeeded", "failed"}:
            world.end(phase, app_id, generation)

    def _make_ready(self, cluster_id: int) -> None:
        (claim,) = self.world.registry.claim([ClaimRequest(kind="cluster", id=cluster_id)], holder=HOLDER)
        named: dict[str, Any] = {"cluster_id": cluster_id, "epoch": claim.epoch}
        self.world.record(
            CreateIntended(**named, nonce="n"),
            CreateEnded(**named, result="created", external_id=f"j-{cluster_id}"),
            ClusterObserved(**named, state="ready", raw_state="WAITING"),
        )

    def submit(self, request: AppRequest | None = None, *, key: str | None = "k", dag_id: str | None = None) -> Submitted:
        """Submit as one who may do everything."""
        return self.service().submit(request or make_request(), key=key, dag_id=dag_id)
