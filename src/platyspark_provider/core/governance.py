"""What governance makes of a request: profile under request under policy, each value with its source; no profile is read after this."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from platyspark_provider.core.command_line import changed_on_the_way, check_lengths
from platyspark_provider.core.model import Target
from platyspark_provider.core.policies import ConfRule, Policies, hold_conf, hold_runtime
from platyspark_provider.core.profiles import Profile, Profiles
from platyspark_provider.core.request_checks import check_request
from platyspark_provider.core.spec import AppRequest, Artifact, ClusterSpec, ResolvedSpec
from platyspark_provider.core.strict_mapping import did_you_mean
from platyspark_provider.errors import ArtifactsUnset, InvalidRequest, PolicyViolated, UnknownProfile

DEFAULT_TEAM = "default"
_TEAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

# What the platform itself sets at each send; an owner's value would make the run invisible or end its step early.
_RESERVED = {
    "spark.master": "the backend sets it",
    "spark.submit.deployMode": "the profile's deploy_mode sets it",
    "spark.yarn.tags": "the driver is found by it",
    "spark.yarn.submit.waitAppCompletion": "the end of the run is seen by it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The frozen spec, where each value came from, and what the owner should know.

    :param provenance: `conf.<key>`, `tags.<key>`, `cluster.<field>`, `team`, ... -> `request`, `profile <name>`, `built-in`,
        `built-in (artifacts)`, `DAG tag`, `policy ceiling`, `policy floor` or `policy forced`.
    """

    spec: ResolvedSpec
    target: Target
    provenance: Mapping[str, str]
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Notes:
    provenance: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def resolve(request: AppRequest, profiles: Profiles, *, default_name: str, team_of_task: str | None = None) -> Resolution:
    """Apply profile and policies to a request.

    :param default_name: the application's name when the request has none (the task id).
    :param team_of_task: of a DAG tag `team:...`.
    :raises InvalidRequest, UnknownProfile, PolicyViolated, ArtifactsUnset: naming what was asked and what is allowed.
    """
    check_request(request)
    notes = _Notes()
    profile = _profile_of(request, profiles)
    team = _team_of(request, profile, team_of_task, notes)
    rules = profiles.policies.for_team(team)
    _check_team_profile(team, profile, profiles)
    runtime, on_limit = _limits(request, profile, rules, notes)
    uploads = _uploads(request, profiles.artifacts)
    tags = _tags(request, profile, rules, notes)
    spec = ResolvedSpec(
        name=_named(request, default_name, notes),
        deploy_mode=_from_profile("deploy_mode", profile, notes),
        application_uri="" if request.application is None else _address(request.application, uploads),
        sql=request.sql,
        main_class=request.main_class,
        args=request.args,
        conf=_conf(request, profile, rules, notes),
        env_vars=_merged("env_vars", request.env_vars, profile, notes),
        py_files=_addresses(request.py_files, uploads),
        files=_addresses(request.files, uploads),
        jars=_addresses(request.jars, uploads),
        archives=_addresses(request.archives, uploads),
        packages=request.packages,
        cluster=_cluster(profile, rules, profiles.artifacts, notes),
        team=team,
        environment=profiles.environment,
        tags=tags,
        max_runtime_s=runtime,
        on_limit=on_limit,
        uploads=uploads,
        artifacts=profiles.artifacts,
    )
    check_lengths(spec)
    warnings = (*notes.warnings, *changed_on_the_way(spec))
    return Resolution(spec=spec, target=profiles.targets[profile.target], provenance=notes.provenance, warnings=warnings)


def _profile_of(request: AppRequest, profiles: Profiles) -> Profile:
    name = request.cluster if isinstance(request.cluster, str) else request.cluster.profile or "shared"
    profile = profiles.profiles.get(name)
    if profile is None:
        raise UnknownProfile(f"There is no profile {name!r}.", hint=did_you_mean(name, profiles.profiles), profile=name)
    return profile


def _team_of(request: AppRequest, profile: Profile, team_of_task: str | None, notes: _Notes) -> str:
    """The task's owner never counts: Airflow's default "airflow" would own everything."""
    check_team(request, team_of_task)
    choices = ((request.team, "request"), (profile.team, profile.source_of("team")), (team_of_task, "DAG tag"), (DEFAULT_TEAM, "built-in"))
    team, source = next((team, source) for team, source in choices if team)
    if not _TEAM.fullmatch(team):
        raise InvalidRequest(f"team {team!r} is no name.", hint="Letters, digits, '_', '.', '-', up to 64.", field="team")
    notes.provenance["team"] = source
    return team


def check_team(request: AppRequest, team_of_task: str | None) -> None:
    """Raise `PolicyViolated` for a request that names another team than the tag its DAG shows to everybody."""
    if request.team and team_of_task and request.team != team_of_task:
        raise PolicyViolated(
            f"team {request.team!r} was asked for, but the DAG has the tag 'team:{team_of_task}'.",
            hint="Leave team= away, or change the tag.",
            key="team",
            asked=request.team,
            allowed=team_of_task,
        )


def _check_team_profile(team: str, profile: Profile, profiles: Profiles) -> None:
    own = profiles.policies.teams.get(team)
    if own is not None and own.profiles and profile.name not in own.profiles:
        raise PolicyViolated(
            f"Team {team!r} may not use profile {profile.name!r}; it may use {', '.join(own.profiles)}.",
            hint=f"Choose one of them, or ask {profiles.policies.waiver} for a waiver.",
            key="cluster",
            asked=profile.name,
            allowed=", ".join(own.profiles),
        )


def _named(request: AppRequest, default_name: str, notes: _Notes) -> str:
    notes.provenance["name"] = "request" if request.name else "task"
    return request.name or default_name


def _from_profile(name: str, profile: Profile, notes: _Notes) -> Any:
    notes.provenance[name] = profile.source_of(name)
    return getattr(profile, name)


def _limits(request: AppRequest, profile: Profile, rules: Policies, notes: _Notes) -> tuple[int | None, Any]:
    asked = request.max_runtime_s if request.max_runtime_s is not None else profile.max_runtime
    source = "request" if request.max_runtime_s is not None else profile.source_of("max_runtime")
    held = hold_runtime(asked, rules.max_runtime, waiver=rules.waiver)
    notes.provenance["max_runtime"] = source if held is None else held.source or source
    if held is not None and held.warning:
        notes.warnings.append(held.warning)
    notes.provenance["on_limit"] = "request" if request.on_limit else profile.source_of("on_limit")
    return (None if held is None else int(held.value)), request.on_limit or profile.on_limit


def _conf(request: AppRequest, profile: Profile, rules: Policies, notes: _Notes) -> dict[str, str]:
    for key in request.conf:
        if key in _RESERVED:
            raise PolicyViolated(f"{key} may not be set: {_RESERVED[key]}.", hint="Remove it.", key=key, asked=request.conf[key])
        if not key.startswith("spark."):
            notes.warnings.append(f"conf {key!r} does not begin with 'spark.': Spark ignores it.")
    merged = _merged("conf", request.conf, profile, notes)
    for key in tuple(merged):
        rule = rules.rule_of(key)
        if rule is not None:
            merged[key] = _held(key, merged[key], rule, rules, key in request.conf, notes)
    for key, rule in rules.conf.items():
        if rule.force is not None and not any(sign in key for sign in "*?["):
            merged[key] = _held(key, merged.get(key, rule.force), rule, rules, key in request.conf, notes)
    return merged


def _held(key: str, value: str, rule: ConfRule, rules: Policies, asked: bool, notes: _Notes) -> str:
    held = hold_conf(key, value, rule, waiver=rules.waiver, checked=asked)
    if held.source:
        notes.provenance[f"conf.{key}"] = held.source
    if held.warning and held.warning not in notes.warnings:
        notes.warnings.append(held.warning)
    return held.value


def _merged(name: str, asked: Mapping[str, str], profile: Profile, notes: _Notes) -> dict[str, str]:
    base: Mapping[str, str] = getattr(profile, name)
    notes.provenance.update({f"{name}.{key}": profile.source_of(f"{name}.{key}") for key in base})
    notes.provenance.update({f"{name}.{key}": "request" for key in asked})
    return {**base, **asked}


def _tags(request: AppRequest, profile: Profile, rules: Policies, notes: _Notes) -> dict[str, str]:
    merged = _merged("tags", request.tags, profile, notes)
    for key, value in rules.tags.items():
        if key in request.tags and request.tags[key] != value:
            notes.warnings.append(f"tag {key} = {request.tags[key]} was asked for; the platform sets {value}.")
        notes.provenance[f"tags.{key}"] = "policy forced"
    return {**merged, **rules.tags}


_CLUSTER_FIELDS = {
    "release_label": "release_label",
    "applications": "applications",
    "instance_groups": "instance_groups",
    "configurations": "configurations",
    "bootstrap_actions": "bootstrap_actions",
    "subnet_ids": "subnets",
    "security_groups": "security_groups",
    "service_role": "service_role",
    "instance_profile": "instance_profile",
    "security_configuration": "security_configuration",
    "custom_ami": "custom_ami",
    "dedicated": "dedicated",
    "idle_timeout_s": "idle_timeout",
    "step_concurrency": "step_concurrency",
    "log_uri": "log_uri",
}


def _cluster(profile: Profile, rules: Policies, artifacts: str | None, notes: _Notes) -> ClusterSpec:
    notes.provenance.update({f"cluster.{ours}": profile.source_of(theirs) for ours, theirs in _CLUSTER_FIELDS.items()})
    notes.provenance["cluster.target"] = profile.source_of("target")
    values = {ours: getattr(profile, theirs) for ours, theirs in _CLUSTER_FIELDS.items()}
    if profile.log_uri is None and artifacts is not None:  # without any log nobody learns whose fault a failure is
        values["log_uri"] = f"s3://{artifacts.partition('://')[2]}/logs"
        notes.provenance["cluster.log_uri"] = "built-in (artifacts)"
    return ClusterSpec(name=profile.name, target=profile.target, tags={**profile.tags, **rules.tags}, **values)


def _uploads(request: AppRequest, prefix: str | None) -> dict[str, str]:
    if request.sql is not None and prefix is None:
        raise ArtifactsUnset(
            "sql is run by a small driver, and there is no place to put the two.",
            hint="Set [platyspark] artifacts (or `artifacts:` in profiles.yaml) to an S3 prefix.",
        )
    local = [artifact for artifact in request.artifacts() if artifact.sha256 is not None]
    if local and prefix is None:
        raise ArtifactsUnset(
            f"{local[0].name} is a local file and there is no place to upload it to.",
            hint="Set [platyspark] artifacts (or `artifacts:` in profiles.yaml) to an S3 prefix, or give an s3:// address.",
        )
    return {str(artifact.sha256): f"{prefix}/{artifact.sha256}/{artifact.name}" for artifact in local}


def _address(artifact: Artifact, uploads: Mapping[str, str]) -> str:
    if artifact.uri is not None:
        return artifact.uri
    return uploads[str(artifact.sha256)] + (f"#{artifact.alias}" if artifact.alias else "")


def _addresses(artifacts: tuple[Artifact, ...], uploads: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(_address(artifact, uploads) for artifact in artifacts)
