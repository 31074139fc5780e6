"""Clusters for people: ask for one by name, list, look, drain, end. A route writes rows; passes call the backend."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from platyspark_provider.core.listing import CLUSTER_ORDERS, DEFAULT_LIMIT, ClusterFilter
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.states import ClusterPhase
from platyspark_provider.plugin.api import answers, bodies
from platyspark_provider.plugin.api.auth import ServicesDep, SubjectDep
from platyspark_provider.plugin.api.problems import problems
from platyspark_provider.plugin.api.public import StoreDep, capped, cluster_links, etag, order_of
from platyspark_provider.registry.public_clusters import PublicClusters
from platyspark_provider.registry.views import View, cluster_view

router = APIRouter(prefix="/clusters", tags=["clusters"], responses=problems(401, 403, 422, 503))


def clusters_of(services: ServicesDep, subject: SubjectDep, store: StoreDep) -> PublicClusters:
    """Return what this person may ask about clusters."""
    return PublicClusters(store, services.profiles.current, policy=services.policy(), subject=subject)


ClustersDep = Annotated[PublicClusters, Depends(clusters_of)]


@router.get("", operation_id="list_clusters", response_model=answers.ClusterCollectionResponse, responses=problems(400))
def list_clusters(
    clusters: ClustersDep,
    request: Request,
    state: Annotated[list[ClusterPhase], Query()] = [],  # noqa: B006 - FastAPI copies it
    live: Annotated[bool | None, Query(description="Only those that have not ended (true), or that have (false).")] = None,
    name: bodies.Word = None,
    name_pattern: bodies.Word = None,
    order_by: bodies.Word = "-id",
    limit: bodies.Limit = DEFAULT_LIMIT,
    offset: bodies.Offset = 0,
) -> dict[str, Any]:
    """List clusters, the newest first; `name_pattern` as for applications."""
    order, descending = order_of(order_by, CLUSTER_ORDERS)
    wanted = ClusterFilter(
        states=state,
        live=live,
        name=name,
        name_pattern=name_pattern,
        order_by=order,
        descending=descending,
        limit=capped(limit),
        offset=offset,
    )
    page = clusters.clusters(wanted)
    return {"clusters": _shown(clusters, request, page.items), "total_entries": page.total}


@router.get("/{cluster}", operation_id="get_cluster", response_model=answers.ClusterResponse, responses=problems(404))
def get_cluster(clusters: ClustersDep, request: Request, response: Response, cluster: bodies.ClusterId) -> View:
    """Return a cluster, also one that has ended."""
    return _one(clusters, request, response, clusters.cluster(cluster))


@router.put(
    "/{cluster}",
    operation_id="ensure_cluster",
    status_code=201,
    response_model=answers.EnsuredClusterResponse,
    responses={200: {"model": answers.EnsuredClusterResponse, "description": "It lives already."}, **problems(409)},
)
def ensure_cluster(
    clusters: ClustersDep,
    request: Request,
    response: Response,
    cluster: bodies.ClusterName,
    body: bodies.ClusterBody,
    alongside: Annotated[bool, Query(description="It may live beside clusters of its name with another spec.")] = False,
    replace: Annotated[bool, Query(description="Clusters of its name with another spec take no more applications.")] = False,
) -> View:
    """Ask for a cluster by its name (not its id): the living one with that spec, or a new one; however many ask, there is one.

    Where one with another spec lives under the name, it is refused (409) naming the differing fields, unless `alongside` or
    `replace` says what shall become of it.
    """
    wanted = bodies.cluster_request(cluster, body)
    done = clusters.ensure(wanted, team=body.team, alongside=alongside, replace=replace)
    if done.outcome == "created":
        response.headers["Location"] = cluster_links(request, done.cluster.id)["self"]
    else:
        response.status_code = 200
    return {
        **_one(clusters, request, response, done.cluster),
        "outcome": done.outcome,
        "siblings": [one.id for one in done.siblings],
        "drained": [one.id for one in done.drained],
        "warnings": list(done.warnings),
    }


@router.post(
    "/{cluster}/drain", operation_id="drain_cluster", status_code=202, response_model=answers.ClusterResponse, responses=problems(404, 409)
)
def drain_cluster(
    clusters: ClustersDep,
    request: Request,
    response: Response,
    cluster: bodies.ClusterId,
    body: bodies.ReasonBody,
    if_match: bodies.IfMatch = None,
) -> View:
    """Let a cluster take no more applications, and end after its last one."""
    drained = clusters.drain(cluster, reason=body.reason, expected=bodies.generation_of(if_match))
    return _one(clusters, request, response, drained)


@router.delete(
    "/{cluster}", operation_id="terminate_cluster", status_code=202, response_model=answers.ClusterResponse, responses=problems(404, 409)
)
def terminate_cluster(
    clusters: ClustersDep,
    request: Request,
    response: Response,
    cluster: bodies.ClusterId,
    force: Annotated[bool, Query(description="With applications on it: they are asked to stop, and it ends after them.")] = False,
    reason: Annotated[bodies.Reason, Query()] = "",
    if_match: bodies.IfMatch = None,
) -> View:
    """Let a cluster end now; with applications on it it is refused (409), naming them, unless `force` is said."""
    ended = clusters.terminate(cluster, reason=reason, force=force, expected=bodies.generation_of(if_match))
    return _one(clusters, request, response, ended)


def _one(clusters: PublicClusters, request: Request, response: Response, cluster: Cluster) -> View:
    response.headers["ETag"] = etag(cluster.generation)
    return _shown(clusters, request, [cluster])[0]


def _shown(clusters: PublicClusters, request: Request, found: Iterable[Cluster]) -> list[View]:
    found = list(found)
    active = clusters.active(found)
    return [{**cluster_view(one, active=active[one.id]), "links": cluster_links(request, one.id)} for one in found]
