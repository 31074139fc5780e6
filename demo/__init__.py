"""A whole installation on one machine: Airflow with PostgreSQL, the plugin, and emrsim in EMR's place.

`Stack` starts and stops it for the demo and for end-to-end tests; `python -m demo up|check|clean` is what `make` calls. Loopback only, not
for production.
"""
