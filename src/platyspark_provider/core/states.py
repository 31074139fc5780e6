"""The words for kinds, desired states, phases and failure classes; no transitions here (see `transitions`)."""

from enum import StrEnum


class AppKind(StrEnum):
    """How long an application wants to live."""

    BATCH = "batch"
    STREAMING = "streaming"


class AppDesired(StrEnum):
    """What the owner wants of an application."""

    COMPLETED = "completed"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class AppPhase(StrEnum):
    """Where the current generation of an application is."""

    NEW = "new"  # claimed; its files may still be missing at the artifacts prefix
    WAIT_CLUSTER = "wait_cluster"  # files are there; needs a cluster that takes work
    SENDING = "sending"  # the intent is committed; the call may have left
    AMBIGUOUS = "ambiguous"  # the reply was lost: look by name before the next send
    PENDING = "pending"  # the backend has it, its driver has not started
    RUNNING = "running"
    CANCELLING = "cancelling"  # a stop was asked for; not proven dead yet
    STOP_UNPROVEN = "stop_unproven"  # every means was tried and death can't be proven: nothing starts
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"  # cluster and record are gone: how it ended is unknown
    STOPPED = "stopped"

    @property
    def is_terminal(self) -> bool:
        """Tell whether this generation has ended for good."""
        return self in APP_TERMINAL


APP_TERMINAL = frozenset({AppPhase.SUCCEEDED, AppPhase.FAILED, AppPhase.LOST, AppPhase.STOPPED})
APP_SENT = frozenset({AppPhase.PENDING, AppPhase.RUNNING, AppPhase.CANCELLING, AppPhase.STOP_UNPROVEN})


class ClusterDesired(StrEnum):
    """What the platform wants of a cluster."""

    UP = "up"
    DRAINED = "drained"
    DOWN = "down"


class ClusterPhase(StrEnum):
    """Where one incarnation of a cluster is."""

    INTENT = "intent"  # row only: nothing was sent
    CREATING = "creating"  # the create call may have left; no id yet
    AMBIGUOUS = "ambiguous"
    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    TERMINATING = "terminating"
    DEAD = "dead"
    FAILED = "failed"

    @property
    def is_terminal(self) -> bool:
        """Tell whether this incarnation is over."""
        return self in {ClusterPhase.DEAD, ClusterPhase.FAILED}


CLUSTER_ACCEPTS_WORK = frozenset({ClusterPhase.STARTING, ClusterPhase.READY})


class FailureClass(StrEnum):
    """Whose fault a failure is; decides retry, restart and the message."""

    USER = "user"
    INFRASTRUCTURE = "infrastructure"
    CAPACITY = "capacity"
    EXTERNAL_KILL = "external_kill"
    LIMIT = "limit"
    THRASH = "thrash"
    UNKNOWN = "unknown"

    @property
    def is_retryable(self) -> bool:
        """Tell whether running the same thing again can help; unknown counts as yes."""
        return self not in {FailureClass.USER, FailureClass.LIMIT, FailureClass.THRASH}


class LogState(StrEnum):
    """Whether the driver's log has reached our tables."""

    NONE = "none"  # not ended yet, or nothing ran
    PENDING = "pending"
    ARRIVED = "arrived"
    MISSING = "missing"  # looked for until the deadline


class DeployMode(StrEnum):
    """Where the driver lives (spark-submit's `--deploy-mode`)."""

    CLUSTER = "cluster"
    CLIENT = "client"


class Reuse(StrEnum):
    """What a submit under a known key may be answered with."""

    RUNNING = "running"
    RESULT = "result"
    NEVER = "never"


class OnLimit(StrEnum):
    """What happens when `max_runtime` is over."""

    CANCEL = "cancel"
    ALERT = "alert"
