"""Where Spark runs: one module family per backend behind `core.ports.Backend`.

A backend speaks its service's words inside and ours outside; it decides nothing and knows neither tables nor Airflow.
"""
