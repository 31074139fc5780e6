"""Which cluster each waiting application of a pool gets: reuse, create, or wait. The store loads and locks; words: `queue_words`.

A plan serves the whole queue in its order at once, whoever asks: an executor that holds one application gives it the place
that is its own, and leaves to those ahead of it what is theirs.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from platyspark_provider.core.assignment import slot_key
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.records import Policy
from platyspark_provider.core.spec import ClusterSpec
from platyspark_provider.core.states import ClusterDesired, ClusterPhase

CAPACITY_LIMIT = 250
"""Of EMR's 256 pending and running steps of a cluster, what applications may take: the rest is for steps that end runs."""

_RANK = {ClusterPhase.READY: 0, ClusterPhase.STARTING: 1}
_LATER_RANK = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """Join a living cluster."""

    cluster_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Insert the pool's cluster of this slot and join it."""

    slot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Stay in the queue.

    :param position: place among those that wait, from 1; :param waiting: how many they are.
    :param over_quota: its team has as many applications on clusters as it may.
    """

    position: int
    waiting: int
    over_quota: bool = False


Decision = Reuse | Create | Wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """One application that waits.

    :param pool_key: None for a row of the release before, until it is placed.
    :param cluster_id: the cluster that it has and that takes no work yet.
    :param not_before: it is in nobody's way until then.
    """

    app_id: int
    pool_key: str | None
    queued_at: datetime
    team: str
    cluster_id: int | None = None
    not_before: datetime | None = None

    @property
    def order(self) -> tuple[datetime, int]:
        """Return what the queue is sorted by; it never changes, so who waits long enough is first."""
        return self.queued_at, self.app_id


def capacity_of(spec: ClusterSpec) -> int:
    """Return how many applications may be on a cluster at once, those included that wait at the backend."""
    return min(spec.step_concurrency + spec.queue_ahead, CAPACITY_LIMIT)


def takes_applications(cluster: Cluster) -> bool:
    """Tell whether an application may get this cluster, be it still to be created."""
    return cluster.live_key is not None and cluster.desired is ClusterDesired.UP


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One cluster of a pool and how many live applications are on it."""

    cluster: Cluster
    active: int

    @property
    def capacity(self) -> int:
        """Return how many it takes."""
        return capacity_of(self.cluster.spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """The clusters of one key and who waits for them.

    :param spec: of the newest application: how many clusters there may be, how much a new one takes. A dedicated spec's
        applications each get a cluster of their own.
    :param members: those that hold a live key.
    :param taken: live keys that can't be inserted now, though no member holds them.
    """

    key: str
    spec: ClusterSpec
    members: tuple[Member, ...] = ()
    queue: tuple[Queued, ...] = ()
    taken: frozenset[str] = frozenset()

    @property
    def accepting(self) -> tuple[Member, ...]:
        """Return the clusters that take applications, full ones included."""
        return tuple(m for m in self.members if takes_applications(m.cluster))


@dataclass(slots=True, kw_only=True)
class Budget:
    """What teams and targets have and may have, over all pools; plans take from it what they give out.

    :param teams: applications on clusters, by team; :param targets: clusters that have not ended, by target.
    """

    policy: Policy
    teams: Counter[str] = field(default_factory=Counter)
    targets: Counter[str] = field(default_factory=Counter)

    def is_team_full(self, team: str, ahead: int = 0) -> bool:
        """Tell whether a team may have no more applications on clusters, when so many of it are ahead."""
        limit = self.policy.max_apps_of(team)
        return limit is not None and self.teams[team] + ahead >= limit

    def is_target_full(self, target: str) -> bool:
        """Tell whether a target may have no more clusters."""
        limit = self.policy.max_clusters.get(target)
        return limit is not None and self.targets[target] >= limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What each waiting application of a pool gets.

    :param placed: those that get a cluster now; :param waiting: those that do not, in order; :param over_quota: those
        that their team's quota keeps from being in anybody's way, in order.
    """

    placed: Mapping[int, Reuse | Create]
    waiting: tuple[Queued, ...]
    over_quota: tuple[Queued, ...]

    def decision(self, app_id: int) -> Decision:
        """Return what one application gets."""
        if app_id in self.placed:
            return self.placed[app_id]
        for group, over_quota in ((self.waiting, False), (self.over_quota, True)):
            for position, one in enumerate(group, 1):
                if one.app_id == app_id:
                    return Wait(position=position, waiting=len(group), over_quota=over_quota)
        raise KeyError(app_id)


def plan_pool(pool: Pool, budget: Budget) -> Plan:
    """Give the pool's places to its queue in order; whoever is over its team's quota is passed over."""
    seats = _Seats(pool, budget)
    placed: dict[int, Reuse | Create] = {}
    waiting: list[Queued] = []
    over_quota: list[Queued] = []
    ahead: Counter[str] = Counter()
    for one in sorted(pool.queue, key=lambda queued: queued.order):
        if budget.is_team_full(one.team, ahead[one.team]):
            over_quota.append(one)
        elif (seat := seats.take()) is not None:
            placed[one.app_id] = seat
            budget.teams[one.team] += 1
        else:
            waiting.append(one)
            ahead[one.team] += 1
    return Plan(placed=placed, waiting=tuple(waiting), over_quota=tuple(over_quota))


class _Seats:
    """The free places of a pool, the best one first: ready before starting before the rest, then the emptiest, then the oldest."""

    def __init__(self, pool: Pool, budget: Budget) -> None:
        self._budget, self._target = budget, pool.spec.target
        self._new_capacity = 1 if pool.spec.dedicated else capacity_of(pool.spec)
        self._slots: Iterator[int] = itertools.repeat(0) if pool.spec.dedicated else iter(free_slots(pool))
        members = () if pool.spec.dedicated else pool.accepting
        self._heap: list[tuple[int, int, int, int, Reuse | Create]] = [
            (_RANK.get(m.cluster.phase, _LATER_RANK), m.active, m.cluster.id, m.capacity, Reuse(cluster_id=m.cluster.id))
            for m in members
            if m.active < m.capacity
        ]
        heapq.heapify(self._heap)

    def take(self) -> Reuse | Create | None:
        """Return the best place and take it; None when there is none."""
        if not self._heap and not self._create():
            return None
        rank, active, order, capacity, seat = heapq.heappop(self._heap)
        if active + 1 < capacity:
            heapq.heappush(self._heap, (rank, active + 1, order, capacity, seat))
        return seat

    def _create(self) -> bool:
        slot = next(self._slots, None) if not self._budget.is_target_full(self._target) else None
        if slot is None:
            return False
        self._budget.targets[self._target] += 1
        self._heap.append((_LATER_RANK + 1, 0, slot, self._new_capacity, Create(slot=slot)))
        return True


def free_slots(pool: Pool) -> list[int]:
    """Return the slots that hold no cluster, ascending."""
    held: Collection[str | None] = {m.cluster.live_key for m in pool.members} | pool.taken
    return [slot for slot in range(pool.spec.pool_max) if slot_key(pool.key, slot) not in held]
