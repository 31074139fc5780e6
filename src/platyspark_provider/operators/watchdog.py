"""`WatchdogOperator`: one pass over all open work in a worker, so that drift is seen while no triggerer lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from platyspark_provider.hooks.platyspark import DEFAULT_CONN_ID, RECONCILER_CONN_ID, PlatySparkHook

if TYPE_CHECKING:
    from airflow.sdk import Context

    from platyspark_provider.core.ports import Registry
    from platyspark_provider.reconciler.workbench import PassReport

WATCHDOG_LEASE = "watchdog"
WATCHDOG_LEASE_S = 150.0  # longer than the task's execution_timeout (dags.watchdog)


class WatchdogOperator(BaseOperator):
    """Run one pass and write its report into the log.

    It fails when the api-server can't be asked, when no target that has work could be reached, or when errors left
    nothing done.

    :param platyspark_conn_id: connection whose token has scope `reconciler`; None takes `platyspark_reconciler`, or
        `platyspark_default` where that does not exist.
    """

    def __init__(self, *, platyspark_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.platyspark_conn_id = platyspark_conn_id

    def execute(self, context: Context) -> None:
        """Run the pass, unless another watchdog is at it."""
        from platyspark_provider.operators.outcome import airflow_errors

        holder = _holder(context)
        conn_id = self.platyspark_conn_id or self._default_conn_id()
        with airflow_errors(conn_id=conn_id):
            with PlatySparkHook(conn_id).registry(actor="watchdog") as registry:
                if not registry.lease(WATCHDOG_LEASE, holder=holder, seconds=WATCHDOG_LEASE_S):
                    self.log.info("Another watchdog is at work; nothing to do.")
                    return
                try:
                    report = self._pass(registry, holder)
                finally:
                    registry.lease(WATCHDOG_LEASE, holder=holder, seconds=0.0)
            self._judge(report)

    def _pass(self, registry: Registry, holder: str) -> PassReport:
        from platyspark_provider.hooks.aws import EmrBackends
        from platyspark_provider.hooks.clock import SystemClock
        from platyspark_provider.reconciler.passes import run_pass

        return run_pass(registry, EmrBackends(), holder=holder, clock=SystemClock())

    def _judge(self, report: PassReport) -> None:
        for line in report.lines():
            self.log.info("%s", line)
        if report.is_blind:
            self.log.info("Every target is observed by another process; this pass had nothing to do.")
        silent = report.silent()
        if silent and not report.answered:
            reasons = "; ".join(f"target {name}: {why}" for name, why in silent.items())
            raise AirflowException(f"The pass reached none of the targets that have work: {reasons}")
        if report.errors and not report.done:
            raise AirflowException(f"The pass did nothing and met {report.errors} errors: {'; '.join(report.skipped)}")

    def _default_conn_id(self) -> str:
        try:
            PlatySparkHook.get_connection(RECONCILER_CONN_ID)
        except AirflowNotFoundException:
            return DEFAULT_CONN_ID
        return RECONCILER_CONN_ID


def _holder(context: Context) -> str:
    """Return who holds the leases of watchdog and targets: the DAG run, so that the next try takes over from a killed one."""
    dag_run = context["dag_run"]
    return f"watchdog:{dag_run.dag_id}:{dag_run.run_id}"
