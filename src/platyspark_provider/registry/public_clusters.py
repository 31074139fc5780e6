"""`PublicClusters`: what people may ask about clusters over REST, within their rights in Airflow; the rules are `ClusterDesk`'s."""

from collections.abc import Callable, Collection, Mapping

from platyspark_provider.core.listing import ClusterFilter, Page
from platyspark_provider.core.model import Cluster, Event
from platyspark_provider.core.profiles import Profiles
from platyspark_provider.core.records import Ensured, Policy
from platyspark_provider.core.spec import ClusterRequest
from platyspark_provider.errors import StaleGeneration
from platyspark_provider.registry.clusters import ClusterDesk
from platyspark_provider.registry.public_writes import Audit
from platyspark_provider.registry.rights import Subject
from platyspark_provider.store.base import Store


class PublicClusters:
    """Answers one person.

    :param profiles: gives the newest profiles; asked once an `ensure`.
    """

    def __init__(self, store: Store, profiles: Callable[[], Profiles], *, policy: Policy | None = None, subject: Subject) -> None:
        self._store, self._subject = store, subject
        self._desk = ClusterDesk(store, profiles, policy)

    def clusters(self, wanted: ClusterFilter) -> Page[Cluster]:
        """Return the clusters that are asked for."""
        self._subject.require_shared("GET", "see clusters")
        return self._store.clusters_page(wanted)

    def cluster(self, cluster_id: int) -> Cluster:
        """Return one cluster; raises `NotFound`."""
        self._subject.require_shared("GET", "see clusters")
        return self._store.cluster(cluster_id)

    def active(self, clusters: Collection[Cluster]) -> Mapping[int, int]:
        """Return how many live applications are on each of them."""
        return {cluster_id: load.active for cluster_id, load in self._store.loads([one.id for one in clusters]).items()}

    def ensure(self, request: ClusterRequest, *, team: str | None, alongside: bool = False, replace: bool = False) -> Ensured:
        """Return the living cluster of a name and spec, or ask for one; see `ClusterDesk.ensure`. Each call leaves an event."""
        self._subject.require_shared("PUT", "ask for clusters")
        done = self._desk.ensure(request, team=team, actor=self._subject.actor, alongside=alongside, replace=replace)
        self._store.add_event(
            Event(
                object_kind="cluster",
                object_id=done.cluster.id,
                generation=done.cluster.generation,
                kind="cluster.ensured",
                message=f"{self._subject.name} asked for it: {done.outcome}.",
                actor=self._subject.actor,
                at=self._store.now(),
                detail={**({"drained": [one.id for one in done.drained]} if done.drained else {}), **self._subject.audit},
            )
        )
        return done

    def drain(self, cluster_id: int, *, reason: str = "", expected: int | None = None) -> Cluster:
        """Let it take no more applications and end after its last one; asking again changes nothing."""
        self._subject.require_shared("PUT", "drain clusters")
        self._check(cluster_id, expected)
        return self._desk.drain(cluster_id, actor=self._subject.actor, reason=reason or "drained", detail=self._audit(reason))

    def terminate(self, cluster_id: int, *, reason: str = "", force: bool = False, expected: int | None = None) -> Cluster:
        """Let it end now; asking again changes nothing.

        :param force: with applications on it, which are asked to stop first.
        :raises ClusterInUse: there are some, without `force`.
        """
        self._subject.require_shared("DELETE", "end clusters")
        self._check(cluster_id, expected)
        actor, said = self._subject.actor, reason or "terminated"
        return self._desk.terminate(cluster_id, actor=actor, reason=said, force=force, detail=self._audit(reason))

    def _audit(self, reason: str) -> dict[str, str]:
        return Audit(subject=self._subject, reason=reason).detail

    def _check(self, cluster_id: int, expected: int | None) -> None:
        cluster = self._store.cluster(cluster_id)
        if expected is not None and expected != cluster.generation:
            raise StaleGeneration(
                f"Cluster {cluster_id} is of generation {cluster.generation}, not {expected}.",
                hint="Read it again and decide anew.",
                generation=cluster.generation,
                expected=expected,
            )
