"""What an owner asks for, what governance makes of it, and how both are hashed canonically."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from platyspark_provider.core.states import AppKind, DeployMode, OnLimit, Reuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file of an application: by address (`uri`) or by content (`sha256` of a local file).

    :param name: file name as the driver sees it.
    :param uri: `s3://...` when the owner gave an address; None for a local file.
    :param sha256: hex digest of a local file; None for an address.
    """

    name: str
    uri: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRequest:
    """What the owner asked for, unset values as None; hashed before governance touches it."""

    application: Artifact
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
    cluster: str = "shared"
    max_runtime_s: int | None = None
    on_limit: OnLimit | None = None
    team: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    app_key: str | None = None
    reuse: Reuse = Reuse.RUNNING

    def artifacts(self) -> tuple[Artifact, ...]:
        """Return every file of the request, the application first."""
        return (self.application, *self.py_files, *self.files, *self.jars, *self.archives)


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

    :param idle_timeout_s: seconds without work after which the backend itself ends the cluster (60 to 604,800).
    :param step_concurrency: applications that run at once, 1 to 256.
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


_MUTABLE = ("idle_timeout_s", "step_concurrency", "log_uri", "tags", "name")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSpec:
    """All that is needed to send an application, frozen on its attempt; no profile is read after this.

    :param uploads: addresses of the request's local files, by sha256.
    """

    name: str
    deploy_mode: DeployMode
    application_uri: str
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


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no blanks: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def content_hash(value: Any) -> str:
    """Return the sha256 hex digest of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def identifying_fields(request: AppRequest) -> dict[str, Any]:
    """Return what makes two requests the same; the key itself and the reuse rule do not count."""
    values = asdict(request)
    for name in ("app_key", "reuse"):
        del values[name]
    return values


def request_hash(request: AppRequest) -> str:
    """Return the hash that `IdempotencyMismatch` compares; local files count by content, not by path."""
    return content_hash(identifying_fields(request))


def differing_fields(one: AppRequest, other: AppRequest) -> tuple[str, ...]:
    """Return the names of the request fields that differ, sorted."""
    a, b = identifying_fields(one), identifying_fields(other)
    return tuple(sorted(name for name in a if canonical_json(a[name]) != canonical_json(b[name])))


def spec_hash(spec: ClusterSpec) -> str:
    """Return the hash of a cluster's immutable part; tags, log URI, idle timeout and concurrency may change.

    Applications, subnets and instance groups are sets: their order does not count.
    """
    values = asdict(spec)
    for name in _MUTABLE:
        del values[name]
    values["applications"] = sorted(a.lower() for a in spec.applications)
    values["subnet_ids"] = sorted(spec.subnet_ids)
    values["instance_groups"] = sorted(values["instance_groups"], key=canonical_json)
    return content_hash(values)
