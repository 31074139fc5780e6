"""Termination protection and auto-termination as the Guide has them, the loss of one master of three, and limits on names and records."""

import pytest

from platyspark_provider.emrsim.lifecycle import fail_over
from tests.unit.emrsim.conftest import Refused

STEP = {"Name": "one", "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": "command-runner.jar"}}
PROTECTED = {"TerminationProtected": True}
THREE_MASTERS = {"InstanceGroups": [{"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 3}], "InstanceCount": None}


@pytest.mark.parametrize("exit_code", [0, 1])
def test_protection_does_not_keep_a_transient_cluster(emr, exit_code):
    cluster_id = emr.create(keep_alive=False, instances=PROTECTED, Steps=[STEP])
    emr.after(1)
    emr.runner.finish(emr.runner.started_ids[0], exit_code)
    emr.after(6)
    assert emr.state(cluster_id) == "TERMINATED"


def test_protection_refuses_termination_of_a_transient_cluster_by_a_call(emr):
    cluster_id = emr.create(keep_alive=False, instances=PROTECTED, Steps=[STEP])
    emr.after(1)
    with pytest.raises(Exception, match="termination protected"):
        emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    assert emr.state(cluster_id) == "RUNNING"


def test_protection_does_not_stop_a_failed_step_from_ending_a_transient_cluster(emr):
    steps = [{**STEP, "ActionOnFailure": "TERMINATE_CLUSTER"}] * 2
    cluster_id = emr.create(keep_alive=False, instances=PROTECTED, Steps=steps)
    emr.after(1)
    emr.runner.finish(emr.runner.started_ids[0], 1)
    emr.after(6)
    assert emr.state(cluster_id) == "TERMINATED_WITH_ERRORS"


def test_protection_of_three_masters_has_to_be_switched_off_first(emr):
    cluster_id = emr.create(instances=THREE_MASTERS)
    with pytest.raises(Exception, match="termination protected") as refused:
        emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    assert refused.value.code == "ValidationException"
    emr.call("SetTerminationProtection", JobFlowIds=[cluster_id], TerminationProtected=False)
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    emr.after(5)
    assert emr.state(cluster_id) == "TERMINATED"


def test_protection_of_an_ended_cluster_can_not_be_set(emr):
    cluster_id = emr.create()
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    with pytest.raises(Exception, match="may not be modified"):
        emr.call("SetTerminationProtection", JobFlowIds=[cluster_id], TerminationProtected=True)


def test_protection_lifted_from_an_idle_cluster_lets_its_policy_end_it(emr):
    cluster_id = emr.create(AutoTerminationPolicy={"IdleTimeout": 60}, instances=PROTECTED)
    emr.after(300)
    assert emr.state(cluster_id) == "WAITING"
    emr.call("SetTerminationProtection", JobFlowIds=[cluster_id], TerminationProtected=False)
    emr.after(1)
    assert emr.state(cluster_id) == "TERMINATING"


def test_auto_termination_without_a_time_is_an_hour(emr):
    cluster_id = emr.create(AutoTerminationPolicy={})
    assert emr.call("GetAutoTerminationPolicy", ClusterId=cluster_id) == {"AutoTerminationPolicy": {"IdleTimeout": 3600}}
    emr.engine.advance_clock(3500)
    assert emr.state(cluster_id) == "WAITING"
    emr.engine.advance_clock(100)
    assert emr.state(cluster_id) == "TERMINATING"


@pytest.mark.parametrize("timeout", [60, 604_800])
def test_auto_termination_accepts_a_minute_to_seven_days(emr, timeout):
    cluster_id = emr.create(AutoTerminationPolicy={"IdleTimeout": timeout})
    ready = emr.cluster(cluster_id)["Status"]["Timeline"]["ReadyDateTime"]
    emr.engine.advance_clock(timeout + 60)
    assert emr.cluster(cluster_id)["Status"]["Timeline"]["EndDateTime"] == ready + timeout + 5


def test_auto_termination_put_again_starts_its_clock_anew(emr):
    cluster_id = emr.create(AutoTerminationPolicy={"IdleTimeout": 60})
    emr.after(50)
    emr.call("PutAutoTerminationPolicy", ClusterId=cluster_id, AutoTerminationPolicy={"IdleTimeout": 60})
    emr.after(55)
    assert emr.state(cluster_id) == "WAITING"
    emr.after(6)
    assert emr.state(cluster_id) == "TERMINATING"


def test_auto_termination_between_a_choice_and_its_step_refuses_the_step(emr):
    cluster_id = emr.create(AutoTerminationPolicy={"IdleTimeout": 60})
    assert emr.state(cluster_id) == "WAITING"
    emr.after(62)
    with pytest.raises(Exception, match="may not be modified") as refused:
        emr.add(cluster_id, "late")
    assert refused.value.code == "ValidationException"


@pytest.mark.parametrize("operation", ["PutAutoTerminationPolicy", "RemoveAutoTerminationPolicy"])
def test_auto_termination_of_an_ended_cluster_is_refused(emr, operation):
    cluster_id = emr.create()
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    with pytest.raises(Exception, match="may not be modified"):
        emr.call(operation, ClusterId=cluster_id)


def test_fail_over_fails_running_steps_and_keeps_the_cluster_and_its_yarn(emr, live_application):
    cluster_id = emr.create(StepConcurrencyLevel=2, instances=THREE_MASTERS)
    first, second, third = emr.add(cluster_id, *"abc")
    emr.runner.live_applications = [live_application(cluster_id)]
    emr.after(1)
    assert emr.engine.strike(cluster_id, fail_over)
    assert [emr.step_state(cluster_id, one) for one in (first, second)] == ["FAILED", "FAILED"]
    assert emr.runner.signals == [(first, True), (second, True)]
    assert emr.runner.stopped_clusters == [], "what runs in YARN goes on"
    emr.after(1)
    assert (emr.state(cluster_id), emr.step_state(cluster_id, third)) == ("RUNNING", "RUNNING")
    emr.runner.finish(first, 137, signal=9)
    emr.after(1)
    assert emr.step_state(cluster_id, first) == "FAILED"


def test_strike_at_a_cluster_that_is_gone_says_so(emr):
    cluster_id = emr.create()
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    emr.after(5)
    assert not emr.engine.fail_cluster(cluster_id, code="INSTANCE_FAILURE", message="x", error_details=[])
    assert emr.state(cluster_id) == "TERMINATED"


@pytest.mark.parametrize(("length", "is_accepted"), [(256, True), (257, False)])
def test_names_have_up_to_256_characters(emr, length, is_accepted):
    cluster_id = emr.create()
    for attempt in (lambda: emr.create(Name="n" * length), lambda: emr.add(cluster_id, "n" * length)):
        if is_accepted:
            attempt()
        else:
            with pytest.raises(Exception, match="have length less than or equal to 256"):
                attempt()


def _run(emr, cluster_id, count, **script):
    """Let steps run to their end and return their ids."""
    script_id = emr.engine.scripts.add({"duration_s": 1, **script}).id
    ids = []
    while len(ids) < count:
        ids += emr.add(cluster_id, *("s" for _ in range(min(200, count - len(ids)))))
        emr.engine.advance_clock(300)
    emr.engine.scripts.remove(script_id)
    return ids


def _listed(emr, cluster_id, **request):
    found, marker = [], None
    while True:
        answer = emr.call("ListSteps", ClusterId=cluster_id, **request, **({"Marker": marker} if marker else {}))
        found += [step["Id"] for step in answer["Steps"]]
        marker = answer.get("Marker")
        if marker is None:
            return found


def test_thousand_records_are_all_there_and_the_next_hides_the_oldest(emr):
    cluster_id = emr.create(StepConcurrencyLevel=10)
    ids = _run(emr, cluster_id, 1000)
    assert _listed(emr, cluster_id) == ids[::-1]
    (newest,) = _run(emr, cluster_id, 1)
    assert _listed(emr, cluster_id) == [newest, *ids[:0:-1]]
    for operation, request in (("DescribeStep", {"StepId": ids[0]}), ("ListSteps", {"StepIds": [ids[0]]})):
        with pytest.raises(Exception, match=f"Step id '{ids[0]}' is not valid"):
            emr.call(operation, ClusterId=cluster_id, **request)
    assert emr.call("CancelSteps", ClusterId=cluster_id, StepIds=[ids[0]])["CancelStepsInfoList"][0]["Status"] == "FAILED"
    assert len(_listed(emr, cluster_id, StepStates=["COMPLETED"])) == 1000


def test_active_step_older_than_a_thousand_stays_until_it_ends(emr):
    cluster_id = emr.create(StepConcurrencyLevel=10)
    (old,) = emr.add(cluster_id, "for-hours")
    emr.after(1)
    ids = _run(emr, cluster_id, 1100)
    assert emr.step_state(cluster_id, old) == "RUNNING"
    assert _listed(emr, cluster_id) == [*ids[:99:-1], old]
    assert _listed(emr, cluster_id, StepStates=["RUNNING"]) == [old]
    emr.runner.finish(old)
    emr.after(1)
    with pytest.raises(Exception, match="is not valid"):
        emr.step(cluster_id, old)


def test_five_hundred_steps_drain_in_order_within_the_default_quotas(emr):
    emr.config.throttle = "aws"
    emr.engine.scripts.add({"duration_s": 30, "spread_s": 20, "seed": 1})
    cluster_id = emr.create(StepConcurrencyLevel=10)
    sent, refusals = [], set()
    waiting = [f"app-{number:03}" for number in range(500)]
    while waiting:
        try:
            sent += emr.add(cluster_id, *waiting[:10])
            waiting = waiting[10:]
        except Refused as refused:
            refusals.add(refused.code)
            emr.engine.advance_clock(1)
    emr.engine.advance_clock(3600)
    steps = [emr.engine.find_step(emr.engine.find_anywhere(cluster_id), one) for one in sent]
    assert {step.state for step in steps} == {"COMPLETED"}
    assert [step.started for step in steps] == sorted(step.started for step in steps)
    moments = sorted([(step.started, 1) for step in steps] + [(step.ended, -1) for step in steps])
    running = peak = 0
    for _, change in moments:
        running += change
        peak = max(peak, running)
    assert peak == 10
    assert refusals == {"ThrottlingException", "ValidationException"}, "the quota, and 256 active steps"
    assert emr.runner.started == []
