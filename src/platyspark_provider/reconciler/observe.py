"""The look: ask each backend about all held rows in a few calls and record what it says."""

from dataclasses import replace

from platyspark_provider.core.facts import Record
from platyspark_provider.core.model import Cluster, Target
from platyspark_provider.core.ports import AttemptSight, Backend, ClusterRef, Death, Sights
from platyspark_provider.core.reconcile import app_fact, cluster_fact, is_proof_due, is_unknown, needs_proof
from platyspark_provider.core.records import AppWork
from platyspark_provider.core.states import APP_SENT
from platyspark_provider.reconciler.workbench import Workbench


def observe(bench: Workbench) -> None:
    """Observe every held cluster and sent run, one target after the other.

    A crash in here leaves nothing behind: a look changes nothing at the backend.
    """
    for target in bench.due.targets:
        with bench.report.guard(f"observe target {target.name}", target):
            _observe_target(bench, target)


def _observe_target(bench: Workbench, target: Target) -> None:
    clusters = [c for c in bench.held_clusters() if c.target_id == target.id and c.external_id]
    sent = [w for w in bench.held_apps() if w.attempt.phase in APP_SENT and bench.target_of(w).id == target.id]
    if not clusters and not sent:
        return
    backend = bench.backend(target)
    refs = [ClusterRef(id=c.id, external_id=c.external_id or "") for c in clusters]
    sights = backend.observe(refs, [bench.ref_of(w) for w in sent])
    if sights.is_blind:
        bench.report.unreachable.setdefault(target.name, sights.failure)
    else:
        bench.report.answered.add(target.name)
    facts: list[Record] = []
    for cluster in clusters:
        sight = sights.clusters.get(cluster.external_id or "")
        if sight is not None:
            facts.append(cluster_fact(cluster, sight, epoch=bench.cluster_epoch(cluster.id)))
        elif cluster.external_id not in sights.failed and is_unknown(cluster, policy=bench.due.policy, now=bench.due.at):
            _tell_unknown(bench, target, cluster)
    bench.record(facts)
    unlisted = {bench.ref_of(w).cluster or "" for w in sent} - set(sights.clusters) - sights.failed
    unlisted -= {bench.ref_of(w).cluster or "" for w in sent if bench.ref_of(w).cluster in unlisted and _is_cluster_over(bench, w)}
    bench.record(_app_facts(bench, backend, sent, replace(sights, failed=sights.failed | unlisted)))


def _is_cluster_over(bench: Workbench, work: AppWork) -> bool:
    """Tell whether a run's cluster has ended by our own record; one that is over is on no bench: ask."""
    cluster = bench.clusters.get(work.attempt.cluster_id or 0) or bench.registry.detail(work.app.id, ti_id=bench.ti_id).cluster
    return cluster is None or cluster.phase.is_terminal


def _tell_unknown(bench: Workbench, target: Target, cluster: Cluster) -> None:
    """EMR shows ended clusters for two months, so one that it does not know was never proven to have ended."""
    bench.unknown.add(cluster.id)
    bench.report.alarms.append(
        f"Cluster {cluster.name} ({cluster.external_id}) is unknown to target {target.name}: was its region, account or connection "
        "changed? Nothing is concluded of it and its runs, and nothing is sent to it."
    )


def _app_facts(bench: Workbench, backend: Backend, sent: list[AppWork], sights: Sights) -> list[Record]:
    facts: list[Record] = []
    for work in sent:
        ref = bench.ref_of(work)
        with bench.report.guard(f"observe app {work.app.id}"):
            sight = sights.attempts.get(ref.external_id or "")
            if sight is not None:
                bench.sights[work.app.id] = sight
            is_due = is_proof_due(work.attempt, policy=bench.due.policy, now=bench.due.at)
            death = backend.prove_dead(ref) if is_due and needs_proof(work.attempt, sight) else None
            if ref.cluster in sights.failed and (death is None or death.state != "dead"):
                continue
            facts += _fact(bench, work, sight, death)
    return facts


def _fact(bench: Workbench, work: AppWork, sight: AttemptSight | None, death: Death | None) -> list[Record]:
    epoch = bench.app_epoch(work.app.id)
    fact = app_fact(work.app, work.attempt, sight, death, epoch=epoch)
    return [] if fact is None else [fact]


def prove_at_once(bench: Workbench, works: list[AppWork]) -> None:
    """Ask again for death right after a rung was climbed: YARN's kill takes about a second.

    How the run ended is what this pass saw of it: one that had failed by itself stays failed.
    """
    facts: list[Record] = []
    for work in works:
        with bench.report.guard(f"prove death of app {work.app.id}"):
            death = bench.backend(bench.target_of(work)).prove_dead(bench.ref_of(work))
            if death.state == "dead":
                facts += _fact(bench, work, bench.sights.get(work.app.id), death)
    bench.record(facts)
