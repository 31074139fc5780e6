"""`sql=` and `metrics=` of `SparkAppOperator`, and how mapped operators bear them, against a real worker API."""

import logging
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException
from structlog.testing import capture_logs

from platyspark_provider import SparkAppOperator
from platyspark_provider.core.states import OnLimit
from tests.desks import TI, Desk
from tests.unit.operators.test_spark_app_operator import (
    DeskOperator,
    FakeTask,
    context,
    dag_file,
    deferred,
    desk,
    ended,
    finish,
    operator,
    said,
)

__all__ = ["dag_file", "desk"]

RESULT = 'INFO ready\nplatyspark-result: {"rows": 42, "max_day": "2026-11-24", "tables": ["a", "b"]}\n'


def sql_operator(desk: Desk, folder: Path, **values: Any) -> DeskOperator:
    """Return a task of a DAG in a folder, rendered as Airflow does before it runs."""
    with DAG("daily", schedule=None, template_searchpath=[str(folder)]):
        task = DeskOperator(**{"task_id": "agg", **values})
    task.desk = desk
    task.render_template_fields({"ds": "2026-11-24"})  # type: ignore[arg-type,typeddict-unknown-key]
    return task


def submitted_sql(desk: Desk, task: DeskOperator, dag_file: Path) -> str | None:
    where = {**context(dag_file), "ds": "2026-11-24"}
    trigger = deferred(task, where)
    return desk.detail(trigger.app_id).attempt.spec.sql


def test_operator_sql_statement_is_rendered_and_kept_with_its_run(desk: Desk, dag_file: Path) -> None:
    task = sql_operator(desk, dag_file.parent, sql="insert into t select '{{ ds }}'; select 1")
    assert submitted_sql(desk, task, dag_file) == "insert into t select '2026-11-24'; select 1"


def test_operator_sql_statement_that_ends_like_a_file_stays_a_statement(desk: Desk, dag_file: Path) -> None:
    task = sql_operator(desk, dag_file.parent, sql="select * from meta.sql")
    assert submitted_sql(desk, task, dag_file) == "select * from meta.sql"


@pytest.mark.parametrize("is_parsed", [True, False], ids=["by Airflow", "as a script"])
def test_operator_sql_file_is_read_and_rendered(desk: Desk, dag_file: Path, is_parsed: bool) -> None:
    folder = dag_file.parent
    (folder / "queries").mkdir()
    (folder / "queries" / "filter.sql").write_text("where day = '{{ ds }}'")
    (folder / "queries" / "agg.sql").write_text("select 1 -- ünï\n{% include 'queries/filter.sql' %}")
    with DAG("daily", schedule=None, template_searchpath=[str(folder)]) as dag:
        task = DeskOperator(task_id="agg", sql="queries/agg.sql", files=["queries/filter.sql"])
    task.desk = desk
    if is_parsed:
        dag.resolve_template_files()
        assert str(task.sql).startswith("select 1 -- ünï"), "the UI shows the file's text"
    task.render_template_fields({"ds": "2026-11-24"})  # type: ignore[arg-type,typeddict-unknown-key]
    assert submitted_sql(desk, task, dag_file) == "select 1 -- ünï\nwhere day = '2026-11-24'"
    assert task.files == ["queries/filter.sql"], "a file that is called so is no template"


def test_operator_sql_file_named_by_a_template_is_read_when_the_task_runs(desk: Desk, dag_file: Path) -> None:
    (dag_file.parent / "q-2026-11-24.sql").write_text("select '{{ ds }}'")
    task = sql_operator(desk, dag_file.parent, sql="q-{{ ds }}.sql")
    assert submitted_sql(desk, task, dag_file) == "select '2026-11-24'"


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("queries/none.sql", ("ArtifactMissing", "sql is 'queries/none.sql': no such text file in ", "template_searchpath")),
        ("s3://code/agg.sql", ("InvalidRequest", "an address", "beside the DAG")),
        ("  ", ("InvalidRequest", "sql is '  ': empty")),
    ],
)
def test_operator_sql_that_can_not_be_had_fails_for_good(desk: Desk, dag_file: Path, sql: str, words: tuple[str, ...]) -> None:
    task = sql_operator(desk, dag_file.parent, sql=sql)
    with pytest.raises(AirflowFailException) as failure:
        task.execute(context(dag_file))
    for word in words:
        assert word in str(failure.value)
    assert desk.backend.calls["submit"] == 0


def test_operator_missing_sql_file_names_the_folder_it_was_sought_in(desk: Desk, dag_file: Path) -> None:
    with DAG("daily", schedule=None, template_searchpath=[str(dag_file.parent)]) as dag:
        task = DeskOperator(task_id="agg", sql="none.sql")
    task.desk = desk
    dag.resolve_template_files()
    with pytest.raises(AirflowFailException, match=str(dag_file.parent)):
        task.execute(context(dag_file))


def test_operator_metrics_are_picked_from_what_the_job_reported(desk: Desk, dag_file: Path) -> None:
    trigger = deferred(operator(desk, metrics=["max_day", "tables"]), context(dag_file))
    assert trigger.log_on_success
    finish(desk, trigger, log=RESULT)
    with capture_logs() as lines:
        result = operator(desk, metrics=["max_day", "tables"]).resume(context(dag_file), ended(trigger))
    assert (result["rows"], result["max_day"], result["tables"]) == (42, "2026-11-24", ["a", "b"])
    assert set(result) == {"app_id", "generation", "cluster_id", "external_id", "duration_s", "rows", "log_uri", "max_day", "tables"}
    assert "No value for" not in said(lines)


def test_operator_metric_that_the_job_did_not_report_is_none_and_told(desk: Desk, dag_file: Path) -> None:
    trigger = deferred(operator(desk, metrics=["max_day", "min_day"]), context(dag_file))
    finish(desk, trigger, log=RESULT)
    with capture_logs() as lines:
        result = operator(desk, metrics=["max_day", "min_day"]).resume(context(dag_file), ended(trigger))
    assert (result["max_day"], result["min_day"]) == ("2026-11-24", None)
    assert "No value for 'min_day': the driver printed no line 'platyspark-result: {...}'" in said(lines)


@pytest.mark.parametrize(("values", "name"), [({"metrics": ["max_day"]}, "max_day"), ({"application": None, "sql": "select 1"}, "rows")])
def test_operator_log_that_did_not_arrive_in_time_leaves_none_and_says_where_it_will_be(
    desk: Desk, dag_file: Path, values: Any, name: str
) -> None:
    trigger = deferred(operator(desk, **values), context(dag_file))
    finish(desk, trigger)
    with capture_logs() as lines:
        result = operator(desk, **values).resume(context(dag_file), ended(trigger))
    assert result[name] is None
    assert f"No value for '{name}': the driver's log has not arrived (it will be at fake://logs/" in said(lines)
    assert "[platyspark] log_wait" in said(lines)


def test_operator_without_metrics_ends_at_once_and_says_nothing_of_rows(desk: Desk, dag_file: Path) -> None:
    trigger = deferred(operator(desk), context(dag_file))
    assert not trigger.log_on_success
    finish(desk, trigger)
    with capture_logs() as lines:
        assert operator(desk).resume(context(dag_file), ended(trigger))["rows"] is None
    assert "No value for" not in said(lines)


def test_operator_retry_that_finds_the_end_waits_for_the_result_it_wants(desk: Desk, dag_file: Path) -> None:
    trigger = deferred(operator(desk, metrics=["max_day"]), context(dag_file))
    finish(desk, trigger)
    desk.tasks.archive(TI, state="failed")
    desk.add_task("ti-2", try_number=2)
    again = deferred(operator(desk, metrics=["max_day"]), context(dag_file, FakeTask("ti-2")))
    assert (again.app_id, again.generation) == (trigger.app_id, trigger.generation)
    desk.backend.write_log(desk.run_name(trigger.app_id), RESULT)
    desk.pass_once()
    result = operator(desk, metrics=["max_day"]).resume(context(dag_file, FakeTask("ti-2")), ended(trigger))
    assert result["max_day"] == "2026-11-24"


def test_operator_in_the_worker_waits_for_the_result_by_itself(desk: Desk, dag_file: Path) -> None:
    sleep, ends_at = desk.clock.sleep, desk.clock.now()

    def sleep_and_run(seconds: float) -> None:
        sleep(seconds)
        for run in desk.backend.runs.values():
            desk.backend.tick()
            if run.ended_at is None and run.started_at is not None:
                desk.backend.end_run(run, "succeeded")
            elif run.ended_at is not None and run.log is None and (desk.clock.now() - ends_at).total_seconds() > 90:
                desk.backend.write_log(run.name, RESULT)

    desk.clock.sleep = sleep_and_run  # type: ignore[method-assign]
    result = operator(desk, deferrable=False, metrics=["max_day"]).execute(context(dag_file))
    assert (result["rows"], result["max_day"]) == (42, "2026-11-24")


def test_operator_without_waiting_returns_what_is_known_at_the_submit(desk: Desk, dag_file: Path) -> None:
    result = operator(desk, wait=False).execute(context(dag_file))
    attempt = desk.detail(result["app_id"]).attempt
    assert result == {
        "app_id": attempt.app_id,
        "generation": 1,
        "cluster_id": next(iter(desk.backend.clusters)),
        "external_id": attempt.external_id,
        "duration_s": None,
        "rows": None,
        "log_uri": None,
    }


def test_operator_limit_and_what_to_do_at_it_are_kept_with_the_run(desk: Desk, dag_file: Path) -> None:
    trigger = deferred(operator(desk, max_runtime="90m", on_limit="alert"), context(dag_file))
    spec = desk.detail(trigger.app_id).attempt.spec
    assert (spec.max_runtime_s, spec.on_limit) == (5400, OnLimit.ALERT)


def test_operator_argument_that_yarn_changes_is_told_in_the_log(desk: Desk, dag_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with capture_logs() as lines, caplog.at_level(logging.WARNING):
        deferred(operator(desk, args=['{"a": {"b": 1}}']), context(dag_file))
    assert "args[0] holds {{ or }}" in said(lines)


@pytest.mark.parametrize(
    ("fixed", "mapped", "expected"),
    [
        ({"application": "job.py"}, {"args": [["--c", "de"], ["--c", "fr"]]}, [("job.py", ["--c", "de"]), ("job.py", ["--c", "fr"])]),
        ({"args": ["x"]}, {"application": ["a.py", "b.py"]}, [("a.py", ["x"]), ("b.py", ["x"])]),
    ],
)
def test_operator_mapped_over_arguments_or_applications_unmaps_to_each(fixed: Any, mapped: Any, expected: Any) -> None:
    with DAG("daily", schedule=None):
        per_country = SparkAppOperator.partial(task_id="per_country", **fixed).expand(**mapped)
    ((name, values),) = mapped.items()
    made = [per_country.unmap({name: value}) for value in values]
    assert [(task.application, list(task.args)) for task in made] == expected


def test_operator_mapped_over_sql_files_runs_each_files_statement(desk: Desk, dag_file: Path) -> None:
    for day in ("monday", "friday"):
        (dag_file.parent / f"{day}.sql").write_text(f"select '{day} {{{{ ds }}}}'")
    with DAG("daily", schedule=None, template_searchpath=[str(dag_file.parent)]) as dag:
        each = DeskOperator.partial(task_id="each").expand(sql=["monday.sql", "friday.sql"])
    dag.resolve_template_files()
    seen = []
    for index, name in enumerate(("monday.sql", "friday.sql")):
        task = each.unmap({"sql": name})
        task.desk = desk
        desk.add_task(f"ti-{index}", map_index=index)
        where = {**context(dag_file, FakeTask(f"ti-{index}")), "ds": "2026-11-24"}
        seen.append(desk.detail(deferred(task, where).app_id).attempt.spec.sql)
    assert seen == ["select 'monday 2026-11-24'", "select 'friday 2026-11-24'"]
