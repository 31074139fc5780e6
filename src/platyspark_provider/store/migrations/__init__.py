"""Our tables' history, run by `airflow db migrate`."""
