"""Our tables, in Airflow's metadata database but on a MetaData of their own; rows become values in `sql_rows`."""

import secrets
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

from platyspark_provider.core.model import Condition, Failure
from platyspark_provider.core.spec import AppRequest, ClusterSpec, ResolvedSpec
from platyspark_provider.core.states import AppDesired, AppKind, AppPhase, ClusterDesired, ClusterPhase, FailureClass, LogState
from platyspark_provider.store.sql_types import JsonValue, UtcDateTime, Word
from platyspark_provider.store.writing import KEY_CHARS

NAMES = {
    "ix": "%(table_name)s_%(column_0_N_name)s_ix",
    "uq": "%(table_name)s_%(column_0_N_name)s_uq",
    "ck": "%(table_name)s_%(constraint_name)s_ck",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}
metadata = MetaData(naming_convention=NAMES)


_BigId = sa.BigInteger().with_variant(Integer, "sqlite")


def _json(name: str, of: Any, *, nullable: bool = False) -> Column[Any]:
    return Column(name, JsonValue(of), nullable=nullable)


def _time(name: str, *, nullable: bool = True) -> Column[Any]:
    return Column(name, UtcDateTime(), nullable=nullable)


def _claim() -> tuple[Column[Any], ...]:
    """Return the columns of a row's lease, in milliseconds of the database's own clock."""
    return (
        Column("lease_owner", String(250)),
        Column("epoch", Integer, nullable=False, server_default="0"),
        Column("lease_until_ms", sa.BigInteger),
    )


installation = Table(
    "platyspark_installation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("inst", String(6), nullable=False),
    _time("created_at", nullable=False),
)

target = Table(
    "platyspark_target",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("backend", String(32), nullable=False),
    Column("aws_conn_id", String(250), nullable=False),
    Column("region", String(50)),
    Column("account_id", String(20)),
    Column("yarn_url", String(500)),
    UniqueConstraint("name", name="platyspark_target_name_uq"),
)

cluster = Table(
    "platyspark_cluster",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("cluster_key", String(64), nullable=False),
    Column("name", String(250), nullable=False),
    Column("environment", String(100), nullable=False),
    Column("target_id", Integer, ForeignKey("platyspark_target.id"), nullable=False),
    Column("spec_hash", String(64), nullable=False),
    _json("spec", ClusterSpec),
    Column("desired", Word(ClusterDesired), nullable=False),
    Column("phase", Word(ClusterPhase), nullable=False),
    Column("generation", Integer, nullable=False),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
    Column("live_key", String(64)),
    Column("external_id", String(250)),
    _json("external_detail", Mapping[str, Any]),
    Column("send", Integer, nullable=False),
    Column("send_nonce", String(64)),
    _time("create_sent_at"),
    Column("empty_listings", Integer, nullable=False),
    _time("last_listing_at"),
    Column("observed_state", String(64)),
    Column("observed_reason", Text),
    _time("observed_at"),
    Column("failure_class", Word(FailureClass)),
    Column("restart_count", Integer, nullable=False),
    _time("healthy_since"),
    _time("ended_at"),
    _json("conditions", tuple[Condition, ...]),
    _time("next_reconcile_at"),
    *_claim(),
    Column("ensured_by", Text),
    UniqueConstraint("live_key", name="platyspark_cluster_live_key_uq"),
    UniqueConstraint("cluster_key", "generation", name="platyspark_cluster_key_generation_uq"),
    Index("platyspark_cluster_phase_ix", "phase"),
)

app = Table(
    "platyspark_app",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("scope", String(100), nullable=False),
    Column("app_key", String(KEY_CHARS), nullable=False),
    Column("kind", Word(AppKind), nullable=False),
    Column("name", String(250), nullable=False),
    Column("team", String(100), nullable=False),
    Column("owner", Text, nullable=False),
    Column("environment", String(100), nullable=False),
    _json("request", AppRequest),
    Column("request_hash", String(64), nullable=False),
    Column("desired", Word(AppDesired), nullable=False),
    Column("phase", Word(AppPhase), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("wanted_generation", Integer, nullable=False),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
    Column("dag_id", String(250)),
    Column("task_id", String(250)),
    Column("run_id", String(250)),
    Column("map_index", Integer, nullable=False),
    Column("rerun_token", String(64)),
    Column("owner_try", Integer),
    Column("owner_ti_id", String(64)),
    Column("cluster_id", Integer, ForeignKey("platyspark_cluster.id")),
    _json("conditions", tuple[Condition, ...]),
    _time("deadline_at"),
    _time("next_reconcile_at"),
    Column("slot", Integer, nullable=False),
    *_claim(),
    Column("pool_key", String(64)),
    _time("queued_at"),
    UniqueConstraint("scope", "app_key", name="platyspark_app_scope_key_uq"),
    Index("platyspark_app_phase_ix", "phase"),
    Index("platyspark_app_task_ix", "dag_id", "task_id", "phase"),
    Index("platyspark_app_run_ix", "dag_id", "run_id", "task_id"),
    Index("platyspark_app_cluster_ix", "cluster_id"),
    Index("platyspark_app_queue_ix", "pool_key", "queued_at"),
    Index("platyspark_app_team_ix", "team", "phase"),
)

attempt = Table(
    "platyspark_attempt",
    metadata,
    Column("app_id", Integer, ForeignKey("platyspark_app.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    _json("spec", ResolvedSpec),
    _json("provenance", Mapping[str, str]),
    Column("phase", Word(AppPhase), nullable=False),
    _time("created_at", nullable=False),
    Column("artifacts_ready", sa.Boolean, nullable=False),
    Column("cluster_id", Integer, ForeignKey("platyspark_cluster.id")),
    Column("external_id", String(250)),
    _json("external_detail", Mapping[str, Any]),
    Column("sends", Integer, nullable=False),
    Column("send_nonce", String(64)),
    _time("sent_at"),
    Column("empty_listings", Integer, nullable=False),
    _time("last_listing_at"),
    _time("submitted_at"),
    _time("started_at"),
    _time("ended_at"),
    _time("observed_at"),
    _time("stop_requested_at"),
    Column("stop_reason", Text),
    Column("stop_actor", Text),
    Column("stop_stage", Integer, nullable=False),
    _time("stop_stage_at"),
    Column("death_proof", Text),
    Column("failure_class", Word(FailureClass)),
    _json("failure", Failure, nullable=True),
    Column("log_state", Word(LogState), nullable=False),
    Column("log_uri", Text),
    Column("log_tail", Text),
    _time("acknowledged_at"),
    Column("ti_id", String(64)),
    Column("try_number", Integer),
    _json("result", Mapping[str, Any], nullable=True),
    Index("platyspark_attempt_cluster_ix", "cluster_id"),
    Index("platyspark_attempt_phase_ix", "phase"),
    Index("platyspark_attempt_acknowledged_ix", "acknowledged_at"),
    Index("platyspark_attempt_log_ix", "log_state"),
)

event = Table(
    "platyspark_event",
    metadata,
    Column("id", _BigId, primary_key=True),
    Column("object_kind", String(16), nullable=False),
    Column("object_id", Integer, nullable=False),
    Column("kind", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("actor", Text, nullable=False),
    _time("at", nullable=False),
    Column("generation", Integer),
    _json("detail", Mapping[str, Any]),
    Index("platyspark_event_object_ix", "object_kind", "object_id", "id"),
)

lease = Table(
    "platyspark_lease",
    metadata,
    Column("name", String(190), primary_key=True),
    Column("holder", String(250), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("until_ms", sa.BigInteger, nullable=False),
)

bucket = Table(
    "platyspark_bucket",
    metadata,
    Column("account_id", String(20), primary_key=True),
    Column("region", String(50), primary_key=True),
    Column("op", String(64), primary_key=True),
    Column("tokens", Float, nullable=False),
    Column("updated_ms", sa.BigInteger, nullable=False),
)

token = Table(
    "platyspark_token",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("live_name", String(100)),
    Column("token_hash", String(64), nullable=False),
    _json("scopes", tuple[str, ...]),
    _json("teams", tuple[str, ...]),
    _time("created_at", nullable=False),
    Column("created_by", String(250), nullable=False),
    _time("expires_at"),
    _time("revoked_at"),
    _time("last_used_at"),
    UniqueConstraint("live_name", name="platyspark_token_live_name_uq"),
    UniqueConstraint("token_hash", name="platyspark_token_hash_uq"),
)


@sa.event.listens_for(installation, "after_create")
def _name_installation(table: Table, connection: sa.Connection, **kw: Any) -> None:
    """Give tables made from here (a fresh `airflow db migrate` runs no migration file) their identity, as 0001 does."""
    connection.execute(table.insert().values(id=1, inst=secrets.token_hex(3), created_at=sa.func.current_timestamp()))
