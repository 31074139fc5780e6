"""The face towards the api-server: one Airflow plugin whose routes answer over the registry. Only `plugin` is imported by every process."""
