"""Keeps as many clusters up as profiles want (`pool.min`): rows only, the executor creates them. Called before open work is handed out.

A cluster that failed to start is followed by another one after the pauses that hold for those of applications, too.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from platyspark_provider.core.assignment import new_cluster
from platyspark_provider.core.cluster_governance import cluster_spec
from platyspark_provider.core.cluster_transitions import ClusterState
from platyspark_provider.core.keys import cluster_key
from platyspark_provider.core.model import Cluster, Target
from platyspark_provider.core.notes import Notes
from platyspark_provider.core.placement import Member, Pool, free_slots, takes_applications
from platyspark_provider.core.profiles import Profiles
from platyspark_provider.core.records import Policy
from platyspark_provider.core.spec import ClusterSpec
from platyspark_provider.core.teams import DEFAULT_TEAM
from platyspark_provider.store.base import Store

ACTOR = "pool"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPool:
    """A pool of which some clusters are kept up."""

    spec: ClusterSpec
    target: Target


def kept_pools(profiles: Profiles) -> dict[str, KeptPool]:
    """Return the pools that profiles want clusters of, by key; of profiles that share one the greatest number counts."""
    found: dict[str, KeptPool] = {}
    for profile in profiles.profiles.values():
        if not profile.pool.min:
            continue
        spec = cluster_spec(profile.name, profile, profiles, team=profile.team or DEFAULT_TEAM, notes=Notes())
        key = cluster_key(profiles.environment, spec)
        if key not in found or found[key].spec.pool_min < spec.pool_min:
            found[key] = KeptPool(spec=spec, target=profiles.targets[profile.target])
    return found


def keep_pools(store: Store, profiles: Profiles, policy: Policy) -> None:
    """Insert a row for every cluster that is missing, and let go of those that no profile wants any more; one read when all is well."""
    kept = kept_pools(profiles)
    clusters = store.clusters()
    for cluster in clusters:
        _sync(store, cluster, kept)
    have = Counter(c.target_id for c in clusters)
    for key, pool in sorted(kept.items()):
        own = [c for c in clusters if c.cluster_key == key and c.live_key is not None]
        missing = pool.spec.pool_min - sum(takes_applications(c) for c in own)
        if missing > 0:
            members = tuple(Member(cluster=c, active=0) for c in own)
            slots = free_slots(Pool(key=key, spec=pool.spec, members=members))[:missing]
            _fill(store, pool, slots, profiles.environment, policy, have)


def _sync(store: Store, cluster: Cluster, kept: Mapping[str, KeptPool]) -> None:
    """Write down how many of its pool are kept: its own frozen number would keep a cluster up whose profile has changed."""
    wanted = kept[cluster.cluster_key].spec.pool_min if cluster.cluster_key in kept else 0
    if cluster.live_key is None or cluster.spec.pool_min == wanted:
        return

    def decide(state: ClusterState, active: int, now: datetime) -> ClusterState:
        return replace(state, cluster=replace(state.cluster, spec=replace(state.cluster.spec, pool_min=wanted), updated_at=now))

    store.change_cluster(cluster.id, decide)


def _fill(store: Store, pool: KeptPool, slots: Sequence[int], environment: str, policy: Policy, have: Counter[int]) -> None:
    """Insert clusters in slots, as far as their target may have more.

    :param have: clusters by target, to which those that are made are added.
    """
    target, limit = store.ensure_target(pool.target), policy.max_clusters.get(pool.target.name)
    for slot in slots:
        if limit is not None and have[target.id] >= limit:
            return
        wanted = new_cluster(environment, pool.spec, target_id=target.id, now=store.now(), slot=slot, ensured_by=ACTOR)
        _, is_new = store.ensure_cluster(wanted, actor=ACTOR)
        have[target.id] += is_new
