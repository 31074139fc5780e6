"""What governance makes of a request: profile under request under policy, each value with its source; no profile is read after this."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from platyspark_provider.core.cluster_governance import cluster_spec, profile_of
from platyspark_provider.core.command_line import changed_on_the_way, check_lengths
from platyspark_provider.core.model import Target
from platyspark_provider.core.notes import Notes
from platyspark_provider.core.policies import ConfRule, Policies, hold_conf, hold_runtime
from platyspark_provider.core.profiles import Profile, Profiles
from platyspark_provider.core.request_checks import check_request
from platyspark_provider.core.spec import AppRequest, Artifact, ResolvedSpec
from platyspark_provider.core.teams import check_team_profile, team_of
from platyspark_provider.errors import ArtifactsUnset, PolicyViolated

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


def resolve(request: AppRequest, profiles: Profiles, *, default_name: str, team_of_task: str | None = None) -> Resolution:
    """Apply profile and policies to a request.

    :param default_name: the application's name when the request has none (the task id).
    :param team_of_task: of a DAG tag `team:...`.
    :raises InvalidRequest, UnknownProfile, PolicyViolated, ArtifactsUnset: naming what was asked and what is allowed.
    """
    check_request(request)
    notes = Notes()
    profile = profile_of(request.cluster, profiles)
    team = team_of(request.team, profile, team_of_task, notes)
    rules = profiles.policies.for_team(team)
    check_team_profile(team, profile, profiles)
    runtime, on_limit = _limits(request, profile, rules, notes)
    uploads = _uploads(request, profiles.artifacts)
    tags = _tags(request, profile, rules, notes)
    spec = ResolvedSpec(
        name=_named(request, default_name, notes),
        deploy_mode=notes.take("deploy_mode", profile),
        application_uri="" if request.application is None else _address(request.application, uploads),
        sql=request.sql,
        main_class=request.main_class,
        args=request.args,
        conf=_conf(request, profile, rules, notes),
        env_vars=notes.merge("env_vars", request.env_vars, profile),
        py_files=_addresses(request.py_files, uploads),
        files=_addresses(request.files, uploads),
        jars=_addresses(request.jars, uploads),
        archives=_addresses(request.archives, uploads),
        packages=request.packages,
        cluster=cluster_spec(request.cluster, profile, profiles, team=team, notes=notes),
        team=team,
        environment=profiles.environment,
        tags=tags,
        max_runtime_s=runtime,
        on_limit=on_limit,
        uploads=uploads,
        artifacts=profiles.artifacts,
        priority=notes.take("priority", profile),
    )
    check_lengths(spec)
    warnings = (*notes.warnings, *changed_on_the_way(spec))
    return Resolution(spec=spec, target=profiles.targets[profile.target], provenance=notes.provenance, warnings=warnings)


def _named(request: AppRequest, default_name: str, notes: Notes) -> str:
    notes.provenance["name"] = "request" if request.name else "task"
    return request.name or default_name


def _limits(request: AppRequest, profile: Profile, rules: Policies, notes: Notes) -> tuple[int | None, Any]:
    asked = request.max_runtime_s if request.max_runtime_s is not None else profile.max_runtime
    source = "request" if request.max_runtime_s is not None else profile.source_of("max_runtime")
    held = hold_runtime(asked, rules.max_runtime, waiver=rules.waiver)
    notes.provenance["max_runtime"] = source if held is None else held.source or source
    if held is not None and held.warning:
        notes.warnings.append(held.warning)
    notes.provenance["on_limit"] = "request" if request.on_limit else profile.source_of("on_limit")
    return (None if held is None else int(held.value)), request.on_limit or profile.on_limit


def _conf(request: AppRequest, profile: Profile, rules: Policies, notes: Notes) -> dict[str, str]:
    for key in request.conf:
        if key in _RESERVED:
            raise PolicyViolated(f"{key} may not be set: {_RESERVED[key]}.", hint="Remove it.", key=key, asked=request.conf[key])
        if not key.startswith("spark."):
            notes.warnings.append(f"conf {key!r} does not begin with 'spark.': Spark ignores it.")
    merged = notes.merge("conf", request.conf, profile)
    for key in tuple(merged):
        rule = rules.rule_of(key)
        if rule is not None:
            merged[key] = _held(key, merged[key], rule, rules, key in request.conf, notes)
    for key, rule in rules.conf.items():
        if rule.force is not None and not any(sign in key for sign in "*?["):
            merged[key] = _held(key, merged.get(key, rule.force), rule, rules, key in request.conf, notes)
    return merged


def _held(key: str, value: str, rule: ConfRule, rules: Policies, asked: bool, notes: Notes) -> str:
    held = hold_conf(key, value, rule, waiver=rules.waiver, checked=asked)
    if held.source:
        notes.provenance[f"conf.{key}"] = held.source
    if held.warning and held.warning not in notes.warnings:
        notes.warnings.append(held.warning)
    return held.value


def _tags(request: AppRequest, profile: Profile, rules: Policies, notes: Notes) -> dict[str, str]:
    merged = notes.merge("tags", request.tags, profile)
    for key, value in rules.tags.items():
        if key in request.tags and request.tags[key] != value:
            notes.warnings.append(f"tag {key} = {request.tags[key]} was asked for; the platform sets {value}.")
        notes.provenance[f"tags.{key}"] = "policy forced"
    return {**merged, **rules.tags}


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
