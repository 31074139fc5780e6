"""The wire: what AWS would refuse is refused in AWS's words, and every reply fits the API model."""

import json

import pytest

from platyspark_provider.emrsim.emr_endpoint import OPERATIONS
from platyspark_provider.emrsim.wire import ReplyError, check_reply, check_request, operation_names


def _error(emr, operation, request):
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    status, answer = emr.post(operation, body)
    return status, answer["__type"], answer.get("message") or answer.get("Message")


_NO_JAR = {"JobFlowId": "j-1", "Steps": [{"Name": "a", "HadoopJarStep": {}}]}
_NEGATIVE_SPOT = {"InstanceFleets": [{"InstanceFleetType": "MASTER", "TargetSpotCapacity": -1}]}


@pytest.mark.parametrize(
    ("operation", "request_", "where", "constraint"),
    [
        ("RunJobFlow", {"Name": "x"}, "null at 'instances'", "not be null"),
        ("DescribeStep", {"ClusterId": "j-1", "StepId": None}, "null at 'stepId'", "not be null"),
        ("AddJobFlowSteps", _NO_JAR, "null at 'steps.1.member.hadoopJarStep.jar'", "not be null"),
        ("RunJobFlow", {"Name": "n" * 257, "Instances": {}}, "at 'name'", "have length less than or equal to 256"),
        ("RunJobFlow", {"Name": "a\x00b", "Instances": {}}, "at 'name'", "satisfy regular expression pattern: [\\u0020-"),
        ("ListClusters", {"ClusterStates": ["DEAD"]}, "'DEAD' at 'clusterStates.1.member'", "satisfy enum value set: [STARTING, "),
        (
            "AddJobFlowSteps",
            {"JobFlowId": "j-1", "Steps": [], "ExecutionRoleArn": "short"},
            "'short' at 'executionRoleArn'",
            "have length greater than or equal to 20",
        ),
        (
            "RunJobFlow",
            {"Name": "x", "Instances": _NEGATIVE_SPOT},
            "'-1' at 'instances.instanceFleets.1.member.targetSpotCapacity'",
            "have value greater than or equal to 0",
        ),
    ],
)
def test_request_that_breaks_a_constraint_is_a_validation_error(emr, operation, request_, where, constraint):
    status, code, text = _error(emr, operation, request_)
    assert (status, code) == (400, "ValidationException")
    assert text.startswith("1 validation error detected: Value ")
    assert f"{where} failed to satisfy constraint: Member must {constraint}" in text


def test_request_with_several_problems_names_all(emr):
    _, _, text = _error(emr, "RunJobFlow", {"Name": "n" * 300})
    assert text.startswith("2 validation errors detected: ")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (b"{not json", "not a JSON object"),
        (b"[1]", "not a JSON object"),
        ({"Name": 3, "Instances": {}}, "NUMBER_VALUE can not be converted to a String"),
        ({"Name": "x", "Instances": []}, "START_ARRAY can not be converted to a Object"),
        ({"Name": "x", "Instances": {"InstanceCount": "3"}}, "STRING_VALUE can not be converted to a Integer"),
        ({"Name": "x", "Instances": {"InstanceCount": True}}, "TRUE_VALUE can not be converted to a Integer"),
        ({"Name": "x", "Instances": {"KeepJobFlowAliveWhenNoSteps": 1}}, "NUMBER_VALUE can not be converted to a Boolean"),
    ],
)
def test_request_of_the_wrong_type_is_a_serialization_error(emr, request_, message):
    status, code, text = _error(emr, "RunJobFlow", request_)
    assert (status, code) == (400, "SerializationException")
    assert message in text


@pytest.mark.parametrize("operation", ["CreateStudio", "NoSuchThing"])
def test_operation_that_is_not_served_is_unknown(emr, operation):
    status, code, _ = _error(emr, operation, {})
    assert (status, code) == (400, "UnknownOperationException")


def test_request_without_signature_is_refused(emr):
    status, answer = emr.post("ListClusters", b"{}", signed=False)
    assert (status, answer["__type"]) == (400, "MissingAuthenticationTokenException")


def test_request_keeps_characters_beyond_the_basic_plane():
    assert check_request("DescribeCluster", {"ClusterId": "j-1", "Unknown": 1}) == {"ClusterId": "j-1"}
    checked = check_request("RunJobFlow", {"Name": "naïve \U0001f680", "Instances": {}, "LogUri": None})
    assert checked == {"Name": "naïve \U0001f680", "Instances": {}}


def test_regions_do_not_see_each_other(emr):
    here, there = emr.create(), emr.create(ready=False)
    away = emr.call("RunJobFlow", region="us-west-2", Name="x", Instances={"InstanceCount": 1})["JobFlowId"]
    assert {cluster["Id"] for cluster in emr.call("ListClusters")["Clusters"]} == {here, there}
    assert [cluster["Id"] for cluster in emr.call("ListClusters", region="us-west-2")["Clusters"]] == [away]
    assert emr.journal.since(0)[0]["region"] == "eu-central-1"


def test_every_operation_answers_in_the_shape_of_the_api(emr):
    cluster_id = emr.create(
        Tags=[{"Key": "a", "Value": "b"}],
        BootstrapActions=[{"Name": "b", "ScriptBootstrapAction": {"Path": "s3://x/y", "Args": ["1"]}}],
        AutoTerminationPolicy={"IdleTimeout": 60},
    )
    fleet = {"InstanceFleetType": "MASTER", "TargetOnDemandCapacity": 1, "InstanceTypeConfigs": [{"InstanceType": "m5.xlarge"}]}
    fleet_id = emr.create(instances={"InstanceFleets": [fleet], "InstanceCount": None})
    failed, open_ = emr.add(cluster_id, "a", "b")
    emr.after(1)
    emr.runner.finish(failed, 1, message="boom", log_file="s3://x")
    emr.after(1)
    one = {"ClusterId": cluster_id}
    flows = {"JobFlowIds": [cluster_id]}
    arn = emr.cluster(cluster_id)["ClusterArn"]
    ui = {"PersistentAppUIId": emr.call("CreatePersistentAppUI", TargetResourceArn=arn)["PersistentAppUIId"]}
    limits = {"UnitType": "Instances", "MinimumCapacityUnits": 1, "MaximumCapacityUnits": 3}
    requests = {
        "RunJobFlow": {"Name": "x", "Instances": {"InstanceCount": 3}},
        "DescribeCluster": one,
        "ListClusters": {},
        "SetTerminationProtection": {**flows, "TerminationProtected": False},
        "SetVisibleToAllUsers": {**flows, "VisibleToAllUsers": False},
        "SetKeepJobFlowAliveWhenNoSteps": {**flows, "KeepJobFlowAliveWhenNoSteps": True},
        "ModifyCluster": {**one, "StepConcurrencyLevel": 1},
        "PutAutoTerminationPolicy": {**one, "AutoTerminationPolicy": {"IdleTimeout": 90}},
        "GetAutoTerminationPolicy": one,
        "RemoveAutoTerminationPolicy": one,
        "AddTags": {"ResourceId": cluster_id, "Tags": [{"Key": "k"}]},
        "RemoveTags": {"ResourceId": cluster_id, "TagKeys": ["k"]},
        "ListInstances": one,
        "ListInstanceGroups": one,
        "ListInstanceFleets": {"ClusterId": fleet_id},
        "ListBootstrapActions": one,
        "GetOnClusterAppUIPresignedURL": {**one, "OnClusterAppUIType": "ApplicationMaster"},
        "PutManagedScalingPolicy": {**one, "ManagedScalingPolicy": {"ComputeLimits": limits}},
        "GetManagedScalingPolicy": one,
        "RemoveManagedScalingPolicy": one,
        "CreatePersistentAppUI": {"TargetResourceArn": arn},
        "DescribePersistentAppUI": ui,
        "GetPersistentAppUIPresignedURL": ui,
        "ListReleaseLabels": {"MaxResults": 2},
        "DescribeReleaseLabel": {},
        "AddJobFlowSteps": {"JobFlowId": cluster_id, "Steps": [{"Name": "a", "HadoopJarStep": {"Jar": "command-runner.jar"}}]},
        "DescribeStep": {**one, "StepId": failed},
        "ListSteps": one,
        "CancelSteps": {**one, "StepIds": [open_, failed]},
        "TerminateJobFlows": flows,
    }
    assert set(requests) == set(OPERATIONS), "a new operation needs a request here"
    assert set(OPERATIONS) <= operation_names()
    for operation, request in requests.items():
        check_reply(operation, emr.call(operation, **request))


@pytest.mark.parametrize(
    ("operation", "reply"),
    [
        ("RunJobFlow", {"JobFlowId": 3}),
        ("RunJobFlow", {"Unknown": "x"}),
        ("ListClusters", {"Clusters": [{"Status": {"State": "DEAD"}}]}),
        ("TerminateJobFlows", {"Something": 1}),
    ],
)
def test_reply_that_does_not_fit_is_caught(operation, reply):
    with pytest.raises(ReplyError):
        check_reply(operation, reply)


def test_reply_that_does_not_fit_becomes_an_internal_error(emr, monkeypatch, caplog):
    monkeypatch.setitem(OPERATIONS, "ListClusters", lambda _call: {"Clusters": "none"})
    status, code, _ = _error(emr, "ListClusters", {})
    assert (status, code) == (500, "InternalServerError")
    assert "built a reply that the API does not know" in caplog.text


def test_bug_in_an_operation_becomes_an_internal_error(emr, monkeypatch, caplog):
    def broken(_call):
        raise ZeroDivisionError

    monkeypatch.setitem(OPERATIONS, "ListClusters", broken)
    status, code, _ = _error(emr, "ListClusters", {})
    assert (status, code) == (500, "InternalServerError")
    assert "ListClusters failed" in caplog.text
    assert emr.journal.since(0)[-1]["error"] == "InternalServerError"


def test_step_property_without_key_is_accepted_as_the_model_allows(emr):
    cluster_id = emr.create()
    step = {"Name": "a", "HadoopJarStep": {"Jar": "x.jar", "Properties": [{"Value": "v"}]}}
    (step_id,) = emr.call("AddJobFlowSteps", JobFlowId=cluster_id, Steps=[step])["StepIds"]
    assert emr.step(cluster_id, step_id)["Config"]["Properties"] == {"": "v"}
