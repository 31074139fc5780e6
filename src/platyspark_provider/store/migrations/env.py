"""Runs our migrations on Airflow's engine, with a version table of our own; never looks at other tables."""

from typing import Any

import sqlalchemy as sa
from alembic import context

from platyspark_provider.airflow_core.db import airflow_engine, airflow_url
from platyspark_provider.store.schema import VERSION_TABLE
from platyspark_provider.store.sql_engine import require_supported
from platyspark_provider.store.tables import metadata


def _is_ours(_object: Any, name: str | None, kind: str, _reflected: bool, _compare_to: Any) -> bool:
    return kind != "table" or name in metadata.tables


def _run_offline() -> None:
    url = airflow_url()
    require_supported(sa.make_url(url).get_backend_name())
    context.configure(
        url=url,
        target_metadata=metadata,
        literal_binds=True,
        compare_type=True,
        render_as_batch=True,
        version_table=VERSION_TABLE,
        include_object=_is_ours,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run_on(connection: sa.Connection) -> None:
    require_supported(connection.dialect.name)
    context.configure(
        connection=connection,
        transaction_per_migration=True,
        target_metadata=metadata,
        compare_type=True,
        render_as_batch=True,
        version_table=VERSION_TABLE,
        include_object=_is_ours,
    )
    with context.begin_transaction():
        context.run_migrations()


def _run_online() -> None:
    given = context.config.attributes.get("connection")
    if given is not None:
        _run_on(given)
        return
    with airflow_engine().connect() as connection:
        _run_on(connection)


if context.is_offline_mode():
    _run_offline()
else:
    _run_online()
