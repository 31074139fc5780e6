"""Jobs as DAG authors write them, on emrsim: the operator in a worker, the worker API, EMR's calls, and real drivers."""

import dataclasses
import hashlib
import json
import random
import tarfile
import types
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from structlog.testing import capture_logs

from platyspark_provider import SparkAppOperator
from platyspark_provider.backends.emr import EmrBackend
from platyspark_provider.backends.emr_api import EmrClients
from platyspark_provider.core.ports import Registry
from platyspark_provider.emrsim.client import EmrSim
from platyspark_provider.hooks.clock import SystemClock
from platyspark_provider.operators.outcome import SparkAppFailed
from platyspark_provider.operators.submission import Caller
from platyspark_provider.packaging.artifacts import put_missing
from platyspark_provider.profiles_file import ProfilesFile
from tests.api_server import add_token, make_services, serve
from tests.api_servers import connection_json
from tests.builders import make_target
from tests.contract.backend_worlds import BUCKET, EmrWorld, attempt_ref, cluster_name
from tests.contract.backend_worlds import JOB as WAITING_JOB
from tests.desks import Desk, OneBackend
from tests.integration.emrsim.conftest import FAST

SECRET = "plsp_jobs"
PROFILES = """
artifacts: s3://artifacts/files
profiles:
  shared: {log_uri: "s3://artifacts/logs"}
  client: {extends: shared, cluster: shared, deploy_mode: client}
"""
# Characters that shells, Java and properties files trip over; what YARN's own launcher changes is left out.
ALPHABET = "ab  \t\n'\"$!*?~#&;|<>()[]=,%^-_:@é漢🎉"
JOB = """
import hashlib, json, pathlib, sys
words = json.dumps(sys.argv[1:]).encode()
conf, env = pathlib.Path("b.conf").read_text(), pathlib.Path("env/name").read_text()
result = {"sha256": hashlib.sha256(words).hexdigest(), "conf": conf, "env": env}
print("platyspark-result: " + json.dumps(result))
"""


class JobOperator(SparkAppOperator):
    """The operator with emrsim's backend; all else is what users run."""

    desk: Desk
    s3: Any

    def _caller(self, registry: Registry) -> Caller:
        made = self.desk.caller(ti_id=self._ti_id, registry=registry)
        return dataclasses.replace(made, log=self.log, s3_of=lambda target: self.s3)


class Task:
    """The task instance of a context."""

    def __init__(self, ti_id: str) -> None:
        self.id = ti_id

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep nothing."""


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmrSim]:
    with EmrSim.start(tmp_path_factory.mktemp("sim"), **FAST) as running:
        running.boto3("s3").create_bucket(Bucket="artifacts")
        yield running


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(sim: EmrSim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Yield what runs one task in a worker to its XCom."""
    once = Config(retries={"total_max_attempts": 1})
    emr, s3 = sim.boto3("emr", config=once), sim.boto3("s3")
    desk = Desk(clock=SystemClock())  # type: ignore[arg-type]
    target = make_target(yarn_url=sim.url + "/emrsim/yarn/{cluster}")
    desk.backends = OneBackend(EmrBackend(EmrClients(mutating=emr, reading=emr, s3=s3), target, put=partial(put_missing, s3)))
    add_token(desk.store.open, SECRET)
    profiles = tmp_path / "profiles.yaml"
    profiles.write_text(PROFILES)

    def run(**values: Any) -> dict[str, Any]:
        task = JobOperator(task_id="job", deferrable=False, **values)
        task.desk, task.s3 = desk, s3
        dag = types.SimpleNamespace(fileloc=str(tmp_path / "dag.py"), relative_fileloc="dag.py")
        desk.add_task("ti-job", task_id="job")
        return task.execute({"ti": Task("ti-job"), "dag": dag})  # type: ignore[typeddict-item]

    with serve(make_services(desk.store.open, desk.tasks, profiles=ProfilesFile(profiles))) as url:
        monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, SECRET))
        monkeypatch.setenv("AIRFLOW__PLATYSPARK__POLL_INTERVAL", "0.2")
        yield run


@pytest.mark.slow
def test_job_of_300_arguments_gets_each_as_it_is_with_its_files_under_their_aliases(run: Run, sim: EmrSim, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "a.conf").write_text("of a.conf")
    (tmp_path / "name").write_text("of env.tar.gz")
    with tarfile.open(tmp_path / "env.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "name", "name")
    dice = random.Random(11)
    arguments = ["".join(dice.choices(ALPHABET, k=100)) for _ in range(300)]

    result = run(
        application="job.py", args=arguments, files=["a.conf#b.conf"], archives=["env.tar.gz#env"], metrics=["sha256", "conf", "env"]
    )

    assert result["sha256"] == hashlib.sha256(json.dumps(arguments).encode()).hexdigest()
    assert (result["conf"], result["env"]) == ("of a.conf", "of env.tar.gz")
    (call,) = sim.journal(operation="AddJobFlowSteps")[-1:]
    assert "launch.sh" in json.dumps(call)


@pytest.mark.slow
def test_job_of_sql_reports_its_rows_and_its_last_row(run: Run, tmp_path: Path) -> None:
    (tmp_path / "agg.sql").write_text("""
        -- a table; then its figures
        CREATE TABLE days (n BIGINT, word STRING) USING parquet;
        INSERT INTO days SELECT id, 'a;b' FROM range(7);
        SELECT max(n) AS largest, max(word) AS word FROM days
    """)
    sql = (tmp_path / "agg.sql").read_text()

    result = run(sql=sql, metrics=["largest", "word"])

    assert (result["rows"], result["largest"], result["word"]) == (7, 6, "a;b")


@pytest.mark.slow
def test_job_of_sql_that_fails_in_client_mode_names_error_and_line(run: Run) -> None:
    with capture_logs(), pytest.raises(SparkAppFailed) as failure:
        run(sql="SELECT 1;\n\nSELECT id,\n  nope\nFROM range(3)", cluster="client", conf={"spark.sql.catalogImplementation": "in-memory"})

    card = str(failure.value)
    assert "[UNRESOLVED_COLUMN.WITH_SUGGESTION]" in card
    assert "(SQLSTATE 42703)" in card
    assert "at query.sql:4  nope" in card
    assert "check the column's name" in card


@pytest.mark.slow
def test_long_command_is_found_by_name_and_stopped_with_proof_as_any_other(sim: EmrSim, tmp_path: Path) -> None:
    s3, world = sim.boto3("s3"), EmrWorld(sim, tmp_path)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="job.py", Body=WAITING_JOB.encode())
    short = world.launch(7)
    spec = dataclasses.replace(short.spec, args=(*short.spec.args, "x" * 11_000), artifacts="s3://artifacts/files")
    launch = dataclasses.replace(short, spec=spec)
    backend = world.backend
    cluster = backend.create_cluster(world.spec(), name=str(cluster_name()), token="c-1", tags={})

    (step,) = backend.submit(cluster, [launch])
    world.until(lambda: world.has_driver(launch.name))
    assert [sight.external_id for sight in backend.find_attempts(cluster, {launch.name})[launch.name]] == [step]

    backend.stop(attempt_ref(world, launch, cluster, step), 1)
    world.until(lambda: not world.has_driver(launch.name))
    world.until(lambda: backend.prove_dead(attempt_ref(world, launch, cluster, step, stop_stage=1)).state == "dead")
    backend.terminate_cluster(cluster)
