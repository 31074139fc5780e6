"""The one place that reaches into Airflow's internals, so that a new minor of Airflow changes this folder and no other."""
