"""`FakeBackend`: the `Backend` port over `FakeWorld`, with counted calls and planted faults."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeVar

from platyspark_provider.core.keys import cluster_name_from_text
from platyspark_provider.core.ports import (
    AttemptRef,
    AttemptSight,
    ClusterRef,
    ClusterSight,
    Death,
    Launch,
    LogTail,
    Sights,
)
from platyspark_provider.core.spec import ClusterSpec
from platyspark_provider.errors import (
    BackendRejected,
    BackendThrottled,
    BackendUnavailable,
    ClusterGone,
    PlatySparkError,
    ReplyLost,
)
from platyspark_provider.testing.world import FakeCluster, FakeRun, FakeWorld

_T = TypeVar("_T")


class Fault(StrEnum):
    """What can go wrong with a call; LOSE_AFTER does its work first, all others leave nothing behind."""

    THROTTLE = "throttle"
    REJECT = "reject"
    UNAVAILABLE = "unavailable"
    CLUSTER_GONE = "cluster_gone"
    LOSE_BEFORE = "lose_before"
    LOSE_AFTER = "lose_after"


_RAISED: Mapping[Fault, Callable[[str], PlatySparkError]] = {
    Fault.THROTTLE: lambda what: BackendThrottled(f"{what}: too many requests."),
    Fault.REJECT: lambda what: BackendRejected(f"{what}: refused."),
    Fault.UNAVAILABLE: lambda what: BackendUnavailable(f"{what}: the endpoint can't be reached."),
    Fault.CLUSTER_GONE: lambda what: ClusterGone(f"{what}: the cluster takes no more work."),
    Fault.LOSE_BEFORE: lambda what: ReplyLost(f"{what}: no answer arrived."),
    Fault.LOSE_AFTER: lambda what: ReplyLost(f"{what}: no answer arrived."),
}


@dataclass(kw_only=True)
class FakeBackend(FakeWorld):
    """A backend in memory; set its fields, plant faults with `fail`, and tell runs how they end.

    :param adopts_by: "name": every call makes something new, and listings find it (EMR). "token": the same token returns
        the same id (Serverless, EKS).
    :param drivers_end_at_stage: the rung of the stop ladder that ends drivers; 2: they survive an interrupt; None: all.
    :param unlisted: clusters whose runs can't be listed now: they come back in `Sights.failed`.
    :param foreign: what else works on a cluster, in words, by its id.
    :param calls: how often each method of the port was called, failed calls included.
    """

    adopts_by: Literal["name", "token"] = "name"
    drivers_end_at_stage: int | None = 1
    unlisted: set[str] = field(default_factory=set)
    foreign: dict[str, str] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    _faults: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))

    def fail(self, operation: str, fault: Fault, *, times: int = 1) -> None:
        """Let the next calls of a method end in a fault; several are used up in order."""
        self._faults[operation].extend([fault] * times)

    def create_cluster(self, spec: ClusterSpec, *, name: str, token: str, tags: Mapping[str, str]) -> str:
        """Create a cluster; the same token returns the same one where the style is "token"."""

        def create() -> str:
            known = next((c for c in self.clusters.values() if self.adopts_by == "token" and c.token == token), None)
            if known is not None:
                if known.spec != spec:
                    raise BackendRejected(f"Token {token!r} was used with another request.")
                return known.external_id
            id_ = f"c-{len(self.clusters) + 1}"
            self.clusters[id_] = FakeCluster(external_id=id_, name=name, token=token, spec=spec, tags=tags, created_at=self.clock.now())
            return id_

        return self._call("create_cluster", create)

    def find_clusters(self, prefix: str) -> Sequence[ClusterSight]:
        """List our clusters by the beginning of their name, oldest first."""

        def find() -> Sequence[ClusterSight]:
            ours = [c for c in self.clusters.values() if c.name.startswith(prefix) and cluster_name_from_text(c.name)]
            return [self.cluster_sight(c) for c in ours if self.is_listed(c.created_at)]

        return self._call("find_clusters", find)

    def terminate_cluster(self, external_id: str) -> None:
        """End a cluster."""

        def terminate() -> None:
            if external_id in self.clusters:
                self.end_cluster(external_id, reason_code="USER_REQUEST", failure_class="external_kill")

        self._call("terminate_cluster", terminate)

    def busy(self, external_id: str) -> str:
        """Return the runs and drivers that live on a cluster, or what `foreign` says."""

        def look() -> str:
            cluster = self.clusters.get(external_id)
            if cluster is None or cluster.dead_at is not None:
                return ""
            runs = [r for r in self.runs.values() if r.cluster == external_id and (r.has_driver or r.ended_at is None)]
            return ", ".join(f"{r.name} is {r.state}" for r in runs) or self.foreign.get(external_id, "")

        return self._call("busy", look)

    def submit(self, cluster: str | None, launches: Sequence[Launch]) -> Sequence[str]:
        """Send runs; a dead cluster is `ClusterGone`."""

        def send() -> Sequence[str]:
            target = self.clusters.get(cluster) if cluster is not None else None
            if cluster is not None and (target is None or target.dead_at is not None):
                raise ClusterGone(f"Cluster {cluster} takes no more work.")
            return [self._send(cluster, launch) for launch in launches]

        return self._call("submit", send)

    def _send(self, cluster: str | None, launch: Launch) -> str:
        known = next((r for r in self.runs.values() if self.adopts_by == "token" and r.token == launch.token), None)
        if known is not None:
            if known.spec != launch.spec:
                raise BackendRejected(f"Token {launch.token!r} was used with another request.")
            return known.external_id
        id_ = f"r-{len(self.runs) + 1}"
        self.runs[id_] = FakeRun(
            external_id=id_,
            name=launch.name,
            token=launch.token,
            yarn_tag=launch.yarn_tag,
            cluster=cluster,
            spec=launch.spec,
            created_at=self.clock.now(),
        )
        return id_

    def find_attempts(self, cluster: str | None, names: Collection[str]) -> Mapping[str, Sequence[AttemptSight]]:
        """List runs by name, oldest first."""

        def find() -> Mapping[str, Sequence[AttemptSight]]:
            listed = [r for r in self.runs.values() if r.cluster == cluster and self.is_listed(r.created_at)]
            return {name: [self.run_sight(r) for r in listed if r.name == name] for name in names}

        return self._call("find_attempts", find)

    def observe(self, clusters: Sequence[ClusterRef], attempts: Sequence[AttemptRef]) -> Sights:
        """Look at clusters and runs; a fault planted on "observe" makes all of them `failed`."""
        wanted = {ref.external_id for ref in clusters} | {ref.cluster for ref in attempts if ref.cluster}
        try:
            return self._call("observe", lambda: self._look(wanted, attempts))
        except PlatySparkError as error:
            blind = not isinstance(error, BackendThrottled)
            return Sights(failed=frozenset(wanted), failure=error.message, is_blind=blind)

    def _look(self, wanted: Collection[str], attempts: Sequence[AttemptRef]) -> Sights:
        seen = [self.clusters[id_] for id_ in wanted if id_ in self.clusters]
        runs = [self.runs[ref.external_id] for ref in attempts if ref.external_id in self.runs and ref.cluster not in self.unlisted]
        failed = frozenset(self.unlisted & set(wanted))
        return Sights(
            clusters={c.external_id: self.cluster_sight(c) for c in seen if self.is_listed(c.created_at)},
            attempts={r.external_id: self.run_sight(r) for r in runs if self.is_listed(r.created_at)},
            failed=failed,
            failure="scripted" if failed else "",
        )

    def stop(self, attempt: AttemptRef, stage: int) -> str:
        """Climb a rung; drivers end at `drivers_end_at_stage`, and rung 4 ends a dedicated cluster."""

        def climb() -> str:
            run = self.runs.get(attempt.external_id or "")
            if run is None:
                return "nothing was sent, so there is nothing to stop"
            if run.ended_at is None:
                self.end_run(run, "cancelled", keep_driver=True)
            if self.drivers_end_at_stage is not None and stage >= self.drivers_end_at_stage:
                run.has_driver = False
            if stage >= 4 and run.cluster and run.spec.cluster.dedicated:
                self.end_cluster(run.cluster, reason_code="USER_REQUEST", failure_class="external_kill")
            return f"fake rung {stage}"

        return self._call("stop", climb)

    def prove_dead(self, attempt: AttemptRef) -> Death:
        """Tell whether the driver lives; unknown when `death_is_provable` is off and its cluster still stands."""
        return self._call("prove_dead", lambda: self.death_of(self.runs.get(attempt.external_id or "")))

    def read_log(self, attempt: AttemptRef) -> LogTail | None:
        """Return what `write_log` wrote."""
        run = self.runs.get(attempt.external_id or "")
        return self._call("read_log", lambda: run.log if run else None)

    def log_uri(self, attempt: AttemptRef) -> str | None:
        """Return where the log is or will be."""
        return f"fake://logs/{attempt.external_id}/stderr" if attempt.external_id else None

    def _call(self, operation: str, effect: Callable[[], _T]) -> _T:
        self.calls[operation] += 1
        self.tick()
        fault = self._faults[operation].pop(0) if self._faults[operation] else None
        if fault is Fault.LOSE_AFTER:
            effect()
        if fault is not None:
            raise _RAISED[fault](operation)
        result = effect()
        self.tick()
        return result
