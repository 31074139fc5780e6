"""Why applications wait, in words, computed from the rows of one moment; nothing of it is ever stored."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from platyspark_provider.core.model import Cluster
from platyspark_provider.core.placement import Budget, Member, Plan, Pool, Queued, free_slots, plan_pool
from platyspark_provider.core.records import Policy, QueuePlace
from platyspark_provider.core.spec import ClusterSpec
from platyspark_provider.core.states import ClusterDesired, ClusterPhase


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """What there is to say it from.

    :param queue: everyone that waits for a cluster, or is on one that is not ready.
    :param specs: of the newest application of each pool.
    :param clusters: those that hold a live key of these pools, and those that the waiting ones are on.
    :param active: live applications by cluster; :param teams: those on clusters, by team.
    :param targets: clusters that have not ended, by target.
    """

    queue: tuple[Queued, ...]
    specs: Mapping[str, ClusterSpec] = field(default_factory=dict)
    clusters: Mapping[int, Cluster] = field(default_factory=dict)
    active: Mapping[int, int] = field(default_factory=dict)
    teams: Mapping[str, int] = field(default_factory=dict)
    targets: Mapping[str, int] = field(default_factory=dict)


def places_in_queue(view: QueueView, *, policy: Policy, now: datetime) -> dict[int, QueuePlace]:
    """Return why each application waits, by its id."""
    budget = Budget(policy=policy, teams=Counter(view.teams), targets=Counter(view.targets))
    places: dict[int, QueuePlace] = {}
    pools: dict[str, list[Queued]] = defaultdict(list)
    for one in view.queue:
        if one.not_before is not None and one.not_before > now:
            message = f"the backend asked to wait; it is sent at {one.not_before:%H:%M:%S} UTC"
            places[one.app_id] = QueuePlace(position=0, waiting=0, reason="backoff", message=message)
        elif one.cluster_id is not None:
            places[one.app_id] = _place_on(view.clusters.get(one.cluster_id), now)
        elif one.pool_key is None or one.pool_key not in view.specs:
            places[one.app_id] = QueuePlace(position=0, waiting=0, reason="unplaced", message="no pass has looked at it yet")
        else:
            pools[one.pool_key].append(one)
    for key, queue in sorted(pools.items()):
        members = tuple(
            Member(cluster=c, active=view.active.get(c.id, 0)) for c in view.clusters.values() if c.cluster_key == key and c.live_key
        )
        pool = Pool(key=key, spec=view.specs[key], members=members, queue=tuple(queue))
        words = _Words(view, pool, plan_pool(pool, budget), budget, now)
        places.update(words.places())
    return places


class _Words:
    """One pool's plan in words: what there is, and who comes first where it would not yet be full."""

    def __init__(self, view: QueueView, pool: Pool, plan: Plan, budget: Budget, now: datetime) -> None:
        self.view, self.pool, self.plan, self.budget, self.now = view, pool, plan, budget, now

    def places(self) -> dict[int, QueuePlace]:
        served = [one for one in sorted(self.pool.queue, key=lambda one: one.order) if one.app_id in self.plan.placed]
        total = len(served) + len(self.plan.waiting)
        reason, message = self._why_full()
        places = {one.app_id: _place(number, total, "next", self._next()) for number, one in enumerate(served, 1)}
        places |= {one.app_id: _place(number, total, reason, message) for number, one in enumerate(self.plan.waiting, len(served) + 1)}
        for number, one in enumerate(self.plan.over_quota, 1):
            places[one.app_id] = _place(number, len(self.plan.over_quota), "team_quota", self._quota(one.team))
        return places

    def _next(self) -> str:
        return f"it gets {'a cluster of its own' if self.pool.spec.dedicated else f'cluster {self.pool.spec.name}'} next"

    def _quota(self, team: str) -> str:
        running, limit = self.view.teams.get(team, 0), self.budget.policy.max_apps_of(team)
        ahead = self.budget.teams[team] - running + sum(one.team == team for one in self.plan.waiting)
        return f"team {team} has {running} of {limit} applications running" + (f", and {ahead} more of it come first" if ahead else "")

    def _why_full(self) -> tuple[str, str]:
        """Say why the pool takes no more; of no use where it does."""
        target, name = self.pool.spec.target, self.pool.spec.name
        if self.budget.is_target_full(target) and (self.pool.spec.dedicated or free_slots(self.pool)):
            have, limit = self.view.targets.get(target, 0), self.budget.policy.max_clusters[target]
            coming = f", and {self.budget.targets[target] - have} more are created first" if self.budget.targets[target] > have else ""
            return "target_full", f"target {target} has {have} of {limit} clusters{coming}"
        members = self.pool.accepting
        if not members:
            word = "about to be created for those ahead of it" if self.plan.placed else "ending, and another one is created after it"
            return "cluster_ending", f"cluster {name} is {word}"
        active, capacity = sum(m.active for m in members), sum(m.capacity for m in members)
        first = "; those ahead of it come first" if self.plan.placed else ""
        if all(m.cluster.phase is not ClusterPhase.READY for m in members):
            one = len(members) == 1
            waits = _starting(members[0].cluster, self.now) if one else f"the {len(members)} clusters of {name} are starting"
            return "cluster_starting", f"{waits}, and {active} of {capacity} places on {'it' if one else 'them'} are taken{first}"
        which = f"cluster {name} has" if len(members) == 1 else f"the {len(members)} clusters of {name} have"
        return "cluster_full", f"{which} {active} of {capacity} steps running{first}"


def _place(position: int, waiting: int, reason: str, message: str) -> QueuePlace:
    return QueuePlace(position=position, waiting=waiting, reason=reason, message=f"{_ordinal(position)} of {waiting}: {message}")


def _place_on(cluster: Cluster | None, now: datetime) -> QueuePlace:
    reason, message = ("cluster_gone", "its cluster is over; another one is chosen next") if cluster is None else _why_on(cluster, now)
    return QueuePlace(position=0, waiting=0, reason=reason, message=message)


def _why_on(cluster: Cluster, now: datetime) -> tuple[str, str]:
    """Say what the cluster that an application has is about."""
    name = f"cluster {cluster.name}"
    if cluster.live_key is None:
        return "cluster_ending", f"{name} is {cluster.phase.value}; another one is chosen next"
    if cluster.desired is not ClusterDesired.UP:
        return "cluster_ending", f"{name} is to end before it is used; another one is chosen then"
    if cluster.phase is ClusterPhase.READY:
        return "next", f"{name} is ready; it is sent next"
    return "cluster_starting", _starting(cluster, now)


def _starting(cluster: Cluster, now: datetime) -> str:
    name = f"cluster {cluster.name}"
    match cluster.phase:
        case ClusterPhase.INTENT if cluster.next_reconcile_at is not None and cluster.next_reconcile_at > now:
            failed = cluster.restart_count
            why = f"{failed} in a row never became ready" if failed else "the backend asked to wait"
            return f"{name} is created at {cluster.next_reconcile_at:%H:%M:%S} UTC: {why}"
        case ClusterPhase.INTENT:
            return f"{name} is created next"
        case ClusterPhase.CREATING | ClusterPhase.AMBIGUOUS:
            return f"{name} is being created (asked for {_ago(cluster.create_sent_at or cluster.created_at, now)})"
        case _:
            return f"{name} is starting (created {_ago(cluster.create_sent_at or cluster.created_at, now)})"


def _ago(moment: datetime, now: datetime) -> str:
    seconds = max(0, int((now - moment).total_seconds()))
    if seconds < 60:
        return f"{seconds} s ago"
    return f"{seconds // 60} min ago" if seconds < 7200 else f"{seconds // 3600} h ago"


def _ordinal(number: int) -> str:
    last = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{last}"
