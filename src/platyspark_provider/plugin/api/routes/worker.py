"""The worker API: the `Registry` port, verb by verb; what callers claim about themselves is ignored, identity comes from `ti_id`."""

from collections.abc import Iterator
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Header, Response
from pydantic import TypeAdapter

from platyspark_provider.client import wire
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.records import AppDetail, Claim, Due, Ensured, KillAnswer, RecordAnswer, Snapshot, SubmitAnswer
from platyspark_provider.core.spec import AppRequest
from platyspark_provider.errors import InvalidRequest
from platyspark_provider.plugin.api.auth import CallerDep, ServicesDep
from platyspark_provider.registry.service import RegistryService

T = TypeVar("T")
router = APIRouter(prefix="/worker", tags=["worker"])


def registry_of(services: ServicesDep, caller: CallerDep) -> Iterator[RegistryService]:
    """Open a store for this request."""
    with services.open_store() as store:
        yield RegistryService(store, services.tasks, services.profiles.current, policy=services.policy(), caller=caller)


def required_ti(ti_id: Annotated[str | None, Header(alias=wire.TI_HEADER)] = None) -> str:
    """Return the calling task instance's id."""
    if not ti_id:
        raise InvalidRequest(f"The header {wire.TI_HEADER} is missing.", hint="This call is made for a task instance.")
    return ti_id


RegistryDep = Annotated[RegistryService, Depends(registry_of)]
TiDep = Annotated[str, Depends(required_ti)]
OptionalTi = Annotated[str | None, Header(alias=wire.TI_HEADER)]


@router.post("/apps", status_code=201, response_model=SubmitAnswer, responses={200: {"model": SubmitAnswer}})
def submit(registry: RegistryDep, ti_id: TiDep, request: AppRequest, hold: bool = False) -> Response:
    """Find or make the application of this task: 201 when a generation was made, 200 when one was attached to."""
    answer = registry.submit(request, ti_id=ti_id, hold=hold)
    return _json(wire.SUBMIT_ANSWER, answer, 201 if answer.outcome in {"started", "replacing"} else 200)


@router.post("/apps/{app_id}/ready", status_code=204)
def ready(registry: RegistryDep, ti_id: TiDep, app_id: int, body: wire.GenerationBody) -> Response:
    """Say that all files of the generation are at their addresses."""
    registry.ready(app_id, body.generation, ti_id=ti_id)
    return Response(status_code=204)


@router.get("/apps/{app_id}/detail", response_model=AppDetail)
def detail(registry: RegistryDep, app_id: int, generation: int | None = None, ti_id: OptionalTi = None) -> Response:
    """Return one application with a generation."""
    return _json(wire.DETAIL, registry.detail(app_id, generation, ti_id=ti_id))


@router.post("/apps/{app_id}/acknowledge", status_code=204)
def acknowledge(registry: RegistryDep, ti_id: TiDep, app_id: int, body: wire.GenerationBody) -> Response:
    """Say that the task has taken the end of this generation."""
    registry.acknowledge(app_id, body.generation, ti_id=ti_id)
    return Response(status_code=204)


@router.post("/apps/{app_id}/kill", response_model=KillAnswer)
def kill(registry: RegistryDep, ti_id: TiDep, app_id: int, body: wire.KillBody) -> Response:
    """Ask for a stop on behalf of a killed task."""
    return _json(wire.KILL_ANSWER, registry.kill(app_id, body.generation, ti_id=ti_id, reason=body.reason))


@router.get("/snapshot", response_model=Snapshot)
def snapshot(registry: RegistryDep) -> Response:
    """Return all live and unacknowledged applications."""
    return _json(wire.SNAPSHOT, registry.snapshot())


@router.post("/clusters", status_code=201, response_model=Ensured, responses={200: {"model": Ensured}})
def ensure_cluster(registry: RegistryDep, ti_id: TiDep, body: wire.EnsureBody) -> Response:
    """Return the living cluster of a name and spec (200), or ask for one (201)."""
    answer = registry.ensure_cluster(body.cluster, ti_id=ti_id, team=body.team, alongside=body.alongside)
    return _json(wire.ENSURED, answer, 201 if answer.outcome == "created" else 200)


@router.post("/clusters/end", response_model=tuple[Cluster, ...])
def end_cluster(registry: RegistryDep, ti_id: TiDep, body: wire.EndBody) -> Response:
    """Let a cluster end, by id or by name."""
    return _json(wire.CLUSTERS, registry.end_cluster(body.cluster, body.action, ti_id=ti_id, force=body.force))


@router.get("/clusters/{cluster_id}", response_model=Cluster)
def cluster(registry: RegistryDep, ti_id: TiDep, cluster_id: int) -> Response:
    """Return one cluster, also one that has ended."""
    return _json(wire.CLUSTER, registry.cluster(cluster_id, ti_id=ti_id))


@router.get("/due", response_model=Due)
def due(registry: RegistryDep, app_id: int | None = None, ti_id: OptionalTi = None) -> Response:
    """Return open work."""
    return _json(wire.DUE, registry.due(app_id=app_id, ti_id=ti_id))


@router.post("/claim", response_model=tuple[Claim, ...])
def claim(registry: RegistryDep, body: wire.ClaimBody, ti_id: OptionalTi = None) -> Response:
    """Take leases; one answer per request, in order."""
    return _json(wire.CLAIMS, registry.claim(body.requests, holder=body.holder, ti_id=ti_id))


@router.post("/release", status_code=204)
def release(registry: RegistryDep, body: wire.ReleaseBody, ti_id: OptionalTi = None) -> Response:
    """Give leases back."""
    registry.release(body.claims, ti_id=ti_id)
    return Response(status_code=204)


@router.post("/record", response_model=tuple[RecordAnswer, ...])
def record(registry: RegistryDep, body: wire.RecordBody, ti_id: OptionalTi = None) -> Response:
    """Record facts in order; each is taken or refused by itself."""
    return _json(wire.RECORD_ANSWERS, registry.record(body.records, ti_id=ti_id))


@router.post("/lease", response_model=wire.LeaseAnswer)
def lease(registry: RegistryDep, body: wire.LeaseBody) -> Response:
    """Take or renew a named lease."""
    held = registry.lease(body.name, holder=body.holder, seconds=body.seconds)
    return _json(wire.LEASE_ANSWER, wire.LeaseAnswer(held=held))


def _json(adapter: TypeAdapter[T], answer: T, status: int = 200) -> Response:
    """Serialize once, by the adapter that the client reads with."""
    return Response(adapter.dump_json(answer), status_code=status, media_type="application/json")
