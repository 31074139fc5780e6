"""Airflow's metadata database: the base class of database managers, its engine and its URL."""

import sqlalchemy as sa
from airflow import settings
from airflow.utils.db_manager import BaseDBManager

__all__ = ["BaseDBManager", "airflow_engine", "airflow_url"]


def airflow_engine() -> sa.Engine:
    """Return the engine of this process; only api-server, scheduler and command line have one."""
    engine: sa.Engine | None = settings.engine
    if engine is None:
        raise RuntimeError("Airflow's database is not configured in this process.")
    return engine


def airflow_url() -> str:
    """Return the database's URL, password included."""
    return str(settings.SQL_ALCHEMY_CONN)
