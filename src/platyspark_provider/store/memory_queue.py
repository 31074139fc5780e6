"""The queues of pools in memory: who waits in which order, what is taken, and why."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from platyspark_provider.core.model import App
from platyspark_provider.core.placement import Queued
from platyspark_provider.core.queue_words import QueueView, places_in_queue
from platyspark_provider.core.records import Policy, QueuePlace
from platyspark_provider.core.spec import ClusterSpec
from platyspark_provider.core.states import AppPhase, ClusterPhase
from platyspark_provider.store.base import DEFAULT_POLICY
from platyspark_provider.store.memory_clusters import ClusterVerbs
from platyspark_provider.store.writing import DUE_OF_A_QUEUE, full_teams


class QueueVerbs(ClusterVerbs):
    """What is asked of queues."""

    def queue_places(self, app_id: int | None = None, *, policy: Policy = DEFAULT_POLICY) -> Mapping[int, QueuePlace]:
        """Return why applications wait."""
        with self._lock:
            pool = None if app_id is None else self._app(app_id).pool_key
            asked = [
                one for one in (*self._queue(), *self._sent_early()) if app_id in {None, one.app_id} or (pool and one.pool_key == pool)
            ]
            view = QueueView(
                queue=tuple(asked),
                specs=self._newest_specs(asked),
                clusters=self._clusters,
                active=self._active(),
                teams=self._team_apps(),
                targets=self._target_clusters(),
            )
            return places_in_queue(view, policy=policy, now=self.now())

    def _queue(self) -> Iterator[Queued]:
        """Yield whoever waits for a cluster or on one that takes no work yet."""
        return (_queued(a) for a in self._apps.values() if a.phase is AppPhase.WAIT_CLUSTER)

    def _sent_early(self) -> Iterator[Queued]:
        starting = {c.id for c in self._clusters.values() if c.phase is ClusterPhase.STARTING}
        return (_queued(a) for a in self._apps.values() if a.phase is AppPhase.PENDING and a.cluster_id in starting)

    def _is_eligible(self, one: Queued) -> bool:
        is_timely = one.not_before is None or one.not_before <= self.now()
        return one.cluster_id is None and is_timely and not self._is_stopping(one)

    def _far_behind(self, policy: Policy) -> frozenset[int]:
        """Return who waits so far behind in a queue, or over its team's quota, that nothing can be done for it."""
        full = full_teams(self._team_apps(), policy)
        pools: dict[str | None, list[int]] = defaultdict(list)
        waiting = sorted((one for one in self._queue() if one.cluster_id is None and not self._is_stopping(one)), key=lambda one: one.order)
        for one in waiting:
            if self._is_eligible(one) and one.team not in full:
                pools[one.pool_key].append(one.app_id)
        return frozenset(one.app_id for one in waiting) - {i for ids in pools.values() for i in ids[:DUE_OF_A_QUEUE]}

    def _is_stopping(self, one: Queued) -> bool:
        return self._attempts[one.app_id, self._apps[one.app_id].generation].stop_requested_at is not None

    def _newest_specs(self, queue: list[Queued]) -> dict[str, ClusterSpec]:
        ids = sorted(one.app_id for one in queue if one.cluster_id is None)
        apps = [self._apps[i] for i in ids]
        return {a.pool_key: self._attempts[a.id, a.generation].spec.cluster for a in apps if a.pool_key is not None}

    def _active(self) -> Counter[int]:
        return Counter(a.cluster_id for a in self._apps.values() if a.cluster_id is not None and not a.phase.is_terminal)

    def _team_apps(self) -> Counter[str]:
        return Counter(a.team for a in self._apps.values() if a.cluster_id is not None and not a.phase.is_terminal)

    def _target_clusters(self) -> Counter[str]:
        names = {t.id: t.name for t in self._targets.values()}
        return Counter(names[c.target_id] for c in self._clusters.values() if not c.phase.is_terminal)


def _queued(app: App) -> Queued:
    return Queued(
        app_id=app.id,
        pool_key=app.pool_key,
        queued_at=app.queued_at or app.created_at,
        team=app.team,
        cluster_id=app.cluster_id,
        not_before=app.next_reconcile_at,
    )
