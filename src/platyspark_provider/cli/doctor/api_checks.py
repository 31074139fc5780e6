"""Checks of the way to the api-server: the connections, whether their host answers, what their token opens, and the clock there."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from platyspark_provider.cli.doctor.checks import CALLERS, Check, Finding, Status
from platyspark_provider.cli.doctor.database_checks import skew_finding
from platyspark_provider.errors import NotAllowed
from platyspark_provider.hooks.platyspark import DEFAULT_CONN_ID, RECONCILER_CONN_ID, Endpoint, endpoint_from_connection, missing_connection

if TYPE_CHECKING:
    from platyspark_provider.client.http import HttpRegistry

CONNECT_S, READ_S = 2.0, 10.0
_HOLDER = "doctor"


def api_checks() -> tuple[Check, ...]:
    """Return the checks."""
    return (
        Check(name=f"connection {DEFAULT_CONN_ID}", processes=CALLERS, run=check_default),
        Check(name=f"connection {RECONCILER_CONN_ID}", processes=CALLERS, run=check_reconciler),
        Check(name="api-server", processes=CALLERS, run=check_api_server),
    )


def check_default() -> Iterator[Finding]:
    """Ask with the token that tasks and triggers use."""
    check = f"connection {DEFAULT_CONN_ID}"
    endpoint = _endpoint(DEFAULT_CONN_ID)
    if endpoint is None:
        raise missing_connection(DEFAULT_CONN_ID)
    with _client(endpoint) as registry:
        registry.health()
        scopes = _scopes(registry)
    if "worker" in scopes:
        yield Finding(check=check, status=Status.OK, found=f"{endpoint.base_url} takes its token ({', '.join(scopes)}).")
        return
    fix = _new_token("workers", "worker,reconciler", DEFAULT_CONN_ID)
    yield Finding(check=check, status=Status.FAIL, found="Its token lacks the scope worker: no task can submit.", fix=fix)


def check_reconciler() -> Iterator[Finding]:
    """Ask with the token that the watchdog uses: of its own connection, or of the one that tasks use."""
    check = f"connection {RECONCILER_CONN_ID}"
    own = _endpoint(RECONCILER_CONN_ID)
    conn_id = DEFAULT_CONN_ID if own is None else RECONCILER_CONN_ID
    endpoint = own or _endpoint(DEFAULT_CONN_ID)
    if endpoint is None:
        raise missing_connection(RECONCILER_CONN_ID)
    with _client(endpoint) as registry:
        scopes = _scopes(registry)
    said = "" if own else f"There is none; the watchdog takes {DEFAULT_CONN_ID}. "
    if "reconciler" in scopes:
        yield Finding(check=check, status=Status.OK, found=f"{said}Its token opens all open work ({', '.join(scopes)}).")
        return
    fix = _new_token("watchdog", "reconciler", RECONCILER_CONN_ID)
    found = f"{said}The token of {conn_id} lacks the scope reconciler: nobody moves applications forward."
    yield Finding(check=check, status=Status.FAIL, found=found, fix=fix)


def check_api_server() -> Iterator[Finding]:
    """Read what the api-server says of itself, and its clock."""
    endpoint = _endpoint(DEFAULT_CONN_ID)
    if endpoint is None:
        raise missing_connection(DEFAULT_CONN_ID)
    with _client(endpoint) as registry:
        before = datetime.now(UTC)
        health = registry.health()
        after = datetime.now(UTC)
    facts = ", ".join(f"{name} {health[name]}" for name in ("version", "worker_api", "schema", "installation") if name in health)
    if health.get("status") == "healthy":
        yield Finding(check="api-server", status=Status.OK, found=f"{endpoint.base_url} is healthy ({facts}).")
    else:
        profiles = health.get("profiles")
        error = profiles.get("error") if isinstance(profiles, dict) else None
        found = f"{endpoint.base_url} is {health.get('status')} ({facts}): {error or 'see its log'}"
        yield Finding(check="api-server", status=Status.FAIL, found=found, fix="airflow platyspark profiles check FILE")
    if isinstance(there := health.get("database_time"), str):
        yield skew_finding("api-server", datetime.fromisoformat(there), before, after, "database")


def _endpoint(conn_id: str) -> Endpoint | None:
    from platyspark_provider.airflow_core.connections import find_connection

    connection = find_connection(conn_id)
    return None if connection is None else endpoint_from_connection(connection)


def _client(endpoint: Endpoint) -> "HttpRegistry":
    from platyspark_provider.client.http import HttpRegistry

    return HttpRegistry(
        base_url=endpoint.base_url,
        token=endpoint.token,
        verify=endpoint.verify,
        timeout_s=READ_S,
        connect_timeout_s=CONNECT_S,
        busy_patience_s=CONNECT_S,
        actor=_HOLDER,
    )


def _scopes(registry: "HttpRegistry") -> list[str]:
    """Ask for something harmless of each scope; a token that opens nothing at all is an error."""
    questions: dict[str, Callable[[], object]] = {
        "worker": registry.snapshot,
        "reconciler": lambda: registry.claim([], holder=_HOLDER),
    }
    scopes = []
    for scope, ask in questions.items():
        try:
            ask()
        except NotAllowed as refused:
            if refused.fields.get("reason") != "scope_missing":
                raise
        else:
            scopes.append(scope)
    return scopes


def _new_token(name: str, scopes: str, conn_id: str) -> str:
    return (
        f"airflow platyspark tokens create {name} --scopes {scopes}; "
        f"airflow connections delete {conn_id}; airflow connections add {conn_id} --conn-type platyspark --conn-password TOKEN"
    )
