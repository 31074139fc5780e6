"""The worker API for tests: our app mounted as Airflow mounts it, on a free loopback port, over any store."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI

from platyspark_provider.client.wire import MOUNT
from platyspark_provider.core.model import Token
from platyspark_provider.core.tokens import hash_of_secret
from platyspark_provider.plugin.api.app import create_app
from platyspark_provider.plugin.api.services import LoginLookup, Services, nobody
from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.registry.identity import TaskLookup
from platyspark_provider.registry.schema_gate import SchemaGate
from platyspark_provider.settings import Settings
from platyspark_provider.store.base import StoreFactory

SECRET = "plsp_test-secret"


def make_services(
    open_store: StoreFactory,
    tasks: TaskLookup,
    *,
    profiles: ProfilesFile | None = None,
    schema: str = "current",
    login: LoginLookup = nobody,
) -> Services:
    """Return services over a store, with an artifacts prefix."""
    return Services(
        open_store=open_store,
        tasks=tasks,
        profiles=profiles or ProfilesFile(None, artifacts="s3://artifacts/x"),
        settings=Settings(),
        schema=SchemaGate(lambda: schema),
        login=login,
    )


def add_token(open_store: StoreFactory, secret: str = SECRET, **values: object) -> Token:
    """Store a token; by default one with both scopes of machines."""
    base = {
        "id": 0,
        "name": "test",
        "token_hash": hash_of_secret(secret),
        "scopes": ("worker", "reconciler"),
        "teams": (),
        "created_at": datetime.now(UTC),
        "created_by": "test",
    }
    with open_store() as store:
        return store.create_token(Token(**{**base, **values}))  # type: ignore[arg-type]


def mounted(services: Services) -> FastAPI:
    """Return a parent app with ours at its place."""
    parent = FastAPI()
    parent.mount(MOUNT, create_app(services))
    return parent


@contextmanager
def serve_app(app: Any, *, lifespan: Literal["on", "off"] = "off") -> Iterator[str]:
    """Serve an app in a thread and yield its base URL."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, lifespan=lifespan, log_config=None, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 60
        while not server.started and thread.is_alive() and time.monotonic() < deadline:
            thread.join(0.01)
        assert server.started, "the server did not start"
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(60)


@contextmanager
def serve(services: Services) -> Iterator[str]:
    """Serve our app at its place and yield the base URL."""
    with serve_app(mounted(services)) as url:
        yield url
