"""How applications are shown: what is so, since when and why, and nothing secret."""

from dataclasses import replace
from typing import Any

import pytest

from platyspark_provider.core.model import Condition, Failure
from platyspark_provider.core.records import QueuePlace
from platyspark_provider.core.states import AppPhase, FailureClass
from platyspark_provider.registry.views import app_view, cluster_view
from tests.builders import NOW, in_phase, make_cluster, make_cluster_spec, make_spec

PLACE = QueuePlace(position=7, waiting=12, reason="cluster_full", message="7th of 12: cluster shared has 20 of 20 steps running")
NOTE = Condition(type="Waiting", reason="start_backoff", message="again in 30 s", since=NOW)


def conditions(phase: AppPhase, *, place: QueuePlace | None = None, notes: tuple[Condition, ...] = (), **values: Any) -> dict[str, Any]:
    app, attempt = in_phase(phase, **values)
    shown = app_view(replace(app, conditions=notes), attempt, place=place)["status"]["conditions"]
    return {one["type"]: (one["status"], one["reason"], one["message"]) for one in shown}


@pytest.mark.parametrize(
    ("phase", "values", "status", "reason"),
    [
        (AppPhase.NEW, {}, "False", "files_missing"),
        (AppPhase.WAIT_CLUSTER, {"place": PLACE, "notes": (NOTE,)}, "False", "cluster_full"),
        (AppPhase.WAIT_CLUSTER, {"notes": (NOTE,)}, "False", "start_backoff"),
        (AppPhase.WAIT_CLUSTER, {}, "False", "next_pass"),
        (AppPhase.SENDING, {"sends": 1, "sent_at": NOW}, "True", "placed"),
        (AppPhase.STOPPED, {"ended_at": NOW}, "False", "never_sent"),
    ],
)
def test_scheduled_says_whether_it_has_a_cluster_and_why_not(phase: AppPhase, values: dict[str, Any], status: str, reason: str) -> None:
    assert conditions(phase, **values)["Scheduled"][:2] == (status, reason)


def test_conditions_tell_a_life_in_order() -> None:
    failure = Failure(klass=FailureClass.USER, summary="[CAST_INVALID_INPUT] The value 'NA' ...")
    found = conditions(
        AppPhase.FAILED,
        sends=1,
        external_id="s-1",
        submitted_at=NOW,
        started_at=NOW,
        ended_at=NOW,
        stop_requested_at=NOW,
        stop_actor="user:dana",
        stop_reason="too slow",
        failure=failure,
    )
    assert list(found) == ["Scheduled", "Sent", "Started", "Stopping", "Ended"]
    assert found["Stopping"] == ("False", "stop_requested", "user:dana asked for its end: too slow.")
    assert found["Ended"] == ("True", "user", failure.summary)
    assert conditions(AppPhase.SUCCEEDED, sends=1, ended_at=NOW, death_proof="yarn")["Ended"] == ("True", "succeeded", "yarn")


def test_app_view_hides_environment_and_what_looks_secret() -> None:
    spec = make_spec(
        env_vars={"KEY": "hunter2"},
        conf={"spark.x.password": "hunter2", "spark.y": "1"},
        args=("--url", "jdbc:x://h/d?password=hunter2"),
        cluster=make_cluster_spec(configurations=({"Classification": "x", "Properties": {"secret": "hunter2"}},)),
    )
    app, attempt = in_phase(AppPhase.RUNNING, spec=spec)
    assert "hunter2" not in str(app_view(app, attempt))
    assert app_view(app, attempt)["spec"]["conf"]["spark.y"] == "1"


@pytest.mark.parametrize(("actor", "desired"), [("user:dana", "stopped"), ("backend", "completed"), (None, "completed")])
def test_desired_state_is_stopped_when_somebody_asked_for_it(actor: str | None, desired: str) -> None:
    app, attempt = in_phase(AppPhase.RUNNING, stop_requested_at=NOW if actor else None, stop_actor=actor)
    assert app_view(app, attempt)["desired_state"] == desired


def test_cluster_view_tells_its_conditions_and_who_is_on_it() -> None:
    shown = cluster_view(make_cluster(conditions=(NOTE,)), active=3)
    assert (shown["status"]["active_apps"], shown["status"]["conditions"][0]["reason"]) == (3, "start_backoff")


def test_replacing_is_said_of_the_generation_that_ends_alone() -> None:
    app, attempt = in_phase(AppPhase.CANCELLING, sends=1)
    waiting = replace(app, wanted_generation=2)
    assert "Replacing" in {one["type"] for one in app_view(waiting, attempt)["status"]["conditions"]}
    begun = replace(waiting, generation=2)
    assert "Replacing" not in {one["type"] for one in app_view(begun, attempt)["status"]["conditions"]}
