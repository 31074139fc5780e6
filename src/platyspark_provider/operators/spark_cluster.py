"""`SparkClusterOperator`: have a named cluster ready before applications need it, or let it end when they are done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import BaseOperator

from platyspark_provider.hooks.platyspark import DEFAULT_CONN_ID, Endpoint, PlatySparkHook

if TYPE_CHECKING:  # the rest is imported where it is used: parsing a DAG stays fast
    from airflow.sdk import Context

    from platyspark_provider.core.cluster_polling import ClusterEvent, Goal
    from platyspark_provider.core.model import Cluster
    from platyspark_provider.core.ports import Registry
    from platyspark_provider.core.spec import ClusterRequest
    from platyspark_provider.operators.cluster_waiting import ClusterCaller
    from platyspark_provider.operators.clusters import SparkCluster
    from platyspark_provider.settings import Settings

_ACTIONS = ("ensure", "drain", "terminate")


class SparkClusterOperator(BaseOperator):
    """Ensure, drain or terminate a named cluster; each may be repeated: a retry or a clear asks for the same again.

    Applications need no such task: they ask for their cluster themselves. It pays where the start of a cluster should run
    beside other work, or where a cluster should end earlier than its idle timeout. Killing the task leaves the cluster alone.

    :param cluster: a `SparkCluster`, or the name of a profile (to end one, the name of a cluster is enough).
    :param action: "ensure" waits until it is ready; "drain" lets it take no more applications and end after the last one;
        "terminate" ends it at once. Only clusters that tasks of this DAG, or of DAGs with the same tag `team:...`, asked for
        can be ended.
    :param wait: False returns as soon as the wish is written.
    :param force: with "terminate": applications on it are stopped first; without it the task fails while there are any.
    :param alongside: with "ensure": False fails while another spec lives under the name.
    :param team: whose ceilings hold; None takes the profile's or the DAG's tag `team:...`.
    :param deferrable: False waits in the worker; it then also acts where nobody else does, if its token may.
    """

    template_fields: Sequence[str] = ("cluster", "team")
    ui_color = "#e3edf7"

    def __init__(
        self,
        *,
        cluster: str | SparkCluster,
        action: Literal["ensure", "drain", "terminate"] = "ensure",
        wait: bool = True,
        force: bool = False,
        alongside: bool = True,
        team: str | None = None,
        deferrable: bool = True,
        platyspark_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.cluster = cluster
        self.action = action
        self.wait = wait
        self.force = force
        self.alongside = alongside
        self.team = team
        self.deferrable = deferrable
        self.platyspark_conn_id = platyspark_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the wish, then wait for it; raises TaskDeferred when deferrable."""
        with self._opened(context) as caller:
            request = self._request()
            return self._ensure(caller, request) if self.action == "ensure" else self._end(caller, request.name)

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Go on with what the trigger saw."""
        from platyspark_provider.core.cluster_polling import cluster_event_from_dict

        memo = event.get("memo", {})
        with self._opened(context) as caller:
            return self._after(caller, cluster_event_from_dict(event), memo.get("outcome", ""), memo.get("ids", ()))

    def _request(self) -> ClusterRequest:
        from platyspark_provider.core.spec import ClusterRequest
        from platyspark_provider.operators.request import cluster_from_value, refused

        if self.action not in _ACTIONS:
            raise refused("action", self.action, "unknown", f"Write one of {', '.join(map(repr, _ACTIONS))}.")
        if self.force and self.action != "terminate":
            raise refused("force", self.force, f"{self.action!r} stops no application", "Leave force out.")
        value = cluster_from_value(self.cluster)
        return ClusterRequest(name=value) if isinstance(value, str) else value

    def _ensure(self, caller: ClusterCaller, request: ClusterRequest) -> dict[str, Any]:
        from platyspark_provider.operators.cluster_outcome import result_from_cluster

        def ask() -> Any:
            return caller.registry.ensure_cluster(request, ti_id=caller.ti_id, team=self.team, alongside=self.alongside)

        answer = caller.patience.ask("Ensure", ask)
        for warning in answer.warnings:
            self.log.warning("%s", warning)
        cluster: Cluster = answer.cluster
        self.log.info("Cluster %s (%s, generation %s): %s.", cluster.name, cluster.id, cluster.generation, answer.outcome)
        for other in answer.siblings:
            self.log.info("Cluster %s (%s) lives beside it with another spec.", other.name, other.id)
        if not self.wait:
            return result_from_cluster(cluster, answer.outcome)
        return self._until_ready(caller, cluster.id, answer.outcome)

    def _end(self, caller: ClusterCaller, name: str) -> dict[str, Any]:
        from platyspark_provider.operators.cluster_outcome import result_from_ended

        def ask() -> tuple[Cluster, ...]:
            action: Any = self.action
            return caller.registry.end_cluster(name, action, ti_id=caller.ti_id, force=self.force)

        ending = caller.patience.ask("End", ask)
        for cluster in ending:
            self.log.info("Cluster %s (%s, generation %s): %s.", cluster.name, cluster.id, cluster.generation, cluster.phase.value)
        if not ending:
            self.log.info("No cluster %s lives: nothing to do.", name)
        if not ending or not self.wait:
            return result_from_ended(name, ending)
        return self._until_over(caller, [cluster.id for cluster in ending])

    def _after(self, caller: ClusterCaller, event: ClusterEvent, outcome: str, ids: Sequence[int]) -> dict[str, Any]:
        """Go on after a wait: what a snapshot showed decides nothing, the rows are read again.

        :param outcome: of the asking, for the result; :param ids: of all clusters that are to end; none when one is to come up.
        """
        from platyspark_provider.core.cluster_polling import ClusterOutcome
        from platyspark_provider.errors import RegistryUnavailable

        if event.outcome is ClusterOutcome.BLIND:
            raise RegistryUnavailable(event.message, hint="The wish stands; a retry looks again.")
        return self._until_over(caller, ids) if ids else self._until_ready(caller, event.cluster_id, outcome)

    def _until_ready(self, caller: ClusterCaller, cluster_id: int, outcome: str) -> dict[str, Any]:
        from platyspark_provider.core.cluster_polling import Goal
        from platyspark_provider.core.states import ClusterPhase
        from platyspark_provider.operators.cluster_outcome import is_coming, never_ready, result_from_cluster

        cluster = self._read(caller, cluster_id)
        if cluster.phase is ClusterPhase.READY:
            self.log.info("Cluster %s (%s, %s) is ready.", cluster.name, cluster.id, cluster.external_id)
            return result_from_cluster(cluster, outcome)
        if not is_coming(cluster):
            raise never_ready(cluster)
        return self._wait(caller, cluster, Goal.READY, outcome, ())

    def _until_over(self, caller: ClusterCaller, ids: Sequence[int]) -> dict[str, Any]:
        from platyspark_provider.core.cluster_polling import Goal
        from platyspark_provider.operators.cluster_outcome import result_from_ended

        ending = [self._read(caller, one) for one in ids]
        left = next((cluster for cluster in ending if not cluster.phase.is_terminal), None)
        return result_from_ended(ending[0].name, ending) if left is None else self._wait(caller, left, Goal.OVER, "", ids)

    def _read(self, caller: ClusterCaller, cluster_id: int) -> Cluster:
        return caller.patience.ask("Look", lambda: caller.registry.cluster(cluster_id, ti_id=caller.ti_id))

    def _wait(self, caller: ClusterCaller, cluster: Cluster, goal: Goal, outcome: str, ids: Sequence[int]) -> dict[str, Any]:
        """Defer, or wait here; either ends in `_after`."""
        from platyspark_provider.operators.cluster_waiting import wait_in_worker
        from platyspark_provider.operators.waiting import wait_rule

        rule = wait_rule(self._settings)
        if self.deferrable:
            from platyspark_provider.triggers.cluster import ClusterTrigger

            trigger = ClusterTrigger(
                cluster_id=cluster.id,
                goal=goal.value,
                conn_id=self.platyspark_conn_id,
                poll_s=rule.poll_s,
                max_blind_s=rule.max_blind_s,
                memo={"outcome": outcome, "ids": list(ids)},
            )
            self.defer(trigger=trigger, method_name="resume")
        return self._after(caller, wait_in_worker(caller, cluster.id, goal, rule), outcome, ids)

    @contextmanager
    def _opened(self, context: Context) -> Iterator[ClusterCaller]:
        """Read the connection once, and speak Airflow's errors."""
        from platyspark_provider.operators.outcome import airflow_errors
        from platyspark_provider.settings import load_settings

        with airflow_errors(conn_id=self.platyspark_conn_id):
            self._settings: Settings = load_settings()
            self._ti_id = str(context["ti"].id)
            endpoint: Endpoint = PlatySparkHook(self.platyspark_conn_id).endpoint()
            with endpoint.registry(timeout_s=self._settings.api_timeout, busy_patience_s=self._settings.busy_patience) as registry:
                yield self._caller(registry)

    def _caller(self, registry: Registry) -> ClusterCaller:
        from platyspark_provider.hooks.aws import EmrBackends
        from platyspark_provider.hooks.clock import SystemClock
        from platyspark_provider.hooks.process import process_name
        from platyspark_provider.operators.cluster_waiting import ClusterCaller
        from platyspark_provider.operators.patience import Patience
        from platyspark_provider.reconciler.passes import run_pass

        clock, backends = SystemClock(), EmrBackends()
        return ClusterCaller(
            registry=registry,
            ti_id=self._ti_id,
            clock=clock,
            patience=Patience(seconds=self._settings.submit_patience, clock=clock, log=self.log),
            log=self.log,
            act=lambda: run_pass(registry, backends, holder=process_name(), clock=clock),
        )
