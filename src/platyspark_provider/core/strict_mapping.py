"""Reads a plain mapping strictly: every key known, every value of its type; errors name the path. Used for profiles.yaml."""

import difflib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from platyspark_provider.core.quantities import seconds_from_text
from platyspark_provider.errors import InvalidRequest, ProfilesInvalid

T = TypeVar("T")
Path = tuple[str, ...]
Reader = Callable[[Any, Path], T]


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return a hint with the closest known word and the list."""
    close = difflib.get_close_matches(word, known, n=1)
    guess = f"Did you mean '{close[0]}'? " if close else ""
    return f"{guess}Known: {', '.join(sorted(known))}."


def invalid(path: Path, message: str, hint: str = "") -> ProfilesInvalid:
    """Return the error for a place in the file; `fields["path"]` lets a loader find its line."""
    return ProfilesInvalid(f"{'.'.join(path) or 'profiles'}: {message}", hint=hint, path=path)


def read_fields(value: Any, path: Path, readers: Mapping[str, Reader[Any]]) -> dict[str, Any]:
    """Return the fields that are there, each read by its reader; a null counts as absent."""
    found = read_mapping(value, path)
    for key in found:
        if key not in readers:
            raise invalid((*path, key), "unknown key.", did_you_mean(key, readers))
    return {key: readers[key](item, (*path, key)) for key, item in found.items() if item is not None}


def read_mapping(value: Any, path: Path) -> Mapping[str, Any]:
    """Return a mapping with text keys."""
    if not isinstance(value, Mapping):
        raise invalid(path, f"must be a mapping, not {_kind(value)}.")
    for key in value:
        if not isinstance(key, str):
            raise invalid(path, f"key {key!r} must be text; put it in quotes.")
    return value


def read_named(reader: Callable[[str, Any, Path], T]) -> Reader[dict[str, T]]:
    """Return a reader of `{name: {...}}`."""

    def read(value: Any, path: Path) -> dict[str, T]:
        return {name: reader(name, item, (*path, name)) for name, item in read_mapping(value, path).items()}

    return read


def read_text(value: Any, path: Path) -> str:
    """Return a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise invalid(path, f"must be text, not {_kind(value)}.")
    return value


def read_scalar_text(value: Any, path: Path) -> str:
    """Return a text, number or boolean as Spark's conf writes it (`true`, `4`, `8g`)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | str):
        return str(value)
    raise invalid(path, f"must be text or a number, not {_kind(value)}.")


def read_flag(value: Any, path: Path) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise invalid(path, f"must be true or false, not {_kind(value)}.")
    return value


def read_int(low: int, high: int) -> Reader[int]:
    """Return a reader of a whole number within both bounds."""

    def read(value: Any, path: Path) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise invalid(path, f"must be a whole number from {low} to {high}, not {value!r}.")
        return value

    return read


def read_seconds(low: int, high: int) -> Reader[int]:
    """Return a reader of a duration within both bounds, in whole seconds (rounded up)."""

    def read(value: Any, path: Path) -> int:
        if not isinstance(value, str | int | float):
            raise invalid(path, f"must be a duration, not {_kind(value)}.", 'Write "2h", "PT2H" or seconds.')
        try:
            seconds = seconds_from_text(value)
        except InvalidRequest as bad:
            raise invalid(path, bad.message, bad.hint) from bad
        if not low <= seconds <= high:
            raise invalid(path, f"must be {low} to {high} seconds, not {seconds:g}.")
        return math.ceil(seconds)

    return read


def read_choice(choices: Collection[str]) -> Reader[str]:
    """Return a reader of one word of a closed list."""

    def read(value: Any, path: Path) -> str:
        if value not in choices:
            raise invalid(path, f"{value!r} is not allowed.", did_you_mean(str(value), choices))
        return str(value)

    return read


def read_list(item: Reader[T]) -> Reader[tuple[T, ...]]:
    """Return a reader of a list."""

    def read(value: Any, path: Path) -> tuple[T, ...]:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise invalid(path, f"must be a list, not {_kind(value)}.")
        return tuple(item(element, (*path, str(index))) for index, element in enumerate(value))

    return read


def read_texts_by_key(value: Any, path: Path) -> dict[str, str]:
    """Return a mapping of texts, as conf and tags are."""
    return {key: read_scalar_text(item, (*path, key)) for key, item in read_mapping(value, path).items()}


def _kind(value: Any) -> str:
    return {"NoneType": "nothing", "dict": "a mapping", "list": "a list", "str": "text", "int": "a number", "bool": "a boolean"}.get(
        type(value).__name__, type(value).__name__
    )
