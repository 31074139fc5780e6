"""The verbs about clusters in memory: ensured, changed, who is on them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from platyspark_provider.core.assignment import after_failed_start, failed_start
from platyspark_provider.core.cluster_transitions import ClusterState
from platyspark_provider.core.model import App, Cluster
from platyspark_provider.core.records import ClusterLoad
from platyspark_provider.core.states import AppPhase
from platyspark_provider.errors import NotFound
from platyspark_provider.store.memory_tables import MemoryTables


class ClusterVerbs(MemoryTables):
    """What is asked of clusters."""

    def ensure_cluster(self, wanted: Cluster, *, actor: str) -> tuple[Cluster, bool]:
        """Insert, or return what lives under the key."""
        with self._lock:
            found = next((c for c in self._clusters.values() if c.live_key == wanted.live_key), None)
            if found is None:
                before = failed_start(self._clusters.values(), wanted.cluster_key, now=self.now())
                return self._insert_cluster(after_failed_start(wanted, before, now=self.now()), actor), True
            if found.ensured_by is None:
                self._clusters[found.id] = replace(found, ensured_by=wanted.ensured_by)
            return self._clusters[found.id], False

    def change_cluster(self, cluster_id: int, decide: Callable[[ClusterState, int, datetime], ClusterState]) -> Cluster:
        """Decide under the lock."""
        with self._lock:
            before = self.cluster(cluster_id)
            done = decide(ClusterState(cluster=before), len(self.apps_on(cluster_id)), self.now())
            self._clusters[cluster_id] = replace(done.cluster, id=cluster_id, lease=before.lease)
            self._append(done.events)
            return self._clusters[cluster_id]

    def cluster(self, cluster_id: int) -> Cluster:
        """Return one cluster."""
        with self._lock:
            found = self._clusters.get(cluster_id)
            if found is None:
                raise NotFound(f"There is no cluster {cluster_id}.")
            return found

    def clusters(self, *, live_only: bool = True, name: str | None = None) -> tuple[Cluster, ...]:
        """Return clusters, newest first."""
        with self._lock:
            newest = reversed(self._clusters.values())
            return tuple(c for c in newest if not (live_only and c.phase.is_terminal) and name in {None, c.name})

    def ensured_clusters(self, *, ended_within: timedelta) -> tuple[Cluster, ...]:
        """Return what somebody asked for and lives, or ended lately."""
        with self._lock:
            since = self.now() - ended_within
            ensured = (c for _, c in sorted(self._clusters.items()) if c.ensured_by is not None)
            return tuple(c for c in ensured if not c.phase.is_terminal or (c.ended_at is not None and c.ended_at > since))

    def apps_on(self, cluster_id: int) -> tuple[App, ...]:
        """Return the live applications on a cluster, by id."""
        with self._lock:
            return tuple(a for _, a in sorted(self._apps.items()) if a.cluster_id == cluster_id and not a.phase.is_terminal)

    def loads(self, cluster_ids: Collection[int]) -> Mapping[int, ClusterLoad]:
        """Return what clusters have to do."""
        with self._lock:
            return {i: self._load(i) for i in cluster_ids}

    def _load(self, cluster_id: int) -> ClusterLoad:
        apps = self.apps_on(cluster_id)
        ends = [a.ended_at for a in self._attempts.values() if a.cluster_id == cluster_id and a.ended_at is not None]
        return ClusterLoad(
            active=len(apps),
            stuck=sum(a.phase is AppPhase.STOP_UNPROVEN for a in apps),
            last_used_at=max(ends, default=None) if not apps else None,
        )
