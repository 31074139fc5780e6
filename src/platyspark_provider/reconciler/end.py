"""End clusters: commit that one takes no more applications, look whether anything still works there, and only then terminate it.

A join and a drain decide under the lock of the same row, so that a cluster which is being ended never gets an application.
"""

from collections import Counter

from platyspark_provider.core.facts import ClusterDrainIntended, ClusterObserved
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.placement import takes_applications
from platyspark_provider.core.reconcile import ClusterAction, Drain, Terminate, decide_cluster
from platyspark_provider.core.records import ClusterLoad
from platyspark_provider.core.states import ClusterPhase
from platyspark_provider.reconciler.workbench import Workbench


def end_clusters(bench: Workbench) -> None:
    """Drain every held cluster that is to end or starts too late, and terminate the drained ones that nothing is on.

    A crash after the intent leaves DRAINING, one after the call a cluster that ends: the next pass goes on from there.
    """
    for cluster in _own_clusters(bench):
        with bench.report.guard(f"end cluster {cluster.name}", bench.target(cluster.target_id)):
            action = _decide(bench, cluster, _load(bench, cluster))
            if isinstance(action, Drain) and action.why != "idle":
                drained = _drain(bench, cluster, action)
                action = _decide(bench, drained, None) if drained is not None else action
            if isinstance(action, Terminate):
                _terminate(bench, bench.clusters[cluster.id], action)


def end_idle_clusters(bench: Workbench) -> None:
    """Drain and terminate every held cluster that nothing was on for its idle timeout, once this pass has placed who waits.

    A crash in here leaves what one in `end_clusters` leaves.
    """
    living = Counter(c.cluster_key for c in bench.clusters.values() if takes_applications(c))
    joined = {w.app.cluster_id for w in bench.apps.values() if not w.app.phase.is_terminal}
    for cluster in _own_clusters(bench):
        action = _decide(bench, cluster, None if cluster.id in joined else _load(bench, cluster))
        if not isinstance(action, Drain) or action.why != "idle" or living[cluster.cluster_key] <= cluster.spec.pool_min:
            continue
        with bench.report.guard(f"end idle cluster {cluster.name}", bench.target(cluster.target_id)):
            if _is_quiet(bench, cluster) and (drained := _drain(bench, cluster, action)) is not None:
                living[cluster.cluster_key] -= 1
                _terminate(bench, drained, Terminate(if_quiet=True))


def _own_clusters(bench: Workbench) -> list[Cluster]:
    """Return the clusters that may be ended from here: whether a shared one is, one task alone has no say in."""
    return [c for c in bench.held_clusters() if bench.ti_id is None or c.spec.dedicated]


def _decide(bench: Workbench, cluster: Cluster, load: ClusterLoad | None) -> ClusterAction:
    return decide_cluster(cluster, policy=bench.due.policy, now=bench.due.at, load=load)


def _load(bench: Workbench, cluster: Cluster) -> ClusterLoad | None:
    """Return what was on a cluster when its row was read; None for one that drains only since then: it may have got more."""
    then = next((c for c in bench.due.clusters if c.id == cluster.id), None)
    if then is None or (cluster.phase is ClusterPhase.DRAINING and then.phase is not ClusterPhase.DRAINING):
        return None
    return bench.due.loads.get(cluster.id)


def _is_quiet(bench: Workbench, cluster: Cluster) -> bool:
    """Tell whether nothing works on a cluster; somebody else may use it, too."""
    external_id = cluster.external_id or ""
    what = bench.backend(bench.target(cluster.target_id)).busy(external_id)
    if what:
        bench.report.skipped.append(f"cluster {cluster.name} ({external_id}) has none of our applications, but {what}")
    return not what


def _drain(bench: Workbench, cluster: Cluster, action: Drain) -> Cluster | None:
    epoch = bench.cluster_epoch(cluster.id)
    (answer,) = bench.record([ClusterDrainIntended(cluster_id=cluster.id, epoch=epoch, why=action.why, reason=action.reason)])
    if not answer.accepted:
        return None
    bench.report.done.append(f"drained cluster {cluster.name} ({cluster.external_id}): {action.reason}")
    return answer.cluster


def _terminate(bench: Workbench, cluster: Cluster, action: Terminate) -> None:
    backend, external_id = bench.backend(bench.target(cluster.target_id)), cluster.external_id
    if external_id is None or (action.if_quiet and not _is_quiet(bench, cluster)):
        return
    backend.terminate_cluster(external_id)
    fact = ClusterObserved(
        cluster_id=cluster.id, epoch=bench.cluster_epoch(cluster.id), state="terminating", raw_state=cluster.observed_state or ""
    )
    bench.record([fact])
    bench.report.done.append(f"terminated cluster {cluster.name} ({external_id}): {cluster.observed_reason or cluster.desired.value}")
