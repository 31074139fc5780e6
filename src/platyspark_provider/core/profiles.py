"""What profiles.yaml says, as values: targets, profiles, policies; parsed strictly from a plain mapping, no file here.

`governance` applies them to a request; `profiles_file` reads the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from platyspark_provider.core.model import Target
from platyspark_provider.core.policies import Policies, read_policies
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
_MERGED = ("conf", "env_vars", "tags")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A named cluster spec with defaults for what runs on it.

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

    def source_of(self, key: str) -> str:
        """Return where a field's value came from."""
        return self.sources.get(key, BUILT_IN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """Everything the platform team decided.

    :param artifacts: prefix to which local files are uploaded (`s3://bucket/prefix`); None refuses local files.
    """

    environment: str = "default"
    artifacts: str | None = None
    targets: Mapping[str, Target]
    profiles: Mapping[str, Profile]
    policies: Policies = field(default_factory=Policies)


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
    targets = {"default": _DEFAULT_TARGET, **found.get("targets", {})}
    profiles = _read_profiles(found.get("profiles", {}), targets)
    return Profiles(
        environment=found.get("environment", environment),
        artifacts=found.get("artifacts") or (_read_prefix(artifacts, ("artifacts",)) if artifacts else None),
        targets=targets,
        profiles=profiles,
        policies=found.get("policies", Policies()),
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


def _read_target(name: str, value: Any, path: Path) -> Target:
    fields = read_fields(value, path, _TARGET)
    return Target(
        **{"id": 0, "name": name, "backend": "emr", "aws_conn_id": "aws_default", "region": None, **fields}  # each read by its reader
    )


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
    """Return `base` with the fields of `name` over it; conf, environment and tags merge by key."""
    values = {key: getattr(base, key) for key in base.__slots__}
    sources = dict(base.sources)
    for key, value in fields.items():
        if key == "extends":
            continue
        merges = key in _MERGED
        values[key] = {**values[key], **value} if merges else value
        sources.update({f"{key}.{k}": f"profile {name}" for k in value} if merges else {key: f"profile {name}"})
    return Profile(**{**values, "name": name, "sources": sources})
