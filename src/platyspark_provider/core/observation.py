"""What an observed run changes: running, ended well, or over and proven (not) dead; called by `transitions` alone."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from platyspark_provider.core.app_state import AppState, Refused, end, enter, merged
from platyspark_provider.core.facts import AppObserved
from platyspark_provider.core.model import Attempt, Cluster, Failure
from platyspark_provider.core.records import Policy
from platyspark_provider.core.states import APP_SENT, AppPhase, ClusterPhase, FailureClass, LogState


def apply_observation(state: AppState, record: AppObserved, policy: Policy, actor: str, now: datetime) -> AppState | Refused:
    """Return the rows after what the backend reports, or why it can't be taken."""
    attempt = state.attempt
    if attempt.phase not in APP_SENT:
        return Refused(code="not_sent", message=f"The application is {attempt.phase.value}; nothing runs under its id.")
    if record.state == "gone" and record.driver != "dead" and not _is_missing_long(attempt, policy, now):
        missing = replace(attempt, empty_listings=1, last_listing_at=attempt.last_listing_at if attempt.empty_listings else now)
        return replace(state, attempt=missing)
    record = _without_machines(record, state.cluster, policy, now)
    seen = replace(
        state,
        attempt=replace(
            attempt,
            observed_at=now,
            empty_listings=attempt.empty_listings if record.state == "gone" else 0,
            started_at=attempt.started_at or record.started_at,
            external_detail=merged(attempt.external_detail, record.external_detail),
        ),
    )
    match record.state:
        case "pending":
            return seen
        case "running":
            return _seen_running(seen, actor, now)
        case "succeeded":
            return end(
                seen,
                AppPhase.SUCCEEDED,
                "Succeeded.",
                actor=actor,
                now=now,
                ended_at=record.ended_at or now,
                death_proof=record.proof or "succeeded",
                log_state=LogState.PENDING,
            )
        case "failed" | "cancelled":
            return _seen_over(seen, record, policy, actor, now)
        case "gone":
            return _seen_gone(seen, record, actor, now)
        case _:
            assert_never(record.state)


def _is_missing_long(attempt: Attempt, policy: Policy, now: datetime) -> bool:
    """Tell whether looks have missed the run for the settle window: after an outage of our own, one look says nothing.

    `last_listing_at` is the first look that missed it, while `empty_listings` is 1; a look that finds it resets that.
    """
    since = attempt.last_listing_at if attempt.empty_listings else None
    return since is not None and now >= since + timedelta(seconds=policy.settle_s)


def _without_machines(record: AppObserved, cluster: Cluster | None, policy: Policy, now: datetime) -> AppObserved:
    """Return the fact as it must be: what is listed as alive on a cluster that ended long ago was left behind by it.

    Within the settle window the list may only lag: the run may even have succeeded.
    """
    if record.state not in {"pending", "running"} or cluster is None or not cluster.phase.is_terminal or cluster.ended_at is None:
        return record
    if now < cluster.ended_at + timedelta(seconds=policy.settle_s):
        return record
    return replace(record, state="cancelled" if record.state == "pending" else "failed", driver="dead", proof="cluster terminated")


def _seen_running(state: AppState, actor: str, now: datetime) -> AppState:
    if state.attempt.phase is not AppPhase.PENDING:
        return state
    started = state.attempt.started_at or now
    return enter(state, AppPhase.RUNNING, "Running.", actor=actor, now=now, started_at=started)


def _seen_gone(state: AppState, record: AppObserved, actor: str, now: datetime) -> AppState:
    """A record that is no longer listed proves nothing while its cluster lives: the driver may, too."""
    attempt, cluster = state.attempt, state.cluster
    cluster_over = cluster is not None and cluster.phase.is_terminal
    if cluster is not None and not cluster_over and record.driver != "dead":
        return _not_proven(state, record, actor, now)
    proof = "cluster terminated" if cluster_over else record.proof or record.driver if record.driver == "dead" else None
    if _is_asked(attempt) and proof is not None:
        return end(state, AppPhase.STOPPED, f"Stopped ({proof}): {attempt.stop_reason}.", actor=actor, now=now, death_proof=proof)
    failure = Failure(klass=FailureClass.UNKNOWN, summary="The backend no longer knows this run; how it ended is unknown.")
    return end(
        state,
        AppPhase.LOST,
        failure.summary,
        actor=actor,
        now=now,
        failure=failure,
        failure_class=FailureClass.UNKNOWN,
        death_proof=proof,
    )


def _is_asked(attempt: Attempt) -> bool:
    """Tell whether a person or a task asked for the stop, as opposed to our own distrust of the backend's record."""
    return attempt.stop_requested_at is not None and attempt.stop_actor != "backend"


def _seen_over(state: AppState, record: AppObserved, policy: Policy, actor: str, now: datetime) -> AppState:
    """The backend's record is over; the attempt is over once its driver is proven dead."""
    attempt, cluster = state.attempt, state.cluster
    asked = _is_asked(attempt)
    never_ran = record.state == "cancelled" and attempt.started_at is None
    cluster_over = cluster is not None and cluster.phase.is_terminal
    if never_ran and not asked and cluster is not None and _may_be_ending(cluster, record, policy, now):
        return state  # how its cluster ends decides what becomes of it
    if never_ran and not asked and cluster_over and not _is_unstartable(cluster):
        back = enter(
            state,
            AppPhase.WAIT_CLUSTER,
            "Its cluster ended before it started; it is sent elsewhere, free of charge.",
            actor=actor,
            now=now,
            external_id=None,
            sent_at=None,
            cluster_id=None,
        )
        return replace(back, app=replace(back.app, cluster_id=None))
    proof = "never started" if never_ran else "cluster terminated" if cluster_over else record.proof or record.driver
    if not (never_ran or cluster_over or record.driver == "dead"):
        return _not_proven(state, record, actor, now)
    ended_at = record.ended_at or now
    if asked:
        message = f"Stopped ({proof}): {attempt.stop_reason}."
        return end(state, AppPhase.STOPPED, message, actor=actor, now=now, death_proof=proof, ended_at=ended_at)
    failure = _failure_at_end(attempt, record, cluster if cluster_over else None)
    return end(
        state,
        AppPhase.FAILED,
        failure.summary,
        actor=actor,
        now=now,
        death_proof=proof,
        ended_at=ended_at,
        failure=failure,
        failure_class=failure.klass,
    )


def _may_be_ending(cluster: Cluster, record: AppObserved, policy: Policy, now: datetime) -> bool:
    """Tell whether what cancelled a run that never started may be its cluster's end: EMR tells that of the steps first."""
    if cluster.phase is ClusterPhase.TERMINATING or (cluster.phase is ClusterPhase.DRAINING and cluster.failure_class is not None):
        return True
    is_fresh = record.ended_at is not None and now < record.ended_at + timedelta(seconds=policy.stop_grace_s)
    return is_fresh and not cluster.phase.is_terminal


def _is_unstartable(cluster: Cluster | None) -> bool:
    """Tell whether a cluster never became ready by its owner's fault: the next one would end alike."""
    return cluster is not None and cluster.failure_class is FailureClass.USER and cluster.healthy_since is None


def _failure_at_end(attempt: Attempt, record: AppObserved, cluster: Cluster | None) -> Failure:
    if cluster is not None and _is_unstartable(cluster):
        reason = cluster.observed_reason or cluster.observed_state
        return Failure(klass=FailureClass.USER, summary=f"Cluster {cluster.name} can't be started: {reason}")
    if cluster is not None:
        klass = cluster.failure_class or FailureClass.INFRASTRUCTURE
        return Failure(klass=klass, summary=f"Its cluster ended: {cluster.observed_reason or cluster.observed_state}", is_complete=False)
    if record.state == "cancelled" and attempt.stop_actor == "backend":
        return Failure(klass=FailureClass.UNKNOWN, summary=f"Ended by us, because {attempt.stop_reason}.", is_complete=False)
    if record.state == "cancelled":
        return Failure(klass=FailureClass.EXTERNAL_KILL, summary=f"Cancelled by somebody else. {record.reason}".strip())
    return Failure(klass=FailureClass.UNKNOWN, summary=record.reason or "The backend reports a failure.", is_complete=False)


def _not_proven(state: AppState, record: AppObserved, actor: str, now: datetime) -> AppState:
    """The record is over and the driver may live: the stop ladder ends it, and no second writer starts before."""
    if state.attempt.stop_requested_at is not None:
        return state
    asked = replace(
        state,
        attempt=replace(state.attempt, stop_requested_at=now, stop_actor="backend", stop_reason=_not_proven_reason(record)),
    )
    message = f"The backend reports {record.state}, but its driver is not proven dead ({record.driver}); ending it."
    return enter(asked, AppPhase.CANCELLING, message, actor=actor, now=now)


def _not_proven_reason(record: AppObserved) -> str:
    return f"the backend reports {record.state}" + (f": {record.reason}" if record.reason else "")
