"""Faults that a test plants into the next calls of an operation: hold, drop, error or delay, before or after the effect."""

import itertools
import threading
from dataclasses import dataclass, field
from typing import Any

from platyspark_provider.emrsim.planted import SpecError

WHENS = ("before", "after")
ACTIONS = ("hold", "drop", "error", "delay")


class FaultSpecError(SpecError):
    """A fault's description is not usable."""


class ConnectionDropped(ConnectionAbortedError):
    """The server closes the connection without an answer."""


@dataclass(slots=True, kw_only=True, eq=False)
class Fault:
    """One planted fault; `count` None means every matching call until it is removed."""

    id: str
    operation: str
    when: str
    action: str
    count: int | None = 1
    delay_s: float = 0.0
    http_status: int = 500
    code: str = "InternalServerError"
    match: dict[str, Any] = field(default_factory=dict)
    hits: int = 0
    held: int = 0
    released: threading.Event = field(default_factory=threading.Event)

    def matches(self, operation: str, when: str, request: dict[str, Any]) -> bool:
        """Tell whether the fault is due for this call."""
        if self.operation != operation or self.when != when or self.released.is_set():
            return False
        if self.count is not None and self.hits >= self.count:
            return False
        return all(request.get(name) == value for name, value in self.match.items())

    def as_dict(self) -> dict[str, Any]:
        """Return the public description with the hits and the number of calls held now."""
        names = ("id", "operation", "when", "action", "count", "delay_s", "http_status", "code", "match", "hits", "held")
        return {name: getattr(self, name) for name in names}


_FIELDS = frozenset({"operation", "when", "action", "count", "delay_s", "http_status", "code", "match"})


class FaultPlan:
    """Hold the planted faults; faults live in memory only and are gone after a restart."""

    def __init__(self, operations: frozenset[str]) -> None:
        self._operations = operations
        self._lock = threading.Lock()
        self._faults: dict[str, Fault] = {}
        self._ids = itertools.count(1)

    def add(self, spec: dict[str, Any]) -> Fault:
        """Plant a fault.

        :raises FaultSpecError: unknown field, operation, `when` or `action`
        """
        if unknown := set(spec) - _FIELDS:
            raise FaultSpecError(f"unknown fields: {', '.join(sorted(unknown))}")
        if spec.get("operation") not in self._operations:
            raise FaultSpecError(f"unknown operation {spec.get('operation')!r}")
        if spec.get("when", "before") not in WHENS or spec.get("action") not in ACTIONS:
            raise FaultSpecError(f"when is one of {', '.join(WHENS)}; action is one of {', '.join(ACTIONS)}")
        with self._lock:
            fault = Fault(id=f"f{next(self._ids)}", **{"when": "before", **spec})
            self._faults[fault.id] = fault
            return fault

    def take(self, operation: str, when: str, request: dict[str, Any]) -> Fault | None:
        """Return the first fault due for a call and count the hit."""
        with self._lock:
            for fault in self._faults.values():
                if fault.matches(operation, when, request):
                    fault.hits += 1
                    fault.held += fault.action == "hold"
                    return fault
        return None

    def pause(self, fault: Fault) -> None:
        """Wait as the fault says: a hold until it is removed, a delay for its time or until then."""
        fault.released.wait(None if fault.action == "hold" else fault.delay_s)
        if fault.action == "hold":
            with self._lock:
                fault.held -= 1

    def remove(self, fault_id: str | None = None) -> int:
        """Remove one fault or all, release what they hold, and return how many there were."""
        with self._lock:
            ids = [fault_id] if fault_id is not None else list(self._faults)
            removed = [self._faults.pop(one) for one in ids if one in self._faults]
        for fault in removed:
            fault.released.set()
        return len(removed)

    def describe(self) -> list[dict[str, Any]]:
        """Return every planted fault, used up ones included."""
        with self._lock:
            return [fault.as_dict() for fault in self._faults.values()]
