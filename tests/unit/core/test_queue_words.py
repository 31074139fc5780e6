"""Why an application waits, in words: right for the rows of one moment."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from platyspark_provider.core.assignment import new_cluster
from platyspark_provider.core.keys import cluster_key
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.placement import Queued
from platyspark_provider.core.queue_words import QueueView, places_in_queue
from platyspark_provider.core.records import Policy, QueuePlace
from platyspark_provider.core.states import ClusterDesired, ClusterPhase
from tests.builders import JOINABLE, NOW, make_cluster_spec

KEY = cluster_key("test", make_cluster_spec())
EARLIER = NOW - timedelta(minutes=2)


def queued(app_id: int, **values: Any) -> Queued:
    return Queued(**{"app_id": app_id, "pool_key": KEY, "queued_at": NOW, "team": "ads", **values})


def cluster(slot: int = 0, phase: ClusterPhase = ClusterPhase.READY, **values: Any) -> Cluster:
    spec = values.pop("spec", make_cluster_spec(step_concurrency=20, pool_max=3))
    made = new_cluster("test", spec, target_id=1, now=EARLIER, slot=slot)
    made = replace(made, id=slot + 1, phase=phase, create_sent_at=EARLIER, **values)
    return made if phase in JOINABLE else replace(made, live_key=None)


def places(*queue: Queued, clusters: tuple[Cluster, ...] = (), spec: dict[str, Any] | None = None, **values: Any) -> dict[int, QueuePlace]:
    policy = values.pop("policy", Policy())
    view = QueueView(
        queue=queue,
        specs={KEY: make_cluster_spec(**{"step_concurrency": 20, **(spec or {})})},
        clusters={c.id: c for c in clusters},
        **values,
    )
    return places_in_queue(view, policy=policy, now=NOW)


def test_place_behind_a_full_cluster_tells_number_and_load() -> None:
    found = places(*(queued(i) for i in range(1, 13)), clusters=(cluster(),), active={1: 20})
    assert found[7] == QueuePlace(
        position=7, waiting=12, reason="cluster_full", message="7th of 12: cluster shared has 20 of 20 steps running"
    )
    assert [found[i].message.split(" ")[0] for i in (1, 2, 3, 4, 11, 12)] == ["1st", "2nd", "3rd", "4th", "11th", "12th"]


def test_place_behind_several_full_clusters_tells_their_sum() -> None:
    clusters = tuple(cluster(slot) for slot in range(3))
    found = places(queued(1), clusters=clusters, active={1: 20, 2: 20, 3: 20}, spec={"pool_max": 3})
    assert found[1].message == "1st of 1: the 3 clusters of shared have 60 of 60 steps running"


def test_place_of_those_that_fit_and_of_those_behind_them() -> None:
    found = places(queued(1), queued(2), queued(3), clusters=(cluster(),), active={1: 18})
    assert [(found[i].reason, found[i].message) for i in (1, 2, 3)] == [
        ("next", "1st of 3: it gets cluster shared next"),
        ("next", "2nd of 3: it gets cluster shared next"),
        ("cluster_full", "3rd of 3: cluster shared has 18 of 20 steps running; those ahead of it come first"),
    ]


def test_place_behind_a_team_quota_is_counted_within_the_team() -> None:
    queue = (queued(1, team="ml"), queued(2), queued(3))
    found = places(*queue, clusters=(cluster(),), active={1: 20}, teams={"ads": 20}, policy=Policy(team_max_apps={"ads": 20}))
    assert found[3] == QueuePlace(
        position=2, waiting=2, reason="team_quota", message="2nd of 2: team ads has 20 of 20 applications running"
    )
    assert found[1].message == "1st of 1: cluster shared has 20 of 20 steps running"


def test_place_behind_a_team_quota_that_others_of_it_fill_first() -> None:
    found = places(queued(1), queued(2), teams={"ads": 1}, policy=Policy(team_max_apps={"": 2}))
    assert found[2].message == "1st of 1: team ads has 1 of 2 applications running, and 1 more of it come first"


def test_place_where_the_target_has_all_its_clusters() -> None:
    policy = Policy(max_clusters={"default": 20})
    found = places(queued(1), targets={"default": 20}, policy=policy)
    assert (found[1].reason, found[1].message) == ("target_full", "1st of 1: target default has 20 of 20 clusters")
    alone = places(queued(1), queued(2), targets={"default": 19}, policy=policy, spec={"dedicated": True})
    assert alone[1].message == "1st of 2: it gets a cluster of its own next"
    assert alone[2].message == "2nd of 2: target default has 19 of 20 clusters, and 1 more are created first"


def test_place_where_the_full_cluster_is_starting() -> None:
    starting = cluster(phase=ClusterPhase.STARTING)
    found = places(queued(1), clusters=(starting,), active={1: 20})
    assert found[1].reason == "cluster_starting"
    assert found[1].message == "1st of 1: cluster shared is starting (created 2 min ago), and 20 of 20 places on it are taken"
    two = (starting, cluster(1, phase=ClusterPhase.CREATING))
    both = places(queued(1), clusters=two, active={1: 20, 2: 20}, spec={"pool_max": 2})
    assert both[1].message == "1st of 1: the 2 clusters of shared are starting, and 40 of 40 places on them are taken"


def test_place_where_the_only_cluster_is_called_off_before_it_is_there() -> None:
    found = places(queued(1), clusters=(cluster(phase=ClusterPhase.CREATING, desired=ClusterDesired.DOWN),))
    assert (found[1].reason, found[1].message) == (
        "cluster_ending",
        "1st of 1: cluster shared is ending, and another one is created after it",
    )


def test_place_of_more_than_the_first_cluster_takes() -> None:
    found = places(queued(1), queued(2), spec={"step_concurrency": 1})
    assert [found[i].message for i in (1, 2)] == [
        "1st of 2: it gets cluster shared next",
        "2nd of 2: cluster shared is about to be created for those ahead of it",
    ]


@pytest.mark.parametrize(
    ("values", "reason", "message"),
    [
        ({"phase": ClusterPhase.INTENT}, "cluster_starting", "cluster shared is created next"),
        (
            {"phase": ClusterPhase.INTENT, "next_reconcile_at": NOW + timedelta(seconds=30), "restart_count": 2},
            "cluster_starting",
            "cluster shared is created at 12:00:30 UTC: 2 in a row never became ready",
        ),
        (
            {"phase": ClusterPhase.INTENT, "next_reconcile_at": NOW + timedelta(seconds=30)},
            "cluster_starting",
            "cluster shared is created at 12:00:30 UTC: the backend asked to wait",
        ),
        ({"phase": ClusterPhase.AMBIGUOUS}, "cluster_starting", "cluster shared is being created (asked for 2 min ago)"),
        ({"phase": ClusterPhase.STARTING}, "cluster_starting", "cluster shared is starting (created 2 min ago)"),
        ({"phase": ClusterPhase.READY}, "next", "cluster shared is ready; it is sent next"),
        ({"phase": ClusterPhase.DRAINING}, "cluster_ending", "cluster shared is draining; another one is chosen next"),
        (
            {"phase": ClusterPhase.CREATING, "desired": ClusterDesired.DRAINED},
            "cluster_ending",
            "cluster shared is to end before it is used; another one is chosen then",
        ),
    ],
)
def test_place_on_a_cluster_that_takes_no_work_yet_tells_about_it(values: dict[str, Any], reason: str, message: str) -> None:
    found = places(queued(1, cluster_id=1), clusters=(cluster(**values),))
    assert found[1] == QueuePlace(position=0, waiting=0, reason=reason, message=message)


@pytest.mark.parametrize(("seconds", "words"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "119 min"), (7200, "2 h")])
def test_place_tells_age_in_a_fitting_unit(seconds: int, words: str) -> None:
    starting = replace(cluster(phase=ClusterPhase.STARTING), create_sent_at=NOW - timedelta(seconds=seconds))
    assert places(queued(1, cluster_id=1), clusters=(starting,))[1].message == f"cluster shared is starting (created {words} ago)"


def test_place_without_a_cluster_row_a_pool_or_while_the_backend_asked_to_wait() -> None:
    found = places(queued(1, cluster_id=9), queued(2, pool_key=None), queued(3, not_before=NOW + timedelta(seconds=9)), queued(4))
    assert [(found[i].reason, found[i].message) for i in (1, 2, 3)] == [
        ("cluster_gone", "its cluster is over; another one is chosen next"),
        ("unplaced", "no pass has looked at it yet"),
        ("backoff", "the backend asked to wait; it is sent at 12:00:09 UTC"),
    ]
    assert found[4].message == "1st of 1: it gets cluster shared next", "whoever may not go yet is in nobody's way"
