"""The machines of a cluster whose owner asks for a size, a number or a share of spot capacity of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from platyspark_provider.core.spec import ClusterRequest, InstanceGroup
from platyspark_provider.core.strict_mapping import did_you_mean
from platyspark_provider.errors import InvalidRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """Groups of machines, and how far the backend may grow them; `max_workers` and `max_on_demand` as in `ClusterSpec`."""

    groups: tuple[InstanceGroup, ...]
    max_workers: int | None = None
    max_on_demand: int | None = None

    @property
    def most_workers(self) -> int:
        """Return how many machines beside the master there may be."""
        return self.max_workers or worker_count(self.groups)


def worker_count(groups: Sequence[InstanceGroup]) -> int:
    """Return how many machines beside the master groups have."""
    return sum(group.count for group in groups if group.role != "MASTER")


def machines_of(request: ClusterRequest, groups: Sequence[InstanceGroup], sizes: Mapping[str, str]) -> Machines:
    """Return a profile's groups as the request wants them; what it leaves unset stays as it is.

    A share of spot capacity makes one CORE group on demand (HDFS and most drivers are there, so never empty) and one TASK
    group on spot; without it, more or fewer machines keep the proportions of the profile's groups.

    :raises InvalidRequest: the size is unknown.
    """
    masters = tuple(group for group in groups if group.role == "MASTER")
    workers = _resized(request, tuple(group for group in groups if group.role != "MASTER"), masters, sizes)
    least, most = request.workers or (worker_count(workers), worker_count(workers))
    found = _spread(workers, least, request.spot)
    if least == most:
        return Machines(groups=(*masters, *found))
    at_most = _spread(workers, most, request.spot)
    on_demand = sum(group.count for group in at_most if group.market == "ON_DEMAND")
    return Machines(groups=(*masters, *found), max_workers=most, max_on_demand=on_demand if on_demand < most else None)


def _resized(
    request: ClusterRequest, workers: tuple[InstanceGroup, ...], masters: tuple[InstanceGroup, ...], sizes: Mapping[str, str]
) -> tuple[InstanceGroup, ...]:
    if not workers:  # a profile of one machine: what is added is like it
        workers = (InstanceGroup(role="CORE", instance_type=masters[0].instance_type, count=1),)
    if request.size is None:
        return workers
    if request.size not in sizes:
        raise InvalidRequest(f"size {request.size!r} is unknown.", hint=did_you_mean(request.size, sizes), field="cluster.size")
    return tuple(replace(group, instance_type=sizes[request.size]) for group in workers)


def _spread(workers: tuple[InstanceGroup, ...], count: int, spot: float | None) -> tuple[InstanceGroup, ...]:
    return _proportional(workers, count) if spot is None else _mixed(workers, count, spot)


def _mixed(workers: tuple[InstanceGroup, ...], count: int, spot: float) -> tuple[InstanceGroup, ...]:
    on_spot = min(int(count * spot + 1e-9), count - 1)
    like = next((group for group in workers if group.role == "CORE"), workers[0])
    core = replace(like, role="CORE", market="ON_DEMAND", count=count - on_spot)
    task = replace(like, role="TASK", market="SPOT", count=on_spot)
    return (core, task) if on_spot else (core,)


def _proportional(workers: tuple[InstanceGroup, ...], count: int) -> tuple[InstanceGroup, ...]:
    """Share out by largest remainder; a CORE group keeps at least one machine."""
    total = worker_count(workers)
    shares = [count * group.count / total for group in workers]
    counts = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda i: (counts[i] - shares[i], i))
    for i in by_remainder[: count - sum(counts)]:
        counts[i] += 1
    for i, group in enumerate(workers):
        if group.role == "CORE" and not counts[i] and (fullest := max(range(len(counts)), key=lambda j: counts[j])) != i:
            counts[i], counts[fullest] = 1, counts[fullest] - 1
    return tuple(replace(group, count=n) for group, n in zip(workers, counts, strict=True) if n)
