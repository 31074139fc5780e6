"""The rows that a batch of facts is applied to, and which of them its facts need; a store loads them, `recording` changes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from platyspark_provider.core.app_state import AppState
from platyspark_provider.core.assignment import live_key_of, refuse_assignment
from platyspark_provider.core.facts import (
    ClusterAssigned,
    ClusterDrainIntended,
    ClusterObserved,
    CreateEnded,
    CreateIntended,
    CreateLookedFor,
    LogLookedFor,
    Record,
    SendIntended,
)
from platyspark_provider.core.keys import cluster_key
from platyspark_provider.core.model import App, Attempt, Cluster
from platyspark_provider.core.placement import Queued
from platyspark_provider.core.placing import Asker

AttemptKey = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows that a batch may touch, by id; attempts by app and generation; and what it can't touch but has to respect.

    :param clusters: all that hold a live key of the pools in question, locked, and those that the applications are on.
    :param queue: the first applications that wait for these pools; those of the batch itself may be left out.
    :param active: live applications by cluster; :param teams: those on clusters, by team; :param targets: clusters that
        have not ended, by the target's name. Counted under the locks.
    """

    apps: Mapping[int, App] = field(default_factory=dict)
    attempts: Mapping[AttemptKey, Attempt] = field(default_factory=dict)
    clusters: Mapping[int, Cluster] = field(default_factory=dict)
    queue: tuple[Queued, ...] = ()
    active: Mapping[int, int] = field(default_factory=dict)
    teams: Mapping[str, int] = field(default_factory=dict)
    targets: Mapping[str, int] = field(default_factory=dict)


ABOUT_CLUSTERS = (CreateIntended, CreateEnded, CreateLookedFor, ClusterDrainIntended, ClusterObserved)


def app_ids(records: Sequence[Record]) -> list[int]:
    """Return the ids of the applications that facts are about, ascending."""
    return sorted({r.app_id for r in records if not isinstance(r, ABOUT_CLUSTERS)})


def cluster_ids(records: Sequence[Record]) -> list[int]:
    """Return the ids of the clusters that facts are about, ascending."""
    return sorted({r.cluster_id for r in records if isinstance(r, ABOUT_CLUSTERS)})


def draining_ids(records: Sequence[Record]) -> list[int]:
    """Return the ids of the clusters that are to be drained, ascending: how many their pools have must be known."""
    return sorted({r.cluster_id for r in records if isinstance(r, ClusterDrainIntended)})


def sending_to(rows: Rows, records: Sequence[Record]) -> list[int]:
    """Return the ids of the clusters that something is to be sent to, ascending: nobody may end them meanwhile."""
    apps = (rows.apps.get(r.app_id) for r in records if isinstance(r, SendIntended))
    return sorted({app.cluster_id for app in apps if app is not None and app.cluster_id is not None})


def logged_attempts(records: Sequence[Record]) -> list[AttemptKey]:
    """Return which attempts, beside the current and the wanted ones, facts are about."""
    return sorted({(r.app_id, r.generation) for r in records if isinstance(r, LogLookedFor)})


def live_keys(rows: Rows, records: Sequence[Record]) -> list[str]:
    """Return the live keys of the clusters that the batch's dedicated applications may join, ascending."""
    return sorted({live_key_of(app, attempt) for app, attempt in _waiting(rows, records) if attempt.spec.cluster.dedicated})


def pool_keys(rows: Rows, records: Sequence[Record]) -> list[str]:
    """Return the keys of the pools that the batch asks for places in, ascending."""
    return sorted({cluster_key(app.environment, attempt.spec.cluster) for app, attempt in _waiting(rows, records)})


def cluster_keys(rows: Rows, records: Sequence[Record]) -> list[str]:
    """Return the keys whose newest ended cluster the batch must know: how it ended decides on the next, ascending."""
    return sorted({live_key_of(app, attempt) for app, attempt in _waiting(rows, records)})


def _waiting(rows: Rows, records: Sequence[Record]) -> list[tuple[App, Attempt]]:
    named = [(rows.apps.get(r.app_id), rows.attempts.get((r.app_id, r.generation))) for r in records if isinstance(r, ClusterAssigned)]
    return [(app, attempt) for app, attempt in named if app is not None and attempt is not None]


def askers(rows: Rows, records: Sequence[Record]) -> list[Asker]:
    """Return the applications of the batch that ask for a cluster and may have one."""
    found: list[Asker] = []
    for record in records:
        if not isinstance(record, ClusterAssigned):
            continue
        app, attempt = rows.apps.get(record.app_id), rows.attempts.get((record.app_id, record.generation))
        if app is None or attempt is None or app.lease.epoch != record.epoch:
            continue
        if refuse_assignment(AppState(app=app, attempt=attempt), record) is None:
            found.append((app, attempt))
    return found
