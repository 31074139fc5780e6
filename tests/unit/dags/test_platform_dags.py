"""The watchdog and observer DAGs: their settings, their files, and what their tasks do."""

import subprocess
import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from platyspark_provider.core.states import AppPhase
from platyspark_provider.dags import observer_dag, watchdog_dag
from platyspark_provider.operators.observer import ObserverOperator, next_due
from platyspark_provider.operators.watchdog import WATCHDOG_LEASE, WatchdogOperator, _holder
from platyspark_provider.reconciler.passes import run_pass
from platyspark_provider.reconciler.workbench import PassReport
from platyspark_provider.testing import Fault
from platyspark_provider.triggers.observer import ObserverTrigger
from tests.api_servers import add_token, connection_json, serve
from tests.builders import make_request
from tests.desks import TI, Desk

DAG_FILE = Path(__file__).parents[3] / "dags" / "platyspark_watchdog.py"
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PERIOD = timedelta(minutes=5)


def test_watchdog_dag_fits_two_tries_into_its_period() -> None:
    dag = watchdog_dag()
    (task,) = dag.tasks
    assert (dag.dag_id, dag.catchup, dag.max_active_runs) == ("platyspark_watchdog", False, 1)
    assert task.retries == 1
    assert task.execution_timeout is not None
    assert 2 * task.execution_timeout + task.retry_delay < PERIOD


def test_observer_dag_overlaps_with_its_successor() -> None:
    dag = observer_dag()
    (task,) = dag.tasks
    assert isinstance(task, ObserverOperator)
    assert (dag.dag_id, dag.catchup, dag.max_active_runs, task.retries) == ("platyspark_observer", False, 2, 0)
    assert (task.period, task.overlap) == (PERIOD, timedelta(seconds=150))


def test_dag_factories_take_ids_schedules_connections_and_tags() -> None:
    dag = watchdog_dag(
        dag_id="other", schedule=timedelta(minutes=10), conn_id="mine", tags=["team:platform"], default_args={"owner": "ops"}
    )
    (task,) = dag.tasks
    assert (dag.dag_id, dag.tags, task.owner) == ("other", {"team:platform"}, "ops")
    assert isinstance(task, WatchdogOperator)
    assert task.platyspark_conn_id == "mine"
    watching = observer_dag(dag_id="eyes", schedule=timedelta(minutes=1), conn_id="mine").tasks[0]
    assert isinstance(watching, ObserverOperator)
    assert (watching.overlap, watching.platyspark_conn_id) == (timedelta(minutes=1), "mine")


def test_dag_file_passes_airflows_safe_mode_and_makes_both_dags() -> None:
    from airflow.utils.file import might_contain_dag

    assert might_contain_dag(str(DAG_FILE), safe_mode=True)
    code = f"import runpy; d = runpy.run_path({str(DAG_FILE)!r}); print(d['watchdog'].dag_id, d['observer'].dag_id)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == ["platyspark_watchdog", "platyspark_observer"]


@pytest.mark.parametrize(
    ("late", "due"),
    [(0, 5), (299, 5), (301, 10), (3 * 3600, 185)],
    ids=["on time", "almost late", "late", "after three paused hours"],
)
def test_next_due_lies_in_the_future(late: int, due: int) -> None:
    assert next_due(AT, PERIOD, AT + timedelta(seconds=late)) == AT + timedelta(minutes=due)


def test_observer_defers_with_a_timeout_after_its_hard_stop() -> None:
    task = ObserverOperator(task_id="keep_observing", period=PERIOD, overlap=timedelta(seconds=150))
    begun = datetime.now(UTC)
    context: Any = {"dag_run": types.SimpleNamespace(run_after=begun)}
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    trigger = deferred.value.trigger
    assert isinstance(trigger, ObserverTrigger)
    assert trigger.until == pytest.approx((begun + timedelta(seconds=450)).timestamp())
    assert trigger.due == pytest.approx((begun + PERIOD).timestamp())
    assert deferred.value.timeout is not None
    assert timedelta(seconds=470) < deferred.value.timeout <= timedelta(seconds=480)
    assert getattr(task, str(deferred.value.method_name))(context, {"reason": "done"}) is None


class DeskWatchdog(WatchdogOperator):
    """The watchdog with a fake backend behind it."""

    desk: Desk

    def _pass(self, registry: Any, holder: str) -> PassReport:
        return run_pass(registry, self.desk.backends, holder=holder, clock=self.desk.clock)


def run_of(run_id: str = "scheduled-1") -> Any:
    """Return the context of a watchdog's try."""
    return {"dag_run": types.SimpleNamespace(dag_id="platyspark_watchdog", run_id=run_id)}


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    desk = Desk()
    add_token(desk, "acting", "worker", "reconciler")
    add_token(desk, "waiting", "worker")
    with serve(desk) as url:
        monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, "acting"))
        yield desk


def watchdog(desk: Desk, **values: Any) -> DeskWatchdog:
    task = DeskWatchdog(task_id="run_pass", **values)
    task.desk = desk
    return task


def test_watchdog_runs_one_pass_that_starts_what_waits(desk: Desk) -> None:
    app_id = desk.registry.submit(make_request(), ti_id=TI).app.id
    watchdog(desk).execute(run_of())
    assert desk.detail(app_id).attempt.phase is AppPhase.PENDING
    assert any(event.actor == "watchdog" for event in desk.store.events())


def test_watchdog_beside_another_one_does_nothing(desk: Desk) -> None:
    desk.registry.submit(make_request(), ti_id=TI)
    assert desk.registry.lease(WATCHDOG_LEASE, holder="elsewhere", seconds=100)
    watchdog(desk).execute(run_of())
    assert desk.backend.calls["submit"] == 0


def test_watchdog_api_server_away_fails_with_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json("http://127.0.0.1:9", "acting"))
    with pytest.raises(AirflowException, match=r"127\.0\.0\.1:9") as failure:
        WatchdogOperator(task_id="run_pass").execute(run_of())
    assert not isinstance(failure.value, AirflowFailException)


def test_watchdog_token_without_the_scope_fails_for_good(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    values = connection_json_of(monkeypatch, "waiting")
    monkeypatch.setenv("AIRFLOW_CONN_MINE", values)
    with pytest.raises(AirflowFailException, match="reconciler"):
        watchdog(desk, platyspark_conn_id="mine").execute(run_of())


def test_watchdog_prefers_the_reconciler_connection(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_RECONCILER", connection_json_of(monkeypatch, "acting"))
    monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json_of(monkeypatch, "waiting"))
    app_id = desk.registry.submit(make_request(), ti_id=TI).app.id
    watchdog(desk).execute(run_of())
    assert desk.detail(app_id).attempt.phase is AppPhase.PENDING


def test_watchdog_pass_that_could_do_nothing_fails_with_the_reasons(desk: Desk) -> None:
    report = PassReport(errors=2, skipped=["create cluster shared: refused", "stop app 3: boom"])
    with pytest.raises(AirflowException, match="create cluster shared: refused; stop app 3: boom"):
        watchdog(desk)._judge(report)
    watchdog(desk)._judge(PassReport(errors=1, done=["send app 1"]))


def test_watchdog_that_reaches_no_target_fails_at_both_tries_and_says_why(desk: Desk) -> None:
    desk.registry.submit(make_request(), ti_id=TI)
    desk.backend.fail("create_cluster", Fault.UNAVAILABLE, times=2)
    for _ in range(2):
        with pytest.raises(AirflowException, match=r"reached none of the targets.*can't be reached") as failure:
            watchdog(desk).execute(run_of())
        assert not isinstance(failure.value, AirflowFailException)
        desk.clock.advance(60.0)
    watchdog(desk).execute(run_of())
    assert desk.backend.calls["create_cluster"] == 3


def test_watchdog_whose_targets_only_throttle_succeeds(desk: Desk) -> None:
    desk.registry.submit(make_request(), ti_id=TI)
    desk.backend.fail("create_cluster", Fault.THROTTLE)
    watchdog(desk).execute(run_of())


def test_watchdog_second_try_takes_over_from_one_that_was_killed(desk: Desk) -> None:
    app_id = desk.registry.submit(make_request(), ti_id=TI).app.id
    for name in (WATCHDOG_LEASE, "observer:default"):
        assert desk.registry.lease(name, holder=_holder(run_of()), seconds=150), "as a killed first try leaves it"
    watchdog(desk).execute(run_of("another-run"))
    assert desk.backend.calls["submit"] == 0
    watchdog(desk).execute(run_of())
    assert desk.detail(app_id).attempt.phase is AppPhase.PENDING


def test_watchdog_gives_its_leases_back(desk: Desk) -> None:
    desk.registry.submit(make_request(), ti_id=TI)
    watchdog(desk).execute(run_of())
    assert all(desk.registry.lease(name, holder="another", seconds=1) for name in (WATCHDOG_LEASE, "observer:default"))


def connection_json_of(monkeypatch: pytest.MonkeyPatch, secret: str) -> str:
    """Return the default connection with another token."""
    import json
    import os

    values = json.loads(os.environ["AIRFLOW_CONN_PLATYSPARK_DEFAULT"])
    return json.dumps({**values, "password": secret})
