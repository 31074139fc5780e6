"""The worker API on a real loopback port over a `Desk`, with tokens and the Airflow connection that leads to it."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import uvicorn
from fastapi import FastAPI

from platyspark_provider.client.wire import MOUNT
from platyspark_provider.core.model import Token
from platyspark_provider.core.tokens import hash_of_secret
from platyspark_provider.plugin.api.app import create_app
from platyspark_provider.plugin.api.services import SchemaGate, Services
from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.settings import Settings
from tests.desks import Desk

DEADLINE_S = 30.0


def free_socket() -> socket.socket:
    """Return a socket that holds a loopback port but does not listen yet."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


def url_of(held: socket.socket) -> str:
    """Return the address of a held port."""
    return f"http://127.0.0.1:{held.getsockname()[1]}"


@contextmanager
def serve(desk: Desk, held: socket.socket | None = None) -> Iterator[str]:
    """Serve the worker API of a desk and yield the api-server's address."""
    held = held or free_socket()
    services = Services(
        open_store=desk.store.open,
        tasks=desk.tasks,
        profiles=ProfilesFile(None, environment="default", artifacts="s3://artifacts/files"),
        settings=Settings(),
        schema=SchemaGate(lambda: "current"),
    )
    outer = FastAPI()
    outer.mount(MOUNT, create_app(services))
    server = uvicorn.Server(uvicorn.Config(outer, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [held]})
    thread.start()
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            thread.join(0.01)
        yield url_of(held)
    finally:
        server.should_exit = True
        thread.join(DEADLINE_S)
        held.close()


def add_token(desk: Desk, secret: str, *scopes: str) -> None:
    """Let a secret in."""
    desk.store.create_token(
        Token(
            id=0,
            name=f"token-{secret}",
            token_hash=hash_of_secret(secret),
            scopes=scopes or ("worker",),
            teams=(),
            created_at=datetime.now(UTC),
            created_by="test",
        )
    )


def connection_json(url: str, secret: str, **values: Any) -> str:
    """Return an Airflow connection as an environment variable holds it."""
    return json.dumps({"conn_type": "platyspark", "host": url, "password": secret, **values})
