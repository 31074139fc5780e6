"""The rows of our tables as values: targets, applications, attempts, clusters, events; no rules here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from platyspark_provider.core.spec import AppRequest, ClusterSpec, ResolvedSpec
from platyspark_provider.core.states import (
    AppDesired,
    AppKind,
    AppPhase,
    ClusterDesired,
    ClusterPhase,
    FailureClass,
    LogState,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An account, region and backend that applications run on.

    :param backend: `emr` (later `emr_serverless`, `emr_eks`).
    :param yarn_url: overrides `http://<master>:8088`; `{cluster}` in it stands for the cluster's external id.
    """

    id: int
    name: str
    backend: str
    aws_conn_id: str
    region: str | None
    account_id: str | None = None
    yarn_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt failed, as the error card shows it.

    :param user_line: the owner's code, `job.py:14  out.write...`.
    :param log_tail: last lines of the driver's stderr.
    """

    klass: FailureClass
    summary: str
    error_class: str | None = None
    sql_state: str | None = None
    user_line: str | None = None
    hint: str | None = None
    log_tail: str = ""
    log_uri: str | None = None
    is_complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something that is so since a moment, in plain words (as Kubernetes conditions)."""

    type: str
    reason: str
    message: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One append-only line: what happened to what, who did it and why.

    :param object_kind: `app`, `cluster` or `token`.
    :param actor: `task:...`, `user:...`, `watchdog`, `observer`, `backend`.
    """

    object_kind: str
    object_id: int
    kind: str
    message: str
    actor: str
    at: datetime
    generation: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to act on a row: its fencing number `epoch` and how long it holds (database clock)."""

    owner: str | None = None
    epoch: int = 0
    until: datetime | None = None

    def is_held(self, now: datetime) -> bool:
        """Tell whether somebody may act on the row now."""
        return self.owner is not None and self.until is not None and self.until > now


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One application: what its owner wants and where its current generation is.

    :param scope: team of the owner, within which `app_key` is unique.
    :param rerun_token: `max_tries` of the task's row when this app was last submitted; it moves when a user clears.
    :param generation: the generation that runs or ran last; 0 before the first.
    :param wanted_generation: greater than `generation` while the old run is being stopped for a new one.
    :param pool_key: cluster key of the pool in whose queue it waits, or whose cluster it is on; None before it was placed.
    :param queued_at: place in that queue: the moment it began to wait, less a minute for each point of priority.
    """

    id: int
    scope: str
    app_key: str
    kind: AppKind
    name: str
    team: str
    owner: str
    environment: str
    request: AppRequest
    request_hash: str
    desired: AppDesired
    phase: AppPhase
    generation: int
    wanted_generation: int
    created_at: datetime
    updated_at: datetime
    dag_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    map_index: int = -1
    rerun_token: str | None = None
    owner_try: int | None = None
    owner_ti_id: str | None = None
    cluster_id: int | None = None
    conditions: tuple[Condition, ...] = ()
    deadline_at: datetime | None = None
    next_reconcile_at: datetime | None = None
    slot: int = 0
    pool_key: str | None = None
    queued_at: datetime | None = None
    lease: Lease = Lease()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One generation of an application.

    :param external_id: the backend's own id (EMR: step id); None until known.
    :param external_detail: all else the backend told (cluster's external id, YARN application id, links).
    :param sends: remote calls tried for this generation.
    :param stop_stage: how far the stop ladder went; see `core.stopping`.
    :param result: what the job itself reported (a line of its driver's output, `core.results`); None without one.
    """

    app_id: int
    generation: int
    spec: ResolvedSpec
    provenance: Mapping[str, str]
    phase: AppPhase
    created_at: datetime
    artifacts_ready: bool = False
    cluster_id: int | None = None
    external_id: str | None = None
    external_detail: Mapping[str, Any] = field(default_factory=dict)
    sends: int = 0
    send_nonce: str | None = None
    sent_at: datetime | None = None
    empty_listings: int = 0
    last_listing_at: datetime | None = None
    submitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    observed_at: datetime | None = None
    stop_requested_at: datetime | None = None
    stop_reason: str | None = None
    stop_actor: str | None = None
    stop_stage: int = 0
    stop_stage_at: datetime | None = None
    death_proof: str | None = None
    failure_class: FailureClass | None = None
    failure: Failure | None = None
    log_state: LogState = LogState.NONE
    log_uri: str | None = None
    log_tail: str | None = None
    acknowledged_at: datetime | None = None
    ti_id: str | None = None
    try_number: int | None = None
    result: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One incarnation of a cluster; `live_key` is unique while it may take work and None after.

    :param send: create calls tried for this generation.
    :param observed_state: the backend's own word (EMR: `WAITING`, ...).
    :param ensured_by: who asked for it without an application (`user:...`, `task:...`, `pool`); such a row is created at
        once; None for one that applications asked for.
    """

    id: int
    cluster_key: str
    name: str
    environment: str
    target_id: int
    spec_hash: str
    spec: ClusterSpec
    desired: ClusterDesired
    phase: ClusterPhase
    generation: int
    created_at: datetime
    updated_at: datetime
    live_key: str | None = None
    external_id: str | None = None
    external_detail: Mapping[str, Any] = field(default_factory=dict)
    send: int = 0
    send_nonce: str | None = None
    create_sent_at: datetime | None = None
    empty_listings: int = 0
    last_listing_at: datetime | None = None
    observed_state: str | None = None
    observed_reason: str | None = None
    observed_at: datetime | None = None
    failure_class: FailureClass | None = None
    restart_count: int = 0
    healthy_since: datetime | None = None
    ended_at: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    next_reconcile_at: datetime | None = None
    ensured_by: str | None = None
    lease: Lease = Lease()


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """This set of tables: `inst` (6 hex digits) goes into every remote name, so two Airflows never mix runs up."""

    inst: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A machine token as stored: never the secret, only its sha256.

    :param scopes: of `worker`, `reconciler`, `scrape`, `ingest`.
    :param teams: the teams it may act for; empty means all.
    """

    id: int
    name: str
    token_hash: str
    scopes: tuple[str, ...]
    teams: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
