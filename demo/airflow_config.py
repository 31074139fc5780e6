"""Airflow's configuration for a stack, as environment variables: loopback only, no examples, no telemetry, quick to notice a change."""

import base64
import hashlib
import importlib.metadata
import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import platyspark_provider
from demo.processes import MARK

REGION = "us-east-1"
_DROPPED = ("AIRFLOW", "AWS_", "SPARK_", "PYSPARK_", "PLATYSPARK_STACK", "PYTHONPATH", "PYTEST_")


def base_environment(home: Path) -> dict[str, str]:
    """Return what every process of a stack inherits: this process's environment without what would lead it elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
    binaries = str(Path(sys.executable).parent)
    return kept | {
        "PATH": os.pathsep.join((binaries, kept.get("PATH", os.defpath))),
        "AIRFLOW_HOME": str(home / "airflow"),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PYTHONUNBUFFERED": "1",
        "SPT_NOENV": "1",  # setproctitle would write its title over the environment, and the mark with it
        MARK: str(home.resolve()),
        **_temporary_folder(home),
    }


def _temporary_folder(home: Path) -> dict[str, str]:
    """Keep temporary files below the stack's folder, unless sockets made there would get a name too long for the system."""
    folder = home.resolve() / "tmp"
    if len(str(folder)) > 60:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    return {"TMPDIR": str(folder)}


def kept_secrets(path: Path) -> dict[str, str]:
    """Return the stack's keys, made once and kept in a file that only its owner reads."""
    if not path.exists():
        keys = {name: secrets.token_urlsafe(64) for name in ("secret_key", "jwt_secret")}
        keys["fernet_key"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        save_secrets(path, keys)
    return dict(json.loads(path.read_text(encoding="utf-8")))


def save_secrets(path: Path, keys: Mapping[str, str]) -> None:
    """Write the keys."""
    path.touch(mode=0o600)
    path.write_text(json.dumps(keys), encoding="utf-8")


def options(*, home: Path, url: str, log_port: int, keys: Mapping[str, str], dags: Sequence[Path]) -> dict[tuple[str, str], str]:
    """Return the options of a stack by section and name; the caller's own win over them."""
    port = url.rsplit(":", 1)[1]
    bundle = {"classpath": "airflow.dag_processing.bundles.local.LocalDagBundle"}
    bundles = [{"name": f"dags-{i}" if i else "dags-folder", **bundle, "kwargs": {"path": str(p)}} for i, p in enumerate(dags)]
    values: dict[tuple[str, str], Any] = {
        ("core", "executor"): "LocalExecutor",
        ("core", "parallelism"): 4,
        ("core", "load_examples"): False,
        ("core", "dags_are_paused_at_creation"): False,
        ("core", "fernet_key"): keys["fernet_key"],
        ("core", "execution_api_server_url"): f"{url}/execution/",
        ("core", "hostname_callable"): "urllib.request.localhost",  # 127.0.0.1: where the log server listens
        ("core", "simple_auth_manager_passwords_file"): home / "passwords.json",
        ("api", "host"): "127.0.0.1",
        ("api", "port"): port,
        ("api", "base_url"): url,
        ("api", "secret_key"): keys["secret_key"],
        ("api_auth", "jwt_secret"): keys["jwt_secret"],
        ("dag_processor", "dag_bundle_config_list"): json.dumps(bundles),
        ("dag_processor", "dag_bundle_storage_path"): home / "bundles",
        ("dag_processor", "refresh_interval"): 10,
        ("dag_processor", "min_file_process_interval"): 10,
        ("dag_processor", "parsing_processes"): 1,
        ("logging", "base_log_folder"): home / "logs",
        ("logging", "dag_processor_child_process_log_directory"): home / "logs" / "dag_processor",
        ("logging", "worker_log_server_port"): log_port,
        ("logging", "trigger_log_server_port"): log_port,
        ("scheduler", "scheduler_heartbeat_sec"): 2,
        ("usage_data_collection", "enabled"): False,
    }
    return {name: str(value) for name, value in values.items()}


def as_environment(values: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """Return options as Airflow reads them from the environment."""
    return {f"AIRFLOW__{section.upper()}__{option.upper()}": value for (section, option), value in values.items()}


def schema_fingerprint() -> str:
    """Return what tells one set of tables from another: every installed version, and the text of our migrations."""
    versions = sorted(f"{found.name}=={found.version}" for found in importlib.metadata.distributions())
    migrations = sorted((Path(platyspark_provider.__file__).parent / "store" / "migrations" / "versions").glob("*.py"))
    return hashlib.sha256(b"".join([*(line.encode() for line in versions), *(path.read_bytes() for path in migrations)])).hexdigest()


def aws_connection(endpoint_url: str) -> str:
    """Return `aws_default` as it leads to emrsim."""
    return json.dumps(
        {"conn_type": "aws", "login": "emrsim", "password": "emrsim", "extra": {"endpoint_url": endpoint_url, "region_name": REGION}}
    )


def platyspark_connection(url: str, token: str) -> str:
    """Return `platyspark_default`."""
    return json.dumps({"conn_type": "platyspark", "host": url, "password": token})
