"""The store in memory: the same verbs and answers as `sql`, for tests of rules and for users' own tests."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from platyspark_provider.core.app_state import AppState
from platyspark_provider.core.batch import (
    Rows,
)
from platyspark_provider.core.facts import Record
from platyspark_provider.core.model import App, Cluster, Event, Installation, Lease, Target, Token
from platyspark_provider.core.recording import record_all
from platyspark_provider.core.records import (
    AppBrief,
    AppDetail,
    AppWork,
    Awaited,
    Claim,
    ClaimRequest,
    Due,
    Policy,
    QueuePlace,
    RecordAnswer,
    Snapshot,
)
from platyspark_provider.core.states import LogState
from platyspark_provider.errors import InvalidRequest, NotFound
from platyspark_provider.store.base import DEFAULT_POLICY, Known, Write
from platyspark_provider.store.memory_lists import ListVerbs
from platyspark_provider.store.memory_queue import QueueVerbs
from platyspark_provider.store.writing import (
    UNTAKEN_FOR,
    awaited_of,
    brief_of,
    check_key,
    detail_of,
    events_for,
    full_teams,
    is_live_token,
    may_overwrite,
    may_wait,
    needs_nobody,
    needs_slot,
    smallest_free,
)

R = TypeVar("R", App, Cluster)


class InMemoryStore(QueueVerbs, ListVerbs):
    """All tables as dicts under one lock; see `MemoryTables` for its clock."""

    @contextmanager
    def open(self) -> Iterator["InMemoryStore"]:
        """Give the store itself, so that the bound method is a `StoreFactory`."""
        yield self

    def installation(self) -> Installation:
        """Return the identity made with the store."""
        return self._installation

    def ensure_target(self, target: Target) -> Target:
        """Insert or update by name."""
        with self._lock:
            known = self._targets.get(target.name)
            kept = replace(target, id=known.id if known else len(self._targets) + 1)
            self._targets[target.name] = kept
            return kept

    def submit_app(self, scope: str, app_key: str, decide: Callable[[Known | None, datetime], Write | None]) -> Known:
        """Decide under the lock, so that no second submit sees a half-written key."""
        check_key(app_key)
        with self._lock:
            known = self.app_by_key(scope, app_key)
            write = decide(known, self.now())
            if write is not None:
                self._write_submission(scope, app_key, known, write)
            stored = self.app_by_key(scope, app_key)
            if stored is None:
                raise NotFound(f"App key {app_key!r} is not known.")
            return stored

    def _write_submission(self, scope: str, app_key: str, known: Known | None, write: Write) -> None:
        app = replace(write.app, id=known.app.id if known else len(self._apps) + 1, scope=scope, app_key=app_key)
        existing = self._attempts.get((app.id, write.attempt.generation)) if write.attempt else None
        if existing is not None:
            may_overwrite(existing)
        old = known.app if known else None
        slot = self._free_slot(app) if needs_slot(old, app) else (old or app).slot
        self._apps[app.id] = replace(app, slot=slot, lease=old.lease if old else Lease())
        self._keys[scope, app_key] = app.id
        for attempt in (write.current, write.attempt):
            if attempt is not None:
                self._attempts[app.id, attempt.generation] = replace(attempt, app_id=app.id)
        self._append(events_for(app.id, write.events))

    def _free_slot(self, app: App) -> int:
        others = (a for a in self._apps.values() if a.id != app.id and (a.dag_id, a.task_id) == (app.dag_id, app.task_id))
        return 0 if app.dag_id is None else smallest_free([a.slot for a in others if not a.phase.is_terminal])

    def change_app(self, app_id: int, generation: int, decide: Callable[[AppState, datetime], AppState]) -> AppState:
        """Decide under the lock."""
        with self._lock:
            app = self._app(app_id)
            if generation not in {app.generation, app.wanted_generation}:
                raise NotFound(f"Application {app_id} has no open generation {generation}.")
            wanted = self._attempts.get((app_id, app.wanted_generation)) if app.wanted_generation > app.generation else None
            cluster = self._clusters.get(app.cluster_id or 0)
            state = AppState(app=app, attempt=self._attempts[app_id, app.generation], wanted=wanted, cluster=cluster)
            done = decide(state, self.now())
            self._apps[app_id] = replace(done.app, id=app_id, lease=app.lease)
            for attempt in (done.attempt, done.wanted):
                if attempt is not None:
                    self._attempts[app_id, attempt.generation] = attempt
            self._append(done.events)
            return done

    def record(self, records: Sequence[Record], *, policy: Policy, actor: str, only_app: int | None = None) -> tuple[RecordAnswer, ...]:
        """Apply the batch under the lock."""
        with self._lock:
            targets = {t.name: t.id for t in self._targets.values()}
            while True:
                rows = self._rows(policy)
                done = record_all(rows, records, targets=targets, policy=policy, actor=actor, only_app=only_app, now=self.now())
                if not done.missing:
                    break
                for cluster in done.missing:
                    self._insert_cluster(cluster, actor)
            self._apps, self._attempts = dict(done.rows.apps), dict(done.rows.attempts)
            self._clusters = dict(done.rows.clusters)
            self._append(done.events)
            return done.answers

    def _rows(self, policy: Policy) -> Rows:
        full = full_teams(self._team_apps(), policy)
        return Rows(
            apps=self._apps,
            attempts=self._attempts,
            clusters=self._clusters,
            queue=tuple(one for one in self._queue() if self._is_eligible(one) and one.team not in full),
            active=self._active(),
            teams=self._team_apps(),
            targets=self._target_clusters(),
        )

    def claim(self, requests: Sequence[ClaimRequest], *, holder: str, seconds: float) -> tuple[Claim, ...]:
        """Take what is free."""
        with self._lock:
            now = self.now()
            until = now + timedelta(milliseconds=int(seconds * 1000))
            return tuple(self._claim(request, holder, now, until) for request in requests)

    def _claim(self, request: ClaimRequest, holder: str, now: datetime, until: datetime) -> Claim:
        row = self._apps.get(request.id) if request.kind == "app" else self._clusters.get(request.id)
        if row is None or (row.lease.is_held(now) and row.lease.owner != holder):
            return Claim(kind=request.kind, id=request.id, epoch=None)
        epoch = row.lease.epoch if row.lease.owner == holder else row.lease.epoch + 1
        self._lend(row, Lease(owner=holder, epoch=epoch, until=until))
        return Claim(kind=request.kind, id=request.id, epoch=epoch)

    def _lend(self, row: App | Cluster, lease: Lease) -> None:
        if isinstance(row, App):
            self._apps[row.id] = replace(row, lease=lease)
        else:
            self._clusters[row.id] = replace(row, lease=lease)

    def release(self, claims: Sequence[Claim]) -> None:
        """Give back what is still the claim's."""
        with self._lock:
            for claim in claims:
                row = self._apps.get(claim.id) if claim.kind == "app" else self._clusters.get(claim.id)
                if row is not None and row.lease.epoch == claim.epoch:
                    self._lend(row, Lease(epoch=row.lease.epoch))

    def lease(self, name: str, *, holder: str, seconds: float) -> bool:
        """Take or renew a named lease."""
        with self._lock:
            now, held = self.now(), self._leases.get(name, Lease())
            if held.is_held(now) and held.owner != holder:
                return False
            epoch = held.epoch if held.owner == holder else held.epoch + 1
            self._leases[name] = Lease(owner=holder, epoch=epoch, until=now + timedelta(milliseconds=int(seconds * 1000)))
            return True

    def detail(self, app_id: int, generation: int | None = None, *, policy: Policy = DEFAULT_POLICY) -> AppDetail:
        """Return the application with one generation."""
        with self._lock:
            app = self._app(app_id)
            attempt = self._attempts.get((app_id, app.generation if generation is None else generation))
            detail = detail_of(app, attempt, generation, self._clusters.get, self._targets.get)
            waits = may_wait(detail.app, detail.attempt)
            return replace(detail, place=self.queue_places(app_id, policy=policy).get(app_id)) if waits else detail

    def due(self, *, policy: Policy, app_id: int | None = None, limit: int = 5000) -> Due:
        """Return open work that is free and due."""
        with self._lock:
            now = self.now()

            def is_due(row: App | Cluster) -> bool:
                timely = app_id is not None or row.next_reconcile_at is None or row.next_reconcile_at <= now
                return timely and not row.phase.is_terminal and not row.lease.is_held(now)

            mine = [a for a in self._apps.values() if app_id in {None, a.id}]
            used = {a.cluster_id for a in mine if not a.phase.is_terminal}
            clusters = [c for c in self._clusters.values() if c.id in used or (app_id is None and needs_nobody(c))]
            behind = self._far_behind(policy) if app_id is None else frozenset()
            due_clusters = tuple(c for c in clusters if is_due(c))[:limit]
            return Due(
                at=now,
                installation=self._installation.inst,
                targets=tuple(sorted(self._targets.values(), key=lambda t: t.id)),
                apps=tuple(self._work(a) for a in mine if is_due(a) and a.id not in behind)[:limit],
                clusters=due_clusters,
                log_pending=self._log_pending({a.id: a for a in mine})[:limit],
                loads=self.loads([c.id for c in due_clusters]),
                policy=policy,
            )

    def _work(self, app: App) -> AppWork:
        return AppWork(app=app, attempt=self._attempts[app.id, app.generation])

    def _log_pending(self, apps: Mapping[int, App]) -> tuple[AppWork, ...]:
        pending = [a for _, a in sorted(self._attempts.items()) if a.log_state is LogState.PENDING and a.app_id in apps]
        return tuple(AppWork(app=apps[a.app_id], attempt=a) for a in pending)

    def awaited(self) -> tuple[Awaited, ...]:
        """Return what tasks are to take the end of."""
        with self._lock:
            rows = ((app, self._attempts[app.id, app.wanted_generation]) for _, app in sorted(self._apps.items()))
            return tuple(found for app, newest in rows if (found := awaited_of(app, newest)) is not None)

    def snapshot(self, *, policy: Policy = DEFAULT_POLICY) -> Snapshot:
        """Return live and unacknowledged applications."""
        with self._lock:
            return Snapshot(at=self.now(), apps=tuple(self._briefs(self.queue_places(policy=policy))))

    def _briefs(self, places: Mapping[int, QueuePlace]) -> Iterator[AppBrief]:
        for app in self._apps.values():
            attempt = self._attempts[app.id, app.generation]
            is_untaken = attempt.acknowledged_at is None and attempt.ended_at is not None and attempt.ended_at > self.now() - UNTAKEN_FOR
            if is_untaken or not app.phase.is_terminal:
                yield brief_of(app, attempt, places.get(app.id))

    def app_by_key(self, scope: str, app_key: str) -> Known | None:
        """Return what is stored under a key."""
        with self._lock:
            app_id = self._keys.get((scope, app_key))
            if app_id is None:
                return None
            app = self._apps[app_id]
            newest = max(g for a, g in self._attempts if a == app_id)
            return Known(app=app, current=self._attempts[app_id, app.generation], newest=self._attempts[app_id, newest])

    def apps_of_task(self, dag_id: str, task_id: str, run_id: str, map_index: int) -> tuple[App, ...]:
        """Return the applications of a task instance, most recently changed first."""
        asked = (dag_id, task_id, run_id, map_index)
        with self._lock:
            found = [a for a in self._apps.values() if (a.dag_id, a.task_id, a.run_id, a.map_index) == asked]
            return tuple(sorted(found, key=lambda a: (a.updated_at, a.id), reverse=True))

    def events(
        self, *, object_kind: str | None = None, object_id: int | None = None, after: int = 0, limit: int = 100
    ) -> tuple[Event, ...]:
        """Return events by ascending id."""
        with self._lock:
            later = self._events[after:]
            return tuple(e for e in later if object_kind in {None, e.object_kind} and object_id in {None, e.object_id})[:limit]

    def add_event(self, event: Event) -> None:
        """Append one event."""
        with self._lock:
            self._append([event])

    def create_token(self, token: Token) -> Token:
        """Insert, unless a live token has the name."""
        with self._lock:
            if any(t.name == token.name and is_live_token(t, self.now()) for t in self._tokens):
                raise InvalidRequest(f"There is a live token named {token.name!r}.", hint="Revoke it first, or choose another name.")
            made = replace(token, id=len(self._tokens) + 1)
            self._tokens.append(made)
            return made

    def token_by_hash(self, token_hash: str) -> Token | None:
        """Return the token and mark its use."""
        with self._lock:
            now = self.now()
            for i, token in enumerate(self._tokens):
                if token.token_hash == token_hash:
                    if token.last_used_at is None or now - token.last_used_at >= timedelta(minutes=1):
                        self._tokens[i] = replace(token, last_used_at=now)
                    return self._tokens[i]
            return None

    def tokens(self) -> tuple[Token, ...]:
        """Return all tokens, newest first."""
        with self._lock:
            return tuple(reversed(self._tokens))

    def revoke_token(self, name: str) -> Token:
        """Revoke the live token of that name."""
        with self._lock:
            for i, token in enumerate(self._tokens):
                if token.name == name and is_live_token(token, self.now()):
                    self._tokens[i] = replace(token, revoked_at=self.now())
                    return self._tokens[i]
            raise NotFound(f"There is no live token named {name!r}.")
