"""EMR's API limits: a token bucket per operation and one for all operations together, per region.

Values are the defaults of Service Quotas for EMR (burst, refill per second).
"""

from collections.abc import Callable
from dataclasses import dataclass

ALL_OPERATIONS = (25.0, 5.0)
LIMITS: dict[str, tuple[float, float]] = {
    "RunJobFlow": (10, 0.5),
    "AddJobFlowSteps": (10, 0.5),
    "DescribeStep": (10, 0.5),
    "ListSteps": (10, 0.5),
    "ListInstanceGroups": (10, 1.0),
    "ListClusters": (20, 0.5),
    "DescribeCluster": (10, 1.0),
    "CancelSteps": (10, 0.5),
    "TerminateJobFlows": (10, 0.5),
    "ModifyCluster": (10, 0.5),
    "ListInstances": (10, 0.5),
    "ListInstanceFleets": (5, 0.5),
    "ListBootstrapActions": (10, 1.0),
    "AddTags": (5, 0.5),
    "RemoveTags": (5, 0.5),
    "SetTerminationProtection": (5, 0.2),
}


@dataclass(slots=True)
class _Bucket:
    burst: float
    refill: float
    tokens: float
    at: float

    def fill(self, now: float) -> None:
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.at) * self.refill)
        self.at = now


class Throttle:
    """Decide whether a call may pass; buckets start full, also after a restart. Not thread-safe: callers hold a lock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def take(self, region: str, operation: str) -> bool:
        """Take one token of the operation's bucket and of the common one; False takes none."""
        buckets = [self._bucket(region, "*", ALL_OPERATIONS)]
        if operation in LIMITS:
            buckets.append(self._bucket(region, operation, LIMITS[operation]))
        if any(bucket.tokens < 1 for bucket in buckets):
            return False
        for bucket in buckets:
            bucket.tokens -= 1
        return True

    def reset(self) -> None:
        """Fill every bucket."""
        self._buckets.clear()

    def _bucket(self, region: str, name: str, limit: tuple[float, float]) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault((region, name), _Bucket(limit[0], limit[1], limit[0], now))
        bucket.fill(now)
        return bucket
