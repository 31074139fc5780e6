"""Many facts applied to many rows in order: fencing, ownership, then `transitions`. The store loads before and writes after.

A batch that needs clusters which don't exist yet changes nothing: its answer is the rows to insert (`missing`); the store
inserts them and applies the whole batch again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from platyspark_provider.core.app_state import AppState, Refused, in_queue
from platyspark_provider.core.assignment import (
    assign,
    end_thrashing,
    failed_start,
    intended_cluster,
    is_thrashing,
    leave,
    live_key_of,
    refuse_assignment,
)
from platyspark_provider.core.batch import Rows, askers
from platyspark_provider.core.cluster_transitions import ClusterRecord, ClusterState, apply_to_cluster
from platyspark_provider.core.facts import (
    ClusterAssigned,
    ClusterDrainIntended,
    ClusterObserved,
    CreateEnded,
    CreateIntended,
    CreateLookedFor,
    LogLookedFor,
    Record,
)
from platyspark_provider.core.model import App, Cluster, Event
from platyspark_provider.core.placement import Budget, Create, Reuse, Wait, takes_applications
from platyspark_provider.core.placing import Placing, live_key_for
from platyspark_provider.core.records import AppWork, Policy, RecordAnswer
from platyspark_provider.core.transitions import AppRecord, apply_to_app


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a batch led to; if anything is `missing`, nothing else counts.

    :param missing: clusters to insert first, by live key.
    """

    rows: Rows
    answers: tuple[RecordAnswer, ...] = ()
    events: tuple[Event, ...] = ()
    missing: tuple[Cluster, ...] = ()


def record_all(
    rows: Rows,
    records: Sequence[Record],
    *,
    targets: Mapping[str, int],
    policy: Policy,
    actor: str,
    only_app: int | None,
    now: datetime,
) -> Recorded:
    """Return the rows after the batch with one answer a fact; a refused fact leaves the rows as they were.

    :param targets: ids by name.
    :param only_app: a worker's own application: facts about others are refused, and that a cluster ends unless it is dedicated
        to this application.
    """
    book = _Book(rows, records, targets, policy, actor, only_app, now)
    answers = tuple(book.take(record) for record in records)
    if book.missing:
        return Recorded(rows=rows, missing=tuple(book.missing[key] for key in sorted(book.missing)))
    done = replace(rows, apps=book.apps, attempts=book.attempts, clusters=book.clusters)
    return Recorded(rows=done, answers=answers, events=tuple(book.events))


class _Book:
    """The rows of one batch while its facts are applied."""

    def __init__(
        self,
        rows: Rows,
        records: Sequence[Record],
        targets: Mapping[str, int],
        policy: Policy,
        actor: str,
        only_app: int | None,
        now: datetime,
    ) -> None:
        self.apps, self.attempts, self.clusters = dict(rows.apps), dict(rows.attempts), dict(rows.clusters)
        self.targets, self.policy, self.actor, self.only_app, self.now = targets, policy, actor, only_app, now
        self.active = Counter(rows.active)
        budget = Budget(policy=policy, teams=Counter(rows.teams), targets=Counter(rows.targets))
        self.placing = Placing(askers(rows, records), rows.queue, self.clusters, self.active, budget)
        self.events: list[Event] = []
        self.missing: dict[str, Cluster] = {}

    def take(self, record: Record) -> RecordAnswer:
        match record:
            case CreateIntended() | CreateEnded() | CreateLookedFor() | ClusterDrainIntended() | ClusterObserved():
                return self._take_cluster(record)
            case _:
                return self._take_app(record)

    def _take_cluster(self, record: ClusterRecord) -> RecordAnswer:
        if self.only_app is not None and not self._is_on(self.only_app, record.cluster_id):
            return _refused("not_yours", f"Application {self.only_app} is not on cluster {record.cluster_id}.")
        cluster = self.clusters.get(record.cluster_id)
        if cluster is None:
            return _refused("not_found", f"There is no cluster {record.cluster_id}.")
        if self.only_app is not None and _ends_shared(cluster, record):
            message = f"Cluster {cluster.name} is shared: whether it has ended is for the observer to say, not for one of its tasks."
            return _refused("not_yours", message, cluster=cluster)
        if cluster.lease.epoch != record.epoch:
            message = f"Cluster {cluster.name} was claimed again (epoch {cluster.lease.epoch}, not {record.epoch})."
            return _refused("stale_epoch", message, cluster=cluster)
        state = ClusterState(cluster=cluster, active=self.active[cluster.id], is_spare=self._is_spare(cluster))
        done = apply_to_cluster(state, record, policy=self.policy, actor=self.actor, now=self.now)
        if isinstance(done, Refused):
            return _refused(done.code, done.message, cluster=cluster)
        self.clusters[cluster.id] = done.cluster
        if cluster.live_key is not None and done.cluster.live_key is None:
            self.placing.freed(cluster)
        self.events.extend(done.events)
        return RecordAnswer(accepted=True, cluster=done.cluster)

    def _is_on(self, app_id: int, cluster_id: int) -> bool:
        app = self.apps.get(app_id)
        return app is not None and app.cluster_id == cluster_id

    def _take_app(self, record: AppRecord | ClusterAssigned) -> RecordAnswer:
        if self.only_app is not None and record.app_id != self.only_app:
            return _refused("not_yours", f"Application {record.app_id} is not the caller's.")
        app = self.apps.get(record.app_id)
        if app is None:
            return _refused("not_found", f"There is no application {record.app_id}.")
        state = self._state(app, record)
        if state is None:
            return _refused("not_found", f"Application {app.id} has no generation {record.generation}.", work=self._work(app.id))
        if not isinstance(record, LogLookedFor) and app.lease.epoch != record.epoch:
            message = f"Application {app.id} was claimed again (epoch {app.lease.epoch}, not {record.epoch})."
            return _refused("stale_epoch", message, work=self._work(app.id))
        if isinstance(record, ClusterAssigned):
            return self._assign(state, record)
        done = apply_to_app(state, record, policy=self.policy, actor=self.actor, now=self.now)
        if isinstance(done, Refused):
            return _refused(done.code, done.message, work=self._work(app.id))
        self._keep(done)
        return RecordAnswer(accepted=True, work=self._work(app.id))

    def _is_spare(self, cluster: Cluster) -> bool:
        """Tell whether a cluster's pool has more of them than it keeps up."""
        others = (c for c in self.clusters.values() if c.cluster_key == cluster.cluster_key and takes_applications(c))
        return sum(1 for _ in others) > cluster.spec.pool_min

    def _assign(self, state: AppState, record: ClusterAssigned) -> RecordAnswer:
        app, target = state.app, state.attempt.spec.cluster.target
        refusal = refuse_assignment(state, record)
        if refusal is None and target not in self.targets:
            refusal = Refused(code="no_target", message=f"There is no target {target!r} any more.")
        if refusal is not None:
            return _refused(refusal.code, refusal.message, work=self._work(app.id))
        if state.cluster is not None and takes_applications(state.cluster):
            return self._join(state, state.cluster)
        decision = self.placing.decide(app, state.attempt)
        match decision:
            case Reuse(cluster_id=cluster_id):
                return self._join(state, self.clusters[cluster_id])
            case Create(slot=slot):
                return self._create(state, slot, self.targets[target])
            case Wait():
                return self._wait(state)
            case _:
                assert_never(decision)

    def _create(self, state: AppState, slot: int, target_id: int) -> RecordAnswer:
        """Ask for a cluster; one that never becomes ready is not created for ever."""
        before = failed_start(self.clusters.values(), live_key_of(state.app, state.attempt), now=self.now)
        if before is not None and is_thrashing(before, now=self.now):
            return self._wait(state)
        key = live_key_for(state.app, state.attempt, slot)
        if key not in self.missing:
            self.missing[key] = intended_cluster(state.app, state.attempt, target_id=target_id, now=self.now, before=before, slot=slot)
        return RecordAnswer(accepted=True)

    def _join(self, state: AppState, cluster: Cluster) -> RecordAnswer:
        if state.app.cluster_id != cluster.id:
            self.placing.joined(state.app, cluster)
        self._keep(assign(_in_queue(state), cluster, actor=self.actor, now=self.now))
        return RecordAnswer(accepted=True, work=self._work(state.app.id), cluster=cluster)

    def _wait(self, state: AppState) -> RecordAnswer:
        """Leave the application in the queue, unless nothing lives there and nothing is created for now.

        That it is there again is written down once for one whose cluster takes it no more.
        """
        if not self.placing.has_living(state.app, state.attempt):
            before = failed_start(self.clusters.values(), live_key_of(state.app, state.attempt), now=self.now)
            if before is not None and is_thrashing(before, now=self.now):
                self._keep(end_thrashing(state, before, actor=self.actor, now=self.now))
                return RecordAnswer(accepted=True, work=self._work(state.app.id))
        if self.placing.is_ending(state.app, state.attempt):
            message = "Its cluster ends with an earlier fact of this batch; ask again."
            return _refused("cluster_ending", message, work=self._work(state.app.id))
        self._keep(leave(_in_queue(state), actor=self.actor, now=self.now))
        return RecordAnswer(accepted=True, work=self._work(state.app.id))

    def _state(self, app: App, record: AppRecord | ClusterAssigned) -> AppState | None:
        """Return the rows of a fact: about the current generation, except for a log, which may be of an older one."""
        generation = record.generation if isinstance(record, LogLookedFor) else app.generation
        attempt = self.attempts.get((app.id, generation))
        if attempt is None:
            return None
        has_wanted = generation == app.generation < app.wanted_generation
        wanted = self.attempts.get((app.id, app.wanted_generation)) if has_wanted else None
        cluster_id = app.cluster_id if generation == app.generation else attempt.cluster_id
        return AppState(app=app, attempt=attempt, wanted=wanted, cluster=self.clusters.get(cluster_id) if cluster_id else None)

    def _keep(self, state: AppState) -> None:
        self.apps[state.app.id] = state.app
        for attempt in (state.attempt, state.wanted):
            if attempt is not None:
                self.attempts[attempt.app_id, attempt.generation] = attempt
        self.events.extend(state.events)

    def _work(self, app_id: int) -> AppWork:
        app = self.apps[app_id]
        return AppWork(app=app, attempt=self.attempts[app_id, app.generation])


def _in_queue(state: AppState) -> AppState:
    """Return the state with its place in the queue, which a row of the release before lacks."""
    if state.app.pool_key is not None and state.app.queued_at is not None:
        return state
    return replace(state, app=in_queue(state.app, state.attempt, since=state.app.created_at))


def _ends_shared(cluster: Cluster, record: ClusterRecord) -> bool:
    """Tell whether a fact would take a cluster away from others: a task could claim so of one that runs well."""
    is_end = isinstance(record, ClusterDrainIntended) or (isinstance(record, ClusterObserved) and record.state not in {"starting", "ready"})
    return is_end and not cluster.spec.dedicated


def _refused(code: str, message: str, *, work: AppWork | None = None, cluster: Cluster | None = None) -> RecordAnswer:
    return RecordAnswer(accepted=False, refusal=code, message=message, work=work, cluster=cluster)
