"""The port of our tables: verbs that lock rows, let a pure function of `core` decide, and write what it returns."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from platyspark_provider.core.cluster_transitions import ClusterState
from platyspark_provider.core.facts import Record
from platyspark_provider.core.listing import AppFilter, ClusterFilter, EventFilter, Page
from platyspark_provider.core.model import App, Attempt, Cluster, Event, Installation, Target, Token
from platyspark_provider.core.records import (
    AppDetail,
    AppWork,
    Awaited,
    Claim,
    ClaimRequest,
    ClusterLoad,
    Due,
    Policy,
    QueuePlace,
    RecordAnswer,
    Snapshot,
)
from platyspark_provider.core.transitions import AppState

DEFAULT_POLICY = Policy()
"""Without quotas; only the reasons why applications wait depend on it where it is a default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is stored under an app key: the row and its newest generation (which may not have begun)."""

    app: App
    current: Attempt
    newest: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """What a submit decided to write.

    :param app: the row as it shall be; its id is ignored for a new key.
    :param attempt: the generation to insert, or to overwrite if it exists and has not begun; None to leave as it is.
    :param current: the current generation as it shall be (a stop was asked for); None to leave as it is.
    :param events: their `object_id` is set by the store.
    """

    app: App
    attempt: Attempt | None = None
    current: Attempt | None = None
    events: tuple[Event, ...] = ()


class Store(Protocol):
    """One transaction per verb, committed when it returns; the database's clock; an executor's writes are fenced by its epoch.

    Uniqueness is a constraint of the database: (scope, app_key), live_key, (cluster_key, generation), (name) of leases and
    targets. Errors: `StoreBusy` (locked), `NotFound`.
    """

    def now(self) -> datetime:
        """Return the database's time, aware UTC, in milliseconds or finer."""

    def installation(self) -> Installation:
        """Return this installation's identity, made by the first migration."""

    def ensure_target(self, target: Target) -> Target:
        """Insert or update a target by name and return it with its id; `id` of the argument is ignored."""

    def submit_app(self, scope: str, app_key: str, decide: Callable[[Known | None, datetime], Write | None]) -> Known:
        """Lock the key's row (or the key itself, so that two first submits see each other), decide, write, return.

        `decide` may raise (nothing is written) or return None (nothing to write). For a new key the row is inserted; the
        loser of a race between two first submits is asked again with the winner's row. `slot` of a new app is set to the
        smallest number that no live app of the same dag_id/task_id has.
        """

    def change_app(self, app_id: int, generation: int, decide: Callable[[AppState, datetime], AppState]) -> AppState:
        """Lock one application with the named generation, decide, write what changed. `AppState.attempt` is the CURRENT
        generation and `AppState.wanted` the waiting one, whichever of them `generation` names; NotFound if neither."""

    def record(self, records: Sequence[Record], *, policy: Policy, actor: str, only_app: int | None = None) -> tuple[RecordAnswer, ...]:
        """Take facts in order inside one transaction; a refused one (`stale_epoch`, `not_found`, or core's code) writes nothing.

        Apps and clusters are fenced by their `epoch` (`LogLookedFor` is not fenced). `ClusterAssigned` gives the application
        the place that `core.placement` plans for it: it joins a cluster of its pool, or an INTENT row with the next generation
        is inserted, unique by `live_key`, or it stays in the queue (accepted, without a cluster). After a fact that ends a
        cluster of its pool it may be refused (`cluster_ending`): the next call makes the successor. The answer's `work` holds the
        current generation, also for a fact about an older one and for a refused one.

        :param only_app: a worker's own app: facts about another app, or about a cluster that this app isn't on, are refused
            (`not_yours`); so is one that ends a cluster which others may be on.
        """

    def claim(self, requests: Sequence[ClaimRequest], *, holder: str, seconds: float) -> tuple[Claim, ...]:
        """Take leases whose time is over or that the holder has; epoch + 1 when the holder changes."""

    def release(self, claims: Sequence[Claim]) -> None:
        """End leases now, where the epoch is still the claim's."""

    def lease(self, name: str, *, holder: str, seconds: float) -> bool:
        """Take or renew a named lease by one guarded statement."""

    def detail(self, app_id: int, generation: int | None = None, *, policy: Policy = DEFAULT_POLICY) -> AppDetail:
        """Return an application with the generation (None: current), its cluster, its target and why it waits."""

    def due(self, *, policy: Policy, app_id: int | None = None, limit: int = 5000) -> Due:
        """Return rows with open work that nobody else holds and whose `next_reconcile_at` has passed (or only those of one app,
        whatever its time): apps not terminal, clusters not terminal that have an app or an id, may have been created, or were
        ensured, logs pending. Of those that wait for a pool only the first that may be placed, as `writing.DUE_OF_A_QUEUE` says."""

    def awaited(self) -> tuple[Awaited, ...]:
        """Return the newest generation of every live application of a task that has not acknowledged it, unless a stop was asked
        for (by anyone but the backend), by id; one statement."""

    def snapshot(self, *, policy: Policy = DEFAULT_POLICY) -> Snapshot:
        """Return live applications, and ends of the last 7 days that no task took, as briefs; `note` says why one waits."""

    def queue_places(self, app_id: int | None = None, *, policy: Policy = DEFAULT_POLICY) -> Mapping[int, QueuePlace]:
        """Return why applications wait at this moment, by id; for one application that of all in its pool."""

    def app_by_key(self, scope: str, app_key: str) -> Known | None:
        """Return what is stored under a key."""

    def apps_of_task(self, dag_id: str, task_id: str, run_id: str, map_index: int) -> tuple[App, ...]:
        """Return the applications that any try of this task instance submitted last, most recently changed first."""

    def ensure_cluster(self, wanted: Cluster, *, actor: str) -> tuple[Cluster, bool]:
        """Insert the row with its key's next generation, or return the one that holds its live key; True if inserted.

        An existing row without `ensured_by` takes that of `wanted`. After failed starts of the key the new row waits for the
        pause that they call for (`core.assignment.after_failed_start`).
        """

    def change_cluster(self, cluster_id: int, decide: Callable[[ClusterState, int, datetime], ClusterState]) -> Cluster:
        """Lock the row, count the live applications on it, decide, write row and events; NotFound.

        No application gets the cluster, and none is sent to it, between the count and the write.
        """

    def cluster(self, cluster_id: int) -> Cluster:
        """Return one cluster; NotFound."""

    def clusters(self, *, live_only: bool = True, name: str | None = None) -> tuple[Cluster, ...]:
        """Return clusters, newest first; `live_only`: those that have not ended."""

    def ensured_clusters(self, *, ended_within: timedelta) -> tuple[Cluster, ...]:
        """Return the clusters that somebody asked for by themselves and that live or ended so lately, by id."""

    def apps_on(self, cluster_id: int) -> tuple[App, ...]:
        """Return the live applications on a cluster, by id."""

    def loads(self, cluster_ids: Collection[int]) -> Mapping[int, ClusterLoad]:
        """Return what each of the clusters has to do; two statements, however many they are."""

    def events(
        self, *, object_kind: str | None = None, object_id: int | None = None, after: int = 0, limit: int = 100
    ) -> tuple[Event, ...]:
        """Return events by ascending id."""

    def apps(self, wanted: AppFilter) -> Page[AppWork]:
        """Return applications with their current generations (whose `log_tail` is left out), and how many there are."""

    def attempts(self, app_id: int) -> tuple[Attempt, ...]:
        """Return all generations of an application, newest first; none for an unknown one."""

    def clusters_page(self, wanted: ClusterFilter) -> Page[Cluster]:
        """Return clusters, and how many there are."""

    def events_page(self, wanted: EventFilter) -> tuple[Event, ...]:
        """Return events by ascending id."""

    def dag_ids(self) -> frozenset[str]:
        """Return the DAGs that have applications."""

    def add_event(self, event: Event) -> None:
        """Append one event."""

    def create_token(self, token: Token) -> Token:
        """Insert; `id` of the argument is ignored. A live token of that name raises InvalidRequest."""

    def token_by_hash(self, token_hash: str) -> Token | None:
        """Return the token, also a revoked or expired one; marks `last_used_at` at most once a minute."""

    def tokens(self) -> tuple[Token, ...]:
        """Return all tokens, newest first."""

    def revoke_token(self, name: str) -> Token:
        """Revoke the live token of that name; NotFound without one."""


class StoreFactory(Protocol):
    """Opens a store for one request or command; each of its verbs is a transaction of its own."""

    def __call__(self) -> AbstractContextManager[Store]:
        """Return the context manager."""
