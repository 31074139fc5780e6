"""What governance makes of the cluster that is asked for: profile under request under ceilings, each value with its source."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from platyspark_provider.core.keys import slug
from platyspark_provider.core.machines import Machines, machines_of
from platyspark_provider.core.model import Target
from platyspark_provider.core.notes import Notes
from platyspark_provider.core.policies import Policies
from platyspark_provider.core.profiles import Profile, Profiles
from platyspark_provider.core.request_checks import check_cluster
from platyspark_provider.core.spec import ClusterRequest, ClusterSpec
from platyspark_provider.core.strict_mapping import did_you_mean
from platyspark_provider.core.teams import check_team_profile, team_of
from platyspark_provider.errors import InvalidRequest, PolicyViolated, UnknownProfile

_FIELDS = {
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
    "queue_ahead": "queue_ahead",
    "log_uri": "log_uri",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterResolution:
    """A cluster's frozen spec for a team, where it runs, and where each value came from (as in `governance.Resolution`)."""

    spec: ClusterSpec
    team: str
    target: Target
    environment: str
    provenance: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def resolve_cluster(
    request: ClusterRequest, profiles: Profiles, *, team: str | None = None, team_of_task: str | None = None
) -> ClusterResolution:
    """Apply profile and policies to a cluster that is asked for by itself.

    :param team: who asks; None takes the profile's, else that of the DAG's tag.
    :raises InvalidRequest, UnknownProfile, PolicyViolated: naming what was asked and what is allowed.
    """
    notes = Notes()
    profile = profile_of(request, profiles)
    owner = team_of(team, profile, team_of_task, notes)
    check_team_profile(owner, profile, profiles)
    spec = cluster_spec(request, profile, profiles, team=owner, notes=notes)
    return ClusterResolution(
        spec=spec,
        team=owner,
        target=profiles.targets[profile.target],
        environment=profiles.environment,
        provenance=notes.provenance,
        warnings=tuple(notes.warnings),
    )


def profile_of(asked: str | ClusterRequest, profiles: Profiles) -> Profile:
    """Return the profile that a request starts from: the one it names, else the one of its cluster's name, else `shared`.

    :raises UnknownProfile: with the closest known name.
    """
    if isinstance(asked, ClusterRequest) and asked.profile is None:
        return profiles.profiles.get(asked.name) or profiles.profiles["shared"]
    name = asked if isinstance(asked, str) else str(asked.profile)
    profile = profiles.profiles.get(name)
    if profile is None:
        own = f" A cluster of your own is written cluster=SparkCluster({name!r})." if isinstance(asked, str) else ""
        raise UnknownProfile(f"There is no profile {name!r}.", hint=did_you_mean(name, profiles.profiles) + own, profile=name)
    return profile


def cluster_name_of(asked: str | ClusterRequest, profiles: Profiles) -> str:
    """Return the name that a cluster bears: a request that names a profile means that profile's clusters."""
    name = asked if isinstance(asked, str) else asked.name
    is_profiles = isinstance(asked, str) or asked.profile in {None, name}
    known = profiles.profiles.get(name)
    return known.cluster_name if known is not None and is_profiles else name


def cluster_spec(asked: str | ClusterRequest, profile: Profile, profiles: Profiles, *, team: str, notes: Notes) -> ClusterSpec:
    """Return the spec of a profile's own cluster (asked for by its name), or of one that a request shapes.

    :param team: its ceilings hold.
    """
    rules = profiles.policies.for_team(team)
    values = _profile_values(profile, profiles, rules, notes)
    if isinstance(asked, str):
        return ClusterSpec(**values)
    check_cluster(asked)
    name = cluster_name_of(asked, profiles)
    shaped = _shaped(asked, profile)
    if shaped or name != profile.cluster_name or (asked.dedicated and not profile.dedicated):
        _check_may_name(name, team, rules)
        _check_name(name, profiles)
        _hold_workers(name, shaped or Machines(groups=profile.instance_groups), team, rules, profiles.policies)
        values |= {"name": name, "pool_min": 0, "pool_max": 1}
        notes.provenance.update(dict.fromkeys(("cluster.name", "cluster.pool_min", "cluster.pool_max"), "request"))
    if shaped is not None:
        own = {"instance_groups": shaped.groups, "max_workers": shaped.max_workers, "max_on_demand": shaped.max_on_demand}
        values |= own
        notes.provenance.update({f"cluster.{key}": "request" for key, value in own.items() if value is not None})
    for key, value in {"idle_timeout_s": asked.idle_timeout_s, "dedicated": asked.dedicated or None}.items():
        if value is not None:
            values[key] = value
            notes.provenance[f"cluster.{key}"] = "request"
    return ClusterSpec(**values)


def _profile_values(profile: Profile, profiles: Profiles, rules: Policies, notes: Notes) -> dict[str, Any]:
    notes.provenance.update({f"cluster.{ours}": profile.source_of(theirs) for ours, theirs in _FIELDS.items()})
    notes.provenance["cluster.target"] = profile.source_of("target")
    notes.provenance["cluster.name"] = profile.source_of("cluster") if profile.cluster else f"profile {profile.name}"
    notes.provenance.update(dict.fromkeys(("cluster.pool_min", "cluster.pool_max"), profile.source_of("pool")))
    values = {ours: getattr(profile, theirs) for ours, theirs in _FIELDS.items()}
    if profile.log_uri is None and profiles.artifacts is not None:  # without any log nobody learns whose fault a failure is
        values["log_uri"] = f"s3://{profiles.artifacts.partition('://')[2]}/logs"
        notes.provenance["cluster.log_uri"] = "built-in (artifacts)"
    return values | {
        "name": profile.cluster_name,
        "target": profile.target,
        "tags": {**profile.tags, **rules.tags},
        "pool_min": profile.pool.min,
        "pool_max": profile.pool.max,
    }


def _shaped(asked: ClusterRequest, profile: Profile) -> Machines | None:
    if asked.size is None and asked.workers is None and asked.spot is None:
        return None
    return machines_of(asked, profile.instance_groups, profile.sizes)


def _check_may_name(name: str, team: str, rules: Policies) -> None:
    if not rules.may_name_clusters:
        raise PolicyViolated(
            f"Team {team!r} may not have a cluster {name!r} of its own.",
            hint=f"Name a profile, such as cluster='shared', or ask {rules.waiver} for a waiver.",
            key="cluster",
            asked=name,
        )


def _check_name(name: str, profiles: Profiles) -> None:
    """Refuse a name that the backend would know by another one: two such names would meet in one cluster."""
    profiles_own = {profile.cluster_name for profile in profiles.profiles.values()}
    if slug(name) != name and name not in profiles_own:
        raise InvalidRequest(
            f"cluster name {name!r} can't be used.",
            hint=f"Write {slug(name)!r}: lower-case letters, digits and '-', up to 32.",
            field="cluster.name",
        )


def _hold_workers(name: str, machines: Machines, team: str, rules: Policies, all_rules: Policies) -> None:
    asked, allowed = machines.most_workers, rules.max_workers
    if allowed is None or asked <= allowed:
        return
    is_teams = (own := all_rules.teams.get(team)) is not None and own.max_workers is not None
    may = f"team {team!r} may use {allowed}" if is_teams else f"at most {allowed} are allowed"
    raise PolicyViolated(
        f"Cluster {name!r} asks for {asked} workers; {may}.",
        hint=f"Lower workers, or ask {rules.waiver} for a waiver.",
        key="cluster.workers",
        asked=asked,
        allowed=allowed,
    )
