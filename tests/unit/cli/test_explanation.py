"""What `apps why` says: of a wait its place and its cluster, of work what comes next, of a failure the task log's own text."""

from dataclasses import replace
from datetime import timedelta

import pytest

from platyspark_provider.cli.explanation import as_row, explain, failure_text
from platyspark_provider.core.model import App, Attempt, Cluster, Condition, Event, Failure, Lease
from platyspark_provider.core.records import AppDetail, QueuePlace
from platyspark_provider.core.states import AppPhase, ClusterPhase, FailureClass
from platyspark_provider.operators.outcome import raise_unless_succeeded
from tests.builders import NOW, in_phase, make_cluster, make_target

PASSES = {"watchdog": NOW - timedelta(minutes=2)}


def detail(phase: AppPhase, *, cluster: Cluster | None = None, place: QueuePlace | None = None, **values: object) -> AppDetail:
    app, attempt = in_phase(phase, **values)
    return AppDetail(app=app, attempt=attempt, cluster=cluster, target=make_target(), place=place)


def with_app(one: AppDetail, **values: object) -> AppDetail:
    return replace(one, app=replace(one.app, **values))


def said(one: AppDetail, *, passes: dict[str, object] | None = None) -> str:
    found = explain(one, (), passes=PASSES if passes is None else passes, now=NOW + timedelta(minutes=4))  # type: ignore[arg-type]
    return "\n".join(found.lines())


def test_explain_wait_says_place_cluster_and_since_when() -> None:
    place = QueuePlace(position=7, waiting=12, reason="cluster_full", message="7th of 12: cluster shared has 20 of 20 steps running")
    cluster = make_cluster(phase=ClusterPhase.READY, external_id="j-1", observed_state="WAITING")
    text = said(detail(AppPhase.WAIT_CLUSTER, place=place, cluster=cluster))
    assert "job (application 1, generation 1) waits for a cluster since 2026-11-25 12:00:00 UTC (4 min)." in text
    assert "queue: 7th of 12: cluster shared has 20 of 20 steps running" in text
    assert "cluster: shared (7, j-1) is ready, created 4 min ago; the backend says WAITING" in text
    assert "next: looked at in the next pass" in text


def test_explain_own_time_to_be_looked_at_comes_before_the_pass() -> None:
    one = with_app(detail(AppPhase.WAIT_CLUSTER), next_reconcile_at=NOW + timedelta(minutes=5))
    assert "next: looked at again at 2026-11-25 12:05:00 UTC (in 60 s)" in said(one)


def test_explain_somebody_at_work_is_named() -> None:
    lease = Lease(owner="host:1", epoch=1, until=NOW + timedelta(minutes=9))
    assert "next: host:1 is at work on it now" in said(with_app(detail(AppPhase.SENDING), lease=lease))


@pytest.mark.parametrize(
    ("passes", "text"),
    [({}, "nobody has made a pass yet"), ({"watchdog": NOW - timedelta(hours=3)}, "nobody has made a pass for 3 h")],
)
def test_explain_where_nobody_makes_passes_says_so(passes: dict[str, object], text: str) -> None:
    assert f"next: {text}; see `airflow platyspark doctor`" in said(detail(AppPhase.RUNNING), passes=passes)


def test_explain_stop_under_way_names_who_asked_and_what_follows() -> None:
    one = detail(AppPhase.CANCELLING, stop_requested_at=NOW, stop_actor="cli:dana", stop_reason="too late")
    text = said(with_app(one, wanted_generation=2))
    assert "note: stop asked for by cli:dana: too late" in text
    assert "note: generation 2 follows once this one is proven dead" in text


def test_explain_conditions_are_said_once() -> None:
    place = QueuePlace(position=1, waiting=1, reason="cluster_starting", message="cluster shared is starting")
    conditions = tuple(Condition(type="Sent", reason="r", message=m, since=NOW) for m in ("cluster shared is starting", "EMR throttles"))
    text = said(with_app(detail(AppPhase.WAIT_CLUSTER, place=place), conditions=conditions))
    assert text.count("cluster shared is starting") == 1
    assert "note: EMR throttles" in text


def test_explain_files_that_are_missing_are_nobody_elses_to_bring() -> None:
    assert "uploads the files; nothing is sent before" in said(detail(AppPhase.NEW))


def test_explain_shows_the_last_events() -> None:
    events = [Event(object_kind="app", object_id=1, kind=f"k{i}", message=f"m{i}", actor="a", at=NOW) for i in range(9)]
    found = explain(detail(AppPhase.RUNNING), events, passes=PASSES, now=NOW)
    assert [event.split()[3] for event in found.events] == ["k4:", "k5:", "k6:", "k7:", "k8:"]
    assert found.lines()[-1].strip() == "2026-11-25 12:00:00 UTC k8: m8 (a)"


FAILURE = Failure(
    klass=FailureClass.USER, summary="column x is missing", error_class="UNRESOLVED_COLUMN", user_line="job.py:3  df.x", hint="look"
)
ENDS = [
    in_phase(AppPhase.FAILED, ended_at=NOW, failure=FAILURE, failure_class=FailureClass.USER),
    in_phase(AppPhase.FAILED, ended_at=NOW),
    in_phase(AppPhase.LOST, ended_at=NOW),
    in_phase(AppPhase.STOPPED, ended_at=NOW, stop_actor="user:x", stop_reason="why not"),
]


@pytest.mark.parametrize(("app", "attempt"), ENDS)
def test_explain_failure_is_the_text_of_the_tasks_log(app: App, attempt: Attempt) -> None:
    one = AppDetail(app=app, attempt=attempt, cluster=make_cluster(), target=make_target())
    with pytest.raises(Exception, match=r"\S") as raised:
        raise_unless_succeeded(one)
    found = explain(one, (), passes={}, now=NOW)
    assert found.card == str(raised.value)
    assert "\n".join(found.lines()).endswith(found.card)
    assert (found.next, found.cluster, found.queue) == ("", "", "")


def test_explain_success_has_no_card_and_says_when() -> None:
    one = detail(AppPhase.SUCCEEDED, ended_at=NOW)
    assert said(one) == "job (application 1, generation 1) succeeded at 2026-11-25 12:00:00 UTC."
    assert failure_text(one) == ""


@pytest.mark.parametrize("phase", list(AppPhase))
def test_explain_every_phase_has_words(phase: AppPhase) -> None:
    row = as_row(explain(detail(phase, ended_at=NOW if phase.is_terminal else None), (), passes=PASSES, now=NOW))
    assert (row["phase"], row["app_id"], row["summary"].endswith(".")) == (phase.value, 1, True)


@pytest.mark.parametrize("phase", list(ClusterPhase))
def test_explain_every_phase_of_a_cluster_has_words(phase: ClusterPhase) -> None:
    cluster = make_cluster(phase=phase, observed_reason="it is so")
    assert "(it is so)" in explain(detail(AppPhase.PENDING, cluster=cluster), (), passes=PASSES, now=NOW).cluster
