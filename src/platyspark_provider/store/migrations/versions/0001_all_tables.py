"""Make all tables, and name the installation.

Frozen: this file says what release 0.1.0 made, whatever `store.tables` says later. A fresh `airflow db migrate` makes the
tables from `store.tables` and runs no migration; a test keeps both ways equal.
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "p0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
WORD = sa.String(32)
BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make what is not there yet."""
    _create_installation()
    _create_target()
    _create_cluster()
    _create_app()
    _create_attempt()
    _create_event()
    _create_lease()
    _create_bucket()
    _create_token()
    _name_installation()


def downgrade() -> None:
    """Remove our tables and all they hold."""
    for name in ("token", "bucket", "lease", "event", "attempt", "app", "cluster", "target", "installation"):
        op.drop_table(f"platyspark_{name}", if_exists=True)


def _name_installation() -> None:
    """Insert the one row that tells this set of tables from any other; remote names carry it."""
    op.execute(
        "INSERT INTO platyspark_installation (id, inst, created_at) "  # noqa: S608
        f"VALUES (1, '{secrets.token_hex(3)}', CURRENT_TIMESTAMP) ON CONFLICT (id) DO NOTHING"
    )


def _create_installation() -> None:
    op.create_table(
        "platyspark_installation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("inst", sa.String(6), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="platyspark_installation_pkey"),
        if_not_exists=True,
    )


def _create_target() -> None:
    op.create_table(
        "platyspark_target",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("backend", sa.String(32), nullable=False),
        sa.Column("aws_conn_id", sa.String(250), nullable=False),
        sa.Column("region", sa.String(50)),
        sa.Column("account_id", sa.String(20)),
        sa.Column("yarn_url", sa.String(500)),
        sa.PrimaryKeyConstraint("id", name="platyspark_target_pkey"),
        sa.UniqueConstraint("name", name="platyspark_target_name_uq"),
        if_not_exists=True,
    )


def _create_cluster() -> None:
    op.create_table(
        "platyspark_cluster",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("cluster_key", sa.String(64), nullable=False),
        sa.Column("name", sa.String(250), nullable=False),
        sa.Column("environment", sa.String(100), nullable=False),
        sa.Column("target_id", sa.Integer(), nullable=False),
        sa.Column("spec_hash", sa.String(64), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("desired", WORD, nullable=False),
        sa.Column("phase", WORD, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("live_key", sa.String(64)),
        sa.Column("external_id", sa.String(250)),
        sa.Column("external_detail", sa.JSON(), nullable=False),
        sa.Column("send", sa.Integer(), nullable=False),
        sa.Column("send_nonce", sa.String(64)),
        sa.Column("create_sent_at", TIME),
        sa.Column("empty_listings", sa.Integer(), nullable=False),
        sa.Column("last_listing_at", TIME),
        sa.Column("observed_state", sa.String(64)),
        sa.Column("observed_reason", sa.Text()),
        sa.Column("observed_at", TIME),
        sa.Column("failure_class", WORD),
        sa.Column("restart_count", sa.Integer(), nullable=False),
        sa.Column("healthy_since", TIME),
        sa.Column("ended_at", TIME),
        sa.Column("conditions", sa.JSON(), nullable=False),
        sa.Column("next_reconcile_at", TIME),
        sa.Column("lease_owner", sa.String(250)),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="platyspark_cluster_pkey"),
        sa.ForeignKeyConstraint(["target_id"], ["platyspark_target.id"], name="platyspark_cluster_target_id_fkey"),
        sa.UniqueConstraint("cluster_key", "generation", name="platyspark_cluster_key_generation_uq"),
        sa.UniqueConstraint("live_key", name="platyspark_cluster_live_key_uq"),
        if_not_exists=True,
    )
    op.create_index("platyspark_cluster_phase_ix", "platyspark_cluster", ["phase"], if_not_exists=True)


def _create_app() -> None:
    op.create_table(
        "platyspark_app",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("scope", sa.String(100), nullable=False),
        sa.Column("app_key", sa.String(1000), nullable=False),
        sa.Column("kind", WORD, nullable=False),
        sa.Column("name", sa.String(250), nullable=False),
        sa.Column("team", sa.String(100), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("environment", sa.String(100), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("request_hash", sa.String(64), nullable=False),
        sa.Column("desired", WORD, nullable=False),
        sa.Column("phase", WORD, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("wanted_generation", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("dag_id", sa.String(250)),
        sa.Column("task_id", sa.String(250)),
        sa.Column("run_id", sa.String(250)),
        sa.Column("map_index", sa.Integer(), nullable=False),
        sa.Column("rerun_token", sa.String(64)),
        sa.Column("owner_try", sa.Integer()),
        sa.Column("owner_ti_id", sa.String(64)),
        sa.Column("cluster_id", sa.Integer()),
        sa.Column("conditions", sa.JSON(), nullable=False),
        sa.Column("deadline_at", TIME),
        sa.Column("next_reconcile_at", TIME),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.String(250)),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="platyspark_app_pkey"),
        sa.ForeignKeyConstraint(["cluster_id"], ["platyspark_cluster.id"], name="platyspark_app_cluster_id_fkey"),
        sa.UniqueConstraint("scope", "app_key", name="platyspark_app_scope_key_uq"),
        if_not_exists=True,
    )
    op.create_index("platyspark_app_cluster_ix", "platyspark_app", ["cluster_id"], if_not_exists=True)
    op.create_index("platyspark_app_phase_ix", "platyspark_app", ["phase"], if_not_exists=True)
    op.create_index("platyspark_app_task_ix", "platyspark_app", ["dag_id", "task_id", "phase"], if_not_exists=True)
    op.create_index("platyspark_app_run_ix", "platyspark_app", ["dag_id", "run_id", "task_id"], if_not_exists=True)


def _create_attempt() -> None:
    op.create_table(
        "platyspark_attempt",
        sa.Column("app_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("provenance", sa.JSON(), nullable=False),
        sa.Column("phase", WORD, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("artifacts_ready", sa.Boolean(), nullable=False),
        sa.Column("cluster_id", sa.Integer()),
        sa.Column("external_id", sa.String(250)),
        sa.Column("external_detail", sa.JSON(), nullable=False),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("send_nonce", sa.String(64)),
        sa.Column("sent_at", TIME),
        sa.Column("empty_listings", sa.Integer(), nullable=False),
        sa.Column("last_listing_at", TIME),
        sa.Column("submitted_at", TIME),
        sa.Column("started_at", TIME),
        sa.Column("ended_at", TIME),
        sa.Column("observed_at", TIME),
        sa.Column("stop_requested_at", TIME),
        sa.Column("stop_reason", sa.Text()),
        sa.Column("stop_actor", sa.Text()),
        sa.Column("stop_stage", sa.Integer(), nullable=False),
        sa.Column("stop_stage_at", TIME),
        sa.Column("death_proof", sa.Text()),
        sa.Column("failure_class", WORD),
        sa.Column("failure", sa.JSON()),
        sa.Column("log_state", WORD, nullable=False),
        sa.Column("log_uri", sa.Text()),
        sa.Column("log_tail", sa.Text()),
        sa.Column("acknowledged_at", TIME),
        sa.Column("ti_id", sa.String(64)),
        sa.Column("try_number", sa.Integer()),
        sa.PrimaryKeyConstraint("app_id", "generation", name="platyspark_attempt_pkey"),
        sa.ForeignKeyConstraint(["app_id"], ["platyspark_app.id"], name="platyspark_attempt_app_id_fkey", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["cluster_id"], ["platyspark_cluster.id"], name="platyspark_attempt_cluster_id_fkey"),
        if_not_exists=True,
    )
    op.create_index("platyspark_attempt_acknowledged_ix", "platyspark_attempt", ["acknowledged_at"], if_not_exists=True)
    op.create_index("platyspark_attempt_log_ix", "platyspark_attempt", ["log_state"], if_not_exists=True)
    op.create_index("platyspark_attempt_phase_ix", "platyspark_attempt", ["phase"], if_not_exists=True)


def _create_event() -> None:
    op.create_table(
        "platyspark_event",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("object_kind", sa.String(16), nullable=False),
        sa.Column("object_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("generation", sa.Integer()),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="platyspark_event_pkey"),
        if_not_exists=True,
    )
    op.create_index("platyspark_event_object_ix", "platyspark_event", ["object_kind", "object_id", "id"], if_not_exists=True)


def _create_lease() -> None:
    op.create_table(
        "platyspark_lease",
        sa.Column("name", sa.String(190), nullable=False),
        sa.Column("holder", sa.String(250), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="platyspark_lease_pkey"),
        if_not_exists=True,
    )


def _create_bucket() -> None:
    op.create_table(
        "platyspark_bucket",
        sa.Column("account_id", sa.String(20), nullable=False),
        sa.Column("region", sa.String(50), nullable=False),
        sa.Column("op", sa.String(64), nullable=False),
        sa.Column("tokens", sa.Float(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", "op", name="platyspark_bucket_pkey"),
        if_not_exists=True,
    )


def _create_token() -> None:
    op.create_table(
        "platyspark_token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("live_name", sa.String(100)),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("teams", sa.JSON(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.String(250), nullable=False),
        sa.Column("expires_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.Column("last_used_at", TIME),
        sa.PrimaryKeyConstraint("id", name="platyspark_token_pkey"),
        sa.UniqueConstraint("token_hash", name="platyspark_token_hash_uq"),
        sa.UniqueConstraint("live_name", name="platyspark_token_live_name_uq"),
        if_not_exists=True,
    )
