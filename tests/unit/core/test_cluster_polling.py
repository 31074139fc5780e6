"""When a task that waits for a cluster goes on, and what it says meanwhile."""

from datetime import timedelta
from typing import Any

import pytest

from platyspark_provider.core.cluster_polling import (
    ClusterEvent,
    ClusterLook,
    ClusterOutcome,
    ClusterSeen,
    Goal,
    brief_from_cluster,
    cluster_event_from_dict,
    cluster_line,
    judge_cluster,
    wait_for_cluster,
)
from platyspark_provider.core.polling import Blind, Describe, Sleep, WaitRule, answer_until_pause, drive
from platyspark_provider.core.records import ClusterBrief
from platyspark_provider.core.states import ClusterPhase
from tests.builders import NOW, make_cluster

RULE = WaitRule(poll_s=7.0, max_blind_s=60.0)


def brief(phase: ClusterPhase, **values: Any) -> ClusterBrief:
    return ClusterBrief(**{"id": 7, "name": "etl", "phase": phase, "generation": 1, **values})


def seen(phase: ClusterPhase | None, moment: float = 0.0) -> ClusterSeen:
    return ClusterSeen(moment=moment, brief=None if phase is None else brief(phase))


P = ClusterPhase
JUDGED = [
    *[(phase, Goal.READY, None) for phase in (P.INTENT, P.CREATING, P.AMBIGUOUS, P.STARTING)],
    (P.READY, Goal.READY, ClusterOutcome.REACHED),
    *[(phase, Goal.READY, ClusterOutcome.ENDED) for phase in (P.DRAINING, P.TERMINATING, P.DEAD, P.FAILED)],
    *[(phase, Goal.OVER, None) for phase in (P.INTENT, P.CREATING, P.STARTING, P.READY, P.DRAINING, P.TERMINATING)],
    *[(phase, Goal.OVER, ClusterOutcome.REACHED) for phase in (P.DEAD, P.FAILED)],
]


@pytest.mark.parametrize(("phase", "goal", "outcome"), JUDGED)
def test_judge_cluster_in_each_phase(phase: ClusterPhase, goal: Goal, outcome: ClusterOutcome | None) -> None:
    assert judge_cluster(brief(phase), goal) is outcome


def waited(*looks: ClusterLook, goal: Goal = Goal.READY, rule: WaitRule = RULE) -> tuple[ClusterEvent, list[float]]:
    """Run a wait over scripted looks; return its event and the pauses."""
    script, pauses = iter(looks), []
    event = drive(wait_for_cluster(7, goal, rule=rule), describe=lambda: next(script), sleep=pauses.append)
    return event, pauses


def test_wait_for_cluster_goes_on_until_it_is_ready() -> None:
    event, pauses = waited(seen(P.INTENT), seen(P.STARTING), seen(P.READY))
    assert (event.cluster_id, event.outcome, pauses) == (7, ClusterOutcome.REACHED, [7.0, 7.0])


def test_wait_for_cluster_that_is_not_listed_ends_after_looks_in_a_row() -> None:
    event, pauses = waited(seen(None), seen(None), seen(P.STARTING), seen(None), seen(None), seen(None))
    assert (event.outcome, len(pauses)) == (ClusterOutcome.MISSING, 5)


def test_wait_for_cluster_that_is_blind_for_too_long_ends_and_a_view_begins_anew() -> None:
    def blind(moment: float) -> Blind:
        return Blind(moment=moment, error="away")

    event, pauses = waited(blind(0), blind(50), seen(P.STARTING, 55), blind(60), blind(114), blind(115))
    assert (event.outcome, event.message, len(pauses)) == (ClusterOutcome.BLIND, "No view of the cluster for 60 s: away", 5)
    event, _ = waited(blind(0), blind(1e6), seen(P.READY), rule=WaitRule())
    assert event.outcome is ClusterOutcome.REACHED


def test_wait_for_cluster_paced_from_outside_stops_at_each_look() -> None:
    steps = wait_for_cluster(7, Goal.OVER, rule=RULE)
    assert isinstance(next(steps), Describe)
    assert answer_until_pause(steps, seen(P.DRAINING)) is None
    assert answer_until_pause(steps, seen(P.DEAD)) == ClusterEvent(cluster_id=7, outcome=ClusterOutcome.REACHED)


def test_wait_for_cluster_without_a_look_is_a_mistake_of_its_driver() -> None:
    steps = wait_for_cluster(7, Goal.OVER, rule=RULE)
    next(steps)
    with pytest.raises(TypeError):
        steps.send(None)


def test_wait_for_cluster_asks_for_its_pause() -> None:
    steps = wait_for_cluster(7, Goal.READY, rule=RULE)
    next(steps)
    assert steps.send(seen(P.INTENT)) == Sleep(7.0)


def test_cluster_event_survives_what_airflow_stores() -> None:
    event = ClusterEvent(cluster_id=7, outcome=ClusterOutcome.BLIND, message="away")
    assert cluster_event_from_dict({**event.as_dict(), "newer": 1}) == event


NOTES = [
    ({"phase": P.INTENT}, "no pass has created it yet"),
    ({"phase": P.INTENT, "next_reconcile_at": NOW - timedelta(seconds=1)}, "no pass has created it yet"),
    ({"phase": P.INTENT, "next_reconcile_at": NOW + timedelta(minutes=1)}, "it is created at 12:01:00 UTC"),
    (
        {"phase": P.INTENT, "next_reconcile_at": NOW + timedelta(minutes=1), "restart_count": 2},
        "it is created at 12:01:00 UTC after 2 failed starts",
    ),
    ({"phase": P.CREATING}, ""),
    ({"phase": P.AMBIGUOUS}, "the reply to its create was lost; it is looked for by name"),
    ({"phase": P.STARTING, "observed_state": "BOOTSTRAPPING"}, "bootstrapping"),
    ({"phase": P.STARTING}, ""),
    ({"phase": P.READY, "observed_state": "WAITING"}, ""),
    ({"phase": P.DRAINING, "observed_reason": "idle"}, "idle"),
    ({"phase": P.FAILED, "observed_reason": "bad subnet"}, "bad subnet"),
    ({"phase": P.DEAD}, ""),
]


@pytest.mark.parametrize(("values", "note"), NOTES)
def test_brief_from_cluster_says_what_it_is_at(values: dict[str, Any], note: str) -> None:
    found = brief_from_cluster(make_cluster(**values), now=NOW)
    assert (found.id, found.name, found.generation, found.note) == (7, "shared", 1, note)


def test_cluster_line_reads_as_a_sentence() -> None:
    assert cluster_line(brief(P.STARTING, external_id="j-1", note="bootstrapping")) == "Cluster etl (7, j-1) is starting: bootstrapping."
    assert cluster_line(brief(P.INTENT)) == "Cluster etl (7) is intent."
