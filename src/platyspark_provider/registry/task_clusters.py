"""What a task may do to clusters by name: ask for one, and end those that tasks of its own DAG or team asked for."""

from collections.abc import Callable
from datetime import timedelta
from typing import Literal, assert_never

from platyspark_provider.core.cluster_governance import cluster_name_of
from platyspark_provider.core.cluster_polling import brief_from_cluster
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.profiles import Profiles
from platyspark_provider.core.records import ClusterBrief, Ensured, Policy, TaskFacts
from platyspark_provider.core.spec import ClusterRequest
from platyspark_provider.errors import NotAllowed
from platyspark_provider.registry.access import TaskAccess
from platyspark_provider.registry.clusters import ClusterDesk
from platyspark_provider.registry.identity import Caller, TaskLookup, actor_of
from platyspark_provider.store.base import Store

Action = Literal["drain", "terminate"]

TOLD_FOR = timedelta(hours=1)
"""How long the snapshot tells the end of a cluster; a task that looks later asks for the cluster itself."""


class ClusterVerbs:
    """The part of `RegistryService` that is about clusters; a task's identity comes from its task instance alone."""

    def __init__(self, store: Store, tasks: TaskLookup, profiles: Callable[[], Profiles], *, policy: Policy, caller: Caller) -> None:
        self._store, self._tasks, self._profiles, self._caller = store, tasks, profiles, caller
        self._policy = policy
        self._access = TaskAccess(store, tasks, caller)
        self._desk = ClusterDesk(store, profiles, policy)

    def ensure_cluster(self, request: ClusterRequest, *, ti_id: str, team: str | None = None, alongside: bool = True) -> Ensured:
        """Return the living cluster of a name and spec, or ask for one."""
        task = self._access.live_task(ti_id)
        resolved = self._desk.resolve(request, team=team, team_of_task=task.team)
        self._caller.require_team(resolved.team)
        return self._desk.ensure_resolved(resolved, actor=actor_of(task), alongside=alongside)

    def end_cluster(self, cluster: str | int, action: Action, *, ti_id: str, force: bool = False) -> tuple[Cluster, ...]:
        """End the cluster of an id, or those that live under a name; those that end already are among them, one that has ended
        is not.

        :raises NotAllowed: tasks of other DAGs and teams asked for it, or `force` would stop their applications.
        """
        task = self._access.live_task(ti_id)
        found = self._found(cluster)
        mine = [one for one in found if self._may_end(one, task)]
        if found and not mine:
            raise self._not_mine(found[0], task)
        for one in mine:
            self._must_hold_apps(one, task, force=force and action == "terminate")
        actor = actor_of(task)
        return tuple(self._ended(one, action, actor, force=force) for one in mine)

    def _ended(self, cluster: Cluster, action: Action, actor: str, *, force: bool) -> Cluster:
        match action:
            case "drain":
                return self._desk.drain(cluster.id, actor=actor, reason=f"{actor} drains it")
            case "terminate":
                return self._desk.terminate(cluster.id, actor=actor, reason=f"{actor} terminates it", force=force)
            case _:
                assert_never(action)

    def _found(self, cluster: str | int) -> tuple[Cluster, ...]:
        if isinstance(cluster, int):
            one = self._store.cluster(cluster)
            return () if one.phase.is_terminal else (one,)
        profiles = self._profiles()
        named = self._store.clusters(name=cluster_name_of(cluster, profiles))
        return tuple(one for one in named if one.environment == profiles.environment and not one.spec.dedicated)

    def _may_end(self, cluster: Cluster, task: TaskFacts) -> bool:
        dag_id = _dag_of(cluster.ensured_by)
        if dag_id is None or dag_id == task.dag_id:
            return dag_id is not None
        dag = self._tasks.dag(dag_id)
        return dag is not None and dag.team is not None and dag.team == task.team

    def _not_mine(self, cluster: Cluster, task: TaskFacts) -> NotAllowed:
        who = f"by {cluster.ensured_by}" if cluster.ensured_by else "by the applications on it"
        return NotAllowed(
            f"{task.dag_id}/{task.task_id} may not end cluster {cluster.name} ({cluster.id}): it was asked for {who}.",
            hint="Only tasks of the DAG that asked for it, or of DAGs with the same tag 'team:...', may; others ask an operator.",
            reason="not_yours",
        )

    def _must_hold_apps(self, cluster: Cluster, task: TaskFacts, *, force: bool) -> None:
        """Hold the token's teams to the applications there; by force, only those of the task's own DAG or team may be stopped."""
        for app in self._store.apps_on(cluster.id):
            self._caller.require_team(app.team)
            if force and app.dag_id != task.dag_id and (task.team is None or app.team != task.team):
                raise NotAllowed(
                    f"Application {app.id} of {app.dag_id or 'no DAG'} is on cluster {cluster.name} ({cluster.id}).",
                    hint="A task stops applications of its own DAG or team alone: drain it instead.",
                    reason="not_yours",
                )

    def cluster(self, cluster_id: int, *, ti_id: str) -> Cluster:
        """Return a cluster, also one that has ended."""
        self._access.task(ti_id)
        return self._store.cluster(cluster_id)


def waited_clusters(store: Store) -> tuple[ClusterBrief, ...]:
    """Return the clusters that tasks may wait for, as the snapshot tells them."""
    now = store.now()
    return tuple(brief_from_cluster(one, now=now) for one in store.ensured_clusters(ended_within=TOLD_FOR))


def _dag_of(ensured_by: str | None) -> str | None:
    """Return the DAG of the task that asked for a cluster; None for anybody else. DAG ids hold no slash."""
    if ensured_by is None or not ensured_by.startswith("task:"):
        return None
    return ensured_by.removeprefix("task:").partition("/")[0]
