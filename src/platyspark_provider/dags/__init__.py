"""DAG factories of the platform team: a few lines in the DAGs folder set schedule and alerts, the tasks are ours.

A file that calls them must hold the words "airflow" and "dag" (a comment will do), else Airflow's safe mode skips it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from platyspark_provider.dags.observer import observer_dag
    from platyspark_provider.dags.watchdog import watchdog_dag

__all__ = ["observer_dag", "watchdog_dag"]


def __getattr__(name: str) -> Any:
    if name == "observer_dag":
        from platyspark_provider.dags.observer import observer_dag

        return observer_dag
    if name == "watchdog_dag":
        from platyspark_provider.dags.watchdog import watchdog_dag

        return watchdog_dag
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
