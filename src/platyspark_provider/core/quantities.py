"""Durations and sizes as people write them, and how a conf value compares with a limit; no rules here."""

import re
from dataclasses import dataclass
from typing import Literal

from platyspark_provider.errors import InvalidRequest

_TIME = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = {"b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40, "p": 2**50}
_NUMBER_UNIT = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]*)\s*", re.IGNORECASE)
_ISO = re.compile(r"P(?:(?P<d>\d+)D)?(?:T(?=\d)(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+)S)?)?", re.IGNORECASE)

Kind = Literal["number", "size", "duration"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A value that can be compared: a plain number, bytes or seconds, by `kind`."""

    kind: Kind
    value: float


def seconds_from_text(text: str | int | float) -> float:
    """Return the seconds of `2h`, `90min`, `PT2H`, or of a number of seconds.

    :raises InvalidRequest: for anything else; `m` means minutes, as in Spark's time properties.
    """
    if not isinstance(text, str):
        if isinstance(text, bool) or text < 0:
            raise InvalidRequest(f"{text!r} is no duration.", hint='Write "2h", "30min", "PT2H" or a number of seconds.')
        return float(text)
    iso = _ISO.fullmatch(text.strip())
    if iso and any(iso.groupdict().values()):
        return sum(int(part) * _TIME[unit] for unit, part in iso.groupdict().items() if part)
    hit = _NUMBER_UNIT.fullmatch(text)
    unit = hit["unit"].lower() if hit else "?"
    if hit is None or (unit and unit not in _TIME):
        raise InvalidRequest(f"{text!r} is no duration.", hint='Write "2h", "30min", "PT2H" or a number of seconds.')
    return float(hit["number"]) * _TIME[unit or "s"]


def bytes_from_text(text: str | int | float, *, bare_unit: str = "b") -> float:
    """Return the bytes of `8g`, `512m`, `1.5gb`.

    :param bare_unit: what a number without a unit counts; Spark takes MiB for its memory properties.
    :raises InvalidRequest: for anything else.
    """
    hit = _NUMBER_UNIT.fullmatch(str(text))
    unit = (hit["unit"].lower() if hit else "?").removesuffix("ib") or bare_unit
    unit = unit if unit in _SIZE else unit.removesuffix("b")
    if hit is None or unit not in _SIZE:
        raise InvalidRequest(f"{text!r} is no size.", hint='Write "8g", "512m" or a number.')
    return float(hit["number"]) * _SIZE[unit]


def kind_of_limit(text: str | int | float) -> Kind:
    """Return what a limit counts, by its unit: `16g` sizes, `30s` durations, `50` plain numbers; `10m` is a size."""
    hit = _NUMBER_UNIT.fullmatch(str(text))
    if hit is None:
        raise InvalidRequest(f"{text!r} is no limit.", hint='Write "16g", "30min" or a number.')
    unit = hit["unit"].lower()
    if not unit:
        return "number"
    if unit in {"us", "ms", "s", "min", "h", "d"}:
        return "duration"
    bytes_from_text(str(text))
    return "size"


def quantity_from_conf(key: str, text: str, kind: Kind) -> Quantity:
    """Return a conf value as Spark would read it under `key`, in the unit that its limit has."""
    if kind == "duration":
        return Quantity(kind=kind, value=seconds_from_text(text))
    if kind == "size":
        is_memory = key.lower().endswith(("memory", "memoryoverhead"))
        return Quantity(kind=kind, value=bytes_from_text(text, bare_unit="m" if is_memory else "b"))
    hit = _NUMBER_UNIT.fullmatch(text)
    if hit is None or hit["unit"]:
        raise InvalidRequest(f"{text!r} is no number.")
    return Quantity(kind=kind, value=float(hit["number"]))
