"""What a call of the rights table finds: each scene makes its own objects, so that no call depends on another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from platyspark_provider.client import wire
from platyspark_provider.core.facts import ClusterAssigned
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.profiles import profiles_from_mapping
from platyspark_provider.core.records import ClaimRequest, Policy
from platyspark_provider.core.spec import ClusterRequest
from platyspark_provider.registry.clusters import ClusterDesk
from platyspark_provider.registry.public import PublicService
from platyspark_provider.registry.rights import Subject
from platyspark_provider.registry.service import RegistryService
from platyspark_provider.registry.tokens import create_token
from tests.builders import make_request
from tests.integration.api.conftest import DAG, ApiServer

_numbers = count(1)
REQUEST = wire.REQUEST.dump_python(make_request(), mode="json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What a call is made with."""

    path: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None


def _app(server: ApiServer, dag_id: str | None = None, cluster: str | ClusterRequest = "shared") -> int:
    profiles = profiles_from_mapping(None)
    service = PublicService(server.store, lambda: profiles, subject=Subject(name="dana"))
    return service.submit(make_request(cluster=cluster), dag_id=dag_id).detail.app.id


def _task_app(server: ApiServer) -> tuple[int, dict[str, str]]:
    from platyspark_provider.airflow_core.tasks import AirflowTasks

    ti_id, profiles = server.new_task(), profiles_from_mapping(None)
    answer = RegistryService(server.store, AirflowTasks(), lambda: profiles).submit(make_request(), ti_id=ti_id)
    return answer.app.id, {wire.TI_HEADER: ti_id}


def _own(server: ApiServer, body: Callable[[int], Any] | None = None) -> Scene:
    app_id, headers = _task_app(server)
    return Scene(path={"app_id": app_id}, headers=headers, body=body(app_id) if body else None)


def _other(server: ApiServer, body: Callable[[int], Any] | None = None) -> Scene:
    """The application of one task, asked for by another that has one of its own."""
    app_id, _ = _task_app(server)
    return Scene(path={"app_id": app_id}, headers=_task_app(server)[1], body=body(app_id) if body else None)


def _claim(app_id: int) -> Any:
    return {"requests": [{"kind": "app", "id": app_id}], "holder": "h"}


def _release(app_id: int) -> Any:
    return {"claims": [{"kind": "app", "id": app_id, "epoch": 1}]}


def _generation(app_id: int) -> Any:
    return {"generation": 1, "reason": "gone"}


def _due(scene: Scene) -> Scene:
    return Scene(headers=scene.headers, params=scene.path)


def _ensure(server: ApiServer, actor: str = "user:dana") -> Cluster:
    profiles = profiles_from_mapping(None)
    name = f"scene-{next(_numbers)}"
    return ClusterDesk(server.store, lambda: profiles).ensure(ClusterRequest(name=name), team=None, actor=actor).cluster


def _cluster(server: ApiServer) -> Scene:
    return Scene(path={"cluster": _ensure(server).id})


def _cluster_in_use(server: ApiServer) -> Scene:
    app_id = _app(server, cluster=ClusterRequest(name=f"scene-{next(_numbers)}"))
    (claim,) = server.store.claim([ClaimRequest(kind="app", id=app_id)], holder="scene", seconds=60)
    assigned = ClusterAssigned(app_id=app_id, generation=1, epoch=claim.epoch or 0)
    (answer,) = server.store.record([assigned], policy=Policy(), actor="scene")
    assert answer.cluster is not None
    return Scene(path={"cluster": answer.cluster.id})


def _token(server: ApiServer) -> Scene:
    made = create_token(server.store, f"made-{next(_numbers)}", scopes=["scrape"], actor="test")
    return Scene(path={"name": made.token.name})


def _task_cluster(server: ApiServer) -> Scene:
    """A cluster that the task itself asked for."""
    from platyspark_provider.airflow_core.tasks import AirflowTasks

    ti_id, profiles = server.new_task(), profiles_from_mapping(None)
    registry = RegistryService(server.store, AirflowTasks(), lambda: profiles)
    found = registry.ensure_cluster(ClusterRequest(name=f"task-{next(_numbers)}"), ti_id=ti_id).cluster
    body = {"cluster": found.name, "action": "drain"}
    return Scene(path={"cluster_id": found.id}, headers={wire.TI_HEADER: ti_id}, body=body)


def _peoples_cluster(server: ApiServer) -> Scene:
    """A cluster that a person asked for, and a task that wants to end it."""
    profiles = profiles_from_mapping(None)
    request = ClusterRequest(name=f"people-{next(_numbers)}")
    found = ClusterDesk(server.store, lambda: profiles).ensure(request, team=None, actor="user:dana").cluster
    return Scene(headers={wire.TI_HEADER: server.new_task()}, body={"cluster": found.id, "action": "terminate"})


def _new_cluster(server: ApiServer) -> Scene:
    return Scene(headers={wire.TI_HEADER: server.new_task()}, body={"cluster": {"name": f"new-{next(_numbers)}"}})


SCENES: Mapping[str, Callable[[ApiServer], Scene]] = {
    "nothing": lambda server: Scene(),
    "for_dag": lambda server: Scene(body={"application": "s3://code/job.py", "dag_id": DAG}),
    "app": lambda server: Scene(path={"app_id": _app(server)}),
    "dag_app": lambda server: Scene(path={"app_id": _app(server, DAG)}),
    "task_app_for_people": lambda server: Scene(path={"app_id": _task_app(server)[0]}),
    "person_s_app": lambda server: Scene(path={"app_id": _app(server)}, headers=_task_app(server)[1]),
    "cluster": _cluster,
    "cluster_name": lambda server: Scene(path={"cluster": f"scene-{next(_numbers)}"}),
    "cluster_conflict": lambda server: Scene(path={"cluster": _ensure(server).name}, body={"workers": 7}),
    "cluster_in_use": _cluster_in_use,
    "new_token": lambda server: Scene(body={"name": f"new-{next(_numbers)}", "scopes": ["scrape"]}),
    "token": _token,
    "task": lambda server: Scene(headers={wire.TI_HEADER: server.new_task()}, body=REQUEST),
    "task_app": lambda server: _own(server, _generation),
    "other_task_app": lambda server: _other(server, _generation),
    "own_due": lambda server: _due(_own(server)),
    "other_due": lambda server: _due(_other(server)),
    "own_claim": lambda server: _own(server, _claim),
    "other_claim": lambda server: _other(server, _claim),
    "own_release": lambda server: _own(server, _release),
    "other_release": lambda server: _other(server, _release),
    "task_ensures": _new_cluster,
    "task_cluster": _task_cluster,
    "peoples_cluster": _peoples_cluster,
    "own_record": lambda server: _own(server, lambda app_id: {"records": []}),
}
