"""The demo's small parts: data, ports, configuration, log lines."""

import gzip
import socket
import stat
from pathlib import Path
from typing import Any

from demo import flights
from demo.airflow_api import log_line
from demo.airflow_config import as_environment, base_environment, kept_secrets, options
from demo.preflight import Finding, choose_port
from demo.processes import MARK, free_port, is_free


class Bucket:
    """The two S3 calls that the upload makes."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def list_objects_v2(self, *, Bucket: str, Prefix: str) -> dict[str, Any]:
        return {"Contents": [{"Key": key} for key in self.objects if key.startswith(Prefix)]}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:
        self.objects[Key] = Body


def test_upload_sends_every_flight_once_and_nothing_the_second_time() -> None:
    bucket = Bucket()
    assert flights.upload(bucket, "b") > 0
    assert set(bucket.objects) == {f"data/{name}" for name in (*flights.TABLES, "flights.csv.gz")}
    lines = gzip.decompress(bucket.objects["data/flights.csv.gz"]).splitlines()
    assert lines[0].startswith(b"year,month,day")
    assert len(lines) - 1 == flights.FLIGHTS
    assert flights.upload(bucket, "b") == 0


def test_choose_port_of_a_taken_one_returns_the_next_free() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        taken = server.getsockname()[1]
        assert not is_free(taken)
        assert choose_port(taken) > taken


def test_choose_port_of_a_free_one_returns_it() -> None:
    port = free_port()
    assert choose_port(port) == port


def test_base_environment_leads_nowhere_else(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    environment = base_environment(tmp_path)
    assert not [name for name in environment if name.startswith(("AWS_", "AIRFLOW__"))]
    assert environment["AIRFLOW_HOME"].startswith(str(tmp_path))
    assert environment[MARK] == str(tmp_path.resolve())


def test_kept_secrets_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    first = kept_secrets(tmp_path / "secrets.json")
    assert kept_secrets(tmp_path / "secrets.json") == first
    assert len(set(first.values())) == len(first)
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_options_bind_loopback_and_send_no_usage_data(tmp_path: Path) -> None:
    keys = {"secret_key": "a", "jwt_secret": "b", "fernet_key": "c"}
    values = as_environment(
        options(home=tmp_path, url="http://127.0.0.1:8123", log_port=9, keys=keys, dags=(tmp_path / "a", tmp_path / "b"))
    )
    assert (values["AIRFLOW__API__HOST"], values["AIRFLOW__API__PORT"]) == ("127.0.0.1", "8123")
    assert values["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
    assert values["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert all(str(tmp_path / name) in values["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"] for name in ("a", "b"))


def test_log_line_of_an_error_holds_its_message() -> None:
    entry = {"event": "Task failed", "level": "error", "timestamp": "t", "error_detail": [{"exc_type": "Boom", "exc_value": "it broke"}]}
    assert log_line(entry) == "t error Task failed\nBoom: it broke"
    assert log_line("plain") == "plain"


def test_finding_with_a_fix_says_what_to_do() -> None:
    assert str(Finding(text="Java 17")) == "✓ Java 17"
    assert str(Finding(text="no Java", fix="install it")) == "✗ no Java\n  → install it"
