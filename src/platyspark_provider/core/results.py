"""What a job reports of itself: one line `platyspark-result: {...}` of its driver's output; parsed here, recorded by `reconciler.logs`."""

import json
import math
from collections.abc import Mapping
from typing import Any

MARK = "platyspark-result:"
MAX_RESULT_BYTES = 8 * 1024


def result_from_log(text: str) -> dict[str, Any] | None:
    """Return the object of the last line that begins with `platyspark-result:`; None without one, or if it is no such object.

    An earlier line never stands in for a last one that can't be read: it would be another figure than the job's last word.

    :param text: the end of the driver's output; progress bars (which end in a carriage return) may precede the mark.
    """
    for line in reversed(text.split("\n")):
        words = line.rstrip().rpartition("\r")[2].lstrip()
        if words.startswith(MARK):
            return _result(words.removeprefix(MARK).strip())
    return None


def _result(text: str) -> dict[str, Any] | None:
    if len(text.encode(errors="replace")) > MAX_RESULT_BYTES:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not all(_is_name(name) and _is_value(value) for name, value in found.items()):
        return None
    return found


def _is_name(name: str) -> bool:
    return name != "" and _is_storable(name)


def _is_value(value: Any) -> bool:
    return all(_is_scalar(item) for item in value) if isinstance(value, list) else _is_scalar(value)


def _is_scalar(value: Any) -> bool:
    match value:
        case None | bool() | int():
            return True
        case float():
            return math.isfinite(value)
        case str():
            return _is_storable(value)
        case _:
            return False


def _is_storable(text: str) -> bool:
    """Tell whether a database takes a text: PostgreSQL's JSON knows neither NUL nor half a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def missing_metrics(names: tuple[str, ...], result: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the names that the job did not report."""
    return tuple(name for name in names if name not in (result or {}))
