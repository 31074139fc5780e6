"""What one executor holds in its hands during a pass: the due rows, its claims, and the report. No decisions here."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from platyspark_provider.core.facts import Record
from platyspark_provider.core.keys import AttemptName
from platyspark_provider.core.model import Cluster, Target
from platyspark_provider.core.ports import AttemptRef, AttemptSight, Backend, Backends, Registry
from platyspark_provider.core.reconcile import attempt_name
from platyspark_provider.core.records import AppWork, Claim, ClaimRequest, Due, RecordAnswer
from platyspark_provider.errors import BackendUnavailable, PlatySparkError, ReplyLost, TemporaryError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class PassReport:
    """What a pass looked at, did, skipped and why; `errors` counts guarded items.

    :param answered: targets that answered at all; :param unreachable: targets that could not be asked, and why.
    :param alarms: what a person has to look at.
    """

    apps: int = 0
    clusters: int = 0
    held_by_others: int = 0
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    errors: int = 0
    is_blind: bool = False
    answered: set[str] = field(default_factory=set)
    unreachable: dict[str, str] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the report as log lines, a summary first."""
        head = (
            f"Pass: {self.apps} applications, {self.clusters} clusters, {len(self.done)} actions, "
            f"{self.held_by_others} held by others, {self.errors} errors."
        )
        return [
            head,
            *(f"did: {line}" for line in self.done),
            *(f"left: {line}" for line in self.skipped),
            *(f"target {name} can't be reached: {why}" for name, why in self.silent().items()),
            *self.alarms,
        ]

    def silent(self) -> dict[str, str]:
        """Return the targets that gave no answer in the whole pass, and why."""
        return {name: why for name, why in self.unreachable.items() if name not in self.answered}

    def heard(self, target: Target, error: PlatySparkError | None = None) -> None:
        """Note how a call of a target ended: an answer, be it a refusal, or none."""
        if isinstance(error, BackendUnavailable):
            self.unreachable.setdefault(target.name, str(error))
        elif not isinstance(error, ReplyLost):
            self.answered.add(target.name)

    @contextmanager
    def guard(self, what: str, target: Target | None = None) -> Iterator[None]:
        """Carry on with the next item when one fails; count and log it.

        :param target: whose calls are made inside.
        """
        try:
            yield
        except TemporaryError as error:
            if target is not None and isinstance(error, BackendUnavailable):
                self.heard(target, error)
            self.skipped.append(f"{what}: {error}")
            log.warning("%s: %s", what, error)
        except PlatySparkError as error:
            self.errors += 1
            self.skipped.append(f"{what}: {error}")
            log.error("%s: %s", what, error)
        except Exception as error:
            self.errors += 1
            self.skipped.append(f"{what}: {error!r}")
            log.exception("%s failed", what)


@dataclass(slots=True)
class Workbench:
    """The rows of one pass, kept current as facts are recorded.

    :param ti_id: the task on whose behalf a single app is advanced; None for a pass over all.
    :param sights: what this pass's look saw of runs, by application.
    :param unknown: ids of clusters that their target does not know: nothing is sent to them.
    """

    registry: Registry
    backends: Backends
    due: Due
    ti_id: str | None
    report: PassReport
    now: Callable[[], datetime]
    apps: dict[int, AppWork] = field(default_factory=dict)
    clusters: dict[int, Cluster] = field(default_factory=dict)
    app_claims: dict[int, Claim] = field(default_factory=dict)
    cluster_claims: dict[int, Claim] = field(default_factory=dict)
    sights: dict[int, AttemptSight] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.apps = {w.app.id: w for w in self.due.apps}
        self.clusters = {c.id: c for c in self.due.clusters}

    def target(self, target_id: int) -> Target:
        """Return the target of a row."""
        return next(t for t in self.due.targets if t.id == target_id)

    def target_of(self, work: AppWork) -> Target:
        """Return the target that an attempt's frozen spec names."""
        return next(t for t in self.due.targets if t.name == work.attempt.spec.cluster.target)

    def backend(self, target: Target) -> Backend:
        """Return the backend of a target; raises BackendUnavailable."""
        try:
            return self.backends.of(target)
        except BackendUnavailable as error:
            self.report.heard(target, error)
            raise

    def claim(self, requests: Sequence[ClaimRequest], holder: str) -> None:
        """Take leases; rows that somebody else holds leave the bench."""
        if not requests:
            return
        for claim in self.registry.claim(requests, holder=holder, ti_id=self.ti_id):
            claims: dict[int, Claim] = self.app_claims if claim.kind == "app" else self.cluster_claims
            if claim.epoch is not None:
                claims[claim.id] = claim
            elif claim.id not in claims:
                self.report.held_by_others += 1

    def release(self) -> None:
        """Give all leases back."""
        held = [*self.app_claims.values(), *self.cluster_claims.values()]
        if held:
            self.registry.release(held, ti_id=self.ti_id)

    def held_apps(self) -> list[AppWork]:
        """Return the applications this executor may act on, oldest first."""
        return [self.apps[i] for i in sorted(self.app_claims) if i in self.apps]

    def held_clusters(self) -> list[Cluster]:
        """Return the clusters this executor may act on, oldest first."""
        return [self.clusters[i] for i in sorted(self.cluster_claims) if i in self.clusters]

    def app_epoch(self, app_id: int) -> int:
        """Return the fencing number of our claim on an application."""
        epoch = self.app_claims[app_id].epoch
        assert epoch is not None
        return epoch

    def cluster_epoch(self, cluster_id: int) -> int:
        """Return the fencing number of our claim on a cluster."""
        epoch = self.cluster_claims[cluster_id].epoch
        assert epoch is not None
        return epoch

    def record(self, records: Sequence[Record]) -> tuple[RecordAnswer, ...]:
        """Record facts in one call and keep the rows that came back."""
        if not records:
            return ()
        answers = self.registry.record(records, ti_id=self.ti_id)
        for record, answer in zip(records, answers, strict=True):
            if answer.work is not None:
                self.apps[answer.work.app.id] = answer.work
            if answer.cluster is not None:
                self.clusters[answer.cluster.id] = answer.cluster
            if not answer.accepted:
                self.report.skipped.append(f"{record.kind}: {answer.message or answer.refusal}")
        return answers

    def name_of(self, work: AppWork) -> AttemptName:
        """Return the name of a run at its backend."""
        return attempt_name(work.app, work.attempt, self.due.installation)

    def ref_of(self, work: AppWork) -> AttemptRef:
        """Return a run as its backend is asked about it."""
        name = self.name_of(work)
        cluster = self.clusters.get(work.attempt.cluster_id or 0)
        known = work.attempt.external_detail.get("cluster")
        return AttemptRef(
            app_id=work.app.id,
            generation=work.attempt.generation,
            name=str(name),
            yarn_tag=name.yarn_tag,
            cluster=known or (cluster.external_id if cluster else None),
            external_id=work.attempt.external_id,
            spec=work.attempt.spec,
            stop_stage=work.attempt.stop_stage,
            external_detail=work.attempt.external_detail,
            log_uri=work.attempt.external_detail.get("log_uri", (cluster.spec.log_uri or "") if cluster else None),
        )
