"""What emrsim remembers of clusters and steps: plain records, changed under the engine's lock and saved as JSON.

Times are epoch seconds. `changed` marks what the next save has to write.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

STARTING, BOOTSTRAPPING, RUNNING, WAITING = "STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING"
TERMINATING, TERMINATED, TERMINATED_WITH_ERRORS = "TERMINATING", "TERMINATED", "TERMINATED_WITH_ERRORS"
PENDING, CANCEL_PENDING, COMPLETED, CANCELLED, FAILED = "PENDING", "CANCEL_PENDING", "COMPLETED", "CANCELLED", "FAILED"

ENDED_CLUSTER = frozenset({TERMINATED, TERMINATED_WITH_ERRORS})
READY_CLUSTER = frozenset({RUNNING, WAITING})
ACCEPTS_STEPS = frozenset({STARTING, BOOTSTRAPPING, RUNNING, WAITING})
ENDED_STEP = frozenset({COMPLETED, CANCELLED, FAILED, "INTERRUPTED"})
VISIBLE_STEPS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """One change of state, for whoever reports it; the step's members are None for a cluster's change."""

    at: float
    region: str
    cluster_id: str
    cluster_name: str
    state: str
    code: str | None = None
    message: str | None = None
    step_id: str | None = None
    step_name: str | None = None
    action_on_failure: str | None = None
    started: float | None = None
    has_steps: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How a step without a process ends."""

    ends_at: float
    exit_code: int
    message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doom:
    """Why a new cluster will fail, and the state (STARTING or BOOTSTRAPPING) at whose end it does."""

    state: str
    code: str
    message: str
    error_details: list[dict[str, Any]]


@dataclass(slots=True, kw_only=True, eq=False)
class StepRecord:
    """One step; `started` is None for a step that never ran, whatever its state."""

    id: str
    cluster_id: str
    seq: int
    name: str
    jar: str
    args: list[str]
    main_class: str | None
    properties: dict[str, str]
    action_on_failure: str
    execution_role_arn: str | None
    created: float
    state: str = PENDING
    started: float | None = None
    ended: float | None = None
    message: str | None = None
    failure: dict[str, str] | None = None
    cancelled_at: float | None = None
    cancel_kills: bool = False
    script: Script | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether the step has not reached its end."""
        return self.state not in ENDED_STEP

    @property
    def is_under_way(self) -> bool:
        """Tell whether the step was started and has not reached its end."""
        return self.is_open and self.started is not None

    @property
    def has_process(self) -> bool:
        """Tell whether a process of the step may be alive."""
        return self.is_under_way and self.script is None

    def to_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return asdict(self)


@dataclass(slots=True, kw_only=True)
class Instance:
    """One machine of a cluster, which exists only on paper."""

    id: str
    ec2_id: str
    type: str
    market: str
    private_ip: str


@dataclass(slots=True, kw_only=True)
class InstanceSet:
    """An instance group or fleet: the request's own configuration, an id and the machines."""

    id: str
    role: str
    config: dict[str, Any]
    instances: list[Instance]


@dataclass(slots=True, kw_only=True, eq=False)
class ClusterRecord:
    """One cluster with its steps in the order of their submission.

    `request` is RunJobFlow's input; what later calls may change has its own field. `end_state` and `terminate_at` are set while
    the cluster is on its way out. `news` are the changes of state that nobody has reported yet; `due` is when time alone changes
    something next.
    """

    id: str
    region: str
    request: dict[str, Any]
    created: float
    state_since: float
    auto_terminate: bool
    termination_protected: bool
    step_concurrency: int
    tags: dict[str, str]
    uses_fleets: bool
    instance_sets: list[InstanceSet]
    idle_timeout_s: int | None
    visible_to_all_users: bool
    state: str = STARTING
    reason_code: str | None = None
    reason_message: str | None = None
    ready: float | None = None
    ended: float | None = None
    end_state: str | None = None
    terminate_at: float | None = None
    idle_since: float | None = None
    managed_scaling: dict[str, Any] | None = None
    doom: Doom | None = None
    error_details: list[dict[str, Any]] = field(default_factory=list)
    steps: list[StepRecord] = field(default_factory=list)
    open_steps: list[StepRecord] = field(default_factory=list)
    changed: bool = True
    changed_steps: dict[str, StepRecord] = field(default_factory=dict)
    news: list[StateChange] = field(default_factory=list)
    due: float = float("-inf")

    @property
    def name(self) -> str:
        """The name the caller gave."""
        return str(self.request["Name"])

    @property
    def is_ended(self) -> bool:
        """Tell whether the cluster has reached its last state."""
        return self.state in ENDED_CLUSTER

    @property
    def has_failed_step(self) -> bool:
        """Tell whether any step failed."""
        return any(step.state == FAILED for step in self.steps)

    def visible_steps(self) -> list[StepRecord]:
        """Return the steps the API still shows, oldest first: the last 1,000 and those that have not ended."""
        cut = max(0, len(self.steps) - VISIBLE_STEPS)
        return [step for step in self.open_steps if step.seq <= cut] + self.steps[cut:]

    def shows(self, step: StepRecord) -> bool:
        """Tell whether `visible_steps` has the step."""
        return step.is_open or step.seq > len(self.steps) - VISIBLE_STEPS

    def enter(self, state: str, now: float, *, code: str | None = None, message: str | None = None) -> None:
        """Change the cluster's state."""
        self.state, self.state_since = state, now
        self.reason_code, self.reason_message = code, message
        self.changed = True
        self.tell(now)

    def tell(self, now: float) -> None:
        """Make the present state news."""
        self.news.append(
            StateChange(
                at=now,
                region=self.region,
                cluster_id=self.id,
                cluster_name=self.name,
                state=self.state,
                code=self.reason_code,
                message=self.reason_message,
                has_steps=bool(self.steps),
            )
        )

    def add_step(self, step: StepRecord) -> None:
        """Append a new step, or one read from the disk, in the order of their numbers."""
        self.steps.append(step)
        if step.is_open:
            self.open_steps.append(step)

    def move_step(self, step: StepRecord, state: str, now: float) -> None:
        """Change a step's state, make that news, and forget the step as open once it has ended."""
        step.state = state
        self.changed_steps[step.id] = step
        self.news.append(
            StateChange(
                at=now,
                region=self.region,
                cluster_id=self.id,
                cluster_name=self.name,
                state=state,
                step_id=step.id,
                step_name=step.name,
                action_on_failure=step.action_on_failure,
                started=step.started,
            )
        )
        if not step.is_open:
            self.open_steps.remove(step)

    def to_json(self) -> dict[str, Any]:
        """Return the stored form without the steps, which are stored one by one."""
        skipped = {"steps", "open_steps", "changed", "changed_steps", "news", "due"}
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in skipped}
        sets = [asdict(item) for item in self.instance_sets]
        return {**plain, "instance_sets": sets, "doom": None if self.doom is None else asdict(self.doom)}


def cluster_from_json(data: dict[str, Any]) -> ClusterRecord:
    """Rebuild a cluster from its stored form, without steps and with nothing left to save."""
    sets = [InstanceSet(**{**item, "instances": [Instance(**one) for one in item["instances"]]}) for item in data["instance_sets"]]
    doom = data.get("doom")
    return ClusterRecord(**{**data, "instance_sets": sets, "doom": None if doom is None else Doom(**doom), "changed": False})


def step_from_json(data: dict[str, Any]) -> StepRecord:
    """Rebuild a step from its stored form."""
    script = data.get("script")
    return StepRecord(**{**data, "script": None if script is None else Script(**script)})
