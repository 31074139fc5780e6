"""Mistakes as a task meets them: the operator over real HTTP against an api-server that was set up, or asked, wrongly."""

import dataclasses
import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from platyspark_provider import SparkAppOperator
from platyspark_provider.client import wire
from platyspark_provider.core.ports import Registry
from platyspark_provider.operators.submission import Caller
from platyspark_provider.profiles_file import ProfilesFile
from tests.api_server import add_token, make_services, serve
from tests.api_servers import connection_json
from tests.desks import TI, Desk

SECRET = "plsp_right"
PROFILES = "artifacts: s3://artifacts/files\n"


class DeskOperator(SparkAppOperator):
    """The operator with the desk's backend, S3 and clock; its registry is the real client over HTTP."""

    desk: Desk
    client_version: str | None = None

    def _caller(self, registry: Registry) -> Caller:
        if self.client_version is not None:
            registry._client.headers[wire.CLIENT_HEADER] = self.client_version  # type: ignore[attr-defined]
        fakes = self.desk.caller(ti_id=self._ti_id, registry=registry)
        return dataclasses.replace(fakes, log=self.log, patience=dataclasses.replace(fakes.patience, log=self.log))


class FakeTask:
    """The task instance of a context."""

    id = TI

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep nothing."""


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    """The file of the platform team."""
    file = tmp_path / "profiles.yaml"
    file.write_text(PROFILES)
    return file


@pytest.fixture
def url(desk: Desk, profiles: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An api-server over the desk, and the connection that leads to it."""
    add_token(desk.store.open, SECRET, scopes=("worker",), name="workers")
    with serve(make_services(desk.store.open, desk.tasks, profiles=ProfilesFile(profiles))) as url:
        monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, SECRET))
        yield url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The DAG's folder, with one good job."""
    (tmp_path / "job.py").write_text("print(1)")
    return tmp_path


def run(desk: Desk, folder: Path, *, client_version: str | None = None, **values: Any) -> None:
    """Execute a task up to its deferral."""
    task = DeskOperator(**{"task_id": "agg", "application": "job.py", **values})
    task.desk, task.client_version = desk, client_version
    dag = types.SimpleNamespace(fileloc=str(folder / "dag.py"), relative_fileloc="dag.py")
    with pytest.raises(TaskDeferred):
        task.execute({"ti": FakeTask(), "dag": dag})  # type: ignore[typeddict-item]


def failure_for_good(desk: Desk, folder: Path, **values: Any) -> str:
    """Return what a task says that fails without a retry, having registered and sent nothing."""
    with pytest.raises(AirflowFailException) as failed:
        run(desk, folder, **values)
    assert desk.store.snapshot().apps == ()
    assert desk.backend.calls["submit"] == 0
    return str(failed.value)


def failure_with_retry(desk: Desk, folder: Path, **values: Any) -> str:
    """Return what a task says that fails but may retry."""
    with pytest.raises(AirflowException) as failed:
        run(desk, folder, **values)
    assert not isinstance(failed.value, AirflowFailException)
    return str(failed.value)


def runs(desk: Desk, folder: Path, **values: Any) -> bool:
    """Execute a task that is accepted and sent."""
    run(desk, folder, **values)
    return desk.backend.calls["submit"] == 1


@pytest.mark.parametrize(
    ("field", "value", "problem", "advice"),
    [
        ("application", "job.txt", "'job.txt': no such file", "folder of the DAG file"),
        ("application", "notes.txt", "neither a .py nor a .jar file", "Name a PySpark file or a jar"),
        ("args", "--date 2026-01-01", "one string instead of a list", "Write args=['--date 2026-01-01']"),
        ("conf", ["spark.x=1"], "a list instead of a dict", 'Write conf={"key": "value"}'),
        ("conf", "spark.x=1", "a str instead of a dict", 'Write conf={"key": "value"}'),
        ("env_vars", "A=b", "a str instead of a dict", 'Write env_vars={"key": "value"}'),
        ("tags", ["team"], "a list instead of a dict", 'Write tags={"key": "value"}'),
        ("max_runtime", "soon", "no duration", '"2h" or "PT2H"'),
        ("max_runtime", 3600, "a int is no duration", "timedelta(hours=2)"),
        ("reuse", "maybe", "reuse is 'maybe': unknown", "'running', 'result', 'never'"),
        ("on_limit", "explode", "on_limit is 'explode': unknown", "'cancel', 'alert'"),
        ("py_files", "lib.py", "one string instead of a list", "Write py_files=['lib.py']"),
        ("packages", ["pandas"], "not a Maven coordinate", "group:artifact:version"),
        ("cluster", {"name": "shared"}, "a dict instead of a profile's name", 'Write cluster="shared"'),
    ],
)
def test_operator_wrong_argument_fails_for_good_and_says_what_to_write(
    url: str, desk: Desk, folder: Path, field: str, value: Any, problem: str, advice: str
) -> None:
    (folder / "notes.txt").write_text("no code")
    said = failure_for_good(desk, folder, **{field: value})
    assert problem in said
    assert advice in said
    assert field in said


def test_operator_missing_file_lists_the_paths_tried_and_runs_once_it_is_there(url: str, desk: Desk, folder: Path) -> None:
    said = failure_for_good(desk, folder, application="jobs/late.py")
    assert str(folder.resolve() / "jobs" / "late.py") in said
    (folder / "jobs").mkdir()
    (folder / "jobs" / "late.py").write_text("print(1)")
    assert runs(desk, folder, application="jobs/late.py")


def test_operator_unknown_profile_offers_the_nearest_and_runs_once_it_exists(url: str, desk: Desk, folder: Path, profiles: Path) -> None:
    said = failure_for_good(desk, folder, cluster="strem")
    assert "There is no profile 'strem'." in said
    assert "Known: " in said
    profiles.write_text(f"{PROFILES}profiles:\n  stream: {{}}\n")
    assert "Did you mean 'stream'?" in failure_for_good(desk, folder, cluster="strem")
    assert runs(desk, folder, cluster="stream")


def test_operator_local_file_without_artifacts_prefix_names_the_option(url: str, desk: Desk, folder: Path, profiles: Path) -> None:
    profiles.write_text("environment: prod\n")
    said = failure_for_good(desk, folder)
    assert "job.py is a local file" in said
    assert "[platyspark] artifacts" in said
    profiles.write_text(PROFILES)
    assert runs(desk, folder)


def test_operator_profiles_never_good_may_retry_and_names_file_and_line(url: str, desk: Desk, folder: Path, profiles: Path) -> None:
    profiles.write_text(f"{PROFILES}profiles:\n  shared:\n    nodes: 3\n")
    said = failure_with_retry(desk, folder)
    assert f"{profiles} can't be used: line 4: profiles.shared.nodes: unknown key." in said
    profiles.write_text(PROFILES)
    assert runs(desk, folder)


def test_operator_profiles_mended_while_the_task_waits_need_no_retry(url: str, desk: Desk, folder: Path, profiles: Path) -> None:
    profiles.write_text(f"{PROFILES}profiles:\n  shared:\n    nodes: 3\n")
    sleep = desk.clock.sleep

    def sleep_and_mend(seconds: float) -> None:
        sleep(seconds)
        profiles.write_text(PROFILES)

    desk.clock.sleep = sleep_and_mend  # type: ignore[method-assign]
    began = desk.clock.now()
    assert runs(desk, folder)
    assert desk.clock.now() > began


def test_operator_missing_connection_names_the_commands_that_make_it(desk: Desk, folder: Path) -> None:
    said = failure_for_good(desk, folder, platyspark_conn_id="nowhere")
    assert "There is no connection 'nowhere'." in said
    assert "airflow platyspark tokens create" in said
    assert "airflow connections add nowhere --conn-type platyspark" in said


def test_operator_wrong_token_may_retry_and_names_command_and_connection(
    url: str, desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, "plsp_wrong"))
    said = failure_with_retry(desk, folder)
    assert "airflow platyspark tokens create NAME --scopes worker,reconciler" in said
    assert "connection 'platyspark_default'" in said
    assert "plsp_wrong" not in said
    monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, SECRET))
    assert runs(desk, folder)


def test_operator_token_revoked_while_its_run_is_alive_retries_and_attaches(
    url: str, desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(desk, folder)
    with desk.store.open() as store:
        store.revoke_token("workers")
    said = failure_with_retry(desk, folder)
    assert "Token 'workers' was revoked" in said
    assert "airflow platyspark tokens create" in said
    add_token(desk.store.open, "plsp_new", scopes=("worker",), name="workers")
    monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, "plsp_new"))
    assert runs(desk, folder), "one send for both tries"


def test_operator_expired_token_may_retry_and_says_when_it_ended(
    url: str, desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_token(desk.store.open, "plsp_old", name="old", expires_at=datetime.now(UTC) - timedelta(days=4000))
    monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, "plsp_old"))
    assert "Token 'old' expired at" in failure_with_retry(desk, folder)


def test_operator_token_without_the_scope_fails_for_good(url: str, desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_token(desk.store.open, "plsp_scrape", name="scrape", scopes=("scrape",))
    monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, "plsp_scrape"))
    assert "lacks the scope 'worker' (it has scrape)" in failure_for_good(desk, folder)


def test_operator_package_too_old_fails_for_good_and_says_what_to_upgrade(
    url: str, desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "API_VERSION", 3)
    said = failure_for_good(desk, folder, client_version="0.1.0/1")
    assert "the client (0.1.0) speaks 1, the api-server" in said
    assert "Upgrade the package on workers and triggerers." in said


def test_operator_package_too_new_waits_for_the_api_server_and_may_retry(url: str, desk: Desk, folder: Path) -> None:
    before = desk.clock.now()
    said = failure_with_retry(desk, folder, client_version=f"9.0.0/{wire.API_VERSION + 1}")
    assert "Upgrade the api-server first." in said
    assert (desk.clock.now() - before).total_seconds() >= 600, "all of its patience"
    assert runs(desk, folder)
