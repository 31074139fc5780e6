"""A retry attaches, a clear runs again, a kill kills: counted in OS processes that the jobs themselves recorded."""

import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from demo.airflow_api import AirflowApi
from demo.stack import Stack
from tests.e2e.processes import runs_of, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


def let_go(folder: Path, name: str) -> None:
    (folder / f"{name}.go").touch()


def started(folder: Path, name: str, count: int = 1):
    return until(f"{count} drivers of {name}", lambda: len(found := runs_of(folder, name)) >= count and found)


def app_of(stack: Stack, api: AirflowApi, dag_id: str, run: str) -> dict:
    return api.xcom(dag_id, run, "run")


def test_worker_killed_while_the_job_runs_retry_reattaches(stack: Stack, api: AirflowApi, record_dir: Path):
    run = api.trigger("waits_in_worker")
    (driver,) = started(record_dir, run)
    task_process = until("the task's process", lambda: _task_process(stack, api.task("waits_in_worker", run, "run")["id"]))
    task_process.send_signal(signal.SIGKILL)
    api.wait_for_task("waits_in_worker", run, "run", states={"running"}, try_number=2)
    until("the second try's word", lambda: "not resubmitted" in api.log("waits_in_worker", run, "run", try_number=2))
    let_go(record_dir, run)
    assert api.wait_for_run("waits_in_worker", run) == "success"
    assert [r.pid for r in runs_of(record_dir, run)] == [driver.pid], "one driver process for both tries"
    assert app_of(stack, api, "waits_in_worker", run)["generation"] == 1


def _task_process(stack: Stack, ti_id: str) -> psutil.Process | None:
    """Return the process that runs the operator: the child of the supervisor, which has the task instance's id in its title."""
    for process in stack.children["scheduler"].descendants():
        with suppress(psutil.NoSuchProcess):
            if ti_id in " ".join(process.cmdline()):
                return next(iter(process.children()), None)
    return None


def test_cleared_successes_run_again_five_at_once(stack: Stack, api: AirflowApi, record_dir: Path):
    run = api.trigger("five")
    assert api.wait_for_run("five", run) == "success"
    names = [f"{run}-{i}" for i in range(5)]
    assert [len(runs_of(record_dir, n)) for n in names] == [1] * 5
    api.clear("five", run, ["run"])
    until("the cleared run", lambda: api.run_state("five", run) != "success")
    assert api.wait_for_run("five", run) == "success"
    assert [len(runs_of(record_dir, n)) for n in names] == [2] * 5
    assert [api.xcom("five", run, "run", map_index=i)["generation"] for i in range(5)] == [2] * 5


def test_clear_of_a_success_after_retries_were_lowered_runs_again(stack: Stack, api: AirflowApi, record_dir: Path):
    run = api.trigger("waits")
    started(record_dir, run)
    let_go(record_dir, run)
    assert api.wait_for_run("waits", run) == "success"
    (record_dir / "retries").write_text("1")
    try:
        until("the new DAG version", lambda: api.call("GET", "/dags/waits/tasks/run")["retries"] == 1)
        api.clear("waits", run, ["run"])
        until("the cleared run", lambda: api.run_state("waits", run) != "success")
        assert api.wait_for_run("waits", run) == "success"
    finally:
        (record_dir / "retries").unlink()
    assert len(runs_of(record_dir, run)) == 2
    assert app_of(stack, api, "waits", run)["generation"] == 2
    until("the old DAG version", lambda: api.call("GET", "/dags/waits/tasks/run")["retries"] == 2)


@pytest.mark.parametrize("dag_id", ["waits", "waits_in_worker"])
def test_clear_while_running_ends_the_old_driver_before_the_new_one(stack: Stack, api: AirflowApi, record_dir: Path, dag_id: str):
    run = api.trigger(dag_id)
    (first,) = started(record_dir, run)
    state = "deferred" if dag_id == "waits" else "running"
    api.wait_for_task(dag_id, run, "run", states={state})
    api.clear(dag_id, run, ["run"])
    first, second = started(record_dir, run, 2)
    assert not first.is_alive
    assert second.saw_alive == (), "the old driver was gone when the new one began"
    let_go(record_dir, run)
    assert api.wait_for_run(dag_id, run) == "success"
    result = app_of(stack, api, dag_id, run)
    assert result["generation"] == 2
    assert len(runs_of(record_dir, run)) == 2


def test_mark_failed_while_deferred_ends_the_driver(stack: Stack, api: AirflowApi, record_dir: Path):
    run = api.trigger("waits")
    (driver,) = started(record_dir, run)
    api.wait_for_task("waits", run, "run", states={"deferred"})
    api.set_state("waits", run, "run", "failed")
    until("the driver's end", lambda: not driver.is_alive)
    assert len(runs_of(record_dir, run)) == 1


def test_triggerer_killed_while_waiting_the_other_takes_over(stack: Stack, api: AirflowApi, record_dir: Path):
    run = api.trigger("waits")
    (driver,) = started(record_dir, run)
    api.wait_for_task("waits", run, "run", states={"deferred"})
    stack.children["triggerer-1"].kill()
    try:
        let_go(record_dir, run)
        assert api.wait_for_run("waits", run) == "success"
    finally:
        stack.children["triggerer-1"].start()
    assert [r.pid for r in runs_of(record_dir, run)] == [driver.pid]


def test_one_cluster_serves_everyone(stack: Stack, api: AirflowApi):
    runs = {dag: api.trigger(dag) for dag in ("seven_lines", "five")}
    assert [api.wait_for_run(dag, run) for dag, run in runs.items()] == ["success", "success"]
    created = [c for c in stack.emr.journal(operation="RunJobFlow") if c["effect"] and "/shared/" in c["request"]["Name"]]
    assert len(created) == 1, "all but one DAG of this session ask for the same spec"
