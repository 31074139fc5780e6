"""A local HTTP server that answers AWS clients as a test scripts it, drops connections or stays silent."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from botocore.config import Config


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer; `status` 0 closes the connection without a word, -1 never answers."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Script = Callable[[str, str, Any], Answer]


@dataclass
class Server:
    """A running server: its address and the requests that it has seen, as (method, path with query, body)."""

    url: str
    seen: list[tuple[str, str, Any]] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)


@contextmanager
def serve(script: Script) -> Iterator[Server]:
    """Run a server that answers by `script(method, path, body)` until the block ends."""
    server = Server(url="")

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = _parsed(raw)
            target = self.headers.get("X-Amz-Target", "").partition(".")[2]
            server.seen.append((self.command, target or self.path, body))
            reply = script(self.command, target or self.path, body)
            if reply.status <= 0:
                if reply.status < 0:
                    server.stopping.wait()
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            text = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(text)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Stay quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_address[1]}"
    try:
        yield server
    finally:
        server.stopping.set()
        http.shutdown()
        thread.join()
        http.server_close()


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw


def refused(code: str, status: int = 400) -> Answer:
    """Return an error as EMR's JSON protocol puts it."""
    return Answer(status, {"__type": code, "message": f"{code} it is"})


@cache
def _session() -> Any:
    """Return one session for all: it parses the service models once."""
    return boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-west-1")


def client(service: str, url: str, *, attempts: int = 1, read_timeout: float = 5.0) -> Any:
    """Return a boto3 client of the server at `url`."""
    config = Config(retries={"total_max_attempts": attempts, "mode": "standard"}, connect_timeout=1, read_timeout=read_timeout)
    return _session().client(service, endpoint_url=url, config=config)


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
