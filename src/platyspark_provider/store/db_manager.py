"""Registers our tables with Airflow: `airflow db migrate`, `db reset` and `db-manager downgrade` reach them through here."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from platyspark_provider.airflow_core.db import BaseDBManager
from platyspark_provider.store.schema import REVISIONS, VERSION_TABLE
from platyspark_provider.store.sql_engine import require_supported
from platyspark_provider.store.tables import metadata

_HERE = Path(__file__).parent


class PlatySparkDBManager(BaseDBManager):
    """Creates and migrates our tables; raises DatabaseUnsupported on MySQL before it touches anything."""

    metadata = metadata
    migration_dir = (_HERE / "migrations").as_posix()
    alembic_file = (_HERE / "alembic.ini").as_posix()
    version_table_name = VERSION_TABLE
    supports_table_dropping = True
    revision_heads_map = {"0.1.0": REVISIONS[-1]}

    def __init__(self, session: Session) -> None:
        require_supported(session.get_bind().dialect.name)
        super().__init__(session)  # type: ignore[no-untyped-call]

    def downgrade(self, to_revision: str, from_revision: str | None = None, show_sql_only: bool = False) -> None:
        """Take the tables back to a revision; `base` removes them, the version table included."""
        from alembic import command

        config = self.get_alembic_config()  # type: ignore[no-untyped-call]
        command.downgrade(config, revision=to_revision, sql=show_sql_only)
        if to_revision == "base" and not show_sql_only:
            with self.session.get_bind().engine.begin() as connection:
                connection.execute(sa.text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))
