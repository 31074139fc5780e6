"""The facts that an executor records, each naming the row, the generation and the epoch of its claim; `Record` is any of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from platyspark_provider.core.model import Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAssigned:
    """Ask the store to give the application a cluster of its spec: join the live one or insert an intent."""

    app_id: int
    generation: int
    epoch: int
    kind: Literal["cluster_assigned"] = "cluster_assigned"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendIntended:
    """Commit the intent to send; refused when a send may be under way, a stop was asked for, or the try is stale."""

    app_id: int
    generation: int
    epoch: int
    nonce: str
    kind: Literal["send_intended"] = "send_intended"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendEnded:
    """What became of the send: `sent` (id known), `throttled` and `cluster_gone` (not done), `lost`, `rejected`.

    :param nonce: of the send that ended; only its own sender knows that a refusal left nothing behind.
    """

    app_id: int
    generation: int
    epoch: int
    result: Literal["sent", "throttled", "unavailable", "cluster_gone", "lost", "rejected"]
    external_id: str | None = None
    external_detail: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    retry_after_s: float = 0.0
    nonce: str | None = None
    kind: Literal["send_ended"] = "send_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendLookedFor:
    """A listing by name after a lost reply: the id it found, or None.

    :param may_repeat: the backend adopts by token, so sending again is harmless at once.
    """

    app_id: int
    generation: int
    epoch: int
    external_id: str | None
    external_detail: Mapping[str, Any] = field(default_factory=dict)
    may_repeat: bool = False
    kind: Literal["send_looked_for"] = "send_looked_for"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppObserved:
    """What the backend reports of a run.

    :param state: `pending`, `running`, `succeeded`, `failed`, `cancelled` or `gone` (record no longer listed).
    :param driver: `alive`, `dead` or `unknown`: whether the driver's process is proven to be (not) there.
    :param proof: how death was proven, when it was.
    """

    app_id: int
    generation: int
    epoch: int
    state: Literal["pending", "running", "succeeded", "failed", "cancelled", "gone"]
    driver: Literal["alive", "dead", "unknown"] = "unknown"
    proof: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    external_detail: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["app_observed"] = "app_observed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAdvanced:
    """One rung of the stop ladder was climbed, or the ladder's end was reached without proof (`unproven`)."""

    app_id: int
    generation: int
    epoch: int
    stage: int
    message: str
    unproven: bool = False
    kind: Literal["stop_advanced"] = "stop_advanced"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLookedFor:
    """The driver's log was looked for: `tail` and the classified failure when it is there, else None.

    :param result: what the job itself reported in it.
    """

    app_id: int
    generation: int
    tail: str | None
    log_uri: str | None
    failure: Failure | None = None
    given_up: bool = False
    result: Mapping[str, Any] | None = None
    kind: Literal["log_looked_for"] = "log_looked_for"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateIntended:
    """Commit the intent to create a cluster."""

    cluster_id: int
    epoch: int
    nonce: str
    kind: Literal["create_intended"] = "create_intended"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateEnded:
    """What became of the create call."""

    cluster_id: int
    epoch: int
    result: Literal["created", "throttled", "unavailable", "lost", "rejected"]
    external_id: str | None = None
    message: str = ""
    retry_after_s: float = 0.0
    kind: Literal["create_ended"] = "create_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateLookedFor:
    """A listing by name after a lost reply: the id it found, or None; `may_repeat` as in `SendLookedFor`."""

    cluster_id: int
    epoch: int
    external_id: str | None
    may_repeat: bool = False
    kind: Literal["create_looked_for"] = "create_looked_for"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterDrainIntended:
    """Commit that a cluster gets no more applications, before anything is done to end it.

    :param why: `idle`: refused `in_use` while an application is on it and `kept` while its pool needs it; `late`: it takes
        too long to start, and its applications go elsewhere; `asked`: somebody wished its end before it had an id.
    """

    cluster_id: int
    epoch: int
    why: Literal["idle", "late", "asked"]
    reason: str
    kind: Literal["cluster_drain_intended"] = "cluster_drain_intended"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterObserved:
    """What the backend reports of a cluster, in our words and (`raw_state`) in its own."""

    cluster_id: int
    epoch: int
    state: Literal["starting", "ready", "terminating", "dead"]
    raw_state: str
    reason_code: str = ""
    reason: str = ""
    failure_class: str | None = None
    external_detail: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["cluster_observed"] = "cluster_observed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Why nothing was done for a row, so that everyone can read it; not an event."""

    app_id: int
    generation: int
    epoch: int
    reason: str
    message: str
    kind: Literal["waiting"] = "waiting"


Record = (
    ClusterAssigned
    | SendIntended
    | SendEnded
    | SendLookedFor
    | AppObserved
    | StopAdvanced
    | LogLookedFor
    | CreateIntended
    | CreateEnded
    | CreateLookedFor
    | ClusterDrainIntended
    | ClusterObserved
    | Waiting
)
