"""The ports between rules and the world: `Clock`, `Registry`, `Backend`; the store's port is `store.base`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from platyspark_provider.core.facts import Record
from platyspark_provider.core.model import Cluster, Target
from platyspark_provider.core.records import AppDetail, Claim, ClaimRequest, Due, Ensured, KillAnswer, RecordAnswer, Snapshot, SubmitAnswer
from platyspark_provider.core.spec import AppRequest, ClusterRequest, ClusterSpec, ResolvedSpec


class Clock(Protocol):
    """The time of shells and drivers; rules take `now`."""

    def now(self) -> datetime:
        """Return the aware UTC time."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Registry(Protocol):
    """What the outside may ask of our tables; `RegistryService` answers, `HttpRegistry` carries.

    `ti_id` is the calling task instance. With it a caller acts on its own app alone; without it (None) the caller needs
    the `reconciler` scope. Every method raises `errors`; a refusal of one record is an answer, not an error.
    """

    def submit(self, request: AppRequest, *, ti_id: str, hold: bool = False) -> SubmitAnswer:
        """Find or make the app of this task, run governance, and say which generation to wait for.

        :param hold: nobody sends a new generation before `ready`, also where nothing has to be uploaded.
        """

    def ready(self, app_id: int, generation: int, *, ti_id: str) -> None:
        """Say that all files of the generation are at their addresses: from here on anyone may send it."""

    def detail(self, app_id: int, generation: int | None = None, *, ti_id: str | None = None) -> AppDetail:
        """Return one application with a generation (None: the current one)."""

    def acknowledge(self, app_id: int, generation: int, *, ti_id: str) -> None:
        """Say that the task has taken the end of this generation: it is never handed out again."""

    def kill(self, app_id: int, generation: int, *, ti_id: str, reason: str) -> KillAnswer:
        """Ask for a stop on behalf of a killed task; granted only if that try really owns the app and is over."""

    def snapshot(self) -> Snapshot:
        """Return all live and unacknowledged applications, and the clusters that were ensured and live or ended lately."""

    def ensure_cluster(self, request: ClusterRequest, *, ti_id: str, team: str | None = None, alongside: bool = True) -> Ensured:
        """Return the living cluster of a name and spec, or ask for one: a pass creates it.

        :param team: whose ceilings hold; None: the profile's, else that of the DAG's tag.
        :param alongside: False refuses another spec under a name that lives (`ClusterConflict`).
        """

    def end_cluster(
        self, cluster: str | int, action: Literal["drain", "terminate"], *, ti_id: str, force: bool = False
    ) -> tuple[Cluster, ...]:
        """Let a cluster end, by id or by name (then all that live under it): after the last application on it (`drain`), or at
        once (`terminate`; `ClusterInUse` with applications on it, unless `force` stops them). Nothing for one that has ended.
        """

    def cluster(self, cluster_id: int, *, ti_id: str) -> Cluster:
        """Return one cluster, also one that has ended."""

    def due(self, *, app_id: int | None = None, ti_id: str | None = None) -> Due:
        """Return all open work, or that of one application."""

    def claim(self, requests: Sequence[ClaimRequest], *, holder: str, ti_id: str | None = None) -> tuple[Claim, ...]:
        """Take leases; one answer per request, in order."""

    def release(self, claims: Sequence[Claim], *, ti_id: str | None = None) -> None:
        """Give leases back; a stale epoch is ignored."""

    def record(self, records: Sequence[Record], *, ti_id: str | None = None) -> tuple[RecordAnswer, ...]:
        """Record facts in order; each is taken or refused by itself."""

    def lease(self, name: str, *, holder: str, seconds: float) -> bool:
        """Take or renew a named lease (observer of a target, watchdog); False when another holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRef:
    """A cluster as a backend is asked about it."""

    id: int
    external_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRef:
    """A run as a backend is asked about it.

    :param name: its deterministic name; :param yarn_tag: how YARN knows its driver.
    :param cluster: the cluster's external id (None where the backend has no clusters).
    :param stop_stage: the last rung of the stop ladder that was climbed: what counts as proof of death depends on it.
    :param log_uri: the prefix that its cluster writes logs to, which need not be the one its own spec asked for; empty: the
        cluster writes none; None: not known, so the spec's counts.
    """

    app_id: int
    generation: int
    name: str
    yarn_tag: str
    cluster: str | None
    external_id: str | None
    spec: ResolvedSpec
    stop_stage: int = 0
    external_detail: Mapping[str, Any] = field(default_factory=dict)
    log_uri: str | None = None

    @property
    def log_prefix(self) -> str | None:
        """Return where logs are to be sought; None where none are written."""
        return (self.spec.cluster.log_uri if self.log_uri is None else self.log_uri) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSight:
    """One cluster as the backend reports it."""

    external_id: str
    name: str
    state: Literal["starting", "ready", "terminating", "dead"]
    raw_state: str
    reason_code: str = ""
    reason: str = ""
    failure_class: str | None = None
    created_at: datetime | None = None
    external_detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSight:
    """One run as the backend reports it; `driver` is set only where the backend asked beyond its own state."""

    external_id: str
    name: str
    state: Literal["pending", "running", "succeeded", "failed", "cancelled"]
    driver: Literal["alive", "dead", "unknown"] = "unknown"
    proof: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    external_detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sights:
    """What one batched look saw: by external id. What is asked for and absent was not listed; `failed` names
    clusters (external ids) that could not be asked this time, for the reasons in `failure`: their runs are unknown,
    not gone. `is_blind`: nothing at all could be asked, for another reason than a quota."""

    clusters: Mapping[str, ClusterSight] = field(default_factory=dict)
    attempts: Mapping[str, AttemptSight] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()
    failure: str = ""
    is_blind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One run to send."""

    name: str
    yarn_tag: str
    spec: ResolvedSpec
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """What is known of a driver's process."""

    state: Literal["alive", "dead", "unknown"]
    proof: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTail:
    """The end of a driver's log: up to 64 KB of text per stream.

    :param written_at: when it came to its place; None where the backend can't tell.
    """

    stderr: str
    stdout: str
    uri: str
    written_at: datetime | None = None


class Backend(Protocol):
    """Where Spark runs. Mutating calls try once: `BackendThrottled`, `BackendUnavailable` and `BackendRejected` mean not
    done, `ReplyLost` means done or not, `ClusterGone` means the cluster takes no work."""

    adopts_by: Literal["name", "token"]

    def create_cluster(self, spec: ClusterSpec, *, name: str, token: str, tags: Mapping[str, str]) -> str:
        """Create a cluster and return its external id."""

    def find_clusters(self, prefix: str) -> Sequence[ClusterSight]:
        """List the clusters whose name begins with `prefix`, ended ones of the last day included."""

    def terminate_cluster(self, external_id: str) -> None:
        """End a cluster; asking again is harmless."""

    def busy(self, external_id: str) -> str:
        """Return what still works on a cluster, in words, whoever sent it; "" for nothing, or for a cluster that has ended."""

    def submit(self, cluster: str | None, launches: Sequence[Launch]) -> Sequence[str]:
        """Send runs to one cluster in one call and return their external ids in order."""

    def find_attempts(self, cluster: str | None, names: Collection[str]) -> Mapping[str, Sequence[AttemptSight]]:
        """List runs by name, in any state, oldest first."""

    def observe(self, clusters: Sequence[ClusterRef], attempts: Sequence[AttemptRef]) -> Sights:
        """Look at many clusters and runs in as few calls as possible."""

    def stop(self, attempt: AttemptRef, stage: int) -> str:
        """Climb rung `stage` of the stop ladder and return what was done, in words."""

    def prove_dead(self, attempt: AttemptRef) -> Death:
        """Ask whether the driver's process is gone, by the best means that answers."""

    def read_log(self, attempt: AttemptRef) -> LogTail | None:
        """Return the end of the driver's log; None while it has not arrived."""

    def log_uri(self, attempt: AttemptRef) -> str | None:
        """Return where the driver's log is or will be."""


class Backends(Protocol):
    """Gives the backend of a target."""

    def of(self, target: Target) -> Backend:
        """Return the (cached) backend; raises `BackendUnavailable` when its connection can't be used."""
