"""What the api-server gives a plugin's app: the auth manager, which exists only once the server has started."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI


@asynccontextmanager
async def with_auth_manager(app: FastAPI) -> AsyncIterator[None]:
    """Set `app.state.auth_manager`, which Airflow's own auth dependencies read; a mounted app is made before it exists."""
    from airflow.api_fastapi.app import get_auth_manager  # the whole core API: only where it is loaded anyway

    app.state.auth_manager = get_auth_manager()
    yield
