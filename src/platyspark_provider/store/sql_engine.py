"""Transactions for the verbs on PostgreSQL and SQLite; refuses other databases and translates "locked" into StoreBusy."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import NullPool

from platyspark_provider.errors import DatabaseUnsupported, StoreBusy

BUSY_TIMEOUT_S = 5.0
_READ_ONLY = "platyspark_read_only"
_BUSY_SQLITE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_BUSY_POSTGRESQL = frozenset({"40001", "40P01", "55P03"})
"""serialization_failure, deadlock_detected, lock_not_available."""


def require_supported(dialect: str) -> None:
    """Raise DatabaseUnsupported for a database that our tables are not proven on."""
    if dialect not in {"postgresql", "sqlite"}:
        raise DatabaseUnsupported(
            f"PlatySpark keeps its tables in Airflow's metadata database, and this one is {dialect}.",
            hint="Use PostgreSQL 14 or newer (or SQLite for a trial on one machine), or uninstall platyspark-provider.",
        )


def is_busy(error: sa.exc.DBAPIError) -> bool:
    """Tell by its code whether an error of the driver only says that another writer is at work."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _BUSY_SQLITE
    return (getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)) in _BUSY_POSTGRESQL


@lru_cache(maxsize=8)
def _sqlite_engine(url: str) -> sa.Engine:
    """Return an engine of our own on a SQLite file, so that Airflow's engine keeps its settings.

    The driver begins transactions late and as readers; a verb that writes must hold the write lock from its first
    statement on, or two of them deadlock on the way from reader to writer.
    """
    engine = sa.create_engine(url, poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        read_only = connection.get_execution_options().get(_READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


class Database:
    """Gives transactions on the database of an engine; raises DatabaseUnsupported at once for a wrong one."""

    def __init__(self, engine: sa.Engine) -> None:
        require_supported(engine.dialect.name)
        if engine.dialect.name == "sqlite":
            own = _sqlite_engine(engine.url.render_as_string(hide_password=False))
            self._writer, self._reader = own, own.execution_options(**{_READ_ONLY: True})
        else:
            self._writer = engine.execution_options(isolation_level="READ COMMITTED")
            self._reader = engine.execution_options(isolation_level="REPEATABLE READ")

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open a transaction that may write: row locks see the newest rows (PostgreSQL), or it holds the write lock (SQLite)."""
        with _translated(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open a transaction whose statements all see one moment."""
        with _translated(), self._reader.begin() as connection:
            yield connection


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sa.exc.DBAPIError as error:
        if is_busy(error):
            raise StoreBusy("The database is locked by another writer.", hint="Ask again.", retry_after=1.0) from error
        raise


def upsert(connection: sa.Connection, table: sa.Table) -> Any:
    """Return an INSERT of the connection's dialect, which knows ON CONFLICT (the two share its methods, but no base class)."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)
