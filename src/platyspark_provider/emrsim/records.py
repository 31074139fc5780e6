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

    @property
    def is_open(self) -> bool:
        """Tell whether the step has not reached its end."""
        return self.state not in ENDED_STEP

    @property
    def has_process(self) -> bool:
        """Tell whether a process of the step may be alive."""
        return self.is_open and self.started is not None

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
    the cluster is on its way out.
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
    error_details: list[dict[str, Any]] = field(default_factory=list)
    steps: list[StepRecord] = field(default_factory=list)
    open_steps: list[StepRecord] = field(default_factory=list)
    changed: bool = True
    changed_steps: dict[str, StepRecord] = field(default_factory=dict)

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
        if len(self.steps) <= VISIBLE_STEPS:
            return list(self.steps)
        cut = len(self.steps) - VISIBLE_STEPS
        return [step for step in self.steps[:cut] if step.is_open] + self.steps[cut:]

    def add_step(self, step: StepRecord) -> None:
        """Append a new step."""
        self.steps.append(step)
        if step.is_open:
            self.open_steps.append(step)
        self.changed_steps[step.id] = step

    def touch_step(self, step: StepRecord) -> None:
        """Mark a step as changed and forget it as open once it has ended."""
        self.changed_steps[step.id] = step
        if not step.is_open and step in self.open_steps:
            self.open_steps.remove(step)

    def to_json(self) -> dict[str, Any]:
        """Return the stored form without the steps, which are stored one by one."""
        skipped = {"steps", "open_steps", "changed", "changed_steps"}
        plain = {name: getattr(self, name) for name in self.__slots__ if name not in skipped}
        return {**plain, "instance_sets": [asdict(item) for item in self.instance_sets]}


def cluster_from_json(data: dict[str, Any]) -> ClusterRecord:
    """Rebuild a cluster from its stored form, without steps and with nothing left to save."""
    sets = [InstanceSet(**{**item, "instances": [Instance(**one) for one in item["instances"]]}) for item in data["instance_sets"]]
    return ClusterRecord(**{**data, "instance_sets": sets, "changed": False})


def step_from_json(data: dict[str, Any]) -> StepRecord:
    """Rebuild a step from its stored form."""
    return StepRecord(**data)
