"""The clusters and runs behind `FakeBackend`, how they move with the clock, and what a test does to them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from platyspark_provider.core.ports import AttemptSight, ClusterSight, Death, LogTail
from platyspark_provider.core.spec import ClusterSpec, ResolvedSpec
from platyspark_provider.errors import NotFound
from platyspark_provider.testing.clock import FakeClock

RunState = Literal["pending", "running", "succeeded", "failed", "cancelled"]


@dataclass(slots=True, kw_only=True)
class FakeCluster:
    """A cluster of the fake; its state follows from the clock until `dead_at` is set."""

    external_id: str
    name: str
    token: str
    spec: ClusterSpec
    tags: Mapping[str, str]
    created_at: datetime
    dead_at: datetime | None = None
    reason_code: str = ""
    failure_class: str | None = None


@dataclass(slots=True, kw_only=True)
class FakeRun:
    """A run of the fake and, apart from it, whether its driver's process is alive."""

    external_id: str
    name: str
    token: str
    yarn_tag: str
    cluster: str | None
    spec: ResolvedSpec
    created_at: datetime
    state: RunState = "pending"
    has_driver: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    log: LogTail | None = None


@dataclass(kw_only=True)
class FakeWorld:
    """Clusters and runs in memory.

    :param ready_after_s: from a cluster's creation to its being ready; :param start_after_s: from then (or from the
        send) to a run's start.
    :param listing_lag_s: how long new clusters and runs stay out of every listing.
    :param death_is_provable: whether `prove_dead` can reach the drivers of ended runs at all.
    """

    clock: FakeClock = field(default_factory=FakeClock)
    ready_after_s: float = 0.0
    start_after_s: float = 0.0
    listing_lag_s: float = 0.0
    death_is_provable: bool = True
    clusters: dict[str, FakeCluster] = field(default_factory=dict)
    runs: dict[str, FakeRun] = field(default_factory=dict)

    def run_named(self, name: str) -> FakeRun:
        """Return the newest run of a name."""
        self.tick()
        found = [run for run in self.runs.values() if run.name == name]
        if not found:
            raise NotFound(f"The fake backend has no run {name!r}.")
        return found[-1]

    def finish(self, name: str, state: Literal["succeeded", "failed", "cancelled"] = "succeeded", *, driver_lives: bool = False) -> None:
        """End a run; `driver_lives` leaves its driver behind, as a lost step of a cluster-mode run does."""
        run = self.run_named(name)
        self.end_run(run, state)
        run.has_driver = driver_lives

    def end_driver(self, name: str) -> None:
        """End a driver's process alone."""
        self.run_named(name).has_driver = False

    def end_cluster(self, external_id: str, *, reason_code: str = "INSTANCE_FAILURE", failure_class: str | None = "infrastructure") -> None:
        """End a cluster with all that runs on it: what had not started is cancelled, the rest fails."""
        self.tick()
        cluster = self.clusters[external_id]
        if cluster.dead_at is not None:
            return
        cluster.dead_at, cluster.reason_code, cluster.failure_class = self.clock.now(), reason_code, failure_class
        for run in self.runs.values():
            if run.cluster == external_id:
                run.has_driver = False
                if run.ended_at is None:
                    self.end_run(run, "cancelled" if run.started_at is None else "failed")

    def write_log(self, name: str, stderr: str, stdout: str = "") -> None:
        """Let a run's log arrive."""
        run = self.run_named(name)
        run.log = LogTail(stderr=stderr, stdout=stdout, uri=f"fake://logs/{run.external_id}/stderr")

    def tick(self) -> None:
        """Bring runs up to the clock; a cluster runs as many at once as its step concurrency says."""
        running = Counter(run.cluster for run in self.runs.values() if run.state == "running")
        for run in self.runs.values():
            ready = self._ready_at(run.cluster)
            if run.state != "pending" or ready is None or running[run.cluster] >= self._concurrency(run.cluster):
                continue
            start = max(ready, run.created_at) + timedelta(seconds=self.start_after_s)
            if start <= self.clock.now():
                run.state, run.started_at, run.has_driver = "running", start, True
                running[run.cluster] += 1

    def _concurrency(self, cluster: str | None) -> float:
        return float("inf") if cluster is None else self.clusters[cluster].spec.step_concurrency

    def _ready_at(self, cluster: str | None) -> datetime | None:
        if cluster is None:
            return datetime.min.replace(tzinfo=UTC)
        found = self.clusters[cluster]
        return None if found.dead_at else found.created_at + timedelta(seconds=self.ready_after_s)

    def end_run(self, run: FakeRun, state: RunState, *, keep_driver: bool = False) -> None:
        """End a run, and its driver unless told otherwise."""
        run.state, run.ended_at = state, self.clock.now()
        run.has_driver = run.has_driver and keep_driver

    def is_listed(self, created_at: datetime) -> bool:
        """Tell whether a listing already shows what was created then."""
        return created_at + timedelta(seconds=self.listing_lag_s) <= self.clock.now()

    def cluster_sight(self, cluster: FakeCluster) -> ClusterSight:
        """Return a cluster as the port tells it."""
        ready = self._ready_at(cluster.external_id)
        state: Literal["starting", "ready", "dead"]
        state = "dead" if ready is None else "ready" if ready <= self.clock.now() else "starting"
        return ClusterSight(
            external_id=cluster.external_id,
            name=cluster.name,
            state=state,
            raw_state=state.upper(),
            reason_code=cluster.reason_code,
            failure_class=cluster.failure_class,
            created_at=cluster.created_at,
        )

    def run_sight(self, run: FakeRun) -> AttemptSight:
        """Return a run as the port tells it."""
        death = self.death_of(run) if run.ended_at is not None else Death(state="unknown")
        return AttemptSight(
            external_id=run.external_id,
            name=run.name,
            state=run.state,
            driver="dead" if run.state == "succeeded" else death.state,
            proof=death.proof or None,
            started_at=run.started_at,
            ended_at=run.ended_at,
            reason=run.reason,
        )

    def death_of(self, run: FakeRun | None) -> Death:
        """Return what is known of a run's driver."""
        if run is None:
            return Death(state="unknown", proof="no id is known")
        if run.state == "cancelled" and run.started_at is None:
            return Death(state="dead", proof="never started")
        cluster = self.clusters.get(run.cluster or "")
        if cluster is not None and cluster.dead_at is not None:
            return Death(state="dead", proof="cluster terminated")
        if not self.death_is_provable:
            return Death(state="unknown")
        if run.has_driver or run.ended_at is None:
            return Death(state="alive", proof="the driver runs")
        return Death(state="dead", proof="no process is left")
