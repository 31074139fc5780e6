"""`ClusterDesk`: the rules over clusters that tasks, people and the command line ask for by name. It calls no backend: what it
writes is an intent that a pass carries out.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from platyspark_provider.core.app_state import AppState
from platyspark_provider.core.assignment import new_cluster
from platyspark_provider.core.cluster_governance import ClusterResolution, resolve_cluster
from platyspark_provider.core.cluster_transitions import ClusterState
from platyspark_provider.core.cluster_wishes import wish_end, wish_up
from platyspark_provider.core.keys import cluster_key
from platyspark_provider.core.model import App, Cluster
from platyspark_provider.core.placement import takes_applications
from platyspark_provider.core.profiles import Profiles
from platyspark_provider.core.records import Ensured, Policy
from platyspark_provider.core.spec import ClusterRequest, ClusterSpec, differing_spec_fields
from platyspark_provider.core.states import ClusterDesired
from platyspark_provider.core.transitions import request_stop
from platyspark_provider.errors import ClusterConflict, ClusterInUse, InvalidRequest, NotFound, StoreBusy, TargetFull
from platyspark_provider.store.base import Store

__all__ = ["ClusterDesk", "Ensured"]

_TRIES = 5
_NAMED_AT_MOST = 20
_KEPT = ("idle_timeout_s", "step_concurrency", "queue_ahead", "max_workers", "max_on_demand", "log_uri")


class _InUse(Exception):
    """Applications are on the cluster; which ones is read once its lock is given back."""


class ClusterDesk:
    """Ensures, drains and terminates clusters over a store.

    :param profiles: gives the newest profiles; asked once an `ensure`.
    :param policy: holds the quotas of targets.
    """

    def __init__(self, store: Store, profiles: Callable[[], Profiles], policy: Policy | None = None) -> None:
        self._store, self._profiles = store, profiles
        self._policy = policy or Policy()

    def ensure(self, request: ClusterRequest, *, team: str | None, actor: str, alongside: bool = False, replace: bool = False) -> Ensured:
        """Return the living cluster of a name and spec, or ask for one; however many ask at once, there is one.

        :param team: whose ceilings hold; None: the profile's team.
        :param alongside: another spec may live under the name; :param replace: such ones take no more applications.
        :raises ClusterConflict: another spec lives under the name, and neither was said.
        :raises TargetFull: the target has as many clusters as it may.
        """
        return self.ensure_resolved(self.resolve(request, team=team), actor=actor, alongside=alongside, replace=replace)

    def resolve(self, request: ClusterRequest, *, team: str | None, team_of_task: str | None = None) -> ClusterResolution:
        """Return what governance makes of a request, for a check before it is written."""
        resolved = resolve_cluster(request, self._profiles(), team=team, team_of_task=team_of_task)
        if resolved.spec.dedicated:
            raise InvalidRequest(
                f"Cluster {resolved.spec.name!r} is dedicated: each application makes its own.",
                hint="Give it to an application, or leave dedicated out to have one that is shared.",
                field="cluster.dedicated",
            )
        return resolved

    def ensure_resolved(self, resolved: ClusterResolution, *, actor: str, alongside: bool = False, replace: bool = False) -> Ensured:
        """Do what `ensure` does with what `resolve` returned."""
        if alongside and replace:
            raise InvalidRequest("alongside and replace contradict each other.", hint="Give one of them.", field="replace")
        spec = resolved.spec
        key = cluster_key(resolved.environment, spec)
        if not (alongside or replace):
            _refuse_beside(self._siblings(resolved, key), spec)
        cluster, is_new = self._insert(resolved, key, actor)
        siblings = self._siblings(resolved, key)
        if is_new and not (alongside or replace):
            self._give_way(cluster, [one for one in siblings if one.id < cluster.id])
        drained: tuple[Cluster, ...] = ()
        if replace:
            why = f"cluster {cluster.id} replaces it"
            drained, siblings = tuple(self.drain(one.id, actor=actor, reason=why) for one in siblings), ()
        return Ensured(
            outcome="created" if is_new else "reused",
            cluster=cluster,
            siblings=siblings,
            drained=drained,
            warnings=(*resolved.warnings, *(() if is_new else _kept_values(cluster, spec))),
        )

    def _siblings(self, resolved: ClusterResolution, key: str) -> tuple[Cluster, ...]:
        """Return the other shared clusters that live and take applications under the name, oldest first."""
        named = self._store.clusters(name=resolved.spec.name)
        found = [c for c in named if c.environment == resolved.environment and takes_applications(c) and not c.spec.dedicated]
        return tuple(sorted((c for c in found if c.cluster_key != key), key=lambda c: c.id))

    def _insert(self, resolved: ClusterResolution, key: str, actor: str) -> tuple[Cluster, bool]:
        """Insert the row, or find the one that holds its key; the constraint of the database makes one of many."""
        target = self._store.ensure_target(resolved.target)
        wanted = new_cluster(resolved.environment, resolved.spec, target_id=target.id, now=self._store.now(), ensured_by=actor)
        for _ in range(_TRIES):
            living = self._store.clusters()
            members = sorted((c for c in living if c.cluster_key == key and c.live_key is not None), key=_best_first)
            if members:  # of a pool of several, the first may have ended before the others
                wanted = replace(wanted, live_key=members[0].live_key)
            else:
                self._must_have_room(target.name, sum(c.target_id == target.id for c in living))
            cluster, is_new = self._store.ensure_cluster(wanted, actor=actor)
            if not takes_applications(cluster):
                cluster = self._store.change_cluster(cluster.id, lambda state, _, now: wish_up(state, actor=actor, now=now))
            if takes_applications(cluster):
                return cluster, is_new
        raise StoreBusy(f"Cluster {resolved.spec.name!r} ends faster than it can be asked for.", retry_after=1.0)

    def _must_have_room(self, target: str, living: int) -> None:
        most = self._policy.max_clusters.get(target)
        if most is not None and living >= most:
            raise TargetFull(
                f"Target {target!r} has {living} of {most} clusters.",
                hint="Ask again when one has ended, or raise max_clusters in profiles.yaml.",
                retry_after=60.0,
                target=target,
                max_clusters=most,
            )

    def _give_way(self, cluster: Cluster, earlier: list[Cluster]) -> None:
        """Call off a row that was inserted beside one that came at the same moment."""
        if earlier:
            self.drain(cluster.id, actor="registry", reason=f"cluster {earlier[0].id} of that name came first")
            _refuse_beside(earlier, cluster.spec)

    def drain(self, cluster_id: int, *, actor: str, reason: str, detail: Mapping[str, str] | None = None) -> Cluster:
        """Let a cluster take no more applications and end after the last one on it; asking again changes nothing.

        :param detail: what the event says beside actor and reason.
        """

        def decide(state: ClusterState, active: int, now: datetime) -> ClusterState:
            return _signed(wish_end(state, ClusterDesired.DRAINED, reason=reason, actor=actor, now=now), detail)

        return self._store.change_cluster(cluster_id, decide)

    def terminate(
        self, cluster_id: int, *, actor: str, reason: str, force: bool = False, detail: Mapping[str, str] | None = None
    ) -> Cluster:
        """Let a cluster end now; asking again changes nothing.

        :param detail: what the event says beside actor and reason.
        :param force: with applications on it: they are asked to stop, and it ends after them. A crash in between leaves a
            cluster that takes none; asking again goes on.
        :raises ClusterInUse: there are some, without `force`.
        """

        def decide(state: ClusterState, active: int, now: datetime) -> ClusterState:
            if active and not force and not state.cluster.phase.is_terminal:
                raise _InUse
            return _signed(wish_end(state, ClusterDesired.DOWN, reason=reason, actor=actor, now=now), detail)

        try:
            cluster = self._store.change_cluster(cluster_id, decide)
        except _InUse:
            raise _in_use(self._store.cluster(cluster_id), self._store.apps_on(cluster_id)) from None
        if force:
            for app in self._store.apps_on(cluster_id):
                self._stop(app, f"cluster {cluster.name} ({cluster.id}) is terminated: {reason}", actor)
        return cluster

    def _stop(self, app: App, reason: str, actor: str) -> None:
        def decide(state: AppState, now: datetime) -> AppState:
            return request_stop(state, reason=reason, actor=actor, now=now)

        with suppress(NotFound):  # another generation has begun elsewhere
            self._store.change_app(app.id, app.generation, decide)


def _signed(state: ClusterState, detail: Mapping[str, str] | None) -> ClusterState:
    return replace(state, events=tuple(replace(event, detail={**event.detail, **(detail or {})}) for event in state.events))


def _in_use(cluster: Cluster, apps: tuple[App, ...]) -> ClusterInUse:
    ids = [app.id for app in apps]
    named = ", ".join(str(one) for one in ids[:_NAMED_AT_MOST]) + (", ..." if len(ids) > _NAMED_AT_MOST else "")
    return ClusterInUse(
        f"Cluster {cluster.name} ({cluster.id}) has {len(ids)} applications ({named}).",
        hint="Drain it: it ends after them. Or terminate it with force: they are stopped first.",
        apps=ids,
    )


def _best_first(cluster: Cluster) -> tuple[bool, int]:
    return not takes_applications(cluster), cluster.id


def _refuse_beside(siblings: tuple[Cluster, ...] | list[Cluster], spec: ClusterSpec) -> None:
    if not siblings:
        return
    other = siblings[-1]
    differing = differing_spec_fields(other.spec, spec)
    raise ClusterConflict(
        f"Cluster {spec.name!r} lives with another spec ({other.id}): {', '.join(differing)} differ.",
        hint="Ask for the same, for another name, or say that it may live alongside (alongside) or goes (replace).",
        differing=list(differing),
        cluster_id=other.id,
    )


def _kept_values(cluster: Cluster, spec: ClusterSpec) -> tuple[str, ...]:
    """Return what a cluster that lives already does not take over from a request."""
    pairs: list[tuple[str, Any, Any]] = [(name, getattr(cluster.spec, name), getattr(spec, name)) for name in _KEPT]
    return tuple(
        f"Cluster {cluster.name} ({cluster.id}) lives already and keeps {name} = {has}; {asked} was asked for and counts for the next one."
        for name, has, asked in pairs
        if has != asked
    )
