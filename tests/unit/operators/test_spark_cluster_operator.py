"""`SparkClusterOperator` against a real worker API over a store in memory, with a fake backend behind it."""

import types
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
from structlog.testing import capture_logs

from platyspark_provider import SparkCluster, SparkClusterOperator
from platyspark_provider.core.cluster_polling import Goal
from platyspark_provider.core.ports import Registry
from platyspark_provider.core.spec import ClusterRequest
from platyspark_provider.core.states import ClusterDesired, ClusterPhase
from platyspark_provider.operators.cluster_outcome import SparkClusterFailed, SparkClusterLost
from platyspark_provider.operators.cluster_waiting import ClusterCaller
from platyspark_provider.reconciler.passes import run_pass
from platyspark_provider.registry.clusters import ClusterDesk
from platyspark_provider.testing import Fault
from platyspark_provider.triggers.cluster import ClusterTrigger
from tests.api_servers import add_token, connection_json, serve
from tests.builders import make_request
from tests.desks import TI, Desk
from tests.unit.operators.test_spark_app_operator import FakeTask, said

ETL = SparkCluster("etl", workers=(2, 4))


class DeskOperator(SparkClusterOperator):
    """The operator with the desk's backend and clock; its registry is the real client over HTTP."""

    desk: Desk

    def _caller(self, registry: Registry) -> ClusterCaller:
        fakes = self.desk.caller(ti_id=self._ti_id, registry=registry)
        return ClusterCaller(
            registry=registry,
            ti_id=self._ti_id,
            clock=self.desk.clock,
            patience=fakes.patience,
            log=self.log,
            act=lambda: run_pass(registry, self.desk.backends, holder="task", clock=self.desk.clock),
        )


def open_desk(monkeypatch: pytest.MonkeyPatch, *scopes: str) -> Iterator[Desk]:
    desk = Desk()
    add_token(desk, "secret", *scopes)
    with serve(desk) as url:
        monkeypatch.setenv("AIRFLOW_CONN_PLATYSPARK_DEFAULT", connection_json(url, "secret"))
        yield desk


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Yield a desk whose token may wait but not reconcile."""
    yield from open_desk(monkeypatch, "worker")


@pytest.fixture
def acting_desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """Yield a desk whose token may do both."""
    yield from open_desk(monkeypatch, "worker", "reconciler")


def operator(desk: Desk, **values: Any) -> DeskOperator:
    task = DeskOperator(**{"task_id": "warm", "cluster": ETL, **values})
    task.desk = desk
    return task


def context(ti_id: str = TI) -> Any:
    return {"ti": FakeTask(ti_id), "dag": types.SimpleNamespace(fileloc="dag.py")}


def deferred(pause: pytest.ExceptionInfo[TaskDeferred]) -> ClusterTrigger:
    trigger = pause.value.trigger
    assert isinstance(trigger, ClusterTrigger)
    assert (pause.value.method_name, pause.value.kwargs, pause.value.timeout) == ("resume", None, None)
    return trigger


def started(task: DeskOperator, ti_id: str = TI) -> ClusterTrigger:
    with pytest.raises(TaskDeferred) as pause:
        task.execute(context(ti_id))
    return deferred(pause)


def event(trigger: ClusterTrigger, outcome: str = "reached", message: str = "") -> dict[str, Any]:
    return {"cluster_id": trigger.cluster_id, "outcome": outcome, "message": message, "memo": trigger.memo}


def make_ready(desk: Desk) -> None:
    desk.pass_once()
    desk.pass_once()


def warm(desk: Desk) -> int:
    """Have the cluster ready and return its id."""
    cluster = desk.registry.ensure_cluster(ETL.request(), ti_id=TI).cluster
    make_ready(desk)
    return cluster.id


# Ensure


def test_spark_cluster_operator_defers_until_its_cluster_is_ready_and_returns_where_it_is(desk: Desk) -> None:
    trigger = started(operator(desk))
    assert (trigger.goal, trigger.conn_id, trigger.poll_s) == (Goal.READY, "platyspark_default", 10.0)
    make_ready(desk)
    result = operator(desk).resume(context(), event(trigger))
    (external_id,) = desk.backend.clusters
    assert result == {"cluster_id": trigger.cluster_id, "name": "etl", "generation": 1, "external_id": external_id, "outcome": "created"}
    assert desk.backend.clusters[external_id].spec.max_workers == 4


def test_spark_cluster_operator_of_a_ready_cluster_returns_at_once(desk: Desk) -> None:
    cluster_id = warm(desk)
    result = operator(desk).execute(context())
    assert (result["cluster_id"], result["outcome"]) == (cluster_id, "reused")


def test_spark_cluster_operator_of_a_profiles_name_warms_what_its_applications_join(desk: Desk) -> None:
    trigger = started(operator(desk, cluster="shared"))
    make_ready(desk)
    app = desk.registry.submit(make_request(), ti_id=TI).app
    desk.pass_once()
    assert desk.detail(app.id).app.cluster_id == trigger.cluster_id
    assert desk.backend.calls["create_cluster"] == 1


def test_spark_cluster_operator_retry_waits_for_the_same_cluster(desk: Desk) -> None:
    first = started(operator(desk))
    desk.tasks.archive(TI, state="failed")
    desk.add_task("ti-2", try_number=2)
    second = started(operator(desk), "ti-2")
    assert second.cluster_id == first.cluster_id
    assert second.memo["outcome"] == "reused"


def test_spark_cluster_operator_without_wait_returns_what_was_asked_for(desk: Desk) -> None:
    result = operator(desk, wait=False).execute(context())
    assert (result["external_id"], result["outcome"]) == (None, "created")


def test_spark_cluster_operator_resumed_too_early_waits_on(desk: Desk) -> None:
    trigger = started(operator(desk))
    with pytest.raises(TaskDeferred) as pause:
        operator(desk).resume(context(), event(trigger, "missing"))
    assert deferred(pause).memo == trigger.memo


def test_spark_cluster_operator_of_a_cluster_that_was_refused_is_not_retried(desk: Desk) -> None:
    trigger = started(operator(desk))
    desk.backend.fail("create_cluster", Fault.REJECT)
    desk.pass_once()
    with pytest.raises(SparkClusterFailed, match=r"Cluster etl \(1, generation 1\) is failed: .*clear the task") as failed:
        operator(desk).resume(context(), event(trigger, "ended"))
    assert isinstance(failed.value, AirflowFailException)


def test_spark_cluster_operator_of_a_cluster_that_died_may_retry(desk: Desk) -> None:
    desk.backend.ready_after_s = 600
    trigger = started(operator(desk))
    desk.pass_once()
    desk.backend.end_cluster(next(iter(desk.backend.clusters)), reason_code="INSTANCE_FAILURE")
    desk.pass_once()
    with pytest.raises(SparkClusterLost, match=r"Cluster etl \(1, generation 1, c-1\) is dead: .*A retry asks for the next one") as lost:
        operator(desk).resume(context(), event(trigger, "ended"))
    assert not isinstance(lost.value, AirflowFailException)
    second = started(operator(desk))
    assert (second.cluster_id != trigger.cluster_id, second.memo["outcome"]) == (True, "created")


def test_spark_cluster_operator_of_a_cluster_that_somebody_drained_meanwhile_says_who(desk: Desk) -> None:
    trigger = started(operator(desk))
    ClusterDesk(desk.store, lambda: desk.profiles).drain(trigger.cluster_id, actor="user:dana", reason="user:dana needs the budget")
    with pytest.raises(SparkClusterLost, match="is dead: user:dana needs the budget"):
        operator(desk).resume(context(), event(trigger, "ended"))


def test_spark_cluster_operator_that_was_blind_for_too_long_may_retry(desk: Desk) -> None:
    trigger = started(operator(desk))
    with pytest.raises(AirflowException, match=r"No view for 60 s\. The wish stands") as blind:
        operator(desk).resume(context(), event(trigger, "blind", "No view for 60 s."))
    assert not isinstance(blind.value, AirflowFailException)


def test_spark_cluster_operator_tells_siblings_and_values_that_are_kept(desk: Desk) -> None:
    warm(desk)
    desk.add_task("ti-2", dag_id="other")
    with capture_logs() as lines:
        operator(desk, cluster=SparkCluster("etl", size="large"), wait=False).execute(context("ti-2"))
        operator(desk, cluster=SparkCluster("etl", workers=(2, 4), idle_timeout="15m")).execute(context("ti-2"))
    assert "Cluster etl (1) lives beside it with another spec." in said(lines)
    assert "keeps idle_timeout_s = 3600; 900 was asked for" in said(lines)


def test_spark_cluster_operator_that_wants_no_sibling_fails_for_good(desk: Desk) -> None:
    warm(desk)
    with pytest.raises(AirflowFailException, match=r"ClusterConflict: Cluster 'etl' lives with another spec \(1\): instance_groups"):
        operator(desk, cluster=SparkCluster("etl", size="large"), alongside=False).execute(context())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"action": "stop"}, "action is 'stop': unknown. Write one of 'ensure', 'drain', 'terminate'"),
        ({"action": "drain", "force": True}, "'drain' stops no application"),
        ({"cluster": 3}, "cluster is 3: a int instead of a profile's name or a SparkCluster"),
        ({"cluster": SparkCluster("etl", dedicated=True)}, "each application makes its own"),
        ({"cluster": SparkCluster("etl", profile="bgi")}, "There is no profile 'bgi'"),
        ({"cluster": SparkCluster("etl", size="lrage")}, "Did you mean 'large'"),
    ],
)
def test_spark_cluster_operator_with_a_mistake_fails_for_good_and_says_it(desk: Desk, values: dict[str, Any], message: str) -> None:
    with pytest.raises(AirflowFailException) as failed:
        operator(desk, **values).execute(context())
    assert message in str(failed.value)


# Drain and terminate


def test_spark_cluster_operator_drains_and_waits_for_the_end(desk: Desk) -> None:
    cluster_id = warm(desk)
    trigger = started(operator(desk, action="drain"))
    assert (trigger.cluster_id, trigger.goal) == (cluster_id, Goal.OVER)
    make_ready(desk)
    result = operator(desk, action="drain").resume(context(), event(trigger))
    assert result == {
        "name": "etl",
        "outcome": "ended",
        "clusters": [{"cluster_id": cluster_id, "generation": 1, "external_id": "c-1"}],
    }
    assert desk.backend.clusters["c-1"].dead_at is not None


def test_spark_cluster_operator_drains_without_waiting(desk: Desk) -> None:
    warm(desk)
    assert operator(desk, action="drain", wait=False).execute(context())["outcome"] == "ending"


def test_spark_cluster_operator_drain_of_nothing_is_done(desk: Desk) -> None:
    assert operator(desk, cluster="etl", action="drain").execute(context()) == {"name": "etl", "outcome": "absent", "clusters": []}


def test_spark_cluster_operator_drains_all_that_lives_under_the_name(desk: Desk) -> None:
    first = warm(desk)
    second = desk.registry.ensure_cluster(ClusterRequest(name="etl", size="large"), ti_id=TI).cluster.id
    make_ready(desk)
    trigger = started(operator(desk, cluster="etl", action="drain"))
    desk.pass_once()
    assert sorted(trigger.memo["ids"]) == [first, second]
    desk.store.change_cluster(trigger.cluster_id, _dead)
    with pytest.raises(TaskDeferred) as pause:
        operator(desk, action="drain").resume(context(), event(trigger))
    other = deferred(pause)
    assert {trigger.cluster_id, other.cluster_id} == {first, second}
    desk.store.change_cluster(other.cluster_id, _dead)
    assert operator(desk, action="drain").resume(context(), event(other))["outcome"] == "ended"


def _dead(state: Any, active: int, now: Any) -> Any:
    from platyspark_provider.core.cluster_transitions import enter_cluster

    return enter_cluster(state, ClusterPhase.DEAD, "Over.", actor="test", now=now)


def test_spark_cluster_operator_retry_of_an_end_waits_for_what_ends_already(desk: Desk) -> None:
    warm(desk)
    first = started(operator(desk, action="terminate"))
    second = started(operator(desk, action="terminate"))
    assert (first.cluster_id, first.goal) == (second.cluster_id, second.goal)


def test_spark_cluster_operator_terminate_with_applications_fails_unless_forced(desk: Desk) -> None:
    cluster_id = warm(desk)
    app_id = desk.registry.submit(make_request(cluster=ETL.request()), ti_id=TI).app.id
    desk.pass_once()
    with pytest.raises(AirflowFailException, match=r"ClusterInUse: Cluster etl \(1\) has 1 applications \(1\)\. Drain it"):
        operator(desk, action="terminate").execute(context())
    started(operator(desk, action="terminate", force=True))
    assert desk.store.cluster(cluster_id).desired is ClusterDesired.DOWN
    assert desk.detail(app_id).attempt.stop_requested_at is not None


def test_spark_cluster_operator_end_of_what_others_asked_for_fails_for_good(desk: Desk) -> None:
    warm(desk)
    desk.add_task("ti-2", dag_id="other")
    with pytest.raises(AirflowFailException, match="other/agg may not end cluster etl"):
        operator(desk, action="drain").execute(context("ti-2"))


# In the worker


def test_spark_cluster_operator_in_the_worker_waits_while_an_observer_acts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def observe(seconds: float) -> None:
        desk.pass_once()

    monkeypatch.setattr(desk.clock, "sleep", observe)
    with capture_logs() as lines:
        result = operator(desk, deferrable=False).execute(context())
    assert (result["outcome"], result["external_id"]) == ("created", "c-1")
    assert "Cluster etl (1) is intent: no pass has created it yet." in said(lines)
    assert "may not do it itself" not in said(lines)


def test_spark_cluster_operator_in_the_worker_acts_where_nobody_else_does(acting_desk: Desk) -> None:
    result = operator(acting_desk, deferrable=False).execute(context())
    assert (result["outcome"], result["external_id"]) == ("created", "c-1")
    ended = operator(acting_desk, deferrable=False, action="drain").execute(context())
    assert ended["outcome"] == "ended"


def test_spark_cluster_operator_in_the_worker_says_so_where_it_may_not_act(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) > 6:
            desk.pass_once()

    monkeypatch.setattr(desk.clock, "sleep", nap)
    with capture_logs() as lines:
        operator(desk, deferrable=False).execute(context())
    assert said(lines).count("this task may not do it itself") == 1


def test_spark_cluster_operator_in_the_worker_outlives_an_api_server_that_is_busy(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from platyspark_provider.client.http import HttpRegistry
    from platyspark_provider.errors import RegistryUnavailable

    real, faults = HttpRegistry.snapshot, [RegistryUnavailable("away")]
    monkeypatch.setattr(HttpRegistry, "snapshot", lambda self: _raise(faults.pop()) if faults else real(self))
    monkeypatch.setattr(desk.clock, "sleep", lambda seconds: desk.pass_once())
    with capture_logs() as lines:
        assert operator(desk, deferrable=False).execute(context())["outcome"] == "created"
    assert "No answer (away)" in said(lines)


def _raise(error: Exception) -> Any:
    raise error
