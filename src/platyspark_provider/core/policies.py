"""The platform team's rules for conf keys, run times, tags, clusters and quotas, and how conf and run times are held to them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from platyspark_provider.core.quantities import kind_of_limit, quantity_from_conf
from platyspark_provider.core.strict_mapping import (
    Path,
    Reader,
    invalid,
    read_fields,
    read_flag,
    read_int,
    read_list,
    read_named,
    read_scalar_text,
    read_seconds,
    read_text,
    read_texts_by_key,
)
from platyspark_provider.errors import InvalidRequest, PolicyViolated


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfRule:
    """What may stand under a conf key (or under all keys of a pattern like `spark.hadoop.fs.s3a.*`).

    :param floor: least value; :param ceiling: greatest value, `16g`, `30min` or a number.
    :param force: the value that always stands there, whatever was asked for.
    :param forbid: nobody may set it.
    :param clamp: a value beyond a limit is set to the limit with a warning, instead of refused.
    """

    floor: str | None = None
    ceiling: str | None = None
    force: str | None = None
    forbid: bool = False
    clamp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeRule:
    """The longest run time that may be asked for, in seconds; it also holds for who asks for none."""

    ceiling: int
    clamp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamRules:
    """What one team may do otherwise than all: a waiver, or a tighter limit; None leaves it as it is for all.

    :param profiles: the profiles it may use; empty means all.
    """

    conf: Mapping[str, ConfRule] = field(default_factory=dict)
    max_runtime: RuntimeRule | None = None
    profiles: tuple[str, ...] = ()
    max_apps: int | None = None
    max_workers: int | None = None
    may_name_clusters: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """All rules.

    :param tags: forced on every application and cluster.
    :param max_apps: how many applications a team may have on clusters at once; None: any number.
    :param max_workers: how many machines beside the master a cluster may have that owners shape themselves; None: any number.
    :param may_name_clusters: owners may have clusters of their own; False: those of profiles alone.
    :param waiver: whom to ask, for the message of a refusal.
    """

    conf: Mapping[str, ConfRule] = field(default_factory=dict)
    max_runtime: RuntimeRule | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    teams: Mapping[str, TeamRules] = field(default_factory=dict)
    max_apps: int | None = None
    max_workers: int | None = None
    may_name_clusters: bool = True
    waiver: str = "your platform team (policies.teams in profiles.yaml)"

    def for_team(self, team: str) -> "Policies":
        """Return the rules with this team's own over them."""
        own = self.teams.get(team)
        if own is None:
            return self
        return replace(
            self,
            conf={**self.conf, **own.conf},
            max_runtime=own.max_runtime or self.max_runtime,
            max_apps=self.max_apps if own.max_apps is None else own.max_apps,
            max_workers=self.max_workers if own.max_workers is None else own.max_workers,
            may_name_clusters=self.may_name_clusters if own.may_name_clusters is None else own.may_name_clusters,
        )

    def team_max_apps(self) -> dict[str, int]:
        """Return how many applications teams may have on clusters at once; under "" for those without an own number."""
        limits = {team: own.max_apps for team, own in self.teams.items() if own.max_apps is not None}
        return limits if self.max_apps is None else {"": self.max_apps, **limits}

    def rule_of(self, key: str) -> ConfRule | None:
        """Return the rule of a conf key: the exact one, else the longest pattern that matches."""
        exact = self.conf.get(key)
        if exact is not None:
            return exact
        matching = [pattern for pattern in self.conf if fnmatchcase(key, pattern)]
        return self.conf[max(matching, key=len)] if matching else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A value after its rule.

    :param source: None when the rule left it as it was.
    """

    value: str
    source: str | None = None
    warning: str | None = None


def hold_conf(key: str, value: str, rule: ConfRule, *, waiver: str, checked: bool = True) -> Held:
    """Hold a conf value to its rule.

    :param checked: False for a value of the platform team's own profile: forbidding is about owners.
    :raises PolicyViolated: beyond a limit that doesn't clamp, or forbidden.
    """
    if rule.force is not None:
        changed = value != rule.force
        warning = f"{key} = {value} was asked for; the platform sets {rule.force}." if changed and checked else None
        return Held(value=rule.force, source="policy forced", warning=warning)
    if rule.forbid and checked:
        raise PolicyViolated(f"{key} may not be set (asked: {value}).", hint=f"Remove it, or ask {waiver}.", key=key, asked=value)
    for limit, word in ((rule.ceiling, "ceiling"), (rule.floor, "floor")):
        if limit is None or not _is_beyond(key, value, limit, word):
            continue
        if rule.clamp:
            return Held(value=limit, source=f"policy {word}", warning=f"{key} = {value} is beyond the {word}; {limit} is used.")
        raise _beyond(key, value, limit, word, waiver)
    return Held(value=value)


def hold_runtime(asked: int | None, rule: RuntimeRule | None, *, waiver: str) -> Held | None:
    """Hold `max_runtime` (seconds) to its ceiling; None when there is nothing to hold and nothing to set."""
    if rule is None:
        return None if asked is None else Held(value=str(asked))
    if asked is None:
        return Held(value=str(rule.ceiling), source="policy ceiling")
    if asked <= rule.ceiling:
        return Held(value=str(asked))
    if rule.clamp:
        message = f"max_runtime = {asked} s is beyond the ceiling; {rule.ceiling} s is used."
        return Held(value=str(rule.ceiling), source="policy ceiling", warning=message)
    raise _beyond("max_runtime", f"{asked} s", f"{rule.ceiling} s", "ceiling", waiver)


def _beyond(key: str, asked: str, limit: str, word: str, waiver: str) -> PolicyViolated:
    edge = "at most" if word == "ceiling" else "at least"
    return PolicyViolated(
        f"{key} = {asked} was asked for; {edge} {limit} is allowed.",
        hint=f"Change it, or ask {waiver} for a waiver.",
        key=key,
        asked=asked,
        allowed=limit,
    )


def _is_beyond(key: str, value: str, limit: str, word: str) -> bool:
    kind = kind_of_limit(limit)
    try:
        asked = quantity_from_conf(key, value, kind).value
    except InvalidRequest as bad:
        raise InvalidRequest(f"conf {key}: {bad.message}", hint=f"The platform limits it to {limit}; write it in such a unit.") from bad
    bound = quantity_from_conf(key, limit, kind).value
    return asked > bound if word == "ceiling" else asked < bound


def _read_limit(value: Any, path: Path) -> str:
    text = read_scalar_text(value, path)
    try:
        kind_of_limit(text)
    except InvalidRequest as bad:
        raise invalid(path, bad.message, bad.hint) from bad
    return text


def _read_rule(_name: str, value: Any, path: Path) -> ConfRule:
    fields = read_fields(value, path, _RULE)
    if not fields:
        raise invalid(path, "says nothing.", "Give min, max, force or forbid.")
    if ("force" in fields or fields.get("forbid")) and len(fields) > 1:
        raise invalid(path, "force and forbid stand alone.")
    rule = ConfRule(**{_RULE_FIELD.get(key, key): item for key, item in fields.items()})
    if rule.floor is not None and rule.ceiling is not None and _crosses(path[-1], rule.floor, rule.ceiling):
        raise invalid(path, f"min {rule.floor} is above max {rule.ceiling}, or of another unit.")
    return rule


def _crosses(key: str, floor: str, ceiling: str) -> bool:
    return kind_of_limit(floor) != kind_of_limit(ceiling) or _is_beyond(key, floor, ceiling, "ceiling")


def _read_runtime(value: Any, path: Path) -> RuntimeRule:
    """Read `max_runtime: 12h` or `max_runtime: {max: 12h, clamp: true}`."""
    if not isinstance(value, Mapping):
        return RuntimeRule(ceiling=_read_ceiling(value, path))
    fields = read_fields(value, path, {"max": _read_ceiling, "clamp": read_flag})
    if "max" not in fields:
        raise invalid(path, "max is missing.")
    return RuntimeRule(ceiling=math.ceil(fields["max"]), clamp=fields.get("clamp", False))


def _read_team(_name: str, value: Any, path: Path) -> TeamRules:
    return TeamRules(**read_fields(value, path, {**_FOR_ALL_AND_TEAMS, "profiles": read_list(read_text)}))


def read_policies(value: Any, path: Path) -> Policies:
    """Read the `policies` section."""
    own: dict[str, Reader[Any]] = {"tags": read_texts_by_key, "teams": read_named(_read_team), "waiver": read_text}
    return Policies(**read_fields(value, path, {**_FOR_ALL_AND_TEAMS, **own}))


_read_ceiling = read_seconds(1, 366 * 86_400)
_RULE: dict[str, Reader[Any]] = {
    "min": _read_limit,
    "max": _read_limit,
    "force": read_scalar_text,
    "forbid": read_flag,
    "clamp": read_flag,
}
_RULE_FIELD = {"min": "floor", "max": "ceiling"}
_FOR_ALL_AND_TEAMS: dict[str, Reader[Any]] = {
    "conf": read_named(_read_rule),
    "max_runtime": _read_runtime,
    "max_apps": read_int(0, 100_000),
    "max_workers": read_int(1, 4000),
    "may_name_clusters": read_flag,
}
