"""The two Airflow DAGs of the platform: the watchdog acts from a worker, the observer keeps the triggerer's loop alive."""

# Airflow's safe mode reads a file only if its text holds the words airflow and dag.
from platyspark_provider.dags import observer_dag, watchdog_dag

watchdog = watchdog_dag()
observer = observer_dag()
