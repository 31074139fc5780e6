"""Clusters: states and their times, creation rules, termination, protection, idle policy, listing."""

import re

import pytest


def test_cluster_lifecycle_kept_alive_reaches_waiting_with_timeline(emr):
    cluster_id = emr.create(ready=False)
    assert re.fullmatch(r"j-[0-9A-Z]{13}", cluster_id)
    created = emr.clock.now
    assert emr.state(cluster_id) == "STARTING"
    assert "MasterPublicDnsName" not in emr.cluster(cluster_id)
    emr.after(10)
    assert emr.state(cluster_id) == "BOOTSTRAPPING"
    emr.after(20)
    cluster = emr.cluster(cluster_id)
    assert cluster["Status"]["State"] == "WAITING"
    assert cluster["Status"]["Timeline"] == {"CreationDateTime": created, "ReadyDateTime": created + 30}
    assert cluster["MasterPublicDnsName"] == "127.0.0.1"


def test_cluster_without_keep_alive_and_steps_terminates(emr):
    cluster_id = emr.create(keep_alive=False)
    assert emr.state(cluster_id) == "TERMINATING"
    emr.after(4)
    status = emr.cluster(cluster_id)["Status"]
    assert (status["State"], status["StateChangeReason"]["Code"]) == ("TERMINATED", "ALL_STEPS_COMPLETED")
    assert status["Timeline"]["EndDateTime"] == emr.clock.now


@pytest.mark.parametrize(
    ("exit_code", "code", "message"), [(0, "ALL_STEPS_COMPLETED", "Steps completed"), (1, "STEP_FAILURE", "Steps completed with errors")]
)
def test_transient_cluster_after_last_step_ends_terminated(emr, exit_code, code, message):
    step = {"Name": "one", "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": "command-runner.jar"}}
    cluster_id = emr.create(keep_alive=False, Steps=[step])
    emr.after(1)
    assert emr.state(cluster_id) == "RUNNING"
    emr.runner.finish(emr.runner.started_ids[0], exit_code)
    emr.after(6)
    status = emr.cluster(cluster_id)["Status"]
    assert status["State"] == "TERMINATED"
    assert status["StateChangeReason"] == {"Code": code, "Message": message}


@pytest.mark.parametrize("character", list("<>$|`"))
def test_run_job_flow_forbidden_character_in_name_is_refused(emr, character):
    with pytest.raises(Exception, match="can not contain") as refused:
        emr.create(Name=f"a{character}b")
    assert refused.value.code == "ValidationException"
    assert emr.call("ListClusters")["Clusters"] == []


@pytest.mark.parametrize("level", [0, 257])
def test_run_job_flow_concurrency_out_of_range_is_refused(emr, level):
    with pytest.raises(Exception, match="between 1 and 256"):
        emr.create(StepConcurrencyLevel=level)


def test_run_job_flow_fleets_and_groups_together_is_refused(emr):
    groups = [{"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1}]
    fleets = [{"InstanceFleetType": "MASTER", "TargetOnDemandCapacity": 1}]
    with pytest.raises(Exception, match="mutually exclusive"):
        emr.create(instances={"InstanceGroups": groups, "InstanceFleets": fleets})


def test_describe_cluster_shows_what_was_asked(emr):
    request = {
        "ReleaseLabel": "emr-7.5.0",
        "LogUri": "s3://logs/x/",
        "Applications": [{"Name": "Spark"}],
        "Configurations": [{"Classification": "spark", "Properties": {"a": "b"}}],
        "Tags": [{"Key": "team", "Value": "ads"}],
        "ServiceRole": "EMR_DefaultRole",
        "StepConcurrencyLevel": 7,
        "AutoTerminationPolicy": {"IdleTimeout": 600},
    }
    cluster_id = emr.create(**request)
    cluster = emr.cluster(cluster_id)
    for name in ("ReleaseLabel", "LogUri", "Applications", "Configurations", "Tags", "ServiceRole", "StepConcurrencyLevel"):
        assert cluster[name] == request[name]
    assert cluster["AutoTerminate"] is False
    assert emr.call("GetAutoTerminationPolicy", ClusterId=cluster_id) == {"AutoTerminationPolicy": {"IdleTimeout": 600}}


def test_describe_cluster_unknown_id_is_invalid_request(emr):
    with pytest.raises(Exception, match="Cluster id 'j-0000000000000' is not valid") as refused:
        emr.cluster("j-0000000000000")
    assert (refused.value.status, refused.value.code) == (400, "InvalidRequestException")


def test_describe_cluster_of_another_region_is_not_found(emr):
    cluster_id = emr.create()
    with pytest.raises(Exception, match="is not valid"):
        emr.call("DescribeCluster", region="us-west-2", ClusterId=cluster_id)


def test_list_clusters_pages_of_fifty_unsorted_and_complete(emr):
    ids = [emr.create(ready=False, Name=f"c{number}") for number in range(120)]
    pages, marker = [], None
    while True:
        answer = emr.call("ListClusters", **({"Marker": marker} if marker else {}))
        pages.append([cluster["Id"] for cluster in answer["Clusters"]])
        marker = answer.get("Marker")
        if marker is None:
            break
    assert [len(page) for page in pages] == [50, 50, 20]
    listed = [one for page in pages for one in page]
    assert sorted(listed) == sorted(ids)
    assert listed not in (ids, ids[::-1])


def test_list_clusters_summary_has_name_and_no_tags(emr):
    emr.create(Tags=[{"Key": "team", "Value": "ads"}])
    (summary,) = emr.call("ListClusters")["Clusters"]
    assert set(summary) == {"Id", "Name", "Status", "NormalizedInstanceHours", "ClusterArn"}


def test_list_clusters_filters_by_state_and_creation(emr):
    old = emr.create()
    emr.after(100)
    middle = emr.clock.now
    emr.after(100)
    new = emr.create(ready=False)

    def listed(**request):
        return [cluster["Id"] for cluster in emr.call("ListClusters", **request)["Clusters"]]

    assert listed(ClusterStates=["STARTING"]) == [new]
    assert listed(ClusterStates=["WAITING", "RUNNING"]) == [old]
    assert listed(CreatedAfter=middle) == [new]
    assert listed(CreatedBefore=middle) == [old]


def test_list_clusters_listing_lag_hides_only_the_listing(emr):
    emr.config.listing_lag_s = 20
    cluster_id = emr.create(ready=False)
    assert emr.call("ListClusters")["Clusters"] == []
    assert emr.state(cluster_id) == "STARTING"
    emr.after(20)
    assert [cluster["Id"] for cluster in emr.call("ListClusters")["Clusters"]] == [cluster_id]


def test_list_clusters_bad_marker_is_refused(emr):
    with pytest.raises(Exception, match="Marker 'nonsense' is not valid"):
        emr.call("ListClusters", Marker="nonsense")


def test_terminate_cancels_steps_and_stops_processes(emr):
    cluster_id = emr.create()
    running, pending = emr.add(cluster_id, "a", "b")
    emr.after(1)
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    assert emr.state(cluster_id) == "TERMINATING"
    assert emr.runner.stopped_clusters == [cluster_id]
    assert emr.step_state(cluster_id, running) == "CANCELLED"
    never_ran = emr.step(cluster_id, pending)["Status"]
    assert never_ran["State"] == "CANCELLED"
    assert "StartDateTime" not in never_ran["Timeline"]
    emr.runner.finish(running, 143, signal=15)
    emr.after(5)
    assert emr.step_state(cluster_id, running) == "CANCELLED"
    status = emr.cluster(cluster_id)["Status"]
    assert status["State"] == "TERMINATED"
    assert status["StateChangeReason"] == {"Code": "USER_REQUEST", "Message": "Terminated by user request"}


def test_terminate_again_is_accepted_and_changes_nothing(emr):
    cluster_id = emr.create()
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    emr.after(5)
    ended = emr.cluster(cluster_id)["Status"]
    assert emr.call("TerminateJobFlows", JobFlowIds=[cluster_id]) == {}
    assert emr.cluster(cluster_id)["Status"] == ended


def test_terminate_gap_still_accepts_a_step(emr):
    emr.config.terminate_gap_s = 3
    cluster_id = emr.create()
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    (step_id,) = emr.add(cluster_id, "late")
    emr.after(3)
    assert emr.state(cluster_id) == "TERMINATING"
    assert emr.step_state(cluster_id, step_id) == "CANCELLED"


def test_terminate_with_one_protected_ends_the_others_and_fails(emr):
    guarded, free = emr.create(instances={"TerminationProtected": True}), emr.create()
    with pytest.raises(Exception, match="since they are termination protected") as refused:
        emr.call("TerminateJobFlows", JobFlowIds=[guarded, free])
    assert refused.value.code == "ValidationException"
    assert emr.state(guarded) == "WAITING"
    assert emr.state(free) == "TERMINATING"
    emr.call("SetTerminationProtection", JobFlowIds=[guarded], TerminationProtected=False)
    emr.call("TerminateJobFlows", JobFlowIds=[guarded])
    assert emr.state(guarded) == "TERMINATING"


@pytest.mark.parametrize("count", [0, 11])
def test_terminate_wrong_number_of_ids_is_refused(emr, count):
    with pytest.raises(Exception, match="between 1 and 10"):
        emr.call("TerminateJobFlows", JobFlowIds=["j-0000000000000"] * count)


def test_terminate_unknown_id_is_refused_before_any_effect(emr):
    cluster_id = emr.create()
    with pytest.raises(Exception, match="Specified job flow ID does not exist"):
        emr.call("TerminateJobFlows", JobFlowIds=[cluster_id, "j-0000000000000"])
    assert emr.state(cluster_id) == "WAITING"


def test_three_masters_switch_protection_on(emr):
    groups = [{"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 3}]
    cluster_id = emr.create(instances={"InstanceGroups": groups, "InstanceCount": None})
    assert emr.cluster(cluster_id)["TerminationProtected"] is True


def test_idle_policy_ends_an_idle_cluster(emr):
    cluster_id = emr.create(AutoTerminationPolicy={"IdleTimeout": 60})
    emr.after(58)
    assert emr.state(cluster_id) == "WAITING"
    emr.after(3)
    assert emr.state(cluster_id) == "TERMINATING"
    assert emr.cluster(cluster_id)["Status"]["StateChangeReason"]["Code"] == "ALL_STEPS_COMPLETED"


def test_idle_clock_starts_anew_after_a_step(emr):
    cluster_id = emr.create(AutoTerminationPolicy={"IdleTimeout": 60})
    emr.after(50)
    (step_id,) = emr.add(cluster_id, "a")
    emr.after(30)
    emr.runner.finish(step_id)
    emr.after(55)
    assert emr.state(cluster_id) == "WAITING"
    emr.after(7)
    assert emr.state(cluster_id) == "TERMINATING"


def test_idle_clock_waits_for_yarn_applications(emr, live_application):
    cluster_id = emr.create(AutoTerminationPolicy={"IdleTimeout": 60})
    emr.runner.live_applications = [live_application(cluster_id)]
    emr.after(200)
    assert emr.state(cluster_id) == "WAITING"
    emr.runner.live_applications = []
    emr.after(63)
    assert emr.state(cluster_id) == "TERMINATING"


def test_idle_clock_speed_shortens_the_wait(emr):
    emr.config.idle_clock_speed = 60
    cluster_id = emr.create(AutoTerminationPolicy={"IdleTimeout": 600})
    emr.after(12)
    assert emr.state(cluster_id) == "TERMINATING"


def test_idle_policy_spares_a_protected_cluster(emr):
    cluster_id = emr.create(AutoTerminationPolicy={"IdleTimeout": 60}, instances={"TerminationProtected": True})
    emr.after(300)
    assert emr.state(cluster_id) == "WAITING"


def test_idle_policy_can_be_put_and_removed(emr):
    cluster_id = emr.create()
    emr.call("PutAutoTerminationPolicy", ClusterId=cluster_id, AutoTerminationPolicy={"IdleTimeout": 60})
    emr.after(30)
    emr.call("RemoveAutoTerminationPolicy", ClusterId=cluster_id)
    assert emr.call("GetAutoTerminationPolicy", ClusterId=cluster_id) == {}
    emr.after(300)
    assert emr.state(cluster_id) == "WAITING"


@pytest.mark.parametrize("timeout", [59, 604_801])
def test_idle_timeout_out_of_range_is_refused(emr, timeout):
    cluster_id = emr.create()
    with pytest.raises(Exception, match="between 60 and 604800"):
        emr.call("PutAutoTerminationPolicy", ClusterId=cluster_id, AutoTerminationPolicy={"IdleTimeout": timeout})


def test_lost_master_ends_cluster_with_errors(emr):
    cluster_id = emr.create()
    running, pending = emr.add(cluster_id, "a", "b")
    emr.after(1)
    details = [{"ErrorCode": "INTERNAL_ERROR_EC2_INSUFFICIENT_CAPACITY_AZ", "ErrorMessage": "none left", "ErrorData": [{"az": "a"}]}]
    assert emr.engine.fail_cluster(cluster_id, code="INSTANCE_FAILURE", message="The master node was terminated. ", error_details=details)
    status = emr.cluster(cluster_id)["Status"]
    assert status["State"] == "TERMINATED_WITH_ERRORS"
    assert status["StateChangeReason"]["Code"] == "INSTANCE_FAILURE"
    assert status["ErrorDetails"] == details
    assert emr.step_state(cluster_id, running) == "FAILED"
    assert "StartDateTime" not in emr.step(cluster_id, pending)["Status"]["Timeline"]
    assert emr.runner.stopped_clusters == [cluster_id]


def test_tags_change_until_the_cluster_ended(emr):
    cluster_id = emr.create()
    emr.call("AddTags", ResourceId=cluster_id, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    emr.call("RemoveTags", ResourceId=cluster_id, TagKeys=["a"])
    assert emr.cluster(cluster_id)["Tags"] == [{"Key": "b", "Value": "2"}]
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    emr.after(5)
    with pytest.raises(Exception, match="terminated clusters"):
        emr.call("AddTags", ResourceId=cluster_id, Tags=[{"Key": "c", "Value": "3"}])


def test_list_instances_follows_the_cluster_and_its_filters(emr):
    groups = [
        {"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1},
        {"InstanceRole": "CORE", "InstanceType": "r5.xlarge", "InstanceCount": 60, "Market": "SPOT"},
    ]
    cluster_id = emr.create(instances={"InstanceGroups": groups, "InstanceCount": None})
    first = emr.call("ListInstances", ClusterId=cluster_id)
    rest = emr.call("ListInstances", ClusterId=cluster_id, Marker=first["Marker"])
    assert (len(first["Instances"]), len(rest["Instances"])) == (50, 11)
    assert "Marker" not in rest
    (master,) = emr.call("ListInstances", ClusterId=cluster_id, InstanceGroupTypes=["MASTER"])["Instances"]
    assert master["Status"]["State"] == "RUNNING"
    assert rest["Instances"][0]["Market"] == "SPOT"
    assert emr.call("ListInstances", ClusterId=cluster_id, InstanceStates=["TERMINATED"])["Instances"] == []
    shown = emr.call("ListInstanceGroups", ClusterId=cluster_id)["InstanceGroups"]
    assert [(group["InstanceGroupType"], group["RunningInstanceCount"]) for group in shown] == [("MASTER", 1), ("CORE", 60)]


def test_list_instance_fleets_counts_capacity_in_units(emr):
    fleets = [
        {"InstanceFleetType": "MASTER", "TargetOnDemandCapacity": 1, "InstanceTypeConfigs": [{"InstanceType": "m5.xlarge"}]},
        {
            "InstanceFleetType": "CORE",
            "TargetSpotCapacity": 8,
            "InstanceTypeConfigs": [{"InstanceType": "r5.xlarge", "WeightedCapacity": 4}],
        },
    ]
    cluster_id = emr.create(instances={"InstanceFleets": fleets, "InstanceCount": None})
    core = emr.call("ListInstanceFleets", ClusterId=cluster_id)["InstanceFleets"][1]
    assert (core["TargetSpotCapacity"], core["ProvisionedSpotCapacity"]) == (8, 8)
    assert len(emr.call("ListInstances", ClusterId=cluster_id, InstanceFleetType="CORE")["Instances"]) == 2
    with pytest.raises(Exception, match="Use the ListInstanceFleets operation"):
        emr.call("ListInstanceGroups", ClusterId=cluster_id)


def test_app_ui_url_only_for_ready_clusters(emr):
    cluster_id = emr.create(ready=False)
    with pytest.raises(Exception, match="only while"):
        emr.call("GetOnClusterAppUIPresignedURL", ClusterId=cluster_id)
    emr.after(31)
    answer = emr.call(
        "GetOnClusterAppUIPresignedURL", ClusterId=cluster_id, OnClusterAppUIType="ResourceManager", ApplicationId="application_1_1"
    )
    assert answer["PresignedURLReady"] is True
    assert answer["PresignedURL"].endswith(f"/emrsim/yarn/{cluster_id}/ws/v1/cluster/apps/application_1_1")
    assert emr.call("GetOnClusterAppUIPresignedURL", ClusterId=cluster_id, OnClusterAppUIType="TezUI") == {"PresignedURLReady": False}


def test_state_survives_a_restart(emr):
    cluster_id = emr.create(AutoTerminationPolicy={"IdleTimeout": 600}, Tags=[{"Key": "a", "Value": "1"}])
    running, pending = emr.add(cluster_id, "a", "b")
    emr.after(1)
    before = emr.cluster(cluster_id), emr.call("ListSteps", ClusterId=cluster_id), emr.call("ListInstances", ClusterId=cluster_id)
    emr.reopen()
    assert (emr.cluster(cluster_id), emr.call("ListSteps", ClusterId=cluster_id), emr.call("ListInstances", ClusterId=cluster_id)) == before
    emr.runner.finish(running)
    emr.after(1)
    assert emr.runner.started_ids == [running, pending]
    assert emr.step_state(cluster_id, running) == "COMPLETED"


@pytest.mark.parametrize(
    ("instances", "message"),
    [
        ({"InstanceCount": 0}, "at least 1"),
        ({"InstanceGroups": [{"InstanceRole": "CORE", "InstanceType": "m5.xlarge", "InstanceCount": 1}]}, "master instance group"),
        ({"InstanceGroups": [{"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 0}]}, "at least one instance"),
        ({"InstanceFleets": [{"InstanceFleetType": "MASTER"}]}, "at least one"),
    ],
)
def test_run_job_flow_impossible_instances_are_refused(emr, instances, message):
    with pytest.raises(Exception, match=message) as refused:
        emr.create(instances=instances)
    assert refused.value.code == "ValidationException"


def test_instance_count_means_one_master_and_the_rest_core(emr):
    cluster_id = emr.create(instances={"InstanceCount": 4, "MasterInstanceType": "m5.large", "SlaveInstanceType": "r5.large"})
    groups = emr.call("ListInstanceGroups", ClusterId=cluster_id)["InstanceGroups"]
    shown = [(group["InstanceGroupType"], group["InstanceType"], group["RequestedInstanceCount"]) for group in groups]
    assert shown == [("MASTER", "m5.large", 1), ("CORE", "r5.large", 3)]
    with pytest.raises(Exception, match="Use the ListInstanceGroups operation"):
        emr.call("ListInstanceFleets", ClusterId=cluster_id)


@pytest.mark.parametrize("tag", [{"Value": "v"}, {"Key": "k" * 129}, {"Key": "k", "Value": "v" * 257}])
def test_tags_out_of_bounds_are_refused(emr, tag):
    with pytest.raises(Exception, match="Invalid tag") as refused:
        emr.create(Tags=[tag])
    assert refused.value.code == "InvalidRequestException"


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("SetTerminationProtection", {"TerminationProtected": True}),
        ("ModifyCluster", {"StepConcurrencyLevel": 2}),
        ("PutAutoTerminationPolicy", {"AutoTerminationPolicy": {"IdleTimeout": 60}}),
        ("RemoveAutoTerminationPolicy", {}),
    ],
)
def test_cluster_on_its_way_out_cannot_be_changed(emr, operation, request_):
    cluster_id = emr.create()
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    target = {"JobFlowIds": [cluster_id]} if operation == "SetTerminationProtection" else {"ClusterId": cluster_id}
    with pytest.raises(Exception, match="may not be modified"):
        emr.call(operation, **target, **request_)


def test_keep_alive_switched_off_ends_the_cluster_after_its_last_step(emr):
    cluster_id = emr.create()
    emr.call("SetKeepJobFlowAliveWhenNoSteps", JobFlowIds=[cluster_id], KeepJobFlowAliveWhenNoSteps=False)
    emr.after(1)
    assert emr.state(cluster_id) == "TERMINATING"


def test_subnets_of_the_request_are_shown(emr):
    cluster_id = emr.create(instances={"Ec2SubnetIds": ["subnet-1", "subnet-2"], "Ec2KeyName": "key"})
    attributes = emr.cluster(cluster_id)["Ec2InstanceAttributes"]
    assert (attributes["Ec2SubnetId"], attributes["RequestedEc2SubnetIds"], attributes["Ec2KeyName"]) == (
        "subnet-1",
        ["subnet-1", "subnet-2"],
        "key",
    )
