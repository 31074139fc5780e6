"""What the public API answers: its schemas; `registry.views` makes what stands in them."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from platyspark_provider.core.states import AppDesired, AppKind, AppPhase, ClusterDesired, ClusterPhase, DeployMode, LogState, OnLimit


class ConditionResponse(BaseModel):
    """Something that is so, or not so yet, since a moment."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    last_transition_time: datetime


class Links(BaseModel):
    """Where more of it is; paths on this server."""

    self: str
    events: str
    logs: str | None = None
    apps: str | None = None
    ui: str | None = Field(None, description="Airflow's page of its task; null for what no task submitted.")


class Spec(BaseModel):
    """What runs, as governance resolved it; values of environment variables, and of conf keys that look secret, are hidden."""

    name: str
    application: str | None
    sql: str | None
    main_class: str | None
    args: list[str]
    conf: dict[str, str]
    env_vars: dict[str, str]
    py_files: list[str]
    files: list[str]
    jars: list[str]
    archives: list[str]
    packages: list[str]
    cluster: dict[str, Any]
    deploy_mode: DeployMode
    team: str
    environment: str
    tags: dict[str, str]
    max_runtime_s: int | None
    on_limit: OnLimit
    priority: int


class Stop(BaseModel):
    """Who asked for its end, when and why."""

    requested_at: datetime
    reason: str | None
    actor: str | None


class FailureResponse(BaseModel):
    """Why it failed, as the error card of a task shows it."""

    model_config = ConfigDict(populate_by_name=True)

    klass: str = Field(alias="class")
    summary: str
    error_class: str | None
    sql_state: str | None
    user_line: str | None
    hint: str | None
    log_tail: str
    log_uri: str | None
    is_complete: bool


class AppStatus(BaseModel):
    """Where a generation is."""

    state: AppPhase
    attempt: int = Field(description="The generation that runs or ran last; `generation` is the newest one.")
    conditions: list[ConditionResponse]
    cluster_id: int | None
    external_id: str | None
    sends: int
    sent_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None
    stop: Stop | None
    failure: FailureResponse | None
    log_state: LogState
    log_uri: str | None
    result: dict[str, Any] | None


class AppResponse(BaseModel):
    """An application."""

    id: int
    app_key: str
    name: str
    kind: AppKind
    team: str
    owner: str
    environment: str
    dag_id: str | None
    task_id: str | None
    run_id: str | None
    map_index: int
    generation: int
    desired_state: AppDesired
    submitted_at: datetime
    updated_at: datetime
    spec: Spec
    status: AppStatus
    links: Links
    warnings: list[str] = Field([], description="What governance changed; in the answer to its submit alone.")


class AppCollectionResponse(BaseModel):
    """Some applications, and how many there are in all."""

    apps: list[AppResponse]
    total_entries: int


class AttemptResponse(BaseModel):
    """One generation of an application."""

    generation: int
    created_at: datetime
    status: AppStatus
    spec: Spec
    sources: dict[str, str] = Field(description="Where each value came from: `request`, `profile <name>`, `policy ceiling`, ...")


class AttemptCollectionResponse(BaseModel):
    """All generations of an application, newest first."""

    attempts: list[AttemptResponse]
    total_entries: int


class EventResponse(BaseModel):
    """One line of what happened, who did it and why."""

    id: int
    at: datetime
    object_kind: str
    object_id: int
    generation: int | None
    kind: str
    message: str
    actor: str
    detail: dict[str, Any]


class EventCollectionResponse(BaseModel):
    """Events by ascending id."""

    events: list[EventResponse]
    next_after: int | None = Field(description="Ask with this as `after` for what follows; null where nothing more is there yet.")


class ClusterStatus(BaseModel):
    """Where a cluster is."""

    state: ClusterPhase
    external_id: str | None
    active_apps: int
    takes_apps: bool
    backend_state: str | None
    backend_reason: str | None
    failure_class: str | None
    restart_count: int
    ready_since: datetime | None
    ended_at: datetime | None
    conditions: list[ConditionResponse]


class ClusterResponse(BaseModel):
    """One incarnation of a cluster."""

    id: int
    name: str
    environment: str
    target: str
    generation: int
    desired_state: ClusterDesired
    ensured_by: str | None
    created_at: datetime
    updated_at: datetime
    spec_hash: str
    spec: dict[str, Any]
    status: ClusterStatus
    links: Links


class ClusterCollectionResponse(BaseModel):
    """Some clusters, and how many there are in all."""

    clusters: list[ClusterResponse]
    total_entries: int


class EnsuredClusterResponse(ClusterResponse):
    """A cluster that is as it was asked for.

    `siblings` are others of its name that live with another spec.
    """

    outcome: Literal["created", "reused"]
    siblings: list[int]
    drained: list[int]
    warnings: list[str]


class ProfileResponse(BaseModel):
    """A profile, with the source of each value; secrets are hidden."""

    name: str
    target: str
    region: str | None
    values: dict[str, Any]
    sources: dict[str, str]


class ProfileCollectionResponse(BaseModel):
    """All profiles that are in force."""

    profiles: list[ProfileResponse]
    total_entries: int
    environment: str
    error: str | None = Field(description="Why the file as it is now is not in force; null when it is.")


class TokenResponse(BaseModel):
    """A machine token, without its secret."""

    name: str
    state: Literal["live", "revoked", "expired"]
    scopes: list[str]
    teams: list[str]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewTokenResponse(TokenResponse):
    """A token and, this once, its secret."""

    secret: str


class TokenCollectionResponse(BaseModel):
    """All tokens, newest first."""

    tokens: list[TokenResponse]
    total_entries: int
