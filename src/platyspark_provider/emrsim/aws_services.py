"""Everything that is not EMR: moto's services in this process, with S3 made durable and its conditional writes atomic."""

import io
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs

from platyspark_provider.emrsim.callers import Caller, caller_of
from platyspark_provider.emrsim.clock import Clock
from platyspark_provider.emrsim.journal import Journal

_IP = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_AMAZON_HOST = re.compile(r"(.+)\.s3.*\.amazonaws\.com")
_MUTATING = frozenset({"PUT", "POST", "DELETE"})
_SPOOL_BYTES = 8 * 1024 * 1024


class AwsServices:
    """Serve moto's services to WSGI; moto is imported, and S3 read from disk, with the first request."""

    def __init__(self, folder: Path, journal: Journal, clock: Clock, before_call: Callable[[], None] = lambda: None) -> None:
        self._folder = folder
        self._journal = journal
        self._clock = clock
        self._before_call = before_call
        self._lock = threading.Lock()
        self._app: Callable[..., Iterable[bytes]] | None = None
        self._disk: Any = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        self._before_call()
        with self._lock:
            app = self._app or self._load()
        caller = caller_of(environ)
        if is_s3(environ, caller):
            return self._serve_s3(app, environ, start_response, caller)
        return self._serve_other(app, environ, start_response, caller)

    def _load(self) -> Callable[..., Iterable[bytes]]:
        from moto.server import DomainDispatcherApplication, create_backend_app

        from platyspark_provider.emrsim.s3_disk import S3Disk

        self._disk = S3Disk(self._folder)
        self._disk.restore()
        app: Callable[..., Iterable[bytes]] = DomainDispatcherApplication(create_backend_app)
        self._app = app
        return app

    def _serve_other(
        self, app: Callable[..., Iterable[bytes]], environ: dict[str, Any], start_response: Callable[..., Any], caller: Caller | None
    ) -> Iterable[bytes]:
        if caller is None:
            return app(environ, start_response)
        operation, environ = _operation(environ)
        statuses: list[int] = []
        reply = app(environ, _noting(statuses, start_response))
        entry = {"service": caller.service, "operation": operation, "region": caller.region, "access_key": caller.access_key}
        self._journal.append({"at": self._clock(), **entry, "status": statuses[-1]})
        return reply

    def _serve_s3(
        self, app: Callable[..., Iterable[bytes]], environ: dict[str, Any], start_response: Callable[..., Any], caller: Caller | None
    ) -> Iterable[bytes]:
        method, (bucket, key) = environ["REQUEST_METHOD"], bucket_and_key(environ)
        statuses: list[int] = []
        note_status = _noting(statuses, start_response)
        if method not in _MUTATING:
            reply = app(environ, note_status)
        else:
            with _spooled(environ) as body, self._lock:
                reply = [b"".join(app({**environ, "wsgi.input": body}, note_status))]
                if statuses[-1] < 300 and bucket:
                    self._keep(environ, bucket, key)
        entry = {"service": "s3", "operation": method, "access_key": None if caller is None else caller.access_key}
        effect = method in _MUTATING and statuses[-1] < 300
        self._journal.append({"at": self._clock(), **entry, "bucket": bucket, "key": key, "status": statuses[-1], "effect": effect})
        return reply

    def _keep(self, environ: dict[str, Any], bucket: str, key: str) -> None:
        if "partNumber" in parse_qs(environ.get("QUERY_STRING", "")):
            return
        if key:
            self._disk.sync_key(bucket, key)
        else:
            self._disk.sync_bucket(bucket)


def _noting(statuses: list[int], start_response: Callable[..., Any]) -> Callable[..., Any]:
    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        statuses.append(int(status.split()[0]))
        return start_response(status, headers, exc_info)

    return start


def _operation(environ: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return what a call wants, in the terms of its protocol, and the request to go on with, as the body may have been read."""
    if target := environ.get("HTTP_X_AMZ_TARGET", ""):
        return target.rpartition(".")[2], environ
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ = {**environ, "wsgi.input": io.BytesIO(body)}
        return _action(body.decode("utf-8", "replace")) or environ["REQUEST_METHOD"], environ
    return _action(environ.get("QUERY_STRING", "")) or f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}", environ


def _action(form: str) -> str:
    return "".join(parse_qs(form).get("Action", []))


def is_s3(environ: dict[str, Any], caller: Caller | None) -> bool:
    """Tell whether a request is for S3: signed for it, in the header or the query, or neither signed nor for another service."""
    if caller is not None and caller.service is not None:
        return caller.service == "s3"
    path = environ["PATH_INFO"]
    is_form = environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded")
    return "HTTP_X_AMZ_TARGET" not in environ and not is_form and not path.startswith(("/moto-api", "/latest/"))


def bucket_and_key(environ: dict[str, Any]) -> tuple[str, str]:
    """Return the bucket and key of an S3 request, "" for what it does not name; path style and virtual-host style."""
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace").lstrip("/")
    host = environ.get("HTTP_HOST", "").rsplit(":", 1)[0]
    if host.startswith("localhost") or "." not in host or _IP.fullmatch(host):
        bucket, _, key = path.partition("/")
        return bucket, key
    if found := _AMAZON_HOST.fullmatch(host):
        return found.group(1), path
    return host.split(".")[0], path


@contextmanager
def _spooled(environ: dict[str, Any]) -> Iterator[IO[bytes]]:
    """Read the body before the lock is taken, so that a slow upload holds nobody up."""
    source, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH")
    left = int(length) if length else None if environ.get("wsgi.input_terminated") else 0
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as spool:
        while left is None or left > 0:
            chunk = source.read(_SPOOL_BYTES if left is None else min(left, _SPOOL_BYTES))
            if not chunk:
                break
            left = None if left is None else left - len(chunk)
            spool.write(chunk)
        spool.seek(0)
        yield spool
