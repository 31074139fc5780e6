"""One pass over all open work, and the same steps for one application (`advance` calls `run_steps`)."""

import logging
import uuid
from dataclasses import replace

from platyspark_provider.core.ports import Backends, Clock, Registry
from platyspark_provider.core.records import ClaimRequest, Due
from platyspark_provider.core.states import AppPhase
from platyspark_provider.reconciler.adopt import adopt_clusters, adopt_runs
from platyspark_provider.reconciler.kill import stop_runs
from platyspark_provider.reconciler.logs import collect_logs
from platyspark_provider.reconciler.observe import observe
from platyspark_provider.reconciler.start import assign_clusters, create_clusters, send_runs
from platyspark_provider.reconciler.workbench import PassReport, Workbench

log = logging.getLogger(__name__)

OBSERVER_LEASE_S = 45.0


def run_pass(registry: Registry, backends: Backends, *, holder: str, clock: Clock) -> PassReport:
    """Observe, decide and apply for all open work of the targets whose lease this holder gets.

    :param holder: names the process; each pass claims rows under a name of its own, so that a pass that hangs in a
        call can't be confused with its successor.
    """
    report = PassReport()
    due = _mine(registry, registry.due(), holder, report)
    bench = Workbench(registry=registry, backends=backends, due=due, ti_id=None, report=report, now=clock.now)
    run_steps(bench, f"{holder}#{uuid.uuid4().hex[:8]}")
    return report


def run_steps(bench: Workbench, holder: str) -> None:
    """Claim the rows on the bench, take every step in order, give the claims back.

    A crash leaves leases that expire by themselves; what each step leaves is said at the step.
    """
    apps = [w.app.id for w in bench.apps.values() if w.attempt.phase is not AppPhase.NEW]  # its task still works on that one
    rows = [ClaimRequest(kind="app", id=i) for i in apps] + [ClaimRequest(kind="cluster", id=i) for i in bench.clusters]
    bench.claim(rows, holder)
    bench.report.apps, bench.report.clusters = len(bench.app_claims), len(bench.cluster_claims)
    try:
        observe(bench)
        adopt_clusters(bench)
        adopt_runs(bench)
        stop_runs(bench)
        assign_clusters(bench, holder)
        create_clusters(bench)
        send_runs(bench)
        collect_logs(bench)
    finally:
        bench.release()


def _mine(registry: Registry, due: Due, holder: str, report: PassReport) -> Due:
    """Return the work on targets that this process observes; one observer per target keeps the calls few."""
    mine = [t for t in due.targets if registry.lease(f"observer:{t.name}", holder=holder, seconds=OBSERVER_LEASE_S)]
    others = [t.name for t in due.targets if t not in mine]
    report.is_blind = bool(due.targets) and not mine
    report.skipped.extend(f"target {name}: another process observes it" for name in others)
    names, ids = {t.name for t in mine}, {t.id for t in mine}
    return replace(
        due,
        apps=tuple(w for w in due.apps if w.attempt.spec.cluster.target in names),
        log_pending=tuple(w for w in due.log_pending if w.attempt.spec.cluster.target in names),
        clusters=tuple(c for c in due.clusters if c.target_id in ids),
    )
