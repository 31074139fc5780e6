"""Mistakes in a real Airflow: the task says what is wrong and what to do; once that is done, the same task runs."""

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest

from demo.airflow_api import AirflowApi, ApiRefused
from demo.stack import Stack
from tests.e2e.processes import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

TINY = Path(__file__).parent / "dags_bad" / "jobs" / "tiny.py"
MISTAKES = {
    "profile": ("UnknownProfile: There is no profile 'sharde'.", "Did you mean 'shared'?"),
    "local_file": ("ArtifactMissing", "no such file. Looked for {dir}/late.py"),
    "s3_file": ("ArtifactMissing: There is no file at s3://platyspark/code/late.py",),
    "arguments": ("InvalidRequest: args is '--date 2026-01-01': one string instead of a list", "Write args=['--date 2026-01-01']"),
    "connection": ("There is no connection 'nowhere'", "airflow platyspark tokens create", "airflow connections add nowhere"),
    "second": ("IdempotencyMismatch", "with other parameters (args)", "Use a new key"),
}


@pytest.fixture(autouse=True)
def _dags(api: AirflowApi) -> None:
    """Wait until the DAGs with the mistakes were parsed."""
    api.wait_for_dag("behind")


def test_mistakes_fail_at_the_first_try_and_run_once_mended(stack: Stack, api: AirflowApi, record_dir: Path, profile_variable: str):
    run = api.trigger("mistakes")
    assert api.wait_for_run("mistakes", run) == "failed"
    for task_id, words in MISTAKES.items():
        task = api.task("mistakes", run, task_id)
        assert (task_id, task["state"], task["try_number"]) == (task_id, "failed", 1)
        log = api.log("mistakes", run, task_id)
        for word in words:
            assert word.format(dir=record_dir.resolve()) in log, f"{task_id} does not say {word!r}:\n{log[-2000:]}"
    assert api.task("mistakes", run, "first")["state"] == "success"

    api.call("POST", "/variables", body={"key": profile_variable, "value": "shared"})
    (record_dir / "late.py").write_text(TINY.read_text())
    stack.emr.boto3("s3").put_object(Bucket="platyspark", Key="code/late.py", Body=TINY.read_bytes())
    mended = ("profile", "local_file", "s3_file")
    api.clear("mistakes", run, mended)
    for task_id in mended:
        assert api.wait_for_task("mistakes", run, task_id, try_number=2, states={"success", "failed"})["state"] == "success"
        assert api.xcom("mistakes", run, task_id)["external_id"].startswith("s-")


@pytest.fixture
def profile_variable(api: AirflowApi, record_dir: Path) -> Iterator[str]:
    """Name the variable that the DAG reads its profile from; the mistakes are there again afterwards."""
    yield "e2e_profile"
    with suppress(ApiRefused):
        api.call("DELETE", "/variables/e2e_profile")
    (record_dir / "late.py").unlink(missing_ok=True)


def test_wrong_token_names_the_command_that_makes_one_and_the_next_try_runs(stack: Stack, api: AirflowApi):
    connection = {"connection_id": "e2e_token", "conn_type": "platyspark", "host": stack.url, "password": "plsp_wrong"}
    api.call("POST", "/connections", body=connection)
    try:
        run = api.trigger("refused")
        api.wait_for_task("refused", run, "run", states={"up_for_retry"})
        log = api.log("refused", run, "run")
        assert "The token is not known here." in log
        assert "connection 'e2e_token'" in log
        assert "plsp_wrong" not in log
        command = re.search(r"airflow (platyspark tokens create) NAME (--scopes [a-z,]+)", log)
        assert command is not None, log
        made = stack.airflow(*shlex.split(f"{command[1]} e2e-mended {command[2]} --output json"))
        rows = re.search(r"^\[\s*\{.*\}\s*\]$", made.stdout, re.MULTILINE | re.DOTALL)
        assert rows is not None, made.stdout
        secret = json.loads(rows[0])[0]["secret"]
        api.call("PATCH", "/connections/e2e_token", body={**connection, "password": secret})
        assert api.wait_for_run("refused", run) == "success"
        assert api.xcom("refused", run, "run")["generation"] == 1
    finally:
        api.call("DELETE", "/connections/e2e_token")


def test_broken_profiles_edit_keeps_the_last_good_and_health_says_so(stack: Stack, api: AirflowApi):
    file = stack.home / "profiles.yaml"
    good = file.read_text()
    assert health(stack)["status"] == "healthy"
    file.write_text(f"{good}  broken:\n    nodes: 3\n")
    try:
        seen = health(stack)
        assert seen["status"] == "degraded"
        assert "profiles.broken.nodes: unknown key" in seen["profiles"]["error"]
        run = api.trigger("seven_lines")
        assert api.wait_for_run("seven_lines", run) == "success"
    finally:
        file.write_text(good)
    assert health(stack)["status"] == "healthy"


def test_tables_missing_only_spark_tasks_wait_and_go_on_after_the_migration(stack: Stack, api: AirflowApi):
    forget_tables(stack)
    try:
        stack.restart("api-server")
        answer = httpx.get(f"{stack.url}/platyspark/api/v1/worker/snapshot", headers=bearer(stack), trust_env=False)
        assert (answer.status_code, answer.json()["detail"]["code"]) == (503, "schema_behind")
        assert "airflow db migrate" in answer.json()["detail"]["hint"]
        parsed_at = api.call("GET", "/dags/behind")["last_parsed_time"]
        run = api.trigger("behind")
        assert api.wait_for_task("behind", run, "plain")["state"] == "success"
        until("the task's advice", lambda: "The tables of PlatySpark are missing. Run `airflow db migrate`." in log_of(api, run))
        until("another parse of the DAGs", lambda: api.call("GET", "/dags/behind")["last_parsed_time"] > parsed_at)
        assert api.import_errors() == []
    finally:
        stack.airflow("db", "migrate")
    assert api.wait_for_run("behind", run) == "success", log_of(api, run)
    assert api.task("behind", run, "spark")["try_number"] == 1
    assert health(stack)["status"] == "healthy"


def forget_tables(stack: Stack) -> None:
    """Bring our tables to the state of an installation that was never migrated; the rows stay."""
    import sqlalchemy as sa

    engine = sa.create_engine(stack.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], poolclass=sa.NullPool)
    with closing(engine.raw_connection()) as connection:
        connection.cursor().execute("DROP TABLE alembic_version_platyspark")
        connection.commit()
    engine.dispose()


def log_of(api: AirflowApi, run: str) -> str:
    with suppress(ApiRefused):  # there is none before the task has begun
        return api.log("behind", run, "spark")
    return ""


def bearer(stack: Stack) -> dict[str, str]:
    return {"Authorization": f"Bearer {json.loads(stack.env['AIRFLOW_CONN_PLATYSPARK_DEFAULT'])['password']}"}


def health(stack: Stack) -> dict:
    return httpx.get(f"{stack.url}/platyspark/api/v1/health", headers=bearer(stack), trust_env=False).json()
