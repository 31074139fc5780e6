"""Steps that follow a script instead of running a process: how long they take and how they end; for tests of many steps."""

import itertools
import random
import re
from dataclasses import dataclass, field
from typing import Any

from platyspark_provider.emrsim.planted import SpecError, checked_count, checked_number, checked_pattern, checked_spec
from platyspark_provider.emrsim.records import COMPLETED, FAILED, ClusterRecord, Script, StepRecord

_FIELDS = frozenset({"step", "cluster", "duration_s", "spread_s", "seed", "state", "message", "count"})


@dataclass(slots=True, kw_only=True, eq=False)
class StepScript:
    """One script; `step` and `cluster` are expressions that match whole names, `count` None is for every matching step.

    A step takes `duration_s` and a random share of `spread_s`, of the simulation's time.
    """

    id: str
    step: re.Pattern[str]
    cluster: re.Pattern[str]
    duration_s: float
    spread_s: float
    seed: int
    state: str
    message: str | None
    count: int | None
    hits: int = 0
    dice: random.Random = field(default_factory=random.Random)

    def matches(self, cluster: ClusterRecord, step: StepRecord) -> bool:
        """Tell whether the step follows this script."""
        if self.count is not None and self.hits >= self.count:
            return False
        return bool(self.cluster.fullmatch(cluster.name) and self.step.fullmatch(step.name))

    def as_dict(self) -> dict[str, Any]:
        """Return the public description, which can be stored."""
        names = ("id", "duration_s", "spread_s", "seed", "state", "message", "count", "hits")
        return {"step": self.step.pattern, "cluster": self.cluster.pattern, **{name: getattr(self, name) for name in names}}


class StepScripts:
    """Hold the scripts, the first match wins. Not thread-safe: callers hold the engine's lock.

    :param stored: what `describe` of an earlier run returned
    """

    def __init__(self, stored: list[dict[str, Any]] | None = None) -> None:
        self._scripts: dict[str, StepScript] = {}
        self._ids = itertools.count(1)
        for one in stored or []:
            script = self.add({name: value for name, value in one.items() if name in _FIELDS})
            script.hits = one["hits"]
            for _ in range(script.hits):
                script.dice.random()

    def add(self, spec: dict[str, Any]) -> StepScript:
        """Take a script in.

        :raises SpecError: unknown field, not an expression, a negative duration or another state than COMPLETED and FAILED
        """
        given = checked_spec(spec, _FIELDS)
        state = given.get("state", COMPLETED)
        if state not in {COMPLETED, FAILED}:
            raise SpecError(f"state is {COMPLETED} or {FAILED}, not {state!r}")
        seed = int(given.get("seed", 0))
        script = StepScript(
            id=f"p{next(self._ids)}",
            step=checked_pattern("step", given.get("step", ".*")),
            cluster=checked_pattern("cluster", given.get("cluster", ".*")),
            duration_s=checked_number("duration_s", given.get("duration_s", 0.0)),
            spread_s=checked_number("spread_s", given.get("spread_s", 0.0)),
            seed=seed,
            state=state,
            message=given.get("message"),
            count=checked_count(given.get("count")),
            dice=random.Random(seed),  # noqa: S311 - repeatable, not secret
        )
        self._scripts[script.id] = script
        return script

    def take(self, cluster: ClusterRecord, step: StepRecord, now: float) -> Script | None:
        """Return what a step that starts now will do, None if it has to run for real."""
        for script in self._scripts.values():
            if script.matches(cluster, step):
                script.hits += 1
                ends_at = now + script.duration_s + script.spread_s * script.dice.random()
                return Script(ends_at=ends_at, exit_code=int(script.state == FAILED), message=script.message)
        return None

    def remove(self, script_id: str | None = None) -> int:
        """Remove one script or all and return how many there were; steps that follow one go on."""
        ids = [script_id] if script_id is not None else list(self._scripts)
        return sum(self._scripts.pop(one, None) is not None for one in ids)

    def describe(self) -> list[dict[str, Any]]:
        """Return every script, used up ones included."""
        return [script.as_dict() for script in self._scripts.values()]
