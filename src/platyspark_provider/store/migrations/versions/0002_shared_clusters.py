"""Add the queue for shared clusters, who ensured a cluster, and what a job reported.

Additive: the release before runs on it.
"""

import sqlalchemy as sa
from alembic import op

revision = "p0002"
down_revision = "p0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)

_COLUMNS = (
    ("platyspark_cluster", "ensured_by", sa.Text()),
    ("platyspark_app", "pool_key", sa.String(64)),
    ("platyspark_app", "queued_at", TIME),
    ("platyspark_attempt", "result", sa.JSON()),
)
_INDEXES = (
    ("platyspark_app_queue_ix", "platyspark_app", ["pool_key", "queued_at"]),
    ("platyspark_app_team_ix", "platyspark_app", ["team", "phase"]),
    ("platyspark_attempt_cluster_ix", "platyspark_attempt", ["cluster_id"]),
)


def upgrade() -> None:
    """Add what is not there yet."""
    found = sa.inspect(op.get_bind())
    for table, name, kind in _COLUMNS:
        if name not in {column["name"] for column in found.get_columns(table)}:
            op.add_column(table, sa.Column(name, kind))
    for name, table, columns in _INDEXES:
        op.create_index(name, table, columns, if_not_exists=True)


def downgrade() -> None:
    """Remove the columns and what they hold."""
    for name, table, _ in _INDEXES:
        op.drop_index(name, table_name=table, if_exists=True)
    for table, name, _ in _COLUMNS:
        op.drop_column(table, name)
