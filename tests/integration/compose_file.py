"""docker-compose.yaml as Compose reads it: settings of an env file, variables filled in, anchors merged; nothing is started here."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# Compose's own forms: $$, $NAME, ${NAME}, ${NAME:-default}, ${NAME:?message} and the same without the colon; none nested.
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-?])(?P<word>[^${}]*))?\})")


class ComposeError(ValueError):
    """The file can't be used with these settings; the message is what a person would read."""


def settings_from_text(text: str) -> dict[str, str]:
    """Read an env file: NAME=value, quotes around a value are dropped, lines that begin with # are comments."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    pairs = [line.partition("=")[::2] for line in lines]
    return {name: value[1:-1] if value[:1] in {"'", '"'} and value[-1:] == value[:1] else value for name, value in pairs}


def filled(value: Any, settings: Mapping[str, str]) -> Any:
    """Return a YAML value with the variables of all its texts filled in (keys stay).

    :raises ComposeError: a required variable is missing, or a dollar sign stands for nothing
    """
    if isinstance(value, dict):
        return {key: filled(one, settings) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, settings) for one in value]
    if not isinstance(value, str):
        return value
    if "$" in _VARIABLE.sub("", value):
        raise ComposeError(f"invalid interpolation format: {value!r}")
    return _VARIABLE.sub(lambda found: _value_of(found, settings), value)


def _value_of(found: re.Match[str], settings: Mapping[str, str]) -> str:
    if found["dollar"]:
        return "$"
    name, how, word = found["name"] or found["plain"], found["how"] or "", found["word"] or ""
    known = settings.get(name)
    if known is None or (known == "" and how.startswith(":")):
        if how.endswith("?"):
            raise ComposeError(f"required variable {name} is missing a value: {word}")
        return word
    return known


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeFile:
    """The file with its variables filled in.

    :param services: those whose profile is on, or that have none; each as the file says it
    """

    folder: Path
    content: Mapping[str, Any]
    services: Mapping[str, Mapping[str, Any]]

    def in_order(self) -> list[str]:
        """Return the services, each after all it depends on."""
        done: list[str] = []
        while len(done) < len(self.services):
            ready = [name for name in self.services if name not in done and set(self.conditions(name)) <= set(done)]
            if not ready:
                raise ComposeError(f"services wait for each other: {sorted(set(self.services) - set(done))}")
            done += ready
        return done

    def conditions(self, name: str) -> dict[str, str]:
        """Return what a service waits for: service to condition; the owner of its network namespace too."""
        service = self.services[name]
        found = {other: str(rule["condition"]) for other, rule in service.get("depends_on", {}).items()}
        mode = service.get("network_mode", "")
        return found | ({mode.partition(":")[2]: "service_started"} if mode.startswith("service:") else {})

    def volumes(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield what a service mounts and where: a folder beside the file, or the name of a volume."""
        for text in self.services[name].get("volumes", ()):
            source, target, *_ = text.split(":")
            yield source, target


def read_compose(path: Path, settings: Mapping[str, str]) -> ComposeFile:
    """Read the file with settings as Compose does.

    :raises ComposeError: a required variable is missing
    """
    content = filled(yaml.safe_load(path.read_text(encoding="utf-8")), settings)
    on = set(settings.get("COMPOSE_PROFILES", "").split(","))
    services = {name: one for name, one in content["services"].items() if not one.get("profiles") or on & set(one["profiles"])}
    return ComposeFile(folder=path.parent, content=content, services=services)


def required_variables(path: Path) -> set[str]:
    """Return the variables that the file can't do without."""
    return {found["name"] for found in _VARIABLE.finditer(path.read_text(encoding="utf-8")) if (found["how"] or "").endswith("?")}


def variables(path: Path) -> set[str]:
    """Return every variable that the file knows."""
    found = _VARIABLE.finditer(path.read_text(encoding="utf-8"))
    return {name for one in found if (name := one["name"] or one["plain"])}


def copies_of(dockerfile: Path, stage: str) -> list[tuple[tuple[str, ...], str]]:
    """Return what a stage of a Dockerfile copies from the folder it is built in: sources and where they go."""
    current, found = "", []
    for line in dockerfile.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] == ["FROM"]:
            current = words[-1]
        elif words[:1] == ["COPY"] and current == stage:
            *sources, target = [word for word in words[1:] if not word.startswith("--")]
            found.append((tuple(sources), target))
    return found


def stages_of(dockerfile: Path) -> Sequence[str]:
    """Return the names of a Dockerfile's stages."""
    lines = dockerfile.read_text(encoding="utf-8").splitlines()
    return [line.split()[-1] for line in lines if line.startswith("FROM ")]
