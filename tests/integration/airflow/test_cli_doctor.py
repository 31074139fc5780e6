"""`airflow platyspark doctor` against real pieces: Airflow's database, our api-server, emrsim and moto, each broken in turn."""

import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from platyspark_provider.core.tokens import hash_of_secret
from platyspark_provider.emrsim.client import EmrSim
from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.store.base import StoreFactory
from platyspark_provider.store.memory import InMemoryStore
from tests.api_server import add_token, make_services, serve
from tests.api_servers import connection_json
from tests.integration.airflow.cli_world import Said, run_cli
from tests.unit.backends.aws_server import Answer, free_port
from tests.unit.backends.aws_server import serve as serve_script

PROFILES = """
artifacts: s3://doctor-files/apps
profiles:
  shared: {log_uri: "s3://doctor-files/logs", release_label: emr-7.10.0}
"""


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmrSim]:
    """Start emrsim with a bucket and EMR's default roles."""
    with EmrSim.start(tmp_path_factory.mktemp("sim")) as running:
        running.boto3("s3").create_bucket(Bucket="doctor-files")
        iam = running.boto3("iam")
        for role in ("EMR_DefaultRole", "EMR_EC2_DefaultRole"):
            iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}")
        iam.create_instance_profile(InstanceProfileName="EMR_EC2_DefaultRole")
        yield running


@pytest.fixture
def store_of_airflow(airflow_db: None) -> StoreFactory:
    """Return the store on Airflow's own database."""
    from platyspark_provider.airflow_core.db import airflow_engine
    from platyspark_provider.store.sql import sql_store_factory

    return sql_store_factory(airflow_engine)


@pytest.fixture
def tokens(store_of_airflow: StoreFactory) -> Iterator[dict[str, str]]:
    """Yield live tokens' secrets by what they open, and one that is revoked."""
    scopes = {"all": ("worker", "reconciler"), "worker": ("worker",), "reconciler": ("reconciler",), "revoked": ("worker",)}
    secrets = {name: f"plsp_doctor-{name}-{datetime.now(UTC).timestamp()}" for name in scopes}
    for name, opens in scopes.items():
        add_token(store_of_airflow, secrets[name], name=f"doctor-{name}", token_hash=hash_of_secret(secrets[name]), scopes=opens)
    with store_of_airflow() as store:
        store.revoke_token("doctor-revoked")
        yield secrets
        for name in ("all", "worker", "reconciler"):
            store.revoke_token(f"doctor-{name}")


@pytest.fixture
def site(
    sim: EmrSim, tokens: dict[str, str], store_of_airflow: StoreFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """Yield a function that sets this machine up as one process has it; everything is well at first."""
    profiles = tmp_path / "profiles.yaml"
    profiles.write_text(PROFILES)
    for name, value in {**sim.env(), "AIRFLOW__PLATYSPARK__PROFILES_FILE": str(profiles)}.items():
        monkeypatch.setenv(name, value)
    with serve(make_services(store_of_airflow, ScriptedTasks(), profiles=ProfilesFile(profiles))) as url:

        def connect(secret: str = "all", *, host: str = url, conn_id: str = "PLATYSPARK_DEFAULT") -> None:
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id}", connection_json(host, tokens.get(secret, secret)))

        connect()
        yield connect


def doctor(*words: str, process: str = "worker") -> Said:
    return run_cli("doctor", "--process", process, "-o", "json", *words)


def found(said: Said, check: str) -> list[dict[str, Any]]:
    rows = [row for row in said.json() if row["check"] == check]
    assert rows, said
    return rows


@pytest.mark.usefixtures("site")
def test_doctor_worker_all_well_exits_0_and_leaves_nothing_behind(sim: EmrSim) -> None:
    said = doctor()

    failed = [row for row in said.json() if row["status"] == "fail"]
    assert (said.code, failed) == (0, [])
    checks = {row["check"] for row in said.json()}
    assert {"airflow", "profiles", "java", "connection platyspark_default", "api-server", "aws default", "s3 default"} <= checks
    assert not checks & {"database", "schema", "watchdog", "passes"}
    assert [row["found"] for row in found(said, "s3 default")] == [
        "Bucket doctor-files is in us-east-1.",
        "s3://doctor-files/apps: can be listed, written and cleaned.",
        "Bucket doctor-files is in us-east-1.",
        "s3://doctor-files/logs: can be listed.",
    ]
    assert "Contents" not in sim.boto3("s3").list_objects_v2(Bucket="doctor-files")
    assert [row["found"] for row in found(said, "roles default")] == [
        "The service role EMR_DefaultRole exists.",
        "The instance profile EMR_EC2_DefaultRole exists.",
    ]
    assert sim.boto3("emr").list_clusters()["Clusters"] == []


@pytest.mark.usefixtures("site")
def test_doctor_table_and_fix_hints_go_to_stdout_and_the_count_to_stderr() -> None:
    table = run_cli("doctor", "--process", "api-server")
    assert "status" in table.out.splitlines()[0]
    assert "failed" in table.err
    assert "\x1b" not in table.out
    fixes = run_cli("doctor", "--process", "api-server", "--fix-hints", "only")
    assert any(line.startswith("database: Point [database] sql_alchemy_conn at PostgreSQL") for line in fixes.out.splitlines())
    assert "status" not in fixes.out


def test_doctor_token_of_each_scope_is_judged_by_what_it_opens(site: Callable[..., None]) -> None:
    site("worker")
    said = doctor()
    assert found(said, "connection platyspark_default")[0]["status"] == "ok"
    (lacking,) = found(said, "connection platyspark_reconciler")
    assert (lacking["status"], "--scopes reconciler" in lacking["fix"], said.code) == ("fail", True, 1)

    site("reconciler", conn_id="PLATYSPARK_RECONCILER")
    assert found(doctor(), "connection platyspark_reconciler")[0]["status"] == "ok"

    site("reconciler")
    (lacking,) = found(doctor(), "connection platyspark_default")
    assert (lacking["status"], "scope worker" in lacking["found"]) == ("fail", True)


@pytest.mark.parametrize(("secret", "message"), [("revoked", "was revoked"), ("plsp_unheard-of", "not known here"), ("", "no password")])
def test_doctor_token_that_opens_nothing_fails_with_the_command(site: Callable[..., None], secret: str, message: str) -> None:
    site(secret)
    (refused,) = found(doctor(), "connection platyspark_default")
    assert (refused["status"], message in refused["found"], "tokens create" in refused["fix"]) == ("fail", True, True), refused


@pytest.mark.usefixtures("site")
def test_doctor_connection_missing_says_how_to_add_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT")
    (missing,) = found(doctor(), "connection platyspark_default")
    assert (missing["status"], "airflow connections add platyspark_default" in missing["fix"]) == ("fail", True)


def test_doctor_api_server_down_fails_alone(site: Callable[..., None]) -> None:
    site(host=f"http://127.0.0.1:{free_port()}")
    said = doctor()
    for check in ("connection platyspark_default", "api-server"):
        (down,) = found(said, check)
        assert (down["status"], "was not reached" in down["found"]) == ("fail", True)
    assert found(said, "aws default")[0]["status"] == "ok"


def test_doctor_api_server_that_never_answers_ends_at_the_deadline(site: Callable[..., None]) -> None:
    with serve_script(lambda method, path, body: Answer(-1)) as silent:
        site(host=silent.url)
        said = doctor("--timeout", "0.5")
    (hung,) = found(said, "api-server")
    assert (hung["status"], "No answer within 0.5 s" in hung["found"]) == ("fail", True)
    assert found(said, "airflow")[0]["status"] == "ok"


def test_doctor_other_server_behind_the_address_is_told(site: Callable[..., None]) -> None:
    with serve_script(lambda method, path, body: Answer(200, b"<html>login</html>")) as other:
        site(host=other.url)
        (wrong,) = found(doctor(), "api-server")
    assert (wrong["status"], "something else than our API" in wrong["found"]) == ("fail", True)


def test_doctor_api_server_with_a_clock_far_off_fails(site: Callable[..., None], tokens: dict[str, str]) -> None:
    late = InMemoryStore(lambda: datetime.now(UTC) - timedelta(minutes=10))
    add_token(late.open, tokens["all"], token_hash=hash_of_secret(tokens["all"]))
    with serve(make_services(late.open, ScriptedTasks())) as url:
        site(host=url)
        clocks = [row for row in found(doctor(), "api-server") if "clock" in row["found"]]
    assert [(row["status"], "600" in row["found"]) for row in clocks] == [("fail", True)]


@pytest.mark.usefixtures("site")
def test_doctor_broken_profiles_fail_here_and_at_the_api_server_with_the_line(tmp_path: Path) -> None:
    doctor()
    (tmp_path / "profiles.yaml").write_text("profiles:\n  shared:\n    realease_label: emr-7.10.0\n")
    said = doctor()
    (here,) = found(said, "profiles")
    assert (here["status"], "line 3" in here["found"], "profiles check" in here["fix"]) == ("fail", True, True)
    there = found(said, "api-server")[0]
    assert (there["status"], "degraded" in there["found"], "line 3" in there["found"]) == ("fail", True, True)
    assert not [row for row in said.json() if row["check"].endswith(" default")]


@pytest.mark.usefixtures("site")
def test_doctor_bucket_and_role_that_are_not_there_fail_with_the_command(tmp_path: Path) -> None:
    (tmp_path / "profiles.yaml").write_text(
        'artifacts: s3://nowhere/x\nprofiles:\n  shared: {service_role: Nobody, log_uri: "s3://doctor-files/l"}\n'
    )
    said = doctor()
    bucket = found(said, "s3 default")[0]
    assert (bucket["status"], bucket["fix"]) == ("fail", "aws s3 mb s3://nowhere")
    role = found(said, "roles default")[0]
    assert (role["status"], "create-default-roles" in role["fix"]) == ("fail", True)


@pytest.mark.usefixtures("site")
def test_doctor_emr_that_denies_fails_its_own_checks_alone(sim: EmrSim) -> None:
    sim.fault("ListClusters", "error", code="AccessDeniedException", http_status=400, count=None)
    try:
        said = doctor()
    finally:
        sim.release()
    assert (found(said, "emr default")[0]["status"], found(said, "permissions default")[0]["status"]) == ("fail", "fail")
    assert {row["status"] for row in found(said, "s3 default")} == {"ok"}


def test_doctor_schema_behind_fails_with_the_migration(site: Callable[..., None]) -> None:
    import sqlalchemy as sa

    from platyspark_provider.airflow_core.db import airflow_engine

    with airflow_engine().begin() as connection:
        connection.execute(sa.text("ALTER TABLE alembic_version_platyspark RENAME TO hidden"))
    try:
        said = doctor(process="api-server")
    finally:
        with airflow_engine().begin() as connection:
            connection.execute(sa.text("ALTER TABLE hidden RENAME TO alembic_version_platyspark"))
    (schema,) = found(said, "schema")
    assert (schema["status"], schema["fix"], said.code) == ("fail", "airflow db migrate", 1)
    assert found(said, "airflow")[0]["status"] == "ok"


@pytest.fixture
def watchdog_dag(airflow_db: None) -> Iterator[Callable[..., None]]:
    """Yield a function that puts the watchdog's DAG into Airflow's tables, or changes it; it is gone afterwards."""
    from airflow import settings
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel

    from platyspark_provider.dags import watchdog_dag

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from airflow.serialization.definitions.dag import SerializedDAG
        from airflow.serialization.serialized_objects import LazyDeserializedDAG

        with settings.Session() as session:
            session.merge(DagBundleModel(name="tests"))
            session.commit()
            SerializedDAG.bulk_write_to_db("tests", None, [LazyDeserializedDAG.from_dag(watchdog_dag())], session=session)
            session.commit()
            row = session.get(DagModel, "platyspark_watchdog")
            assert row is not None

            def change(**values: Any) -> None:
                for name, value in values.items():
                    setattr(row, name, value)
                session.commit()

            yield change
            session.delete(row)
            session.commit()


@pytest.mark.usefixtures("site")
def test_doctor_dags_of_watchdog_and_observer_by_what_airflow_knows(
    watchdog_dag: Callable[..., None], store_of_airflow: StoreFactory
) -> None:
    watchdog_dag(is_stale=False, is_paused=True)
    said = doctor(process="api-server")
    (paused,) = found(said, "watchdog")
    assert (paused["status"], paused["fix"]) == ("fail", "airflow dags unpause platyspark_watchdog")
    (observer,) = found(said, "observer")
    assert (observer["status"], "no DAG platyspark_observer" in observer["found"]) == ("fail", True)

    watchdog_dag(is_paused=False)
    with store_of_airflow() as store:
        store.lease("watchdog", holder="h", seconds=60.0)
    said = doctor(process="api-server")
    assert "has not run yet" in found(said, "watchdog")[0]["found"]
    assert "The watchdog is at work." in [row["found"] for row in found(said, "passes")]
    with store_of_airflow() as store:
        store.lease("watchdog", holder="h", seconds=0.0)


def test_doctor_on_postgresql_names_it(postgres_engine: Any, monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> None:
    from airflow import settings

    monkeypatch.setattr(settings, "engine", postgres_engine)
    said = doctor(process="api-server")
    (database,) = found(said, "database")
    assert (database["status"], database["found"].startswith("PostgreSQL ")) == ("ok", True)
    assert found(said, "schema")[0]["status"] == "fail"  # these tables were made without a version


def test_doctor_without_the_database_names_the_command_in_each_of_its_checks(monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> None:
    import sqlalchemy as sa
    from airflow import settings

    monkeypatch.setattr(settings, "engine", sa.create_engine("sqlite:////nowhere/at/all.db"))
    said = doctor(process="api-server")
    for check in ("database", "schema", "clock", "passes"):
        (gone,) = found(said, check)
        assert (gone["status"], "airflow db check" in gone["fix"]) == ("fail", True), gone
    assert found(said, "airflow")[0]["status"] == "ok"
