"""Keeps profiles.yaml in memory: read again when the file changes, the last good content kept through a broken edit."""

import logging
import threading
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from platyspark_provider.core.profiles import Profiles, profiles_from_mapping
from platyspark_provider.errors import ProfilesInvalid, ProfilesUnavailable

log = logging.getLogger(__name__)

_MENDED_S = 30.0
"""A person has to mend it; asking more often would only fill the log."""

Signature = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    signature: Signature
    profiles: Profiles | None
    error: ProfilesInvalid | None = None


class ProfilesFile:
    """The profiles of one file; safe to share between threads.

    :param path: None for the built-in defaults.
    :param environment: where the file names none; :param artifacts: likewise.
    """

    def __init__(self, path: Path | None, *, environment: str = "default", artifacts: str | None = None) -> None:
        self._path, self._environment, self._artifacts = path, environment, artifacts
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    @property
    def error(self) -> ProfilesInvalid | None:
        """Why the file as it is now can't be used; None when it can."""
        return self._refresh().error

    def current(self) -> Profiles:
        """Return the newest good content.

        :raises ProfilesUnavailable: when the file was never good since this process began.
        """
        loaded = self._refresh()
        if loaded.profiles is None:
            assert loaded.error is not None
            raise _unavailable(self._path, loaded.error) from loaded.error
        return loaded.profiles

    def _refresh(self) -> _Loaded:
        with self._lock:
            signature = _signature(self._path)
            if self._loaded is None or signature != self._loaded.signature:
                self._loaded = self._load(signature)
            return self._loaded

    def _load(self, signature: Signature) -> _Loaded:
        try:
            document = None if self._path is None else _document(self._path)
            profiles = profiles_from_mapping(document, environment=self._environment, artifacts=self._artifacts)
        except ProfilesInvalid as bad:
            error = bad if self._path is None else _with_line(bad, self._path)
            last_good = self._loaded.profiles if self._loaded else None
            kept = "the last good content stays in force" if last_good else "nothing can be submitted until it is mended"
            log.warning("%s can't be used, %s: %s", self._path, kept, error)
            return _Loaded(signature=signature, profiles=last_good, error=error)
        if self._loaded is not None:
            log.info("%s was read again.", self._path)
        return _Loaded(signature=signature, profiles=profiles)


def _unavailable(path: Path | None, error: ProfilesInvalid) -> ProfilesUnavailable:
    where = "The section [platyspark]" if path is None else str(path)
    hint = f"{error.hint} Nothing can be submitted until the platform team has mended it.".strip()
    return ProfilesUnavailable(f"{where} can't be used: {error.message}", hint=hint, retry_after=_MENDED_S, **error.fields)


def profiles_from_text(text: str, *, environment: str = "default", artifacts: str | None = None) -> Profiles:
    """Parse YAML text; errors name the line."""
    document = _parsed(text)
    try:
        return profiles_from_mapping(document, environment=environment, artifacts=artifacts)
    except ProfilesInvalid as bad:
        raise _located(bad, text) from bad


def _signature(path: Path | None) -> Signature:
    """What changes when the file does; None while there is no file."""
    if path is None:
        return None
    try:
        seen = path.stat()
    except OSError:
        return None
    return (seen.st_mtime_ns, seen.st_size, seen.st_ino)


def _document(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as bad:
        raise ProfilesInvalid(f"{path} can't be read: {bad}.", hint="Check [platyspark] profiles_file.") from bad
    return _parsed(text)


class _StrictLoader(yaml.SafeLoader):
    """YAML without the silent loss of a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _parsed(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - it is a SafeLoader
    except yaml.MarkedYAMLError as bad:
        line = bad.problem_mark.line + 1 if bad.problem_mark else "?"
        raise ProfilesInvalid(f"line {line}: {bad.problem}.", hint="It is no YAML.", line=line) from bad
    except yaml.YAMLError as bad:
        raise ProfilesInvalid(f"It is no YAML: {bad}.") from bad


def _with_line(bad: ProfilesInvalid, path: Path) -> ProfilesInvalid:
    try:
        return _located(bad, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return bad


def _located(bad: ProfilesInvalid, text: str) -> ProfilesInvalid:
    """Return the error with the line of the place it names."""
    path = bad.fields.get("path")
    if path is None:
        return bad
    line = _line_of(yaml.compose(text, Loader=yaml.SafeLoader), path)
    return ProfilesInvalid(f"line {line}: {bad.message}", hint=bad.hint, path=path, line=line)


def _line_of(node: yaml.Node | None, path: tuple[str, ...]) -> int:
    line = 1
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == part), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
            node = node.value[int(part)]
            line = node.start_mark.line + 1
        else:
            break
    return line
