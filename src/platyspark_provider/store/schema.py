"""Which revision our tables are at, for those who must not use tables older than the code."""

from enum import StrEnum

import sqlalchemy as sa

VERSION_TABLE = "alembic_version_platyspark"
REVISIONS = ("p0001", "p0002")
"""Every revision this release knows, oldest first; a test compares them with the migration files."""


class SchemaState(StrEnum):
    """How the tables stand to the code."""

    CURRENT = "current"  # also when a newer release migrated them: changes are additive
    BEHIND = "behind"
    MISSING = "missing"


def schema_state(connection: sa.Connection) -> SchemaState:
    """Return how the tables stand to this code; anything but CURRENT is mended by `airflow db migrate`."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return SchemaState.MISSING
    revision = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608
    if revision is None:
        return SchemaState.MISSING
    return SchemaState.BEHIND if revision in REVISIONS[:-1] else SchemaState.CURRENT
