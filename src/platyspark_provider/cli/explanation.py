"""Why an application is where it is, in plain words: what it waits for, since when, what comes next, or how it failed; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from platyspark_provider.cli.words import age, clock_time
from platyspark_provider.core.model import Attempt, Cluster, Event
from platyspark_provider.core.records import AppDetail
from platyspark_provider.core.states import AppPhase, ClusterPhase
from platyspark_provider.errors import PlatySparkError
from platyspark_provider.operators.outcome import raise_unless_succeeded

LAST_EVENTS = 5
PASSES_ARE_LATE = timedelta(minutes=15)

_PHASES = {
    AppPhase.NEW: "waits for its files to reach the artifacts prefix",
    AppPhase.WAIT_CLUSTER: "waits for a cluster",
    AppPhase.SENDING: "is being sent to its cluster",
    AppPhase.AMBIGUOUS: "may have been sent: the reply was lost, and the cluster is asked for it before it is sent again",
    AppPhase.PENDING: "was sent; its driver has not started yet",
    AppPhase.RUNNING: "runs",
    AppPhase.CANCELLING: "is being stopped",
    AppPhase.STOP_UNPROVEN: "was told to stop and is not proven dead, so nothing else starts under its key",
    AppPhase.SUCCEEDED: "succeeded",
    AppPhase.FAILED: "failed",
    AppPhase.LOST: "was lost: how it ended is unknown",
    AppPhase.STOPPED: "was stopped",
}
_CLUSTER_PHASES = {
    ClusterPhase.INTENT: "is to be created; nothing was sent yet",
    ClusterPhase.CREATING: "is being created",
    ClusterPhase.AMBIGUOUS: "may have been created: the reply was lost, and the backend is asked for it",
    ClusterPhase.STARTING: "is starting",
    ClusterPhase.READY: "is ready",
    ClusterPhase.DRAINING: "takes no more work and ends after its last application",
    ClusterPhase.TERMINATING: "is being terminated",
    ClusterPhase.DEAD: "has ended",
    ClusterPhase.FAILED: "failed",
}
_OURS_TO_MOVE = frozenset(AppPhase) - {AppPhase.SUCCEEDED, AppPhase.FAILED, AppPhase.LOST, AppPhase.STOPPED, AppPhase.NEW}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What there is to say about one application.

    :param queue: why it waits for its turn; empty when it does not.
    :param next: what will happen, and when; empty after the end.
    :param card: how it ended otherwise than well, as its task's log has it.
    """

    app_id: int
    name: str
    generation: int
    phase: str
    summary: str
    since: datetime | None
    queue: str
    cluster: str
    notes: tuple[str, ...]
    next: str
    events: tuple[str, ...]
    card: str

    def lines(self) -> list[str]:
        """Return it for people."""
        facts = [("queue", self.queue), ("cluster", self.cluster), *(("note", note) for note in self.notes), ("next", self.next)]
        lines = [self.summary, *(f"  {label}: {text}" for label, text in facts if text)]
        if self.events:
            lines += ["  last events:", *(f"    {event}" for event in self.events)]
        return [*lines, "", self.card] if self.card else lines


def explain(detail: AppDetail, events: Sequence[Event], *, passes: Mapping[str, datetime], now: datetime) -> Explanation:
    """Return why the generation of `detail` is where it is.

    :param events: of the application, oldest first.
    :param passes: when the watchdog and the observers let go of their leases, or will.
    """
    app, attempt = detail.app, detail.attempt
    since = _since(attempt)
    span = f" since {clock_time(since)} ({age(now - since)})" if since and not attempt.phase.is_terminal else ""
    ended = f" at {clock_time(attempt.ended_at)}" if attempt.phase.is_terminal and attempt.ended_at else ""
    return Explanation(
        app_id=app.id,
        name=app.name,
        generation=attempt.generation,
        phase=attempt.phase.value,
        summary=f"{app.name} (application {app.id}, generation {attempt.generation}) {_PHASES[attempt.phase]}{ended}{span}.",
        since=since,
        queue=detail.place.message if detail.place and not attempt.phase.is_terminal else "",
        cluster="" if detail.cluster is None or attempt.phase.is_terminal else _cluster(detail.cluster, now),
        notes=tuple(_notes(detail)),
        next=_next(detail, passes, now),
        events=tuple(f"{clock_time(event.at)} {event.kind}: {event.message} ({event.actor})" for event in events[-LAST_EVENTS:]),
        card=failure_text(detail),
    )


def failure_text(detail: AppDetail) -> str:
    """Return how an application ended otherwise than well, word for word as its task's log has it; empty for all else."""
    if not detail.attempt.phase.is_terminal:
        return ""
    try:
        raise_unless_succeeded(detail)
    except PlatySparkError as error:
        return str(error)
    return ""


def as_row(explanation: Explanation) -> dict[str, Any]:
    """Return it for programs."""
    return {name: getattr(explanation, name) for name in explanation.__slots__}


def _since(attempt: Attempt) -> datetime | None:
    moments = {
        AppPhase.NEW: attempt.created_at,
        AppPhase.WAIT_CLUSTER: attempt.created_at,
        AppPhase.SENDING: attempt.sent_at,
        AppPhase.AMBIGUOUS: attempt.sent_at,
        AppPhase.PENDING: attempt.submitted_at,
        AppPhase.RUNNING: attempt.started_at,
        AppPhase.CANCELLING: attempt.stop_requested_at,
        AppPhase.STOP_UNPROVEN: attempt.stop_requested_at,
    }
    return moments.get(attempt.phase, attempt.ended_at)


def _cluster(cluster: Cluster, now: datetime) -> str:
    known = f", {cluster.external_id}" if cluster.external_id else ""
    seen = f"; the backend says {cluster.observed_state}" if cluster.observed_state else ""
    reason = f" ({cluster.observed_reason})" if cluster.observed_reason else ""
    created = f", created {age(now - cluster.created_at)} ago"
    return f"{cluster.name} ({cluster.id}{known}) {_CLUSTER_PHASES[cluster.phase]}{created}{seen}{reason}"


def _notes(detail: AppDetail) -> list[str]:
    app, attempt = detail.app, detail.attempt
    notes = [condition.message for condition in app.conditions if not detail.place or condition.message != detail.place.message]
    if attempt.stop_requested_at and not attempt.phase.is_terminal:
        notes.append(f"stop asked for by {attempt.stop_actor}: {attempt.stop_reason or 'no reason given'}")
    if app.wanted_generation > attempt.generation and not attempt.phase.is_terminal:
        notes.append(f"generation {app.wanted_generation} follows once this one is proven dead")
    return notes if not attempt.phase.is_terminal else []


def _next(detail: AppDetail, passes: Mapping[str, datetime], now: datetime) -> str:
    """Return what happens next; where nobody makes passes, that is what has to be told."""
    app, attempt = detail.app, detail.attempt
    if attempt.phase is AppPhase.NEW:
        return "its task (or who submitted it) uploads the files; nothing is sent before"
    if attempt.phase not in _OURS_TO_MOVE:
        return ""
    late = _late(passes, now)
    if late:
        return late
    if app.lease.is_held(now):
        return f"{app.lease.owner} is at work on it now"
    if app.next_reconcile_at is not None and app.next_reconcile_at > now:
        return f"looked at again at {clock_time(app.next_reconcile_at)} (in {age(app.next_reconcile_at - now)})"
    return "looked at in the next pass: the observer makes one every few seconds, the watchdog every five minutes"


def _late(passes: Mapping[str, datetime], now: datetime) -> str:
    newest = max(passes.values(), default=None)
    if newest is None:
        return "nobody has made a pass yet; see `airflow platyspark doctor`"
    if now - newest > PASSES_ARE_LATE:
        return f"nobody has made a pass for {age(now - newest)}; see `airflow platyspark doctor`"
    return ""
