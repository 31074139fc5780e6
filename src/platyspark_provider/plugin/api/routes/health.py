"""Whether the api-server's side of PlatySpark works: a bare word for anyone, the details for who holds a token."""

from typing import Any

from fastapi import APIRouter, Response

from platyspark_provider import __version__
from platyspark_provider.client import wire
from platyspark_provider.errors import SchemaBehind
from platyspark_provider.plugin.api.auth import OptionalCallerDep, ServicesDep
from platyspark_provider.plugin.api.problems import problems
from platyspark_provider.plugin.api.services import Services

router = APIRouter(tags=["health"], responses=problems(401, 403, 422, 426))
_UNHEALTHY: dict[int | str, dict[str, Any]] = {503: {"model": dict[str, Any], "description": "Unhealthy, or busy."}}


@router.get("/health", operation_id="get_health", responses=_UNHEALTHY)
def health(services: ServicesDep, caller: OptionalCallerDep, response: Response) -> dict[str, Any]:
    """Return `{"status"}` (`healthy`, `degraded`, or `unhealthy` with 503); with a token also why."""
    try:
        services.schema.require()
    except SchemaBehind:
        response.status_code = 503
        return {"status": "unhealthy"}
    error = services.profiles.error
    status = {"status": "healthy" if error is None else "degraded"}
    return status if caller is None else {**status, **_details(services)}


def _details(services: Services) -> dict[str, Any]:
    error = services.profiles.error
    with services.open_store() as store:
        now, installation = store.now(), store.installation()
    return {
        "version": __version__,
        "worker_api": wire.API_VERSION,
        "schema": "current",
        "installation": installation.inst,
        "database_time": now.isoformat(),
        "profiles": {"file": services.settings.profiles_file or None, "error": None if error is None else str(error)},
    }
