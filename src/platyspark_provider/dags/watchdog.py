"""`watchdog_dag`: a pass in a worker every few minutes, whether or not a triggerer lives.

It shares no DAG with the observer: deferred observers without a triggerer would use up `max_active_runs` and stop it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG

from platyspark_provider.operators.watchdog import WatchdogOperator

EVERY = timedelta(minutes=5)


def watchdog_dag(
    *,
    dag_id: str = "platyspark_watchdog",
    schedule: timedelta = EVERY,
    conn_id: str | None = None,
    tags: Sequence[str] = ("platyspark",),
    default_args: dict[str, Any] | None = None,
) -> DAG:
    """Build the DAG.

    :param schedule: time between passes, at least five minutes: two tries of 120 s and their pause fit into it.
    :param conn_id: connection with scope `reconciler`; None: `platyspark_reconciler` if it exists, else
        `platyspark_default`.
    :param default_args: for the task, for example `on_failure_callback`.
    """
    with DAG(
        dag_id=dag_id,
        description="Starts, adopts and stops the Spark applications, and creates the clusters, that nobody else has brought forward.",
        schedule=schedule,
        start_date=datetime(2025, 1, 1, tzinfo=UTC),
        catchup=False,
        is_paused_upon_creation=False,  # whoever puts the file there wants it to run
        max_active_runs=1,
        tags=list(tags),
        default_args=default_args or {},
    ) as dag:
        WatchdogOperator(
            task_id="run_pass",
            platyspark_conn_id=conn_id,
            retries=1,
            retry_delay=timedelta(seconds=10),
            execution_timeout=timedelta(seconds=120),
        )
    return dag
