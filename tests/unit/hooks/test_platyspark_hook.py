"""The connection's address and token become clients; what is wrong with it says how to mend it."""

import socket
from collections.abc import Iterator

import pytest
from airflow.sdk import Connection

from platyspark_provider.errors import InvalidRequest, NotAllowed
from platyspark_provider.hooks.platyspark import Endpoint, PlatySparkHook, endpoint_from_connection
from tests.api_servers import add_token, connection_json, serve
from tests.desks import Desk


def connection(**values: object) -> Connection:
    return Connection(**{"conn_id": "platyspark_default", "conn_type": "platyspark", "password": "secret", **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({"host": "http://api:8080"}, "http://api:8080"),
        ({"host": "https://airflow.example.com/base/"}, "https://airflow.example.com/base"),
        ({"host": "api", "port": 8080}, "http://api:8080"),
        ({"host": "api", "port": 443, "schema": "https"}, "https://api:443"),
        ({"host": "api"}, "http://api"),
    ],
)
def test_endpoint_host_in_every_spelling(values: dict[str, object], url: str) -> None:
    assert endpoint_from_connection(connection(**values)).base_url == url


@pytest.mark.parametrize(
    ("configured", "url"), [("https://airflow.example.com/", "https://airflow.example.com"), ("", "http://localhost:8080")]
)
def test_endpoint_without_host_takes_the_configured_base_url(configured: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", configured)
    assert endpoint_from_connection(connection()).base_url == url


def test_endpoint_other_protocol_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"ftp://api"):
        endpoint_from_connection(connection(host="ftp://api"))


def test_endpoint_without_token_says_how_to_make_one() -> None:
    with pytest.raises(NotAllowed) as refusal:
        endpoint_from_connection(connection(host="http://api", password=None))
    assert "airflow platyspark tokens create" in str(refusal.value)


@pytest.mark.parametrize(("extra", "verify"), [(None, True), ('{"verify_tls": false}', False), ('{"verify_tls": "False"}', False)])
def test_endpoint_verify_tls_is_read(extra: str | None, verify: bool) -> None:
    assert endpoint_from_connection(connection(host="https://api", extra=extra)).verify is verify


def test_endpoint_repr_and_clients_keep_the_token_to_themselves() -> None:
    endpoint = Endpoint(base_url="http://api:8080", token="plsp_secret")
    with endpoint.registry() as registry:
        assert "plsp_secret" not in f"{endpoint!r} {registry!r}"


async def test_hook_missing_connection_names_both_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", raising=False)
    hook = PlatySparkHook()
    with pytest.raises(NotAllowed) as refusal:
        await hook.aendpoint()
    for command in ("airflow platyspark tokens create", "airflow connections add platyspark_default --conn-type platyspark"):
        assert command in str(refusal.value)


@pytest.fixture
def url() -> Iterator[str]:
    desk = Desk()
    add_token(desk, "secret", "worker")
    with serve(desk) as url:
        yield url


def test_hook_test_connection_tells_token_and_state(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, "secret"))
    is_good, message = PlatySparkHook().test_connection()
    assert is_good, message
    assert "0 applications are live" in message


def test_hook_test_connection_wrong_token_says_so(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, "other"))
    is_good, message = PlatySparkHook().test_connection()
    assert not is_good
    assert "not known" in message


def test_hook_test_connection_nobody_listens_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{held.getsockname()[1]}"
        monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(address, "secret"))
        is_good, message = PlatySparkHook().test_connection()
    assert not is_good
    assert address in message


async def test_hook_async_registry_reads_on_the_loop(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, "secret"))
    async with await PlatySparkHook().async_registry() as client:
        assert (await client.snapshot()).apps == ()
