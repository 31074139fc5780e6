"""What profiles.yaml says, as values: targets, profiles, policies; parsed strictly from a plain mapping, no file here.

`governance` applies them to a request; `profiles_file` reads the file.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from platyspark_provider.core.model import Target
from platyspark_provider.core.policies import Policies, read_policies
from platyspark_provider.core.records import Policy
from platyspark_provider.core.spec import InstanceGroup
from platyspark_provider.core.states import DeployMode, OnLimit
from platyspark_provider.core.strict_mapping import (
    Path,
    Reader,
    did_you_mean,
    invalid,
    read_choice,
    read_fields,
    read_flag,
    read_int,
    read_list,
    read_mapping,
    read_named,
    read_scalar_text,
    read_seconds,
    read_text,
    read_texts_by_key,
)

BUILT_IN = "built-in"
MAX_SECONDS = 366 * 86_400
SIZES = {"small": "m5.xlarge", "medium": "m5.2xlarge", "large": "m5.4xlarge"}
_MERGED = ("conf", "env_vars", "tags", "sizes")
_CLUSTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolBounds:
    """How many clusters of one key are kept up, work or not, and how many may live at once."""

    min: int = 0
    max: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A named cluster spec with defaults for what runs on it.

    :param cluster: name that its clusters bear; None: its own. Profiles with one name and equal specs share clusters.
    :param priority: place of its applications in the queue, 0 to 100.
    :param queue_ahead: applications that may wait at the backend beyond those that run.
    :param sizes: instance types by the names that owners choose from.
    :param sources: where each field (`release_label`, `conf.<key>`, ...) came from: `profile <name>` or `built-in`.
    """

    name: str
    target: str = "default"
    release_label: str = "emr-7.10.0"
    applications: tuple[str, ...] = ("Spark",)
    instance_groups: tuple[InstanceGroup, ...] = (
        InstanceGroup(role="MASTER", instance_type="m5.xlarge", count=1),
        InstanceGroup(role="CORE", instance_type="m5.xlarge", count=2),
    )
    configurations: tuple[Mapping[str, Any], ...] = ()
    bootstrap_actions: tuple[Mapping[str, Any], ...] = ()
    subnets: tuple[str, ...] = ()
    security_groups: Mapping[str, Any] = field(default_factory=dict)
    service_role: str = "EMR_DefaultRole"
    instance_profile: str = "EMR_EC2_DefaultRole"
    security_configuration: str | None = None
    custom_ami: str | None = None
    idle_timeout: int = 3600
    step_concurrency: int = 10
    queue_ahead: int = 0
    pool: PoolBounds = PoolBounds()
    cluster: str | None = None
    priority: int = 50
    sizes: Mapping[str, str] = field(default_factory=lambda: dict(SIZES))
    dedicated: bool = False
    log_uri: str | None = None
    deploy_mode: DeployMode = DeployMode.CLUSTER
    team: str | None = None
    max_runtime: int | None = None
    on_limit: OnLimit = OnLimit.CANCEL
    conf: Mapping[str, str] = field(default_factory=dict)
    env_vars: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def cluster_name(self) -> str:
        """The name that its clusters bear."""
        return self.cluster or self.name

    def source_of(self, key: str) -> str:
        """Return where a field's value came from."""
        return self.sources.get(key, BUILT_IN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """Everything the platform team decided.

    :param artifacts: prefix to which local files are uploaded (`s3://bucket/prefix`); None refuses local files.
    :param max_clusters: how many clusters a target may have at once, by its name; one that is not there may have any number.
    """

    environment: str = "default"
    artifacts: str | None = None
    targets: Mapping[str, Target]
    profiles: Mapping[str, Profile]
    policies: Policies = field(default_factory=Policies)
    max_clusters: Mapping[str, int] = field(default_factory=dict)

    def with_quotas(self, policy: Policy) -> Policy:
        """Return the numbers that decisions use with the quotas of teams and targets."""
        return replace(policy, team_max_apps=self.policies.team_max_apps(), max_clusters=self.max_clusters)


def profiles_from_mapping(document: Mapping[str, Any] | None, *, environment: str = "default", artifacts: str | None = None) -> Profiles:
    """Parse a document; None or an empty one gives the built-in `shared` profile on the `default` target.

    :param environment: used where the document does not say; :param artifacts: likewise.
    :raises ProfilesInvalid: naming the place (`fields["path"]`), with the closest known word.
    """
    readers: dict[str, Reader[Any]] = {
        "environment": read_text,
        "artifacts": _read_prefix,
        "targets": read_named(_read_target),
        "profiles": read_mapping,
        "policies": read_policies,
    }
    found = read_fields(document or {}, (), readers)
    read: dict[str, tuple[Target, int | None]] = found.get("targets", {})
    targets = {"default": _DEFAULT_TARGET, **{name: target for name, (target, _) in read.items()}}
    profiles = _read_profiles(found.get("profiles", {}), targets)
    return Profiles(
        environment=found.get("environment", environment),
        artifacts=found.get("artifacts") or (_read_prefix(artifacts, ("artifacts",)) if artifacts else None),
        targets=targets,
        profiles=profiles,
        policies=found.get("policies", Policies()),
        max_clusters={name: most for name, (_, most) in read.items() if most is not None},
    )


def _read_yarn_url(value: Any, path: Path) -> str:
    """One ResourceManager for all clusters would know nothing of a run on another one, which reads as proof of its death."""
    text = read_text(value, path)
    if "{cluster}" not in text:
        example = "https://proxy.example.com/yarn/{cluster}"
        raise invalid(path, f"{text!r} must hold {{cluster}}, which stands for the cluster's id.", f"Write {example}.")
    return text


_DEFAULT_TARGET = Target(id=0, name="default", backend="emr", aws_conn_id="aws_default", region=None)
_TARGET: dict[str, Reader[Any]] = {
    "backend": read_choice(("emr",)),
    "aws_conn_id": read_text,
    "region": read_text,
    "account_id": read_scalar_text,
    "yarn_url": _read_yarn_url,
    "max_clusters": read_int(0, 10_000),
}
_GROUP: dict[str, Reader[Any]] = {
    "role": read_choice(("MASTER", "CORE", "TASK")),
    "instance_type": read_text,
    "count": read_int(1, 4000),
    "market": read_choice(("ON_DEMAND", "SPOT")),
}


def _read_prefix(value: Any, path: Path) -> str:
    text = read_text(value, path).rstrip("/")
    if not text.startswith(("s3://", "s3a://")) or not text.split("://", 1)[1]:
        raise invalid(path, f"{text!r} must be an S3 address.", "Write s3://bucket/prefix.")
    return text


def _read_target(name: str, value: Any, path: Path) -> tuple[Target, int | None]:
    """Return the target and how many clusters it may have: a quota is no part of where it is."""
    fields = read_fields(value, path, _TARGET)
    most = fields.pop("max_clusters", None)
    target = Target(
        **{"id": 0, "name": name, "backend": "emr", "aws_conn_id": "aws_default", "region": None, **fields}  # each read by its reader
    )
    return target, most


def _read_group(value: Any, path: Path) -> InstanceGroup:
    fields = read_fields(value, path, _GROUP)
    for needed in ("role", "instance_type", "count"):
        if needed not in fields:
            raise invalid(path, f"{needed} is missing.")
    return InstanceGroup(**fields)


def _read_groups(value: Any, path: Path) -> tuple[InstanceGroup, ...]:
    groups = read_list(_read_group)(value, path)
    if [group.role for group in groups].count("MASTER") != 1:
        raise invalid(path, "needs exactly one group with role MASTER.")
    return groups


def _read_plain_mapping(value: Any, path: Path) -> Mapping[str, Any]:
    return dict(read_mapping(value, path))


def _read_pool(value: Any, path: Path) -> PoolBounds:
    pool = PoolBounds(**read_fields(value, path, {"min": read_int(0, 100), "max": read_int(1, 100)}))
    if pool.min > pool.max:
        raise invalid((*path, "min"), f"{pool.min} is above max, which is {pool.max}.", "Raise max, or lower min.")
    return pool


def _read_cluster_name(value: Any, path: Path) -> str:
    text = read_text(value, path)
    if not _CLUSTER_NAME.fullmatch(text):
        raise invalid(path, f"{text!r} is no name of a cluster.", "Letters, digits, '_', '.', '-', up to 32.")
    return text


_PROFILE: dict[str, Reader[Any]] = {
    "extends": read_text,
    "target": read_text,
    "release_label": read_text,
    "applications": read_list(read_text),
    "instance_groups": _read_groups,
    "configurations": read_list(_read_plain_mapping),
    "bootstrap_actions": read_list(_read_plain_mapping),
    "subnets": read_list(read_text),
    "security_groups": _read_plain_mapping,
    "service_role": read_text,
    "instance_profile": read_text,
    "security_configuration": read_text,
    "custom_ami": read_text,
    "idle_timeout": read_seconds(60, 604_800),  # EMR's bounds of AutoTerminationPolicy
    "step_concurrency": read_int(1, 256),
    "queue_ahead": read_int(0, 200),
    "pool": _read_pool,
    "cluster": _read_cluster_name,
    "priority": read_int(0, 100),
    "sizes": read_texts_by_key,
    "dedicated": read_flag,
    "log_uri": _read_prefix,
    "deploy_mode": lambda value, path: DeployMode(read_choice(tuple(DeployMode))(value, path)),
    "team": read_text,
    "max_runtime": read_seconds(1, MAX_SECONDS),
    "on_limit": lambda value, path: OnLimit(read_choice(tuple(OnLimit))(value, path)),
    "conf": read_texts_by_key,
    "env_vars": read_texts_by_key,
    "tags": read_texts_by_key,
}


def _read_profiles(found: Mapping[str, Any], targets: Mapping[str, Target]) -> dict[str, Profile]:
    raw = {"shared": {}, **{name: read_fields(value, ("profiles", name), _PROFILE) for name, value in found.items()}}
    profiles = {name: _inherit(name, raw, ()) for name in raw}
    for name, profile in profiles.items():
        if profile.target not in targets:
            raise invalid(("profiles", name, "target"), f"no target {profile.target!r}.", did_you_mean(profile.target, targets))
        if profile.dedicated and profile.pool.min:
            hint = "Leave one of them out: a dedicated cluster is made for one application alone."
            raise invalid(("profiles", name, "pool"), "min keeps clusters up, but the profile is dedicated.", hint)
    return profiles


def _inherit(name: str, raw: Mapping[str, Mapping[str, Any]], below: tuple[str, ...]) -> Profile:
    fields = raw[name]
    parent = fields.get("extends")
    if parent is None:
        return _overlay(Profile(name=name), name, fields)
    path = ("profiles", name, "extends")
    if parent in (*below, name):
        raise invalid(path, f"profiles extend each other: {' -> '.join((*below, name, parent))}.")
    if parent not in raw:
        raise invalid(path, f"no profile {parent!r}.", did_you_mean(parent, raw))
    return _overlay(_inherit(parent, raw, (*below, name)), name, fields)


def _overlay(base: Profile, name: str, fields: Mapping[str, Any]) -> Profile:
    """Return `base` with the fields of `name` over it; conf, environment, tags and sizes merge by key."""
    values = {key: getattr(base, key) for key in base.__slots__}
    sources = dict(base.sources)
    for key, value in fields.items():
        if key == "extends":
            continue
        merges = key in _MERGED
        values[key] = {**values[key], **value} if merges else value
        sources.update({f"{key}.{k}": f"profile {name}" for k in value} if merges else {key: f"profile {name}"})
    return Profile(**{**values, "name": name, "sources": sources})
