"""Check what a test plants through the control route: fields, numbers, counts and expressions."""

import re
from typing import Any


class SpecError(ValueError):
    """What should be planted is not usable; the message says why."""


def checked_spec(spec: dict[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    """Return the description without nulls.

    :raises SpecError: it has a field that nobody reads
    """
    if unknown := set(spec) - fields:
        raise SpecError(f"unknown fields: {', '.join(sorted(unknown))}; known: {', '.join(sorted(fields))}")
    return {name: value for name, value in spec.items() if value is not None}


def checked_pattern(name: str, text: Any) -> re.Pattern[str]:
    """Return the compiled expression.

    :raises SpecError: it is none
    """
    try:
        return re.compile(text)
    except (re.error, TypeError) as error:
        raise SpecError(f"{name} is a regular expression, not {text!r}: {error}") from error


def checked_number(name: str, value: Any) -> float:
    """Return a number of at least 0.

    :raises SpecError: it is none
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise SpecError(f"{name} is a number of at least 0, not {value!r}")
    return float(value)


def checked_count(value: Any) -> int | None:
    """Return how often something applies; None is for ever.

    :raises SpecError: not a whole number of at least 1
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SpecError(f"count is a whole number of at least 1, or null for ever, not {value!r}")
    return value
