"""From an Airflow connection to the registry's HTTP client; no logic beyond reading the connection.

Operators use the sync registry, triggers the async one. The connection holds the api-server's address and a token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow.sdk.bases.hook import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from platyspark_provider.errors import InvalidRequest, NotAllowed, PlatySparkError

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from platyspark_provider.client.http import AsyncHttpRegistry, HttpRegistry

DEFAULT_CONN_ID = "platyspark_default"
RECONCILER_CONN_ID = "platyspark_reconciler"
FALLBACK_BASE_URL = "http://localhost:8080"
REQUEST_TIMEOUT_S = 20.0
BUSY_PATIENCE_S = 60.0
TRIGGER_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the registry answers and how to be let in; the token never shows in a repr.

    :param base_url: the api-server's address without a trailing slash.
    """

    base_url: str
    token: str = field(repr=False)
    verify: bool = True

    def registry(
        self, *, timeout_s: float = REQUEST_TIMEOUT_S, busy_patience_s: float = BUSY_PATIENCE_S, actor: str | None = None
    ) -> HttpRegistry:
        """Build a sync client.

        :param busy_patience_s: how long a locked database is asked again.
        :param actor: who acts where no task does (`observer`, `watchdog`).
        """
        from platyspark_provider.client.http import HttpRegistry

        return HttpRegistry(
            base_url=self.base_url,
            token=self.token,
            timeout_s=timeout_s,
            verify=self.verify,
            busy_patience_s=busy_patience_s,
            actor=actor,
        )

    def async_registry(self, *, timeout_s: float = REQUEST_TIMEOUT_S, busy_patience_s: float = TRIGGER_PATIENCE_S) -> AsyncHttpRegistry:
        """Build an async client; its patience is short, since its caller's loop asks again anyway."""
        from platyspark_provider.client.http import AsyncHttpRegistry

        return AsyncHttpRegistry(
            base_url=self.base_url, token=self.token, timeout_s=timeout_s, verify=self.verify, busy_patience_s=busy_patience_s
        )


def endpoint_from_connection(connection: Connection) -> Endpoint:
    """Read a connection: host is a URL, or a name with port and schema (http or https); empty means `[api] base_url`.

    :raises NotAllowed: it has no password (token).
    :raises InvalidRequest: the address is not http or https.
    """
    if not connection.password:
        raise NotAllowed(f"Connection '{connection.conn_id}' has no password.", hint=_how_to_connect(str(connection.conn_id)))
    base_url = _base_url(connection).rstrip("/")
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidRequest(
            f"Connection '{connection.conn_id}' leads to '{base_url}', which is no http(s) address.",
            hint="Write the api-server's address into host, as in http://airflow.example.com:8080.",
        )
    return Endpoint(base_url=base_url, token=str(connection.password), verify=_verify(connection.extra_dejson))


def _base_url(connection: Connection) -> str:
    host = (connection.host or "").strip()
    if not host:
        return _configured_base_url()
    if "://" in host:
        return host
    port = f":{connection.port}" if connection.port else ""
    return f"{connection.schema or 'http'}://{host}{port}"


def _verify(extra: dict[str, Any]) -> bool:
    value = extra.get("verify_tls", True)
    return str(value).strip().lower() not in {"false", "0", "no"}


def _configured_base_url() -> str:
    from airflow.sdk.configuration import conf

    return str(conf.get("api", "base_url", fallback="") or FALLBACK_BASE_URL)


def _how_to_connect(conn_id: str) -> str:
    return (
        "Make a token with `airflow platyspark tokens create workers --scopes worker,reconciler` and store it: "
        f"`airflow connections add {conn_id} --conn-type platyspark --conn-host {FALLBACK_BASE_URL} --conn-password TOKEN`."
    )


def missing_connection(conn_id: str) -> NotAllowed:
    """Return the error that says how to make a connection that isn't there."""
    return NotAllowed(f"There is no connection '{conn_id}'.", hint=_how_to_connect(conn_id))


class PlatySparkHook(BaseHook):
    """Opens the registry behind a connection of type `platyspark`.

    :param platyspark_conn_id: its id.
    """

    conn_name_attr = "platyspark_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = "platyspark"
    hook_name = "PlatySpark"

    def __init__(self, platyspark_conn_id: str = DEFAULT_CONN_ID) -> None:
        super().__init__()
        self.platyspark_conn_id = platyspark_conn_id

    def endpoint(self) -> Endpoint:
        """Read the connection; raises NotAllowed with the commands that make it when it is missing."""
        try:
            connection = self.get_connection(self.platyspark_conn_id)
        except AirflowNotFoundException as error:
            raise missing_connection(self.platyspark_conn_id) from error
        return endpoint_from_connection(connection)

    async def aendpoint(self) -> Endpoint:
        """Read the connection on an event loop."""
        try:
            connection = await self.aget_connection(self.platyspark_conn_id)
        except AirflowNotFoundException as error:
            raise missing_connection(self.platyspark_conn_id) from error
        return endpoint_from_connection(connection)

    def registry(self, *, timeout_s: float = REQUEST_TIMEOUT_S, actor: str | None = None) -> HttpRegistry:
        """Return a client for workers and threads; parameters as `Endpoint.registry`."""
        return self.endpoint().registry(timeout_s=timeout_s, actor=actor)

    async def async_registry(self, *, timeout_s: float = REQUEST_TIMEOUT_S) -> AsyncHttpRegistry:
        """Return a client for an event loop."""
        return (await self.aendpoint()).async_registry(timeout_s=timeout_s)

    def get_conn(self) -> HttpRegistry:
        """Return the sync client, as Airflow's hooks name it."""
        return self.registry()

    def test_connection(self) -> tuple[bool, str]:
        """Ask the api-server with the token; the answer is what the connection form shows."""
        try:
            with self.endpoint().registry(busy_patience_s=TRIGGER_PATIENCE_S) as registry:
                live = len(registry.snapshot().apps)
                state = registry.health().get("status", "unknown")
        except PlatySparkError as error:
            return False, str(error)
        return True, f"The token is accepted; the api-server's state is {state}, {live} applications are live."
