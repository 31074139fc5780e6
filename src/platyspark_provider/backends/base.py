"""What every backend shares: the port's types under one roof, and codes turned into failure classes; no I/O here."""

from collections.abc import Mapping

from platyspark_provider.core.ports import (
    AttemptRef,
    AttemptSight,
    Backend,
    Backends,
    ClusterRef,
    ClusterSight,
    Death,
    Launch,
    LogTail,
    Sights,
)
from platyspark_provider.core.states import FailureClass


def failure_class_from_code(code: str, table: Mapping[str, FailureClass]) -> FailureClass:
    """Return the class of the longest code in `table` that `code` begins with; unknown without one.

    Services refine their codes by suffixes (`VALIDATION_ERROR`, `VALIDATION_ERROR_SUBNET`), so the stem is enough.
    """
    stems = [stem for stem in table if code == stem or code.startswith(f"{stem}_")]
    return table[max(stems, key=len)] if stems else FailureClass.UNKNOWN


__all__ = [
    "AttemptRef",
    "AttemptSight",
    "Backend",
    "Backends",
    "ClusterRef",
    "ClusterSight",
    "Death",
    "Launch",
    "LogTail",
    "Sights",
    "failure_class_from_code",
]
