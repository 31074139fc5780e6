"""One pass over all open work, and the same steps for one application (`advance` calls `run_steps`)."""

import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from platyspark_provider.core.model import Target
from platyspark_provider.core.ports import Backends, Clock, Registry
from platyspark_provider.core.records import ClaimRequest, Due
from platyspark_provider.core.states import AppPhase
from platyspark_provider.reconciler.adopt import adopt_clusters, adopt_runs
from platyspark_provider.reconciler.end import end_clusters, end_idle_clusters
from platyspark_provider.reconciler.kill import stop_runs
from platyspark_provider.reconciler.logs import collect_logs
from platyspark_provider.reconciler.observe import observe
from platyspark_provider.reconciler.start import assign_clusters, create_clusters, send_runs
from platyspark_provider.reconciler.workbench import PassReport, Workbench

log = logging.getLogger(__name__)

OBSERVER_LEASE_S = 45.0
FIRST_ABSTENTION = timedelta(seconds=30)
LONGEST_ABSTENTION = timedelta(minutes=10)


@dataclass(slots=True)
class Bidding:
    """A process's memory of the targets it could not reach: it leaves them to others for a while, twice as long each time."""

    _misses: dict[str, int] = field(default_factory=dict)
    _not_before: dict[str, datetime] = field(default_factory=dict)

    def may_bid(self, target: str, now: datetime) -> bool:
        """Tell whether to try for a target."""
        return target not in self._not_before or now >= self._not_before[target]

    def missed(self, target: str, now: datetime) -> None:
        """Abstain from a target that gave no answer."""
        misses = self._misses[target] = self._misses.get(target, 0) + 1
        self._not_before[target] = now + min(FIRST_ABSTENTION * 2 ** min(misses - 1, 10), LONGEST_ABSTENTION)

    def reached(self, target: str) -> None:
        """Forget what was held against a target."""
        self._misses.pop(target, None)
        self._not_before.pop(target, None)


def run_pass(registry: Registry, backends: Backends, *, holder: str, clock: Clock, bidding: Bidding | None = None) -> PassReport:
    """Observe, decide and apply for all open work of the targets whose lease this holder gets.

    :param holder: names the process; each pass claims rows under a name of its own, so that a pass that hangs in a
        call can't be confused with its successor.
    :param bidding: of a process that makes pass after pass: it keeps its targets in between, except those that it could
        not reach. None: a single pass, after which every target is free again.
    """
    report = PassReport()
    everything = registry.due()
    mine = _leased(registry, everything.targets, holder, bidding or Bidding(), clock.now())
    due = _only(everything, mine, report)
    bench = Workbench(registry=registry, backends=backends, due=due, ti_id=None, report=report, now=clock.now)
    try:
        run_steps(bench, f"{holder}#{uuid.uuid4().hex[:8]}")
    finally:
        silent = report.silent()
        _give_back(registry, [t.name for t in mine if bidding is None or t.name in silent], holder)
    if bidding is not None:
        for name in silent:
            bidding.missed(name, clock.now())
        for name in report.answered:
            bidding.reached(name)
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
        end_clusters(bench)
        adopt_clusters(bench)
        adopt_runs(bench)
        stop_runs(bench)
        assign_clusters(bench, holder)
        create_clusters(bench)
        send_runs(bench)
        end_idle_clusters(bench)
        collect_logs(bench)
    finally:
        bench.release()


def _leased(registry: Registry, targets: Iterable[Target], holder: str, bidding: Bidding, now: datetime) -> list[Target]:
    """Return the targets that this process observes; one observer per target keeps the calls few."""
    wanted = [t for t in targets if bidding.may_bid(t.name, now)]
    return [t for t in wanted if registry.lease(_lease_of(t.name), holder=holder, seconds=OBSERVER_LEASE_S)]


def _give_back(registry: Registry, names: Iterable[str], holder: str) -> None:
    for name in names:
        registry.lease(_lease_of(name), holder=holder, seconds=0.0)


def _lease_of(target: str) -> str:
    return f"observer:{target}"


def _only(due: Due, mine: list[Target], report: PassReport) -> Due:
    """Return the work on the targets that were leased."""
    others = [t.name for t in due.targets if t not in mine]
    report.is_blind = bool(due.targets) and not mine
    report.skipped.extend(f"target {name}: left to another process" for name in others)
    names, ids = {t.name for t in mine}, {t.id for t in mine}
    return replace(
        due,
        apps=tuple(w for w in due.apps if w.attempt.spec.cluster.target in names),
        log_pending=tuple(w for w in due.log_pending if w.attempt.spec.cluster.target in names),
        clusters=tuple(c for c in due.clusters if c.target_id in ids),
    )
