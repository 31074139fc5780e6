"""`airflow platyspark profiles list|show|check`: what profiles.yaml says, with the source of each value; no database."""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from platyspark_provider.cli.output import print_object, print_rows
from platyspark_provider.cli.running import command
from platyspark_provider.cli.site import content_of
from platyspark_provider.core.masking import hidden, masked
from platyspark_provider.core.profiles import Profile, Profiles
from platyspark_provider.core.strict_mapping import did_you_mean
from platyspark_provider.errors import NotFound
from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.registry.decided_by import profiles_of
from platyspark_provider.settings import load_settings

_BY_KEY = ("conf", "env_vars", "tags")
_LISTED = ("name", "target", "release_label", "machines", "idle_timeout_s", "dedicated", "team")


@command
def list_profiles(args: Namespace) -> None:
    """Print all profiles."""
    print_rows([_line(profile) for profile in _current().profiles.values()], args.output, columns=_LISTED)


@command
def show(args: Namespace) -> None:
    """Print every value of a profile and where it came from."""
    profiles = _current().profiles
    if args.name not in profiles:
        raise NotFound(f"There is no profile {args.name!r}.", hint=did_you_mean(args.name, profiles))
    print_rows(list(_values(profiles[args.name])), args.output)


@command
def check(args: Namespace) -> None:
    """Read a file as the api-server would; exit 2 naming the line of the first mistake."""
    settings = load_settings()
    path = Path(args.file)
    file = ProfilesFile(path, environment=settings.environment, artifacts=settings.artifacts or None)
    found = content_of(file)
    facts = {
        "file": str(path),
        "environment": found.environment,
        "artifacts": found.artifacts,
        "targets": list(found.targets),
        "profiles": list(found.profiles),
    }
    print_object(facts, args.output)


def _current() -> Profiles:
    return content_of(profiles_of(load_settings()))


def _line(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "target": profile.target,
        "release_label": profile.release_label,
        "machines": [f"{group.count} x {group.instance_type} ({group.role.lower()})" for group in profile.instance_groups],
        "idle_timeout_s": profile.idle_timeout,
        "step_concurrency": profile.step_concurrency,
        "dedicated": profile.dedicated,
        "team": profile.team,
        "log_uri": profile.log_uri,
    }


def _values(profile: Profile) -> Iterator[dict[str, Any]]:
    for field in fields(profile):
        value = getattr(profile, field.name)
        if field.name in {"name", "sources"}:
            continue
        if field.name in _BY_KEY:
            yield from _by_key(profile, field.name, value)
        else:
            yield {"key": field.name, "value": _plain(value), "source": profile.source_of(field.name)}


def _by_key(profile: Profile, name: str, values: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield settings one by one, each with its own source; environment variables only by name."""
    shown = hidden(values) if name == "env_vars" else masked(dict(values))
    for key, value in shown.items():
        yield {"key": f"{name}.{key}", "value": value, "source": profile.source_of(f"{name}.{key}")}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
