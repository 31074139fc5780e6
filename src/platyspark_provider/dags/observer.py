"""`observer_dag`: one deferred task that keeps the triggerer's loop observing, with no worker slot and no pod."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG

from platyspark_provider.hooks.platyspark import DEFAULT_CONN_ID
from platyspark_provider.operators.observer import ObserverOperator

EVERY = timedelta(minutes=5)
OVERLAP = timedelta(seconds=150)
"""How long an observer outlives its successor's due time: a run may start late, and a gap in the observation costs more."""


def observer_dag(
    *,
    dag_id: str = "platyspark_observer",
    schedule: timedelta = EVERY,
    conn_id: str = DEFAULT_CONN_ID,
    tags: Sequence[str] = ("platyspark",),
    default_args: dict[str, Any] | None = None,
) -> DAG:
    """Build the DAG.

    :param schedule: time between hand-overs.
    :param conn_id: connection of the loop; it acts only if its token has scope `reconciler`.
    :param default_args: for the task. Give it no failure callback: without a triggerer each run ends by its timeout.
    """
    with DAG(
        dag_id=dag_id,
        description="Keeps the loop alive that observes Spark applications and clusters; it holds no worker slot.",
        schedule=schedule,
        start_date=datetime(2025, 1, 1, tzinfo=UTC),
        catchup=False,
        is_paused_upon_creation=False,  # whoever puts the file there wants it to run
        max_active_runs=2,
        tags=list(tags),
        default_args=default_args or {},
    ) as dag:
        ObserverOperator(task_id="keep_observing", period=schedule, overlap=min(OVERLAP, schedule), platyspark_conn_id=conn_id, retries=0)
    return dag
