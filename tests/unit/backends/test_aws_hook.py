"""Clients and backends from Airflow connections, through the amazon provider's hook."""

import json
import subprocess
import sys
import threading
from typing import Any

import pytest
from airflow.sdk import Connection

from platyspark_provider.core.ports import Backend
from platyspark_provider.errors import BackendUnavailable, InvalidRequest
from platyspark_provider.hooks.aws import EmrBackends, clients_of
from tests.builders import make_target
from tests.unit.backends.aws_server import Answer, serve


def connection(conn_id: str = "aws_default", **extra: Any) -> Connection:
    return Connection(conn_id=conn_id, conn_type="aws", login="key", password="secret", extra=json.dumps(extra))


@pytest.fixture(autouse=True)
def no_ambient_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Keep this machine's AWS settings out, and don't look for an instance's role."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


def test_clients_mutating_one_tries_once_whatever_the_connection_says() -> None:
    """The connection form proposes ten attempts; each would be one more cluster."""
    generous = connection(
        config_kwargs={"retries": {"mode": "standard", "max_attempts": 10}, "read_timeout": 1000, "max_pool_connections": 3}
    )

    clients = clients_of(make_target(), generous)

    config = clients.mutating.meta.config
    assert config.retries["total_max_attempts"] == 1
    assert (config.connect_timeout, config.read_timeout) == (5, 60)
    assert config.max_pool_connections == 3
    assert clients.reading.meta.config.retries["total_max_attempts"] == 3


def test_clients_environment_can_not_raise_the_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "7")
    monkeypatch.setenv("AWS_RETRY_MODE", "adaptive")

    assert clients_of(make_target(), connection()).mutating.meta.config.retries["total_max_attempts"] == 1


def test_clients_take_region_of_the_target_before_the_connections() -> None:
    known = connection(region_name="us-east-1")

    assert clients_of(make_target(region="eu-west-1"), known).s3.meta.region_name == "eu-west-1"
    assert clients_of(make_target(region=None), known).s3.meta.region_name == "us-east-1"


def test_clients_take_endpoints_of_the_connection() -> None:
    known = connection(endpoint_url="http://127.0.0.1:1111", service_config={"s3": {"endpoint_url": "http://127.0.0.1:2222"}})

    clients = clients_of(make_target(), known)

    assert clients.mutating.meta.endpoint_url == "http://127.0.0.1:1111"
    assert clients.s3.meta.endpoint_url == "http://127.0.0.1:2222"


def test_clients_without_credentials_say_what_to_set_up() -> None:
    bare = Connection(conn_id="aws_default", conn_type="aws")

    with pytest.raises(BackendUnavailable, match=r"gives no AWS credentials.*Airflow connection 'aws_default'"):
        clients_of(make_target(), bare)


def test_clients_without_a_region_say_so() -> None:
    with pytest.raises(BackendUnavailable, match="region"):
        clients_of(make_target(region=None), connection())


def test_clients_role_that_can_not_be_assumed_is_named() -> None:
    denied = Answer(403, b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>not yours</Message></Error></ErrorResponse>")
    with serve(lambda *_: denied) as sts:
        service_config = {"sts": {"endpoint_url": sts.url}}
        known = connection(role_arn="arn:aws:iam::123456789012:role/spark", region_name="eu-west-1", service_config=service_config)

        with pytest.raises(BackendUnavailable, match="AccessDenied: not yours"):
            clients_of(make_target(), known)


def test_clients_connection_that_makes_no_sense_is_unavailable() -> None:
    odd = connection(role_arn="arn:aws:iam::123456789012:role/spark", assume_role_method="by_letter")

    with pytest.raises(BackendUnavailable, match="by_letter"):
        clients_of(make_target(), odd)


def test_clients_connection_from_the_environment_is_found_by_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_ADS", json.dumps({"conn_type": "aws", "login": "key", "password": "secret"}))

    assert clients_of(make_target(aws_conn_id="aws_ads")).mutating.meta.region_name == "eu-west-1"


def test_backends_each_target_is_built_once_even_by_many_threads() -> None:
    backends = EmrBackends({"aws_default": connection()})
    found: list[Backend] = []
    threads = [threading.Thread(target=lambda: found.append(backends.of(make_target()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len({id(one) for one in found}) == 1
    assert backends.of(make_target(id=2, name="other")) is not found[0]


def test_backends_artifacts_use_the_same_credentials() -> None:
    backends = EmrBackends({"aws_default": connection()})

    assert backends.s3_of(make_target()) is backends.s3_of(make_target())


def test_backends_unknown_kind_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match="'emr_on_mars'"):
        EmrBackends({}).of(make_target(backend="emr_on_mars"))


def test_hook_import_loads_neither_boto3_nor_the_amazon_provider() -> None:
    code = (
        "import sys, platyspark_provider.hooks.aws, platyspark_provider.packaging.artifacts\n"
        "heavy = {'boto3', 'botocore', 'httpx', 'airflow.providers.amazon'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr == ""
