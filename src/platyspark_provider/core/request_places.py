"""A request as its sender wrote it, place by place (`args[1]`, `conf.spark.executor.memory`): what differs between two of them."""

from collections.abc import Iterator, Mapping
from typing import Any

from platyspark_provider.core.spec import AppRequest, Artifact, canonical_json, identifying_fields

_WRITTEN = {"max_runtime_s": "max_runtime", "idle_timeout_s": "idle_timeout"}


def differing_places(one: AppRequest, other: AppRequest) -> tuple[str, ...]:
    """Return where two requests differ, sorted; places alone, a value may be a secret."""
    a, b = dict(_places(one)), dict(_places(other))
    return tuple(sorted(place for place in {*a, *b} if a.get(place) != b.get(place)))


def address_of(artifact: Artifact) -> str:
    """Return a file as a request names it: its address, or its content and name."""
    where = artifact.uri if artifact.uri is not None else f"sha256:{artifact.sha256}/{artifact.name}"
    return f"{where}#{artifact.alias}" if artifact.alias else where


def _places(request: AppRequest) -> Iterator[tuple[str, str]]:
    for name in identifying_fields(request):
        yield from _flat(_WRITTEN.get(name, name), getattr(request, name))


def _flat(place: str, value: Any) -> Iterator[tuple[str, str]]:
    match value:
        case None:
            return
        case Artifact():
            yield place, address_of(value)
        case Mapping():
            for key in value:
                yield from _flat(f"{place}.{_WRITTEN.get(key, key)}", value[key])
        case tuple() | list():
            for index, item in enumerate(value):
                yield from _flat(f"{place}[{index}]", item)
        case str() | int() | float():
            yield place, canonical_json(value)
        case _:
            yield from _flat(place, {slot: getattr(value, slot) for slot in value.__slots__})
