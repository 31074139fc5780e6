"""The FastAPI app that Airflow's api-server mounts at `/platyspark`."""

from fastapi import FastAPI
from fastapi.routing import APIRoute

from platyspark_provider import __version__
from platyspark_provider.airflow_core.web import with_auth_manager
from platyspark_provider.client.wire import PREFIX
from platyspark_provider.plugin.api.problems import install_problems, problems
from platyspark_provider.plugin.api.routes import apps, clusters, events, health, profiles, tokens, worker
from platyspark_provider.plugin.api.services import Services, airflow_services

OPENAPI_PATH = f"{PREFIX}/openapi.json"
ANONYMOUS_PATHS = frozenset({OPENAPI_PATH, f"{PREFIX}/health"})
"""What anybody may read: the API's description (it is public with the source), and one word of health."""


def create_app(services: Services | None = None) -> FastAPI:
    """Build the app.

    :param services: None for those of Airflow's metadata database.
    """
    app = FastAPI(
        title="PlatySpark",
        version=__version__,
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        lifespan=with_auth_manager,
        generate_unique_id_function=_operation_id,
    )
    app.state.services = services or airflow_services()
    install_problems(app)
    for part in (apps, clusters, events, profiles, tokens, health):
        app.include_router(part.router, prefix=PREFIX)
    app.include_router(worker.router, prefix=PREFIX, responses=problems(401, 403, 404, 409, 422, 426, 503))
    return app


def _operation_id(route: APIRoute) -> str:
    """Name what the code does not: the operations of machines, by part and function."""
    return f"{route.tags[0]}_{route.name}"
