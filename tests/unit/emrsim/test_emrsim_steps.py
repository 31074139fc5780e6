"""Steps: order and concurrency, ends, failures and what follows them, limits, listing, cancelling."""

import re

import pytest


def _config(**jar_step):
    return {"Name": "x", "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": "command-runner.jar", **jar_step}}


def test_step_runs_and_completes_with_timeline(emr):
    cluster_id = emr.create()
    (step_id,) = emr.add(cluster_id, "one")
    assert re.fullmatch(r"s-[0-9A-Z]{20}", step_id)
    created = emr.clock.now
    assert emr.step_state(cluster_id, step_id) == "PENDING"
    emr.after(1)
    assert emr.step_state(cluster_id, step_id) == "RUNNING"
    (launch,) = emr.runner.started
    assert (launch.cluster_id, launch.step_id, launch.jar, launch.args) == (cluster_id, step_id, "command-runner.jar", ("true",))
    emr.clock.advance(30)
    emr.runner.finish(step_id)
    status = emr.step(cluster_id, step_id)["Status"]
    assert status["State"] == "COMPLETED"
    assert status["Timeline"] == {"CreationDateTime": created, "StartDateTime": created + 1, "EndDateTime": created + 31}


def test_steps_wait_until_the_cluster_is_ready(emr):
    cluster_id = emr.create(ready=False)
    emr.add(cluster_id, "early")
    emr.after(30)
    assert emr.runner.started == []
    assert emr.state(cluster_id) == "RUNNING"
    emr.after(1)
    assert len(emr.runner.started) == 1


def test_steps_at_concurrency_one_run_one_after_the_other(emr):
    cluster_id = emr.create()
    first, second = emr.add(cluster_id, "a", "b")
    emr.after(5)
    assert emr.runner.started_ids == [first]
    emr.runner.finish(first)
    emr.after(1)
    assert emr.runner.started_ids == [first, second]


def test_steps_start_in_order_and_fill_the_concurrency(emr):
    cluster_id = emr.create(StepConcurrencyLevel=3)
    ids = emr.add(cluster_id, *"abcde")
    emr.after(1)
    assert emr.runner.started_ids == ids[:3]
    emr.runner.finish(ids[1])
    emr.after(1)
    assert emr.runner.started_ids == ids[:4]


def test_lower_concurrency_lets_running_steps_finish(emr):
    cluster_id = emr.create(StepConcurrencyLevel=3)
    ids = emr.add(cluster_id, *"abcd")
    emr.after(1)
    assert emr.call("ModifyCluster", ClusterId=cluster_id, StepConcurrencyLevel=1) == {"StepConcurrencyLevel": 1}
    emr.runner.finish(ids[0])
    emr.runner.finish(ids[1])
    emr.after(2)
    assert emr.runner.started_ids == ids[:3]
    emr.runner.finish(ids[2])
    emr.after(1)
    assert emr.runner.started_ids == ids


def test_waiting_flips_to_running_late_and_back_after_the_last_step(emr):
    emr.config.waiting_flip_s = 10
    cluster_id = emr.create()
    (step_id,) = emr.add(cluster_id, "a")
    emr.after(9)
    assert (emr.state(cluster_id), emr.step_state(cluster_id, step_id)) == ("WAITING", "RUNNING")
    emr.after(1)
    assert emr.state(cluster_id) == "RUNNING"
    emr.runner.finish(step_id)
    emr.after(1)
    assert emr.state(cluster_id) == "WAITING"


def test_steps_stuck_never_start(emr):
    emr.config.steps_stuck = True
    cluster_id = emr.create()
    (step_id,) = emr.add(cluster_id, "a")
    emr.after(1000)
    assert (emr.state(cluster_id), emr.step_state(cluster_id, step_id)) == ("RUNNING", "PENDING")


def test_failed_step_tells_reason_message_and_log_file(emr):
    cluster_id = emr.create()
    (step_id,) = emr.add(cluster_id, "a")
    emr.after(1)
    emr.runner.finish(step_id, 1, message="Exception in thread main", log_file="s3://logs/stderr.gz")
    assert emr.step(cluster_id, step_id)["Status"]["FailureDetails"] == {
        "Reason": "Unknown Error.",
        "Message": "Exception in thread main",
        "LogFile": "s3://logs/stderr.gz",
    }


@pytest.mark.parametrize(
    ("action", "cluster_state", "second_state"),
    [
        ("CONTINUE", "RUNNING", "RUNNING"),
        ("CANCEL_AND_WAIT", "WAITING", "CANCELLED"),
        ("TERMINATE_CLUSTER", "TERMINATING", "CANCELLED"),
        ("TERMINATE_JOB_FLOW", "TERMINATING", "CANCELLED"),
    ],
)
def test_action_on_failure_at_concurrency_one(emr, action, cluster_state, second_state):
    cluster_id = emr.create()
    first, second = emr.add(cluster_id, "a", "b", action=action)
    emr.after(1)
    emr.runner.finish(first, 1)
    emr.after(1)
    assert emr.step_state(cluster_id, first) == "FAILED"
    assert (emr.state(cluster_id), emr.step_state(cluster_id, second)) == (cluster_state, second_state)


def test_terminate_on_failure_ends_with_errors(emr):
    cluster_id = emr.create()
    (step_id,) = emr.add(cluster_id, "a", action="TERMINATE_CLUSTER")
    emr.after(1)
    emr.runner.finish(step_id, 1)
    emr.after(6)
    status = emr.cluster(cluster_id)["Status"]
    assert status["State"] == "TERMINATED_WITH_ERRORS"
    assert status["StateChangeReason"] == {"Code": "STEP_FAILURE", "Message": "Shut down as step failed"}


def test_terminate_on_failure_spares_a_protected_cluster(emr):
    cluster_id = emr.create(instances={"TerminationProtected": True})
    first, second = emr.add(cluster_id, "a", "b", action="TERMINATE_CLUSTER")
    emr.after(1)
    emr.runner.finish(first, 1)
    emr.after(2)
    assert (emr.state(cluster_id), emr.step_state(cluster_id, second)) == ("WAITING", "CANCELLED")


@pytest.mark.parametrize("action", ["CANCEL_AND_WAIT", "TERMINATE_CLUSTER"])
def test_add_steps_with_action_above_concurrency_one_is_refused(emr, action):
    cluster_id = emr.create(StepConcurrencyLevel=2)
    with pytest.raises(Exception, match=f"ActionOnFailure setting {action} is not valid") as refused:
        emr.add(cluster_id, "a", action=action)
    assert refused.value.code == "ValidationException"
    assert emr.call("ListSteps", ClusterId=cluster_id)["Steps"] == []


def test_action_on_failure_is_ignored_when_concurrency_was_raised(emr):
    cluster_id = emr.create()
    first, second = emr.add(cluster_id, "a", "b", action="TERMINATE_CLUSTER")
    emr.after(1)
    emr.call("ModifyCluster", ClusterId=cluster_id, StepConcurrencyLevel=2)
    emr.runner.finish(first, 1)
    emr.after(1)
    assert (emr.state(cluster_id), emr.step_state(cluster_id, second)) == ("RUNNING", "RUNNING")


def test_add_steps_up_to_256_active_and_not_one_more(emr):
    cluster_id = emr.create()
    ids = emr.add(cluster_id, *map(str, range(256)))
    with pytest.raises(Exception, match="Maximum number of active steps") as refused:
        emr.add(cluster_id, "257th")
    assert refused.value.code == "ValidationException"
    emr.after(1)
    emr.runner.finish(ids[0])
    assert len(emr.add(cluster_id, "257th")) == 1


def test_cancelled_running_step_leaves_the_active_count(emr):
    cluster_id = emr.create()
    ids = emr.add(cluster_id, *map(str, range(256)))
    emr.after(1)
    emr.call("CancelSteps", ClusterId=cluster_id, StepIds=[ids[0]])
    assert emr.step_state(cluster_id, ids[0]) == "CANCEL_PENDING"
    emr.add(cluster_id, "257th")
    emr.after(5)
    assert emr.runner.started_ids == [ids[0]]


def test_add_steps_is_all_or_none(emr):
    cluster_id = emr.create()
    steps = [_config(Args=["true"]), _config(Args=["x" * 10_240])]
    with pytest.raises(Exception, match="cannot exceed a total of 10240"):
        emr.call("AddJobFlowSteps", JobFlowId=cluster_id, Steps=steps)
    assert emr.call("ListSteps", ClusterId=cluster_id)["Steps"] == []


@pytest.mark.parametrize("field", ["Args", "MainClass", "Properties"])
def test_add_steps_counts_every_string_up_to_10240(emr, field):
    def jar_step(extra):
        text = "x" * (10_240 - len("command-runner.jar") + extra)
        value = {"Args": [text], "MainClass": text, "Properties": [{"Key": text[:5000], "Value": text[5000:]}]}
        return _config(**{field: value[field]})

    cluster_id = emr.create()
    emr.call("AddJobFlowSteps", JobFlowId=cluster_id, Steps=[jar_step(0)])
    with pytest.raises(Exception, match="10240"):
        emr.call("AddJobFlowSteps", JobFlowId=cluster_id, Steps=[jar_step(1)])


def test_add_steps_to_an_ending_cluster_is_refused(emr):
    cluster_id = emr.create()
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    for _ in range(2):
        with pytest.raises(Exception, match="shutting down, terminated, or finished may not be modified") as refused:
            emr.add(cluster_id, "late")
        assert refused.value.code == "ValidationException"
        emr.after(5)


def test_add_steps_to_an_unknown_cluster_is_refused(emr):
    with pytest.raises(Exception, match="Specified job flow ID does not exist") as refused:
        emr.add("j-0000000000000", "a")
    assert refused.value.code == "ValidationException"


def test_describe_step_shows_config_and_role(emr):
    cluster_id = emr.create()
    role = "arn:aws:iam::123456789012:role/job"
    config = _config(Args=["a", "b"], MainClass="org.x.Main", Properties=[{"Key": "k", "Value": "v"}])
    request = {"JobFlowId": cluster_id, "Steps": [config], "ExecutionRoleArn": role}
    (step_id,) = emr.call("AddJobFlowSteps", **request)["StepIds"]
    step = emr.step(cluster_id, step_id)
    assert step["Config"] == {"Jar": "command-runner.jar", "Args": ["a", "b"], "MainClass": "org.x.Main", "Properties": {"k": "v"}}
    assert step["ExecutionRoleArn"] == role


def test_describe_step_unknown_id_is_invalid_request(emr):
    cluster_id = emr.create()
    with pytest.raises(Exception, match="Step id 's-NOPE' is not valid") as refused:
        emr.step(cluster_id, "s-NOPE")
    assert refused.value.code == "InvalidRequestException"


def test_list_steps_newest_first_in_pages_of_fifty(emr):
    cluster_id = emr.create()
    ids = emr.add(cluster_id, *map(str, range(120)))
    pages, marker = [], None
    while True:
        answer = emr.call("ListSteps", ClusterId=cluster_id, **({"Marker": marker} if marker else {}))
        pages.append([step["Id"] for step in answer["Steps"]])
        marker = answer.get("Marker")
        if marker is None:
            break
    assert [len(page) for page in pages] == [50, 50, 20]
    assert [one for page in pages for one in page] == ids[::-1]


def test_list_steps_with_states_or_ids_is_not_reversed(emr):
    cluster_id = emr.create()
    ids = emr.add(cluster_id, *"abc")
    emr.after(1)

    def listed(**request):
        return [step["Id"] for step in emr.call("ListSteps", ClusterId=cluster_id, **request)["Steps"]]

    assert listed(StepStates=["PENDING", "RUNNING"]) == ids
    assert listed(StepStates=["RUNNING"]) == ids[:1]
    assert listed(StepIds=[ids[2], ids[0]]) == [ids[2], ids[0]]


def test_list_steps_page_survives_a_new_step_between_pages(emr):
    cluster_id = emr.create()
    ids = emr.add(cluster_id, *map(str, range(60)))
    first = emr.call("ListSteps", ClusterId=cluster_id)
    emr.add(cluster_id, "new")
    second = emr.call("ListSteps", ClusterId=cluster_id, Marker=first["Marker"])
    assert [step["Id"] for step in first["Steps"] + second["Steps"]] == ids[::-1]


def test_list_steps_more_than_ten_ids_is_refused(emr):
    cluster_id = emr.create()
    ids = emr.add(cluster_id, *map(str, range(11)))
    assert len(emr.call("ListSteps", ClusterId=cluster_id, StepIds=ids[:10])["Steps"]) == 10
    with pytest.raises(Exception, match="cannot exceed 10") as refused:
        emr.call("ListSteps", ClusterId=cluster_id, StepIds=ids)
    assert refused.value.code == "InvalidRequestException"


def test_list_steps_ids_with_states_is_refused(emr):
    cluster_id = emr.create()
    ids = emr.add(cluster_id, "a")
    with pytest.raises(Exception, match="Cannot specify both"):
        emr.call("ListSteps", ClusterId=cluster_id, StepIds=ids, StepStates=["PENDING"])


def test_list_steps_listing_lag_hides_a_new_step_from_listings_only(emr):
    emr.config.listing_lag_s = 20
    cluster_id = emr.create()
    (step_id,) = emr.add(cluster_id, "a")
    assert emr.call("ListSteps", ClusterId=cluster_id)["Steps"] == []
    with pytest.raises(Exception, match="is not valid"):
        emr.call("ListSteps", ClusterId=cluster_id, StepIds=[step_id])
    assert emr.step_state(cluster_id, step_id) == "PENDING"
    emr.after(20)
    assert [step["Id"] for step in emr.call("ListSteps", ClusterId=cluster_id)["Steps"]] == [step_id]


def test_only_the_last_thousand_ended_steps_stay_visible(emr):
    cluster_id = emr.create(StepConcurrencyLevel=256)
    ids = []
    for _ in range(5):
        batch = emr.add(cluster_id, *map(str, range(220)))
        emr.after(1)
        ids += batch
        for step_id in batch[1:]:
            emr.runner.finish(step_id)
        emr.engine.tick()
    seen, marker = [], None
    while True:
        answer = emr.call("ListSteps", ClusterId=cluster_id, **({"Marker": marker} if marker else {}))
        seen += [step["Id"] for step in answer["Steps"]]
        marker = answer.get("Marker")
        if marker is None:
            break
    assert seen[:1000] == ids[:-1001:-1]
    assert seen[1000:] == [ids[0]], "an old step that still runs stays visible"
    with pytest.raises(Exception, match="is not valid"):
        emr.step(cluster_id, ids[1])


def test_cancel_pending_step_never_starts(emr):
    cluster_id = emr.create()
    first, second = emr.add(cluster_id, "a", "b")
    emr.after(1)
    answer = emr.call("CancelSteps", ClusterId=cluster_id, StepIds=[second])
    assert answer["CancelStepsInfoList"] == [{"StepId": second, "Status": "SUBMITTED"}]
    assert emr.step_state(cluster_id, second) == "CANCEL_PENDING"
    emr.after(1)
    status = emr.step(cluster_id, second)["Status"]
    assert (status["State"], "StartDateTime" in status["Timeline"]) == ("CANCELLED", False)
    emr.runner.finish(first)
    emr.after(5)
    assert emr.runner.started_ids == [first]


@pytest.mark.parametrize(("option", "kill"), [(None, False), ("SEND_INTERRUPT", False), ("TERMINATE_PROCESS", True)])
def test_cancel_running_step_signals_and_waits_for_the_process(emr, option, kill):
    cluster_id = emr.create()
    first, second = emr.add(cluster_id, "a", "b", action="TERMINATE_CLUSTER")
    emr.after(1)
    emr.call("CancelSteps", ClusterId=cluster_id, StepIds=[first], **({"StepCancellationOption": option} if option else {}))
    assert emr.runner.signals == [(first, kill)]
    emr.after(60)
    assert emr.step_state(cluster_id, first) == "CANCEL_PENDING"
    assert emr.runner.started_ids == [first]
    emr.runner.finish(first, 143, signal=15)
    emr.after(1)
    assert emr.step_state(cluster_id, first) == "CANCELLED"
    assert emr.runner.started_ids == [first, second], "ActionOnFailure does not fire"


def test_cancel_comes_too_late_for_a_step_that_just_succeeded(emr):
    cluster_id = emr.create()
    (step_id,) = emr.add(cluster_id, "a")
    emr.after(1)
    emr.call("CancelSteps", ClusterId=cluster_id, StepIds=[step_id])
    emr.runner.finish(step_id, 0)
    assert emr.step_state(cluster_id, step_id) == "COMPLETED"


def test_cancel_answers_for_each_id(emr):
    cluster_id = emr.create()
    done, running = emr.add(cluster_id, "a", "b")
    emr.after(1)
    emr.runner.finish(done)
    emr.after(1)
    answer = emr.call("CancelSteps", ClusterId=cluster_id, StepIds=[done, running, "s-NOPE"])["CancelStepsInfoList"]
    assert [(info["StepId"], info["Status"]) for info in answer] == [(done, "FAILED"), (running, "SUBMITTED"), ("s-NOPE", "FAILED")]
    assert "COMPLETED" in answer[0]["Reason"]
    assert emr.journal.since(0)[-1]["result_ids"] == [running]


def test_cancel_again_sharpens_the_signal(emr):
    cluster_id = emr.create()
    (step_id,) = emr.add(cluster_id, "a")
    emr.after(1)
    for option in ("SEND_INTERRUPT", "TERMINATE_PROCESS"):
        emr.call("CancelSteps", ClusterId=cluster_id, StepIds=[step_id], StepCancellationOption=option)
    assert emr.runner.signals == [(step_id, False), (step_id, True)]


def test_cancel_wrong_number_of_ids_is_refused(emr):
    cluster_id = emr.create()
    for count in (0, 257):
        with pytest.raises(Exception, match="between 1 and 256"):
            emr.call("CancelSteps", ClusterId=cluster_id, StepIds=["s-NOPE"] * count)


def test_cancelled_running_step_is_signalled_again_after_a_restart(emr):
    cluster_id = emr.create()
    (step_id,) = emr.add(cluster_id, "a")
    emr.after(1)
    emr.call("CancelSteps", ClusterId=cluster_id, StepIds=[step_id], StepCancellationOption="TERMINATE_PROCESS")
    emr.runner.signals.clear()
    emr.reopen()
    assert emr.runner.signals == [(step_id, True)]
    assert emr.runner.started_ids == [step_id]


def test_ending_cluster_is_stopped_again_after_a_restart(emr):
    cluster_id = emr.create()
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    emr.runner.stopped_clusters.clear()
    emr.reopen()
    assert emr.runner.stopped_clusters == [cluster_id]


def test_launch_lost_in_a_crash_is_repeated(emr):
    cluster_id = emr.create()
    (step_id,) = emr.add(cluster_id, "a")
    emr.after(1)
    emr.runner.started.clear()
    emr.reopen()
    assert emr.runner.started_ids == [step_id]
