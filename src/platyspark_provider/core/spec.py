"""What an owner asks for, what governance makes of it, and how both are hashed canonically."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from platyspark_provider.core.states import AppKind, DeployMode, OnLimit, Reuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file of an application: by address (`uri`) or by content (`sha256` of a local file).

    :param name: file name as the driver sees it.
    :param uri: `s3://...` when the owner gave an address; None for a local file.
    :param sha256: hex digest of a local file; None for an address.
    :param alias: the name or folder under which a local file or archive appears beside the driver (`env.tar.gz#env`);
        an address carries its own.
    """

    name: str
    uri: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    alias: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRequest:
    """A named cluster that the owner asks for: a profile with some values of its own; unset ones are None.

    :param profile: the profile it starts from; None takes the profile of the same name, else `shared`.
    :param size: name of a machine size, of the profile's `sizes`.
    :param workers: machines beside the master: at least, and at most as load asks for (equal: fixed).
    :param spot: share of the workers on spot capacity, 0 to 1.
    :param idle_timeout_s: seconds without work after which it ends.
    :param dedicated: for this application alone.
    """

    name: str
    profile: str | None = None
    size: str | None = None
    workers: tuple[int, int] | None = None
    spot: float | None = None
    idle_timeout_s: int | None = None
    dedicated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRequest:
    """What the owner asked for, unset values as None; hashed before governance touches it.

    :param application: the file to run; None where `sql` is given.
    :param sql: statements that a small driver of ours runs, separated by semicolons.
    :param cluster: a profile, or a named cluster.
    """

    application: Artifact | None = None
    sql: str | None = None
    kind: AppKind = AppKind.BATCH
    name: str | None = None
    main_class: str | None = None
    args: tuple[str, ...] = ()
    conf: Mapping[str, str] = field(default_factory=dict)
    env_vars: Mapping[str, str] = field(default_factory=dict)
    py_files: tuple[Artifact, ...] = ()
    files: tuple[Artifact, ...] = ()
    jars: tuple[Artifact, ...] = ()
    archives: tuple[Artifact, ...] = ()
    packages: tuple[str, ...] = ()
    cluster: str | ClusterRequest = "shared"
    max_runtime_s: int | None = None
    on_limit: OnLimit | None = None
    team: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    app_key: str | None = None
    reuse: Reuse = Reuse.RUNNING

    def artifacts(self) -> tuple[Artifact, ...]:
        """Return every file of the request, the application first."""
        application = () if self.application is None else (self.application,)
        return (*application, *self.py_files, *self.files, *self.jars, *self.archives)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceGroup:
    """One role of a cluster's machines (`MASTER`, `CORE`, `TASK`)."""

    role: str
    instance_type: str
    count: int
    market: str = "ON_DEMAND"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpec:
    """A cluster as governance resolved it; `spec_hash` covers what can't change on a living cluster.

    :param idle_timeout_s: seconds without work after which the cluster is drained (60 to 604,800).
    :param step_concurrency: applications that run at once, 1 to 256.
    :param max_workers: to how many machines beside the master the backend may grow it; None: it keeps its size.
    :param max_on_demand: how many of them may be on demand; None: all.
    :param pool_min: how many clusters of the key are kept up, work or not; :param pool_max: how many may live at once.
    :param queue_ahead: applications that may wait at the backend beyond those that run.
    """

    name: str
    target: str
    release_label: str
    applications: tuple[str, ...] = ("spark",)
    instance_groups: tuple[InstanceGroup, ...] = ()
    configurations: tuple[Mapping[str, Any], ...] = ()
    bootstrap_actions: tuple[Mapping[str, Any], ...] = ()
    subnet_ids: tuple[str, ...] = ()
    security_groups: Mapping[str, Any] = field(default_factory=dict)
    service_role: str | None = None
    instance_profile: str | None = None
    security_configuration: str | None = None
    custom_ami: str | None = None
    dedicated: bool = False
    idle_timeout_s: int = 3600
    step_concurrency: int = 10
    log_uri: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    max_workers: int | None = None
    max_on_demand: int | None = None
    pool_min: int = 0
    pool_max: int = 1
    queue_ahead: int = 0


_MUTABLE = (
    "idle_timeout_s",
    "step_concurrency",
    "log_uri",
    "tags",
    "name",
    "max_workers",
    "max_on_demand",
    "pool_min",
    "pool_max",
    "queue_ahead",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSpec:
    """All that is needed to send an application, frozen on its attempt; no profile is read after this.

    :param application_uri: empty where `sql` is run by our own driver.
    :param uploads: addresses of the request's local files, by sha256.
    :param artifacts: prefix for what the platform itself has to put beside a run (launch scripts, the SQL driver).
    :param priority: place in the queue for a cluster; each point is worth a minute of waiting.
    """

    name: str
    deploy_mode: DeployMode
    application_uri: str
    sql: str | None = None
    main_class: str | None = None
    args: tuple[str, ...] = ()
    conf: Mapping[str, str] = field(default_factory=dict)
    env_vars: Mapping[str, str] = field(default_factory=dict)
    py_files: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    jars: tuple[str, ...] = ()
    archives: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    cluster: ClusterSpec
    team: str
    environment: str
    tags: Mapping[str, str] = field(default_factory=dict)
    max_runtime_s: int | None = None
    on_limit: OnLimit = OnLimit.CANCEL
    uploads: Mapping[str, str] = field(default_factory=dict)
    artifacts: str | None = None
    priority: int = 50


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no blanks: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def content_hash(value: Any) -> str:
    """Return the sha256 hex digest of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def identifying_fields(request: AppRequest) -> dict[str, Any]:
    """Return what makes two requests the same; the key itself and the reuse rule do not count."""
    values: dict[str, Any] = _without_later(asdict(request))
    for name in ("app_key", "reuse"):
        del values[name]
    return values


_LATER = ("sql", "alias")
"""Fields that came after the first release: unset, they are left out, so that an upgrade changes no hash."""


def _without_later(value: Any) -> Any:
    match value:
        case Mapping():
            return {k: _without_later(v) for k, v in value.items() if v is not None or k not in _LATER}
        case list() | tuple():
            return [_without_later(v) for v in value]
        case _:
            return value


def request_hash(request: AppRequest) -> str:
    """Return the hash that `IdempotencyMismatch` compares; local files count by content, not by path."""
    return content_hash(identifying_fields(request))


def differing_fields(one: AppRequest, other: AppRequest) -> tuple[str, ...]:
    """Return the names of the request fields that differ, sorted."""
    a, b = identifying_fields(one), identifying_fields(other)
    return tuple(sorted(name for name in {*a, *b} if canonical_json(a.get(name)) != canonical_json(b.get(name))))


def spec_hash(spec: ClusterSpec) -> str:
    """Return the hash of a cluster's immutable part; tags, log URI, idle timeout and concurrency may change.

    Applications, subnets and instance groups are sets: their order does not count.
    """
    return content_hash(_immutable_part(spec))


def _immutable_part(spec: ClusterSpec) -> dict[str, Any]:
    values = {field.name: getattr(spec, field.name) for field in fields(spec) if field.name not in _MUTABLE}
    values["applications"] = sorted(a.lower() for a in spec.applications)
    values["subnet_ids"] = sorted(spec.subnet_ids)
    values["instance_groups"] = sorted((asdict(group) for group in spec.instance_groups), key=canonical_json)
    return values


def differing_spec_fields(one: ClusterSpec, other: ClusterSpec) -> tuple[str, ...]:
    """Return the names of the fields that make two specs different clusters, sorted."""
    a, b = _immutable_part(one), _immutable_part(other)
    return tuple(sorted(name for name in a if canonical_json(a[name]) != canonical_json(b[name])))
