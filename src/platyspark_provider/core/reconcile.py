"""What to do next for one application or cluster: rows and time in, one action out; the shell applies it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from platyspark_provider.core.facts import AppObserved, ClusterObserved
from platyspark_provider.core.keys import AttemptName, ClusterName
from platyspark_provider.core.model import App, Attempt, Cluster
from platyspark_provider.core.placement import takes_applications
from platyspark_provider.core.ports import AttemptSight, ClusterSight, Death
from platyspark_provider.core.records import ClusterLoad, Policy
from platyspark_provider.core.states import (
    APP_SENT,
    CLUSTER_ACCEPTS_WORK,
    AppPhase,
    ClusterDesired,
    ClusterPhase,
    DeployMode,
    FailureClass,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """Give the application a cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Commit an intent and send the application to its cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookFor:
    """List by name: the reply of a send or create was lost, or its sender died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Nothing but to observe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Nothing can be done yet, for a reason that `core.queue_words` tells people."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """The application can't run as asked."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Climb:
    """Climb this rung of the stop ladder."""

    stage: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUpStop:
    """Every rung was climbed and death is not proven."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Commit an intent and create the cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Commit that the cluster gets no more applications; `why` and `reason` as in `ClusterDrainIntended`."""

    why: Literal["idle", "late", "asked"]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminate:
    """End the cluster, on which no application of ours is.

    :param if_quiet: only when its backend finds nothing else at work there.
    """

    if_quiet: bool


# An unproven stop is tried again after this many times the ladder's grace: ten minutes by default.
STOP_AGAIN_GRACES = 10

AppAction = Assign | Send | LookFor | Watch | Hold | Fail | Climb | GiveUpStop
ClusterAction = Create | LookFor | Watch | Hold | Drain | Terminate


def attempt_name(app: App, attempt: Attempt, installation: str) -> AttemptName:
    """Return the name of a generation's run at the backend."""
    return AttemptName(installation=installation, app_id=app.id, generation=attempt.generation)


def cluster_name(cluster: Cluster, installation: str, *, send: int) -> ClusterName:
    """Return the name under which one create call of a cluster goes out."""
    return ClusterName(
        environment=cluster.environment,
        pool=cluster.name,
        key=cluster.cluster_key,
        installation=installation,
        generation=cluster.generation,
        send=send,
    )


def decide_cluster(cluster: Cluster, *, policy: Policy, now: datetime, load: ClusterLoad | None = None) -> ClusterAction:
    """Return what brings a cluster row forward; the caller holds its lease, so no other creator is at work.

    :param load: what was on it when its row was read; None: not known, so it is not ended for want of work.
    :param now: when the pass began: only a cluster that it has seen starting can be too late.
    """
    if cluster.next_reconcile_at is not None and cluster.next_reconcile_at > now:
        return Hold(reason="backoff", message=f"Cluster {cluster.name} is tried again at {cluster.next_reconcile_at:%H:%M:%S}.")
    is_wanted = cluster.desired is ClusterDesired.UP
    match cluster.phase:
        case ClusterPhase.INTENT if is_wanted:
            return Create()
        case ClusterPhase.CREATING | ClusterPhase.AMBIGUOUS:
            return LookFor()
        case ClusterPhase.INTENT | ClusterPhase.STARTING | ClusterPhase.READY if not is_wanted:
            return Drain(why="asked", reason="its end was asked for")
        case ClusterPhase.STARTING:
            return _late(cluster, policy, now)
        case ClusterPhase.READY:
            return _idle(cluster, load, now)
        case ClusterPhase.DRAINING:
            return _end(cluster, load)
        case _:
            return Watch()


def _late(cluster: Cluster, policy: Policy, now: datetime) -> ClusterAction:
    late = (cluster.create_sent_at or cluster.created_at) + timedelta(seconds=policy.start_deadline_s)
    if cluster.observed_at is None or not cluster.observed_at >= now >= late:
        return Watch()
    return Drain(why="late", reason=f"not ready {policy.start_deadline_s:.0f} s after it was created (start_deadline)")


def _idle(cluster: Cluster, load: ClusterLoad | None, now: datetime) -> ClusterAction:
    """Nothing of ours was on it for its idle timeout: EMR's own clock is the last resort alone, for it can race a join."""
    if load is None or load.active or cluster.healthy_since is None:
        return Watch()
    since = max(cluster.healthy_since, load.last_used_at or cluster.healthy_since)
    timeout = timedelta(seconds=cluster.spec.idle_timeout_s)
    return Watch() if now < since + timeout else Drain(why="idle", reason=f"idle for {timeout} (idle_timeout)")


def _end(cluster: Cluster, load: ClusterLoad | None) -> ClusterAction:
    """End a draining cluster when the last application left it; what can't be proven dead elsewise ends with a cluster that is to go."""
    if cluster.failure_class is not None:
        return Terminate(if_quiet=False)
    left = None if load is None else load.active - (load.stuck if cluster.desired is ClusterDesired.DOWN else 0)
    return Watch() if left != 0 else Terminate(if_quiet=cluster.desired is not ClusterDesired.DOWN)


def decide_app(app: App, attempt: Attempt, cluster: Cluster | None, *, policy: Policy, now: datetime) -> AppAction:
    """Return what brings an application forward; the caller holds its lease.

    :param cluster: the app's cluster as last known; None if it has none.
    """
    match attempt.phase:
        case AppPhase.NEW:
            return Hold(reason="files", message="Its task has not uploaded its files yet.")
        case AppPhase.WAIT_CLUSTER:
            return _place(app, cluster, now)
        case AppPhase.SENDING | AppPhase.AMBIGUOUS:
            return LookFor()
        case AppPhase.CANCELLING:
            return _stop(attempt, policy, now)
        case AppPhase.STOP_UNPROVEN:
            return _stop_again(attempt, policy, now)
        case _:
            return Watch()


def _place(app: App, cluster: Cluster | None, now: datetime) -> AppAction:
    if app.next_reconcile_at is not None and app.next_reconcile_at > now:
        return Hold(reason="backoff", message=f"The backend asked to wait; it is sent at {app.next_reconcile_at:%H:%M:%S} UTC.")
    if cluster is None:
        return Assign()
    if cluster.phase is ClusterPhase.FAILED and cluster.failure_class is FailureClass.USER:
        return Fail(message=f"Cluster {cluster.name} can't be created: {cluster.observed_reason}")
    if cluster.phase in CLUSTER_ACCEPTS_WORK:
        return Send()
    if not takes_applications(cluster):
        return Assign()
    return Hold(reason="cluster", message=f"Cluster {cluster.name} is {cluster.phase.value}.")


def last_stage(attempt: Attempt) -> int:
    """Return the highest rung of the attempt's stop ladder (what each does: `Backend.stop`)."""
    if attempt.spec.deploy_mode is DeployMode.CLIENT:
        return 2
    return 4 if attempt.spec.cluster.dedicated else 3


def _stop(attempt: Attempt, policy: Policy, now: datetime) -> AppAction:
    if attempt.stop_stage_at is None:
        return Climb(stage=1)
    if now < attempt.stop_stage_at + timedelta(seconds=policy.stop_grace_s):
        return Watch()
    if attempt.stop_stage >= last_stage(attempt):
        return GiveUpStop()
    return Climb(stage=attempt.stop_stage + 1)


def _stop_again(attempt: Attempt, policy: Policy, now: datetime) -> AppAction:
    """Climb the last rung again now and then: what could not be reached when it mattered may be reachable now."""
    pause = timedelta(seconds=STOP_AGAIN_GRACES * policy.stop_grace_s)
    if attempt.stop_stage_at is None or now < attempt.stop_stage_at + pause:
        return Watch()
    return Climb(stage=last_stage(attempt))


def needs_proof(attempt: Attempt, sight: AttemptSight | None = None) -> bool:
    """Tell whether the backend is to be asked for the driver's death beyond its own record.

    That is so once a rung was climbed, and for a record that is over and leaves open what became of its driver: a job that
    simply failed need not wait for the ladder.
    """
    if attempt.phase in {AppPhase.CANCELLING, AppPhase.STOP_UNPROVEN} and attempt.stop_stage > 0:
        return True
    return sight is not None and sight.state in {"failed", "cancelled"} and sight.driver == "unknown"


def is_proof_due(attempt: Attempt, *, policy: Policy, now: datetime) -> bool:
    """Tell whether to ask for a proof in this pass; once every means was tried, one question in each grace of the ladder is enough."""
    grace = timedelta(seconds=policy.stop_grace_s)
    if attempt.phase is not AppPhase.STOP_UNPROVEN or attempt.stop_stage_at is None or attempt.observed_at is None or not grace:
        return True
    return (now - attempt.stop_stage_at) // grace > (attempt.observed_at - attempt.stop_stage_at) // grace


def app_fact(app: App, attempt: Attempt, sight: AttemptSight | None, death: Death | None, *, epoch: int) -> AppObserved | None:
    """Return the fact that a look amounts to; None when it says nothing.

    :param sight: None when the run was not listed although its cluster answered.
    :param death: the answer to `prove_dead`, if it was asked.
    """
    if attempt.phase not in APP_SENT:
        return None
    if sight is None:
        return _unlisted(app, attempt, death, epoch=epoch)
    dead = death is not None and death.state == "dead"
    state = "cancelled" if dead and sight.state in {"pending", "running"} else sight.state
    return AppObserved(
        app_id=app.id,
        generation=attempt.generation,
        epoch=epoch,
        state=state,
        driver=death.state if death is not None and death.state != "unknown" else sight.driver,
        proof=death.proof if death is not None and dead else sight.proof,
        started_at=sight.started_at,
        ended_at=sight.ended_at,
        reason=sight.reason,
        external_detail=sight.external_detail,
    )


def _unlisted(app: App, attempt: Attempt, death: Death | None, *, epoch: int) -> AppObserved:
    """A run that is not listed: proven dead, or missing, which counts only after a while (`core.observation`)."""
    if death is not None and death.state == "dead":
        return AppObserved(app_id=app.id, generation=attempt.generation, epoch=epoch, state="cancelled", driver="dead", proof=death.proof)
    return AppObserved(app_id=app.id, generation=attempt.generation, epoch=epoch, state="gone")


def is_unknown(cluster: Cluster, *, policy: Policy, now: datetime) -> bool:
    """Tell whether a cluster that its backend does not show is more than too new to be shown."""
    return now >= (cluster.create_sent_at or cluster.created_at) + timedelta(seconds=policy.settle_s)


def cluster_fact(cluster: Cluster, sight: ClusterSight, *, epoch: int) -> ClusterObserved:
    """Return the fact that a look at a cluster amounts to."""
    return ClusterObserved(
        cluster_id=cluster.id,
        epoch=epoch,
        state=sight.state,
        raw_state=sight.raw_state,
        reason_code=sight.reason_code,
        reason=sight.reason,
        failure_class=sight.failure_class,
        external_detail=sight.external_detail,
    )
