"""Our tables through Airflow's own migration code, on both databases: up, down, fresh, half-made, refused."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.orm import Session

from platyspark_provider.airflow_core.db import airflow_engine
from platyspark_provider.errors import DatabaseUnsupported, SchemaBehind
from platyspark_provider.store.schema import REVISIONS, VERSION_TABLE, SchemaState, schema_state
from platyspark_provider.store.sql import sql_store_factory
from platyspark_provider.store.tables import metadata

OURS = sorted([*metadata.tables, VERSION_TABLE])


@pytest.fixture(params=["sqlite", "postgresql"])
def airflow_database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    """Yield an engine on an empty database that this process' Airflow takes for its own."""
    from airflow import settings

    url: sa.URL = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    engine = sa.create_engine(url)
    monkeypatch.setattr(settings, "engine", engine)
    monkeypatch.setattr(settings, "SQL_ALCHEMY_CONN", url.render_as_string(hide_password=False))
    yield engine
    engine.dispose()


@pytest.fixture
def migrate(airflow_database: sa.Engine) -> Callable[..., None]:
    """Return a call of one verb of our manager in a session of its own, as Airflow makes it."""
    from platyspark_provider.store.db_manager import PlatySparkDBManager

    def call(verb: str, *args: Any, **options: Any) -> None:
        with Session(airflow_database) as session:
            getattr(PlatySparkDBManager(session), verb)(*args, **options)

    return call


def tables(engine: sa.Engine) -> list[str]:
    return sorted(sa.inspect(engine).get_table_names())


def drift(engine: sa.Engine) -> list[Any]:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True, "include_object": is_ours}
        )
        return list(compare_metadata(context, metadata))


def is_ours(_object: Any, name: str | None, kind: str, *_: Any) -> bool:
    return kind != "table" or name in metadata.tables


def reflected(engine: sa.Engine) -> dict[str, Any]:
    """Return all that the database says of our tables; columns in their order, the rest without."""
    look = sa.inspect(engine)

    def plain(values: list[Any]) -> list[str]:
        return sorted(repr(sorted((k, repr(v)) for k, v in value.items())) for value in values)

    return {
        name: {
            "columns": [sorted((k, repr(v)) for k, v in column.items()) for column in look.get_columns(name)],
            "primary key": look.get_pk_constraint(name),
            "foreign keys": plain(look.get_foreign_keys(name)),
            "unique": plain(look.get_unique_constraints(name)),
            "indexes": plain(look.get_indexes(name)),
        }
        for name in sorted(metadata.tables)
    }


def state(engine: sa.Engine) -> SchemaState:
    with engine.connect() as connection:
        return schema_state(connection)


def test_fresh_database_gets_tables_installation_and_head(airflow_database: sa.Engine, migrate: Callable[..., None]) -> None:
    assert state(airflow_database) is SchemaState.MISSING
    migrate("initdb")
    assert tables(airflow_database) == OURS
    assert state(airflow_database) is SchemaState.CURRENT
    with sql_store_factory(airflow_engine)() as store:
        assert len(bytes.fromhex(store.installation().inst)) == 3


def test_migration_files_make_what_a_fresh_database_gets(airflow_database: sa.Engine, migrate: Callable[..., None]) -> None:
    migrate("initdb")
    fresh = reflected(airflow_database)
    assert drift(airflow_database) == []
    migrate("downgrade", "base")
    migrate("initdb", use_migration_files=True)
    assert drift(airflow_database) == []
    assert reflected(airflow_database) == fresh
    assert state(airflow_database) is SchemaState.CURRENT
    with sql_store_factory(airflow_engine)() as store:
        assert len(bytes.fromhex(store.installation().inst)) == 3


def test_downgrade_to_base_leaves_nothing(airflow_database: sa.Engine, migrate: Callable[..., None]) -> None:
    migrate("upgradedb", use_migration_files=True)
    migrate("downgrade", "base")
    assert tables(airflow_database) == []


def test_downgrade_to_the_revision_they_are_at_leaves_the_tables(airflow_database: sa.Engine, migrate: Callable[..., None]) -> None:
    migrate("initdb")
    migrate("downgrade", REVISIONS[-1])
    assert tables(airflow_database) == OURS
    assert state(airflow_database) is SchemaState.CURRENT


def test_upgrade_of_tables_without_a_version_keeps_them(airflow_database: sa.Engine, migrate: Callable[..., None]) -> None:
    metadata.create_all(airflow_database)
    with sql_store_factory(airflow_database)() as store:
        before = store.installation()
    migrate("upgradedb")
    with sql_store_factory(airflow_database)() as store:
        assert store.installation() == before
    assert state(airflow_database) is SchemaState.CURRENT


def test_first_migration_over_existing_tables_changes_nothing(airflow_database: sa.Engine, migrate: Callable[..., None]) -> None:
    metadata.create_all(airflow_database)
    with sql_store_factory(airflow_database)() as store:
        before = store.installation()
    migrate("upgradedb", use_migration_files=True)
    assert drift(airflow_database) == []
    with sql_store_factory(airflow_database)() as store:
        assert store.installation() == before


def test_first_migration_finishes_what_a_crash_left(airflow_database: sa.Engine, migrate: Callable[..., None]) -> None:
    with airflow_database.begin() as connection:
        metadata.tables["platyspark_target"].create(connection)
        metadata.tables["platyspark_cluster"].create(connection)
    migrate("upgradedb", use_migration_files=True)
    assert tables(airflow_database) == OURS
    assert drift(airflow_database) == []


def test_reset_makes_the_tables_anew_as_another_installation(airflow_database: sa.Engine, migrate: Callable[..., None]) -> None:
    migrate("initdb")
    with sql_store_factory(airflow_engine)() as store:
        before = store.installation()
    migrate("resetdb", skip_init=True)
    assert tables(airflow_database) == []
    migrate("initdb")
    with sql_store_factory(airflow_engine)() as store:
        assert store.installation() != before


def test_schema_state_older_revision_is_behind_and_newer_is_current(airflow_database: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with airflow_database.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32))")
    assert state(airflow_database) is SchemaState.MISSING
    with airflow_database.begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO {VERSION_TABLE} VALUES ('p0001')")
    monkeypatch.setattr("platyspark_provider.store.schema.REVISIONS", ("p0001", "p0002"))
    assert state(airflow_database) is SchemaState.BEHIND
    monkeypatch.setattr("platyspark_provider.store.schema.REVISIONS", ("p0000",))
    assert state(airflow_database) is SchemaState.CURRENT


def test_store_without_an_installation_row_names_the_command(store_engine: sa.Engine) -> None:
    with store_engine.begin() as connection:
        connection.execute(metadata.tables["platyspark_installation"].delete())
    try:
        with sql_store_factory(store_engine)() as store, pytest.raises(SchemaBehind, match="airflow db migrate"):
            store.installation()
    finally:
        with store_engine.begin() as connection:
            values = {"id": 1, "inst": "abcdef", "created_at": sa.func.current_timestamp()}
            connection.execute(metadata.tables["platyspark_installation"].insert().values(values))


def test_known_revisions_are_those_of_the_files() -> None:
    from platyspark_provider.store.db_manager import PlatySparkDBManager

    script = ScriptDirectory(PlatySparkDBManager.migration_dir)
    files = [revision.revision for revision in script.walk_revisions()]
    assert list(reversed(files)) == list(REVISIONS)
    assert script.get_heads() == [REVISIONS[-1]]
    assert list(PlatySparkDBManager.revision_heads_map.values())[-1] == REVISIONS[-1]


def test_manager_passes_airflows_own_validation() -> None:
    from airflow.utils.db_manager import RunDBManager

    from platyspark_provider.store.db_manager import PlatySparkDBManager

    RunDBManager._validate(PlatySparkDBManager)
    assert Path(PlatySparkDBManager.alembic_file).is_file()


def test_offline_upgrade_prints_every_table(
    postgres_url: sa.URL, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from airflow import settings

    from platyspark_provider.store.db_manager import PlatySparkDBManager

    engine = sa.create_engine(postgres_url)
    monkeypatch.setattr(settings, "engine", engine)
    monkeypatch.setattr(settings, "SQL_ALCHEMY_CONN", postgres_url.render_as_string(hide_password=False))
    with Session(engine) as session:
        PlatySparkDBManager(session).upgradedb("p0001", show_sql_only=True)
    printed = capsys.readouterr().out
    assert [name for name in metadata.tables if f"CREATE TABLE IF NOT EXISTS {name}" not in printed] == []
    assert tables(engine) == []
    engine.dispose()


def test_store_in_a_process_without_airflows_database_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow import settings

    monkeypatch.setattr(settings, "engine", None)
    with pytest.raises(RuntimeError, match="not configured"), sql_store_factory(airflow_engine)():
        pass


def mysql_engine() -> sa.Engine:
    """Return an engine that never connects."""
    return sa.create_mock_engine("mysql+mysqldb://", executor=lambda *_, **__: None)  # type: ignore[return-value]


def test_manager_on_mysql_is_refused_with_what_to_use() -> None:
    from platyspark_provider.store.db_manager import PlatySparkDBManager

    class MysqlSession:
        def get_bind(self) -> Any:
            return mysql_engine()

    with pytest.raises(DatabaseUnsupported, match=r"mysql.*PostgreSQL 14"):
        PlatySparkDBManager(MysqlSession())  # type: ignore[arg-type]


def test_store_on_mysql_is_refused_when_opened() -> None:
    factory = sql_store_factory(mysql_engine)
    with pytest.raises(DatabaseUnsupported, match="PostgreSQL 14"), factory():
        pass


def test_airflow_db_migrate_makes_our_tables(tmp_path: Path) -> None:
    """The command itself, in a process of its own, with the manager named as a site without the provider's entry would."""
    url = f"sqlite:///{tmp_path}/airflow.db"
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
        "AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS": "platyspark_provider.store.db_manager.PlatySparkDBManager",
    }
    done = subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"], env=env, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    engine = sa.create_engine(url)
    assert set(OURS) <= set(tables(engine))
    assert state(engine) is SchemaState.CURRENT
    engine.dispose()
