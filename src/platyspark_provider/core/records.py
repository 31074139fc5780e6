"""What crosses the `Registry` port: questions and answers; the facts that an executor records are in `facts`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from platyspark_provider.core.model import App, Attempt, Cluster, Target
from platyspark_provider.core.states import AppPhase, ClusterPhase, LogState


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """What Airflow's own rows say about the task instance that asks.

    :param state: Airflow's word (`running`, `deferred`, ...); None when unset.
    :param is_current: the id is that of the current row, not of an archived try (which a clear leaves behind).
    :param owner: the task's owner from the serialized DAG.
    :param team: of a DAG tag `team:...`; None without one.
    """

    ti_id: str
    dag_id: str
    task_id: str
    run_id: str
    map_index: int
    try_number: int
    max_tries: int
    state: str | None
    is_current: bool
    owner: str = "airflow"
    team: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskKey:
    """Where a task instance stands in its DAG run; one row is current there, whichever try it is."""

    dag_id: str
    task_id: str
    run_id: str
    map_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """The newest generation of a live application whose end its task is still to take, and that nobody asked to stop."""

    app_id: int
    generation: int
    owner_ti_id: str
    task: TaskKey


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTry:
    """The archived row of an earlier try: its end state, and whether it was archived while deferred."""

    try_number: int
    state: str | None
    had_trigger: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitAnswer:
    """What a submit led to.

    :param outcome: `started` (new generation), `replacing` (a new one follows once the old is dead), `attached`,
        or `result` (the generation has ended and was not handed out yet).
    :param generation: the generation to wait for.
    :param missing_uploads: addresses of local files by sha256, to be uploaded unless they are there (HEAD first).
    """

    outcome: Literal["started", "replacing", "attached", "result"]
    app: App
    attempt: Attempt
    generation: int
    target: Target
    installation: str
    missing_uploads: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlace:
    """Why an application waits at this moment, computed when it is read.

    :param position: its place among those that wait for the same, from 1; 0 for one that has its cluster already.
    :param waiting: how many wait for the same, itself included.
    :param reason: a code (`cluster_full`, `team_quota`, `target_full`, `cluster_starting`, ...); `message` is for people.
    """

    position: int
    waiting: int
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AppDetail:
    """One application with the asked generation, its cluster and target.

    :param place: why it waits; None for a generation that does not.
    """

    app: App
    attempt: Attempt
    cluster: Cluster | None
    target: Target
    place: QueuePlace | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AppBrief:
    """One line of the snapshot: all that a waiting task needs to know whether to go on."""

    app_id: int
    generation: int
    wanted_generation: int
    phase: AppPhase
    log_state: LogState
    ended_at: datetime | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterBrief:
    """One line of the snapshot about a cluster that was asked for by itself.

    :param note: what it is at, or why it ended.
    """

    id: int
    name: str
    phase: ClusterPhase
    generation: int
    external_id: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All live and unacknowledged applications at one moment (database clock), and the clusters that tasks may wait for.

    :param clusters: those that were ensured and live, or ended within the last hour.
    """

    at: datetime
    apps: tuple[AppBrief, ...]
    clusters: tuple[ClusterBrief, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensured:
    """What asking for a cluster led to.

    :param siblings: other clusters that live under its name, with other specs.
    :param drained: siblings that take no more applications from now on, because they are replaced.
    """

    outcome: Literal["created", "reused"]
    cluster: Cluster
    siblings: tuple[Cluster, ...] = ()
    drained: tuple[Cluster, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AppWork:
    """An application with its current attempt, for an executor."""

    app: App
    attempt: Attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterLoad:
    """What a cluster has to do.

    :param active: live applications on it: from the moment they got it until they ended.
    :param stuck: those of them whose stop is unproven.
    :param last_used_at: when the last run there ended; None while any application is on it, and if none ever ran.
    """

    active: int = 0
    stuck: int = 0
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Everything that has open work: rows to observe and decide on.

    :param log_pending: ended attempts whose driver log has not arrived.
    :param loads: of `clusters`, by id, seen at the same moment.
    """

    at: datetime
    installation: str
    targets: tuple[Target, ...] = ()
    apps: tuple[AppWork, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    log_pending: tuple[AppWork, ...] = ()
    loads: Mapping[int, ClusterLoad] = field(default_factory=dict)
    policy: "Policy" = field(default_factory=lambda: Policy())


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The numbers that decisions use; they come from `[platyspark]` of the api-server and from profiles.yaml.

    :param settle_s: seconds after a lost reply until a re-send is legal (read timeout 60 + listing lag 180 + margin).
    :param lease_s: seconds a claim holds; longer than connect 5 + read 60.
    :param log_deadline_s: seconds after the end at which the log is given up.
    :param stop_grace_s: seconds from one rung of the stop ladder to the next.
    :param team_max_apps: how many applications of a team may be on clusters at once; under "" for teams without an own entry.
    :param max_clusters: how many clusters a target may have at once, by its name.
    """

    settle_s: float = 300.0
    settle_gap_s: float = 5.0
    lease_s: float = 120.0
    log_deadline_s: float = 1800.0
    stop_grace_s: float = 60.0
    start_deadline_s: float = 1500.0
    team_max_apps: Mapping[str, int] = field(default_factory=dict)
    max_clusters: Mapping[str, int] = field(default_factory=dict)

    def max_apps_of(self, team: str) -> int | None:
        """Return how many applications of a team may be on clusters at once; None: any number."""
        return self.team_max_apps.get(team, self.team_max_apps.get(""))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """Ask for the right to act on one row."""

    kind: Literal["app", "cluster"]
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The answer: `epoch` fences every later write; None when somebody else holds the row."""

    kind: Literal["app", "cluster"]
    id: int
    epoch: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAnswer:
    """Whether the fact was taken; if not, `refusal` is the code and `message` says why (nothing was written)."""

    accepted: bool
    refusal: str | None = None
    message: str = ""
    work: AppWork | None = None
    cluster: Cluster | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KillAnswer:
    """Whether a stop was recorded; a moved trigger or a try that a newer one replaced gets `granted=False`."""

    granted: bool
    reason: str
