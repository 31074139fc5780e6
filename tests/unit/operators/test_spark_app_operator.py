"""`SparkAppOperator` against a real worker API over a store in memory, with a fake backend behind it."""

import dataclasses
import signal
import types
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
from structlog.testing import capture_logs

from platyspark_provider import SparkAppOperator, errors
from platyspark_provider.core.ports import Registry
from platyspark_provider.core.states import AppPhase
from platyspark_provider.core.transitions import request_stop
from platyspark_provider.operators.killed import TaskKilled
from platyspark_provider.operators.links import PlatySparkAppLink, PlatySparkLogLink
from platyspark_provider.operators.outcome import SparkAppFailed, SparkAppLost, SparkAppStopped
from platyspark_provider.operators.submission import Caller
from platyspark_provider.testing import Fault
from platyspark_provider.triggers.app import AppTrigger
from tests.api_servers import add_token, connection_json, serve
from tests.desks import TI, Desk

LOG_WITH_ERROR = """Traceback (most recent call last):
  File "/tmp/job.py", line 14, in <module>
    out.write.mode("overwrite").save("x")
pyspark.errors.exceptions.captured.NumberFormatException: [CAST_INVALID_INPUT] The value 'NA' of the type "STRING" cannot be cast to \
"DOUBLE" because it is malformed. SQLSTATE: 22018
"""


class FakeTask:
    """The task instance of a context: its id, and the XComs it pushed."""

    def __init__(self, ti_id: str = TI) -> None:
        self.id = ti_id
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


class DeskOperator(SparkAppOperator):
    """The operator with the desk's backend, S3 and clock; its registry is the real client over HTTP."""

    desk: Desk

    def _caller(self, registry: Registry) -> Caller:
        fakes = self.desk.caller(ti_id=self._ti_id, registry=registry)
        return dataclasses.replace(fakes, log=self.log, patience=dataclasses.replace(fakes.patience, log=self.log))


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    desk = Desk()
    add_token(desk, "secret", "worker")
    with serve(desk) as url:
        monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, "secret"))
        yield desk


@pytest.fixture
def dag_file(tmp_path: Path) -> Path:
    (tmp_path / "job.py").write_text("print(1)")
    return tmp_path / "dag.py"


def operator(desk: Desk, **values: Any) -> DeskOperator:
    task = DeskOperator(**{"task_id": "agg", "application": "job.py", **values})
    task.desk = desk
    return task


def context(dag_file: Path, task: FakeTask | None = None) -> Any:
    return {"ti": task or FakeTask(), "dag": types.SimpleNamespace(fileloc=str(dag_file), relative_fileloc="dag.py")}


def deferred(task: DeskOperator, where: Any) -> AppTrigger:
    with pytest.raises(TaskDeferred) as pause:
        task.execute(where)
    trigger = pause.value.trigger
    assert isinstance(trigger, AppTrigger)
    assert (pause.value.method_name, pause.value.timeout) == ("resume", None)
    return trigger


RAN_S = 7.0


def ended(trigger: AppTrigger) -> dict[str, Any]:
    return {"app_id": trigger.app_id, "generation": trigger.generation, "outcome": "ended"}


def finish(desk: Desk, trigger: AppTrigger, state: Any = "succeeded", log: str | None = None) -> None:
    desk.pass_once()
    desk.clock.advance(RAN_S)
    desk.backend.finish(desk.run_name(trigger.app_id, trigger.generation), state)
    if log is not None:
        desk.backend.write_log(desk.run_name(trigger.app_id, trigger.generation), log)
    desk.clock.advance(60)
    desk.pass_once()
    desk.pass_once()


def said(lines: Any) -> str:
    return "\n".join(line["event"] % line["positional_args"] if line.get("positional_args") else line["event"] for line in lines)


def test_spark_app_operator_defers_after_its_submit_and_returns_ids_and_figures(desk: Desk, dag_file: Path) -> None:
    where = context(dag_file)
    trigger = deferred(operator(desk), where)
    assert (trigger.generation, trigger.conn_id, trigger.poll_s) == (1, "platyspark_default", 10.0)
    assert desk.detail(trigger.app_id).attempt.phase is AppPhase.PENDING
    finish(desk, trigger)
    result = operator(desk).resume(where, ended(trigger))
    attempt = desk.detail(trigger.app_id).attempt
    assert result["app_id"] == trigger.app_id
    assert result["external_id"] == attempt.external_id
    assert result["cluster_id"] in desk.backend.clusters
    assert result["duration_s"] == RAN_S
    assert attempt.acknowledged_at is not None


def test_spark_app_operator_retry_attaches_and_says_so(desk: Desk, dag_file: Path) -> None:
    first = deferred(operator(desk), context(dag_file))
    desk.tasks.archive(TI, state="failed")
    desk.add_task("ti-2", try_number=2)
    with capture_logs() as lines:
        second = deferred(operator(desk), context(dag_file, FakeTask("ti-2")))
    assert second.app_id == first.app_id
    assert desk.backend.calls["submit"] == 1
    assert "not resubmitted" in said(lines)


def test_spark_app_operator_retry_after_the_end_takes_the_result_without_a_wait(desk: Desk, dag_file: Path) -> None:
    trigger = deferred(operator(desk), context(dag_file))
    finish(desk, trigger)
    desk.tasks.archive(TI, state="failed")
    desk.add_task("ti-2", try_number=2)
    result = operator(desk).execute(context(dag_file, FakeTask("ti-2")))
    assert (result["app_id"], desk.backend.calls["submit"]) == (trigger.app_id, 1)


def test_spark_app_operator_own_fault_fails_without_retry_and_shows_the_card(desk: Desk, dag_file: Path) -> None:
    trigger = deferred(operator(desk), context(dag_file))
    finish(desk, trigger, "failed", LOG_WITH_ERROR)
    with pytest.raises(SparkAppFailed) as failure:
        operator(desk).resume(context(dag_file), ended(trigger))
    assert isinstance(failure.value, AirflowFailException)
    assert isinstance(failure.value, errors.SparkAppFailed)
    text = str(failure.value)
    assert "CAST_INVALID_INPUT" in text
    assert "job.py:14" in text
    assert "fake://logs/" in text
    assert desk.detail(trigger.app_id).attempt.acknowledged_at is not None


def test_spark_app_operator_unexplained_failure_may_retry_and_says_that_the_log_is_missing(desk: Desk, dag_file: Path) -> None:
    trigger = deferred(operator(desk), context(dag_file))
    finish(desk, trigger, "failed")
    with pytest.raises(SparkAppLost) as failure:
        operator(desk).resume(context(dag_file), ended(trigger))
    assert not isinstance(failure.value, AirflowFailException)
    assert "log" in str(failure.value)


def test_spark_app_operator_retry_after_a_failure_begins_a_new_generation(desk: Desk, dag_file: Path) -> None:
    trigger = deferred(operator(desk), context(dag_file))
    finish(desk, trigger, "failed")
    with pytest.raises(SparkAppLost):
        operator(desk).resume(context(dag_file), ended(trigger))
    desk.tasks.archive(TI, state="failed")
    desk.add_task("ti-2", try_number=2)
    again = deferred(operator(desk), context(dag_file, FakeTask("ti-2")))
    assert (again.app_id, again.generation) == (trigger.app_id, 2)


def test_spark_app_operator_stopped_run_fails_without_retry_and_names_the_reason(desk: Desk, dag_file: Path) -> None:
    trigger = deferred(operator(desk), context(dag_file))
    desk.pass_once()
    desk.store.change_app(trigger.app_id, 1, lambda state, now: request_stop(state, reason="the data is wrong", actor="user:dana", now=now))
    for _ in range(4):
        desk.clock.advance(30)
        desk.pass_once()
    with pytest.raises(SparkAppStopped, match=r"by user:dana: the data is wrong") as failure:
        operator(desk).resume(context(dag_file), ended(trigger))
    assert isinstance(failure.value, AirflowFailException)


def test_spark_app_operator_end_that_can_not_be_acknowledged_is_told_all_the_same(desk: Desk, dag_file: Path) -> None:
    trigger = deferred(operator(desk), context(dag_file))
    finish(desk, trigger, "failed", LOG_WITH_ERROR)
    desk.tasks.archive(TI, state="failed")
    with capture_logs() as lines, pytest.raises(SparkAppFailed, match="CAST_INVALID_INPUT"):
        operator(desk).resume(context(dag_file), ended(trigger))
    assert "not acknowledged" in said(lines)


def test_spark_app_operator_superseded_wait_fails_for_good(desk: Desk, dag_file: Path) -> None:
    trigger = deferred(operator(desk, app_key="shared-key"), context(dag_file))
    event = {**ended(trigger), "outcome": "superseded"}
    with pytest.raises(AirflowFailException, match="Superseded"):
        operator(desk).resume(context(dag_file), event)


def test_spark_app_operator_blind_wait_may_retry(desk: Desk, dag_file: Path) -> None:
    trigger = deferred(operator(desk), context(dag_file))
    event = {**ended(trigger), "outcome": "blind", "message": "No view of the application for 700 s: refused"}
    with pytest.raises(AirflowException, match="700 s: refused") as failure:
        operator(desk).resume(context(dag_file), event)
    assert not isinstance(failure.value, AirflowFailException)


def test_spark_app_operator_resumed_too_early_waits_on(desk: Desk, dag_file: Path) -> None:
    trigger = deferred(operator(desk), context(dag_file))
    with pytest.raises(TaskDeferred):
        operator(desk).resume(context(dag_file), {**ended(trigger), "outcome": "missing"})


def test_spark_app_operator_without_waiting_returns_ids_and_leaves_the_run_alone(desk: Desk, dag_file: Path) -> None:
    result = operator(desk, wait=False).execute(context(dag_file))
    attempt = desk.detail(result["app_id"]).attempt
    assert result["external_id"] == attempt.external_id
    assert (result["duration_s"], attempt.phase) == (None, AppPhase.PENDING)


def test_spark_app_operator_in_the_worker_acts_by_itself_until_the_end(desk: Desk, dag_file: Path) -> None:
    """No observer runs here: the task alone creates the cluster, sends, and sees the end."""
    desk.backend.fail("create_cluster", Fault.THROTTLE)
    desk.backend.ready_after_s = 25.0
    clock, ends_at = desk.clock, desk.clock.now() + timedelta(seconds=120)
    sleep = clock.sleep

    def sleep_and_run(seconds: float) -> None:
        sleep(seconds)
        for run in desk.backend.runs.values():
            desk.backend.tick()
            if clock.now() >= ends_at and run.ended_at is None:
                desk.backend.end_run(run, "succeeded")

    clock.sleep = sleep_and_run  # type: ignore[method-assign]
    where = context(dag_file)
    with capture_logs() as lines:
        result = operator(desk, deferrable=False).execute(where)
    assert result["duration_s"] > 0
    assert desk.backend.calls["submit"] == 1
    for phase in ("running", "succeeded"):
        assert f"Application {result['app_id']} generation 1: {phase}" in said(lines)


def test_spark_app_operator_in_the_worker_waits_out_the_api_server(desk: Desk, dag_file: Path) -> None:
    class Flaky:
        def __init__(self, real: Any) -> None:
            self.real, self.refusals = real, 0

        def __getattr__(self, name: str) -> Any:
            if name in {"due", "detail"} and self.refusals:
                self.refusals -= 1
                raise errors.RegistryUnavailable("No answer.")
            return getattr(self.real, name)

    class FlakyOperator(DeskOperator):
        def _caller(self, registry: Registry) -> Caller:
            self.flaky: Any = Flaky(registry)
            return super()._caller(self.flaky)

    task = FlakyOperator(task_id="agg", application="job.py", deferrable=False)
    task.desk = desk
    sleep, polls = desk.clock.sleep, []

    def sleep_and_fail(seconds: float) -> None:
        sleep(seconds)
        polls.append(seconds)
        if len(polls) == 1:
            task.flaky.refusals = 3
        if len(polls) == 6:
            for run in desk.backend.runs.values():
                desk.backend.end_run(run, "succeeded")

    desk.clock.sleep = sleep_and_fail  # type: ignore[method-assign]
    with capture_logs() as lines:
        assert task.execute(context(dag_file))["app_id"] > 0
    assert said(lines).count("this task waits") >= 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"application": "none.py"}, ("ArtifactMissing", "none.py", "folder of the DAG file")),
        ({"args": "--x"}, ("InvalidRequest", "args is '--x'", "Write args=")),
        ({"cluster": "sharde"}, ("UnknownProfile", "shared")),
        ({"application": "s3://code/none.py"}, ("ArtifactMissing", "s3://code/none.py")),
    ],
)
def test_spark_app_operator_bad_request_fails_without_retry(desk: Desk, dag_file: Path, values: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(AirflowFailException) as failure:
        operator(desk, **values).execute(context(dag_file))
    for word in words:
        assert word in str(failure.value)
    assert desk.backend.calls["submit"] == 0


def test_spark_app_operator_pushes_its_links_before_it_waits(desk: Desk, dag_file: Path) -> None:
    task = FakeTask()
    running = operator(desk)
    deferred(running, context(dag_file, task))
    address = task.xcoms["_link_PlatySparkAppLink"]
    assert "console.aws.amazon.com/emr" in address
    assert PlatySparkAppLink().get_link(running, ti_key=None) == address
    assert PlatySparkLogLink().get_link(running, ti_key=None) == ""


def test_spark_app_operator_on_kill_asks_for_a_stop_and_ends_the_task(desk: Desk, dag_file: Path) -> None:
    running = operator(desk)
    trigger = deferred(running, context(dag_file))
    desk.pass_once()
    desk.tasks.archive(TI, state="failed")
    with pytest.raises(TaskKilled):
        running.on_kill()
    assert desk.detail(trigger.app_id).attempt.phase is AppPhase.CANCELLING


def test_spark_app_operator_on_kill_of_a_living_try_leaves_the_run_alone(desk: Desk, dag_file: Path) -> None:
    """A worker that is drained gets the same signal: the next try attaches."""
    running = operator(desk)
    trigger = deferred(running, context(dag_file))
    desk.pass_once()
    with pytest.raises(TaskKilled):
        running.on_kill()
    assert desk.detail(trigger.app_id).attempt.phase is AppPhase.RUNNING


def test_spark_app_operator_on_kill_before_its_submit_only_ends_the_task(desk: Desk) -> None:
    with pytest.raises(TaskKilled):
        operator(desk).on_kill()
    assert desk.store.snapshot().apps == ()


def test_spark_app_operator_on_kill_without_api_server_still_ends_the_task(desk: Desk, dag_file: Path) -> None:
    running = operator(desk)
    deferred(running, context(dag_file))
    running._endpoint = dataclasses.replace(running._endpoint, base_url="http://127.0.0.1:9")
    with capture_logs() as lines, pytest.raises(TaskKilled):
        running.on_kill()
    assert "the stop was not written" in said(lines)


def test_spark_app_operator_killed_in_the_middle_of_a_step_sends_nothing(desk: Desk, dag_file: Path) -> None:
    """The signal arrives while the executor is between creating the cluster and sending: its guards must not swallow it."""
    running = operator(desk)
    real = desk.backend.create_cluster

    def create_then_signal(*args: Any, **values: Any) -> str:
        made = real(*args, **values)
        desk.tasks.archive(TI, state="failed")
        signal.raise_signal(signal.SIGTERM)
        return made

    desk.backend.create_cluster = create_then_signal  # type: ignore[method-assign]
    before = signal.signal(signal.SIGTERM, lambda *_: running.on_kill())
    try:
        with pytest.raises(TaskKilled):
            running.execute(context(dag_file))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert desk.backend.calls["submit"] == 0


def test_spark_app_operator_unknown_argument_is_refused_at_parse_time() -> None:
    for name in ("python_env", "notify"):
        with pytest.raises(TypeError, match=name):
            SparkAppOperator(task_id="x", application="job.py", **{name: "y"})


def test_spark_app_operator_template_fields_are_its_own_attributes() -> None:
    task = SparkAppOperator(task_id="x", application="{{ ds }}.py", conf={"spark.x": "{{ ds }}"}, max_runtime=timedelta(hours=1))
    task.render_template_fields({"ds": "2026-01-01"})  # type: ignore[arg-type,typeddict-unknown-key]
    assert task.application == "2026-01-01.py"
    assert task.conf == {"spark.x": "2026-01-01"}
    assert task.max_runtime == timedelta(hours=1)


def test_spark_app_operator_maps_over_arguments() -> None:
    from airflow.sdk import DAG

    with DAG("d", schedule=None) as dag:
        SparkAppOperator.partial(task_id="per_country", application="job.py").expand(args=[["--c", "de"], ["--c", "fr"]])
    assert dag.get_task("per_country").is_mapped
