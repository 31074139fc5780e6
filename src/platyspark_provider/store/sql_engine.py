"""Transactions for the verbs on PostgreSQL and SQLite; refuses other databases and translates "locked" into StoreBusy."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import NullPool

from platyspark_provider.errors import DatabaseUnsupported, StoreBusy

BUSY_TIMEOUT_S = 5.0
LONGEST_PAUSE_S = 0.1  # the longest interval at which a waiting SQLite connection looks again
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


class Turns:
    """Lets one writer of this process at a time to a SQLite file, and none for as long as the last one took.

    SQLite's waiters only look again and again, the longer they waited the more seldom: writers that follow each other at
    once would keep out Airflow's own, which give up after 5 s.

    :param patience_s: how long a turn is waited for.
    """

    def __init__(
        self,
        *,
        patience_s: float = BUSY_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._patience_s, self._clock, self._sleep = patience_s, clock, sleep
        self._lock = threading.Lock()
        self._next_at = clock()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for a turn and hold it; raises StoreBusy when that takes too long."""
        if not self._lock.acquire(timeout=self._patience_s):
            raise _busy()
        try:
            self._sleep(max(0.0, self._next_at - self._clock()))
            began = self._clock()
            try:
                yield
            finally:
                ended = self._clock()
                self._next_at = ended + min(ended - began, LONGEST_PAUSE_S)
        finally:
            self._lock.release()


@lru_cache(maxsize=8)
def _turns_of(_url: str) -> Turns:
    return Turns()


class Database:
    """Gives transactions on the database of an engine; raises DatabaseUnsupported at once for a wrong one."""

    def __init__(self, engine: sa.Engine) -> None:
        require_supported(engine.dialect.name)
        self._turn: Callable[[], AbstractContextManager[None]] = nullcontext
        if engine.dialect.name == "sqlite":
            url = engine.url.render_as_string(hide_password=False)
            own, self._turn = _sqlite_engine(url), _turns_of(url).take
            self._writer, self._reader = own, own.execution_options(**{_READ_ONLY: True})
        else:
            self._writer = engine.execution_options(isolation_level="READ COMMITTED")
            self._reader = engine.execution_options(isolation_level="REPEATABLE READ")

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open a transaction that may write: row locks see the newest rows (PostgreSQL), or it holds the write lock (SQLite)."""
        with _translated(), self._turn(), self._writer.begin() as connection:
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
            raise _busy() from error
        raise


def _busy() -> StoreBusy:
    return StoreBusy("The database is locked by another writer.", hint="Ask again.", retry_after=1.0)


def upsert(connection: sa.Connection, table: sa.Table) -> Any:
    """Return an INSERT of the connection's dialect, which knows ON CONFLICT (the two share its methods, but no base class)."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)
