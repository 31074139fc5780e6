"""What public routes share: the services of one person, paths of links, ETags."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import Depends, Request

from platyspark_provider.client.wire import MOUNT, PREFIX
from platyspark_provider.core.listing import MAX_LIMIT
from platyspark_provider.core.model import App
from platyspark_provider.errors import OrderDisallowed
from platyspark_provider.plugin.api.auth import SchemaDep, ServicesDep, SubjectDep
from platyspark_provider.registry.public import PublicService
from platyspark_provider.store.base import Store

Order = TypeVar("Order", bound=str)


def store_of(services: ServicesDep, _schema: SchemaDep) -> Iterator[Store]:
    """Open a store for this request."""
    with services.open_store() as store:
        yield store


StoreDep = Annotated[Store, Depends(store_of)]


def public_of(services: ServicesDep, subject: SubjectDep, store: StoreDep) -> PublicService:
    """Return what this person may ask about applications."""
    return PublicService(store, services.profiles.current, policy=services.policy(), subject=subject, tasks=services.tasks)


PublicDep = Annotated[PublicService, Depends(public_of)]


def etag(generation: int) -> str:
    """Return the ETag of a generation."""
    return f'"{generation}"'


def capped(limit: int) -> int:
    """Return how many entries a list gives at most, as Airflow's own lists cap it."""
    return min(limit, MAX_LIMIT)


def order_of(order_by: str | None, known: Sequence[Order]) -> tuple[Order, bool]:
    """Return by what to order a list, and whether the greatest comes first; raises `OrderDisallowed`."""
    name = (order_by or f"-{known[0]}").removeprefix("-")
    for order in known:
        if order == name:
            return order, (order_by or "-").startswith("-")
    hint = f"One of {', '.join(known)}; '-' before it turns it round."
    raise OrderDisallowed(f"Ordering by {name!r} is disallowed.", hint=hint)


def app_links(request: Request, app: App) -> Mapping[str, Any]:
    """Return the paths of an application."""
    own = f"{api_path(request)}/apps/{app.id}"
    return {"self": own, "events": f"{own}/events", "logs": f"{own}/logs", "ui": _task_page(request, app)}


def cluster_links(request: Request, cluster_id: int) -> Mapping[str, Any]:
    """Return the paths of a cluster."""
    base = api_path(request)
    events = f"{base}/events?object_kind=cluster&object_id={cluster_id}"
    return {"self": f"{base}/clusters/{cluster_id}", "events": events, "apps": f"{base}/apps?cluster_id={cluster_id}"}


def api_path(request: Request) -> str:
    """Return the path of this API on the server, below the one that a proxy or Airflow mounts it at."""
    return f"{request.scope.get('root_path', '')}{PREFIX}"


def _task_page(request: Request, app: App) -> str | None:
    if app.dag_id is None or app.task_id is None or app.run_id is None:
        return None
    root = str(request.scope.get("root_path", "")).removesuffix(MOUNT)
    page = f"{root}/dags/{quote(app.dag_id, safe='')}/runs/{quote(app.run_id, safe='')}/tasks/{quote(app.task_id, safe='')}"
    return page if app.map_index < 0 else f"{page}/mapped/{app.map_index}"
