"""The pools that one batch of facts asks for places in: each is planned once, over its whole queue; `recording` applies the answers."""

from collections import Counter
from collections.abc import Mapping, Sequence

from platyspark_provider.core.app_state import place_in_queue
from platyspark_provider.core.assignment import live_key_of, slot_key
from platyspark_provider.core.keys import cluster_key
from platyspark_provider.core.model import App, Attempt, Cluster
from platyspark_provider.core.placement import (
    Budget,
    Create,
    Decision,
    Member,
    Plan,
    Pool,
    Queued,
    Reuse,
    plan_pool,
    takes_applications,
)
from platyspark_provider.core.spec import ClusterSpec

Asker = tuple[App, Attempt]


class Placing:
    """Answers which place each asking application gets.

    :param askers: the applications of the batch that ask; those that have lost their cluster join the queue here.
    :param clusters: the batch's clusters and :param active: how many are on each; both change while the batch is applied.
    """

    def __init__(
        self, askers: Sequence[Asker], queue: Sequence[Queued], clusters: Mapping[int, Cluster], active: Counter[int], budget: Budget
    ) -> None:
        self._clusters, self._active, self._budget = clusters, active, budget
        self._freed: dict[str, set[str]] = {}
        self._joined: set[int] = set()
        self._plans: dict[str, Plan] = {}
        self._queues: dict[str, dict[int, Queued]] = {}
        self._specs: dict[str, tuple[tuple[object, int], ClusterSpec]] = {}
        for one in queue:
            self._queues.setdefault(one.pool_key or "", {})[one.app_id] = one
        for app, attempt in askers:
            self._admit(app, attempt)

    def _admit(self, app: App, attempt: Attempt) -> None:
        pool = cluster_key(app.environment, attempt.spec.cluster)
        newest, _ = self._specs.get(pool, ((attempt.created_at, app.id), attempt.spec.cluster))
        if newest <= (attempt.created_at, app.id):
            self._specs[pool] = ((attempt.created_at, app.id), attempt.spec.cluster)
        cluster = self._clusters.get(app.cluster_id or 0)
        if cluster is not None and takes_applications(cluster):
            return
        if app.cluster_id is not None:
            self._budget.teams[app.team] -= 1
        queued_at = app.queued_at or place_in_queue(attempt, since=app.created_at)
        one = Queued(app_id=app.id, pool_key=pool, queued_at=queued_at, team=app.team)
        self._queues.setdefault(pool, {})[app.id] = one

    def decide(self, app: App, attempt: Attempt) -> Decision:
        """Return the place of an application that asks and has no cluster that takes it."""
        pool = cluster_key(app.environment, attempt.spec.cluster)
        if attempt.spec.cluster.dedicated and (own := self._own(app, attempt)) is not None:
            return Reuse(cluster_id=own.id)
        if app.id not in self._queues.get(pool, {}):  # an earlier fact of this batch took its cluster away
            self._drop(pool)
            self._admit(app, attempt)
        if pool not in self._plans:
            self._plans[pool] = plan_pool(self.pool(pool), self._budget)
        return self._plans[pool].decision(app.id)

    def _own(self, app: App, attempt: Attempt) -> Cluster | None:
        """Return the living cluster of a dedicated application, for which it need not queue."""
        key = live_key_of(app, attempt)
        found = next((c for c in self._clusters.values() if c.live_key == key and takes_applications(c)), None)
        return None if self._budget.is_team_full(app.team) else found

    def pool(self, key: str) -> Pool:
        """Return a pool as it is now."""
        members = tuple(
            Member(cluster=c, active=self._active[c.id]) for c in self._clusters.values() if c.cluster_key == key and c.live_key is not None
        )
        queue = tuple(one for one in self._queues.get(key, {}).values() if one.app_id not in self._joined)
        return Pool(key=key, spec=self._specs[key][1], members=members, queue=queue, taken=frozenset(self._freed.get(key, ())))

    def joined(self, app: App, cluster: Cluster) -> None:
        """Note that an application took its place."""
        self._joined.add(app.id)
        self._active[cluster.id] += 1

    def freed(self, cluster: Cluster) -> None:
        """Note that a cluster gave its live key back: its pool is planned anew, and the key is free only after this batch."""
        key = cluster.cluster_key
        self._freed.setdefault(key, set()).add(cluster.live_key or "")
        self._drop(key)

    def _drop(self, pool: str) -> None:
        """Forget a plan and give back what it had reserved."""
        plan = self._plans.pop(pool, None)
        if plan is None:
            return
        left = {i: seat for i, seat in plan.placed.items() if i not in self._joined}
        self._budget.teams.subtract(self._queues[pool][i].team for i in left)
        self._budget.targets[self._specs[pool][1].target] -= len({seat.slot for seat in left.values() if isinstance(seat, Create)})

    def has_living(self, app: App, attempt: Attempt) -> bool:
        """Tell whether a cluster of the application's pool takes applications, be it full."""
        key = live_key_of(app, attempt)
        return any(c.cluster_key == key and takes_applications(c) for c in self._clusters.values())

    def is_ending(self, app: App, attempt: Attempt) -> bool:
        """Tell whether the application's pool would have a place, had this batch not ended a cluster of it."""
        return bool(self._freed) and live_key_of(app, attempt) in self._freed


def live_key_for(app: App, attempt: Attempt, slot: int) -> str:
    """Return the live key under which an application's cluster of a slot is inserted."""
    key = live_key_of(app, attempt)
    return key if attempt.spec.cluster.dedicated else slot_key(key, slot)
