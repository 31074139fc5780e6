"""Time set by hand, sped up or carried over a restart, and steps that follow a script in it."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platyspark_provider.emrsim.clock import SimClock
from platyspark_provider.emrsim.config import SimConfig
from platyspark_provider.emrsim.lifecycle import next_due
from platyspark_provider.emrsim.planted import SpecError
from platyspark_provider.emrsim.step_scripts import StepScripts
from tests.unit.emrsim.conftest import Emr, FakeRunner, ManualClock, Refused

NOON = 1_700_000_000.0


def test_clock_that_stands_still_moves_by_hand_only():
    clock = SimClock(speed=0, anchor={"virtual": NOON, "real": 0.0, "speed": 0.0})
    assert (clock(), clock()) == (NOON, NOON)
    clock.advance(90)
    assert clock() == NOON + 90


def test_clock_at_speed_runs_ahead_of_the_real_one():
    clock = SimClock(speed=1_000_000.0)
    first = clock()
    while clock() < first + 1000:  # a millisecond
        pass
    real = SimClock()
    assert clock() > real()


def test_clock_goes_on_after_a_restart_at_the_old_speed_until_then():
    anchor = {"virtual": NOON, "real": SimClock()() - 100, "speed": 60.0}
    clock = SimClock(speed=0, anchor=anchor)
    assert NOON + 6000 <= clock() < NOON + 7000
    assert clock.anchor()["speed"] == 0


def test_clock_changes_speed_without_a_jump():
    clock = SimClock(speed=0, anchor={"virtual": NOON, "real": 0.0, "speed": 0.0})
    clock.set_speed(3600.0)
    assert NOON <= clock() < NOON + 3600
    clock.set_speed(0)
    stopped = clock()
    assert clock() == stopped


def test_advance_passes_each_state_at_its_own_time(emr):
    cluster_id = emr.create(ready=False, AutoTerminationPolicy={"IdleTimeout": 600})
    created = emr.clock.now
    emr.engine.advance_clock(5000)
    status = emr.cluster(cluster_id)["Status"]
    assert status["State"] == "TERMINATED"
    assert status["Timeline"] == {"CreationDateTime": created, "ReadyDateTime": created + 30, "EndDateTime": created + 30 + 600 + 5}


def test_advance_over_many_scripted_steps_keeps_order_and_times(emr):
    cluster_id = emr.create(StepConcurrencyLevel=10)
    emr.engine.scripts.add({"duration_s": 60})
    added = emr.clock.now
    ids = emr.add(cluster_id, *(f"s{number}" for number in range(40)))
    emr.engine.advance_clock(1000)
    assert emr.runner.started == [], "a scripted step has no process"
    for number, step_id in enumerate(ids):
        status = emr.step(cluster_id, step_id)["Status"]
        starts = added + 1 + 60 * (number // 10)
        assert status["State"] == "COMPLETED"
        assert status["Timeline"] == {"CreationDateTime": added, "StartDateTime": starts, "EndDateTime": starts + 60}
    assert emr.state(cluster_id) == "WAITING"


def test_advance_waits_for_a_real_process(emr):
    cluster_id = emr.create()
    first, second = emr.add(cluster_id, "a", "b")
    emr.engine.advance_clock(100)
    emr.runner.finish(first)
    emr.engine.advance_clock(100)
    timeline = emr.step(cluster_id, first)["Status"]["Timeline"]
    assert timeline["EndDateTime"] == emr.clock.now - 100
    assert emr.step(cluster_id, second)["Status"]["Timeline"]["StartDateTime"] == timeline["EndDateTime"]


def test_advance_fills_the_token_buckets(emr):
    emr.config.throttle = "aws"
    for _ in range(10):
        emr.create(ready=False)
    with pytest.raises(Exception, match="Rate exceeded"):
        emr.create(ready=False)
    emr.engine.advance_clock(2)
    emr.create(ready=False)


def test_advance_ends_the_listing_lag(emr):
    emr.config.listing_lag_s = 20
    cluster_id = emr.create(ready=False)
    emr.engine.advance_clock(20)
    assert [cluster["Id"] for cluster in emr.call("ListClusters")["Clusters"]] == [cluster_id]


def test_restart_catches_up_with_the_time_it_was_away(emr):
    cluster_id = emr.create(ready=False)
    created = emr.clock.now
    emr.close()
    emr.clock.advance(3600)
    emr._open()
    assert emr.cluster(cluster_id)["Status"]["Timeline"]["ReadyDateTime"] == created + 30


@pytest.mark.parametrize(("state", "message"), [("COMPLETED", None), ("FAILED", "Exception in thread main")])
def test_scripted_step_ends_as_told(emr, state, message):
    cluster_id = emr.create()
    emr.engine.scripts.add({"duration_s": 5, "state": state, "message": message})
    (step_id,) = emr.add(cluster_id, "a")
    emr.after(1)
    assert emr.step_state(cluster_id, step_id) == "RUNNING"
    emr.after(5)
    status = emr.step(cluster_id, step_id)["Status"]
    assert status["State"] == state
    assert status.get("FailureDetails", {}).get("Message") == message


def test_scripted_step_that_fails_acts_on_its_cluster(emr):
    cluster_id = emr.create()
    emr.engine.scripts.add({"duration_s": 5, "state": "FAILED"})
    emr.add(cluster_id, "a", "b", action="TERMINATE_CLUSTER")
    emr.after(12)
    status = emr.cluster(cluster_id)["Status"]
    assert (status["State"], status["StateChangeReason"]["Code"]) == ("TERMINATED_WITH_ERRORS", "STEP_FAILURE")


def test_scripts_choose_by_whole_names_and_count(emr):
    wanted, other = emr.create(Name="etl/a"), emr.create(Name="etl/ab")
    emr.engine.scripts.add({"cluster": "etl/a", "step": "quick-.*", "count": 1, "duration_s": 5})
    emr.add(wanted, "quick-1", "quick-2")
    emr.add(other, "quick-1")
    emr.after(10)
    assert [(launch.cluster_id, launch.name) for launch in emr.runner.started] == [(other, "quick-1"), (wanted, "quick-2")]


def test_scripted_step_can_be_cancelled(emr):
    cluster_id = emr.create()
    emr.engine.scripts.add({"duration_s": 500})
    first, second = emr.add(cluster_id, "a", "b")
    emr.after(1)
    emr.call("CancelSteps", ClusterId=cluster_id, StepIds=[first])
    assert emr.runner.signals == [], "there is no process to signal"
    assert emr.step_state(cluster_id, first) == "CANCEL_PENDING"
    emr.after(2)
    assert (emr.step_state(cluster_id, first), emr.step_state(cluster_id, second)) == ("CANCELLED", "RUNNING")


def test_scripts_and_their_steps_survive_a_restart(emr):
    cluster_id = emr.create()
    emr.engine.scripts.add({"duration_s": 60, "spread_s": 10, "count": 2})
    emr.engine.save_scripts()
    first, second = emr.add(cluster_id, "a", "b")
    emr.after(1)
    emr.reopen()
    emr.after(150)
    assert emr.runner.started == []
    assert [emr.step_state(cluster_id, one) for one in (first, second)] == ["COMPLETED", "COMPLETED"]


def test_scripts_spread_is_repeatable():
    def spread(seed):
        scripts = StepScripts()
        scripts.add({"spread_s": 100, "seed": seed})
        return [scripts.take(_Named(), _Named(), 0.0).ends_at for _ in range(5)]

    assert spread(1) == spread(1) != spread(2)
    assert all(0 <= one <= 100 for one in spread(1))


class _Named:
    name = "x"


@pytest.mark.parametrize(
    "spec",
    [{"nope": 1}, {"step": "("}, {"duration_s": -1}, {"duration_s": True}, {"state": "CANCELLED"}, {"count": 0}, {"cluster": 3}],
)
def test_script_that_makes_no_sense_is_refused(spec):
    with pytest.raises(SpecError):
        StepScripts().add(spec)


def test_changed_knob_counts_for_clusters_that_wait(emr):
    emr.config.steps_stuck = True
    cluster_id = emr.create()
    (step_id,) = emr.add(cluster_id, "a")
    emr.after(10)
    assert emr.step_state(cluster_id, step_id) == "PENDING"
    emr.engine.configure({"steps_stuck": False})
    assert emr.step_state(cluster_id, step_id) == "RUNNING"


def test_cluster_at_rest_is_never_due(emr):
    cluster_id = emr.create()
    cluster = emr.engine.find_cluster("eu-central-1", cluster_id)
    assert next_due(cluster, SimConfig()) == float("inf")


OPERATIONS = st.one_of(
    st.tuples(st.just("wait"), st.integers(0, 400)),
    st.tuples(st.just("add"), st.integers(1, 6)),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("concurrency"), st.integers(1, 5)),
    st.tuples(st.just("policy"), st.integers(60, 300)),
    st.tuples(st.just("keep_alive"), st.booleans()),
    st.tuples(st.just("terminate"), st.just(0)),
)


def _play(operations, tick_s):
    """Run a story with ticks of a length and return what the API shows of cluster and steps, without ids."""
    with TemporaryDirectory() as folder:
        emr = Emr(Path(folder), FakeRunner(), ManualClock())
        emr.config.update({"waiting_flip_s": 10, "terminate_gap_s": 3})
        emr.engine.scripts.add({"duration_s": 20, "spread_s": 40, "seed": 1})
        cluster_id = emr.create(ready=False)
        for name, value in operations:
            with suppress(Refused):
                _act(emr, cluster_id, name, value, tick_s)
        _act(emr, cluster_id, "wait", 500, tick_s)
        steps = emr.engine.find_anywhere(cluster_id).steps
        shown = emr.cluster(cluster_id)["Status"], [(step.state, step.created, step.started, step.ended) for step in steps]
        emr.close()
        return shown


def _act(emr, cluster_id, name, value, tick_s):
    match name:
        case "wait":
            for start in range(0, value, tick_s):
                emr.engine.advance_clock(min(tick_s, value - start))
        case "add":
            emr.add(cluster_id, *map(str, range(value)))
        case "cancel":
            steps = emr.engine.find_anywhere(cluster_id).steps
            emr.call("CancelSteps", ClusterId=cluster_id, StepIds=[step.id for step in steps[value : value + 2]])
        case "concurrency":
            emr.call("ModifyCluster", ClusterId=cluster_id, StepConcurrencyLevel=value)
        case "policy":
            emr.call("PutAutoTerminationPolicy", ClusterId=cluster_id, AutoTerminationPolicy={"IdleTimeout": value})
        case "keep_alive":
            emr.call("SetKeepJobFlowAliveWhenNoSteps", JobFlowIds=[cluster_id], KeepJobFlowAliveWhenNoSteps=value)
        case "terminate":
            emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])


@settings(max_examples=60, deadline=None)
@given(operations=st.lists(OPERATIONS, max_size=12))
def test_one_long_jump_shows_what_many_short_ticks_show(operations):
    assert _play(operations, 10_000) == _play(operations, 1)
