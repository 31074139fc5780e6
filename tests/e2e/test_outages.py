"""The api-server goes away during a submit and during a wait: the task waits and goes on."""

from pathlib import Path

import pytest

from demo.airflow_api import AirflowApi
from demo.stack import Stack
from tests.e2e.processes import runs_of, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


def test_api_server_down_while_deferred_task_waits_and_goes_on(stack: Stack, api: AirflowApi, record_dir: Path):
    run = api.trigger("waits")
    until("the driver", lambda: runs_of(record_dir, run))
    api.wait_for_task("waits", run, "run", states={"deferred"})
    stack.children["api-server"].kill()
    (record_dir / f"{run}.go").touch()
    until("the driver's end", lambda: not runs_of(record_dir, run)[0].is_alive)
    stack.restart("api-server")
    assert api.wait_for_run("waits", run) == "success"
    assert len(runs_of(record_dir, run)) == 1
    assert api.task("waits", run, "run")["try_number"] == 1


def test_mark_failed_with_every_triggerer_down_watchdog_ends_the_driver(stack: Stack, api: AirflowApi, record_dir: Path):
    run = api.trigger("waits")
    (driver,) = until("the driver", lambda: runs_of(record_dir, run))
    api.wait_for_task("waits", run, "run", states={"deferred"})
    triggerers = [stack.children[name] for name in ("triggerer-1", "triggerer-2")]
    for triggerer in triggerers:
        triggerer.kill()
    try:
        api.set_state("waits", run, "run", "failed")
        until("the driver's end", lambda: _watchdog_ran(api) and not driver.is_alive, seconds=150)
    finally:
        for triggerer in triggerers:
            triggerer.start()
    stack.wait_healthy()
    assert len(runs_of(record_dir, run)) == 1


def _watchdog_ran(api: AirflowApi) -> bool:
    """Let the watchdog look now instead of at its next hour; for up to 45 s it still sees the dead observer's lease."""
    run = api.trigger("platyspark_watchdog")
    return bool(api.wait_for_run("platyspark_watchdog", run, seconds=120))


def test_emrsim_reply_lost_on_submit_is_adopted(stack: Stack, api: AirflowApi, record_dir: Path):
    stack.emr.fault(operation="AddJobFlowSteps", when="after", action="drop", count=1)
    run = api.trigger("waits")
    until("the driver", lambda: runs_of(record_dir, run))
    (record_dir / f"{run}.go").touch()
    assert api.wait_for_run("waits", run) == "success"
    assert len(runs_of(record_dir, run)) == 1
    names = [n for c in stack.emr.journal() if c["operation"] == "AddJobFlowSteps" and c["effect"] for n in _names(c)]
    assert len(names) == len(set(names)), "no step was sent twice"


def _names(call: dict) -> list[str]:
    return [step["Name"] for step in call["request"]["Steps"]]
