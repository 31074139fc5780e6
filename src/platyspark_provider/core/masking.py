"""Hides what looks like a secret in values that are shown to people: by the key's name, and inside texts and addresses."""

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
_KEY = re.compile(r"secret|passw|token|access[._-]?key|api[._-]?key|private[._-]?key", re.IGNORECASE)
"""Spark's own `spark.redaction.regex`, and keys of other services."""
_INSIDE = re.compile(r"((?:secret|passw\w*|pwd|token|access_?key|api_?key|private_?key)=)[^&;,\s]+", re.IGNORECASE)
_LOGIN = re.compile(r"(://[^/@\s:]*:)[^/@\s]+@")


def masked_text(text: str) -> str:
    """Return a text with passwords of addresses and of `password=...` hidden."""
    return _LOGIN.sub(rf"\1{MASK}@", _INSIDE.sub(rf"\1{MASK}", text))


def masked(value: Any, key: str = "") -> Any:
    """Return a value of JSON with secrets hidden at any depth.

    :param key: under which it stands.
    """
    match value:
        case Mapping():
            return {name: masked(item, str(name)) for name, item in value.items()}
        case list() | tuple():
            return [masked(item, key) for item in value]
        case str() if _KEY.search(key):
            return MASK
        case str():
            return masked_text(value)
        case _:
            return value


def hidden(values: Mapping[str, str]) -> dict[str, str]:
    """Return the names of environment variables alone."""
    return dict.fromkeys(sorted(values), MASK)
