"""After a lost reply or a dead sender: look by name, adopt what is found, count empty listings otherwise."""

from collections import defaultdict
from collections.abc import Sequence

from platyspark_provider.core.facts import CreateLookedFor, Record, SendLookedFor
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.ports import AttemptSight, Backend, ClusterSight
from platyspark_provider.core.reconcile import LookFor, cluster_name, decide_app, decide_cluster
from platyspark_provider.core.records import AppWork
from platyspark_provider.reconciler.workbench import Workbench


def adopt_clusters(bench: Workbench) -> None:
    """Look for clusters whose create call may have gone through.

    A crash in here leaves the rows as they were: the next executor looks again.
    """
    for cluster in bench.held_clusters():
        target = bench.target(cluster.target_id)
        with bench.report.guard(f"look for cluster {cluster.name}", target):
            if isinstance(decide_cluster(cluster, policy=bench.due.policy, now=bench.due.at), LookFor):
                _look_for_cluster(bench, bench.backend(target), cluster)


def _surviving(sights: Sequence[ClusterSight]) -> ClusterSight | None:
    """Of several incarnations the oldest living one is adopted; one that has already ended counts as found, too."""
    living = [s for s in sights if s.state != "dead"] or list(sights)
    return min(living, key=lambda s: (s.created_at is None, s.created_at, s.external_id), default=None)


def _look_for_cluster(bench: Workbench, backend: Backend, cluster: Cluster) -> None:
    by_token = backend.adopts_by == "token"
    name = cluster_name(cluster, bench.due.installation, send=cluster.send)
    sights = () if by_token else backend.find_clusters(name.incarnation)
    found = _surviving(sights)
    bench.report.answered.add(bench.target(cluster.target_id).name)
    external_id = found.external_id if found else None
    epoch = bench.cluster_epoch(cluster.id)
    fact = CreateLookedFor(cluster_id=cluster.id, epoch=epoch, external_id=external_id, may_repeat=by_token)
    (answer,) = bench.record([fact])
    if not answer.accepted or external_id is None:
        return
    bench.report.done.append(f"adopted cluster {cluster.name}: {external_id}")
    for other in sights:
        if other.external_id != external_id and other.state != "dead":
            backend.terminate_cluster(other.external_id)
            bench.report.done.append(f"terminated surplus cluster {other.external_id} of {cluster.name}: nothing was ever sent to it")


def adopt_runs(bench: Workbench) -> None:
    """Look for runs whose send may have gone through, one listing per cluster."""
    by_cluster: dict[int, list[AppWork]] = defaultdict(list)
    for work in bench.held_apps():
        cluster = bench.clusters.get(work.app.cluster_id or 0)
        if isinstance(decide_app(work.app, work.attempt, cluster, policy=bench.due.policy, now=bench.due.at), LookFor):
            by_cluster[work.attempt.cluster_id or 0].append(work)
    for cluster_id, works in by_cluster.items():
        with bench.report.guard(f"look for runs on cluster {cluster_id}"):
            _look_on(bench, cluster_id, works)


def _look_on(bench: Workbench, cluster_id: int, works: list[AppWork]) -> None:
    cluster = bench.clusters.get(cluster_id) or bench.registry.detail(works[0].app.id, ti_id=bench.ti_id).cluster
    if cluster is None or cluster.external_id is None:
        return
    backend = bench.backend(bench.target(cluster.target_id))
    names = {str(bench.name_of(w)) for w in works}
    by_token = backend.adopts_by == "token"
    found = {} if by_token else backend.find_attempts(cluster.external_id, names)
    facts: list[Record] = [_fact(bench, w, found.get(str(bench.name_of(w)), ()), cluster, by_token) for w in works]
    bench.record(facts)


def _tell_surplus(bench: Workbench, work: AppWork, found: AttemptSight, sights: Sequence[AttemptSight]) -> None:
    """A second living run of one generation is for a person to end: a stop goes by YARN tag, which both have."""
    living = [s.external_id for s in sights if s is not found and s.state in {"pending", "running"}]
    if living:
        bench.report.alarms.append(
            f"App {work.app.id} generation {work.attempt.generation} runs more than once: {found.external_id} was adopted, end {living}."
        )


def _fact(bench: Workbench, work: AppWork, sights: Sequence[AttemptSight], cluster: Cluster, by_token: bool) -> SendLookedFor:
    found = next((s for s in sights if s.state in {"pending", "running"}), sights[0]) if sights else None
    if found:
        bench.report.done.append(f"adopted run of app {work.app.id}: {found.external_id}")
        _tell_surplus(bench, work, found, sights)
    detail = {"cluster": cluster.external_id, "log_uri": cluster.spec.log_uri or ""}
    return SendLookedFor(
        app_id=work.app.id,
        generation=work.attempt.generation,
        epoch=bench.app_epoch(work.app.id),
        external_id=found.external_id if found else None,
        external_detail={**detail, **(found.external_detail if found else {})},
        may_repeat=by_token,
    )
