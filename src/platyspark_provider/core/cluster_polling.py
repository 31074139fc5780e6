"""How a task waits for a cluster: one generator that a worker's loop and the triggerer's stream both drive (see `polling`)."""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from platyspark_provider.core.model import Cluster
from platyspark_provider.core.polling import Blind, Describe, Sleep, WaitRule, watch
from platyspark_provider.core.records import ClusterBrief
from platyspark_provider.core.states import ClusterPhase


class Goal(StrEnum):
    """What is waited for: that a cluster takes work, or that it has ended."""

    READY = "ready"
    OVER = "over"


class ClusterOutcome(StrEnum):
    """Why a wait ended; how the cluster is, is read from the registry by the resumed task."""

    REACHED = "reached"
    ENDED = "ended"
    MISSING = "missing"
    BLIND = "blind"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSeen:
    """A look that worked.

    :param moment: monotonic seconds of the looker.
    :param brief: None when the cluster is not among those that were ensured and live, or ended lately.
    """

    moment: float
    brief: ClusterBrief | None


ClusterLook = ClusterSeen | Blind
ClusterWaiting = Generator[Describe | Sleep, ClusterLook | None, "ClusterEvent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEvent:
    """The one thing that resumes a waiting task."""

    cluster_id: int
    outcome: ClusterOutcome
    message: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the event as Airflow stores it."""
        return {"cluster_id": self.cluster_id, "outcome": self.outcome.value, "message": self.message}


def cluster_event_from_dict(values: dict[str, Any]) -> ClusterEvent:
    """Rebuild an event; fields of a newer version are ignored."""
    return ClusterEvent(
        cluster_id=int(values["cluster_id"]), outcome=ClusterOutcome(values["outcome"]), message=str(values.get("message", ""))
    )


def wait_for_cluster(cluster_id: int, goal: Goal, *, rule: WaitRule) -> ClusterWaiting:
    """Watch until the goal is reached or can't be."""

    def judged(look: ClusterSeen) -> ClusterOutcome | None:
        return judge_cluster(look.brief, goal)

    outcome, message = yield from watch(judged, what="cluster", missing=ClusterOutcome.MISSING, blind=ClusterOutcome.BLIND, rule=rule)
    return ClusterEvent(cluster_id=cluster_id, outcome=outcome, message=message)


def judge_cluster(brief: ClusterBrief | None, goal: Goal) -> ClusterOutcome | None:
    """Return what one look means; None to go on. MISSING may be a snapshot older than the asking."""
    if brief is None:
        return ClusterOutcome.MISSING
    if goal is Goal.OVER:
        return ClusterOutcome.REACHED if brief.phase.is_terminal else None
    if brief.phase is ClusterPhase.READY:
        return ClusterOutcome.REACHED
    is_ending = brief.phase in {ClusterPhase.DRAINING, ClusterPhase.TERMINATING} or brief.phase.is_terminal
    return ClusterOutcome.ENDED if is_ending else None


def brief_from_cluster(cluster: Cluster, *, now: datetime) -> ClusterBrief:
    """Return a cluster's line of the snapshot."""
    return ClusterBrief(
        id=cluster.id,
        name=cluster.name,
        phase=cluster.phase,
        generation=cluster.generation,
        external_id=cluster.external_id,
        note=_note(cluster, now),
    )


def _note(cluster: Cluster, now: datetime) -> str:
    later = cluster.next_reconcile_at
    match cluster.phase:
        case ClusterPhase.INTENT if later is not None and later > now:
            failed = f" after {cluster.restart_count} failed starts" if cluster.restart_count else ""
            return f"it is created at {later:%H:%M:%S} UTC{failed}"
        case ClusterPhase.INTENT:
            return "no pass has created it yet"
        case ClusterPhase.AMBIGUOUS:
            return "the reply to its create was lost; it is looked for by name"
        case ClusterPhase.STARTING:
            return (cluster.observed_state or "").lower()
        case ClusterPhase.DRAINING | ClusterPhase.TERMINATING | ClusterPhase.DEAD | ClusterPhase.FAILED:
            return cluster.observed_reason or ""
        case _:
            return ""


def cluster_line(brief: ClusterBrief) -> str:
    """Return where a cluster is, in one line for the task's log."""
    known = f", {brief.external_id}" if brief.external_id else ""
    said = f": {brief.note}" if brief.note else ""
    return f"Cluster {brief.name} ({brief.id}{known}) is {brief.phase.value}{said}."
