"""Managed scaling, release labels, and user interfaces that outlive their cluster."""

import dataclasses
import urllib.request

import boto3
import pytest
from botocore.config import Config

from platyspark_provider.emrsim.history_pages import HistoryPages
from platyspark_provider.emrsim.operations_releases import RELEASES

ARN = "arn:aws:elasticmapreduce:eu-central-1:123456789012:cluster/{}"
FLEETS = {"InstanceFleets": [{"InstanceFleetType": "MASTER", "TargetOnDemandCapacity": 1}], "InstanceCount": None}


def _policy(low=1, high=10, unit="Instances", **limits):
    return {"ComputeLimits": {"UnitType": unit, "MinimumCapacityUnits": low, "MaximumCapacityUnits": high, **limits}}


def test_managed_scaling_policy_is_stored_replaced_and_removed(emr):
    cluster_id = emr.create()
    assert emr.call("GetManagedScalingPolicy", ClusterId=cluster_id) == {}
    for policy in (_policy(1, 10), _policy(2, 20, MaximumCoreCapacityUnits=5, MaximumOnDemandCapacityUnits=20)):
        emr.call("PutManagedScalingPolicy", ClusterId=cluster_id, ManagedScalingPolicy=policy)
        assert emr.call("GetManagedScalingPolicy", ClusterId=cluster_id) == {"ManagedScalingPolicy": policy}
    emr.reopen()
    assert emr.call("GetManagedScalingPolicy", ClusterId=cluster_id) == {"ManagedScalingPolicy": policy}
    for _ in range(2):
        emr.call("RemoveManagedScalingPolicy", ClusterId=cluster_id)
        assert emr.call("GetManagedScalingPolicy", ClusterId=cluster_id) == {}


def test_managed_scaling_policy_can_be_given_at_creation(emr):
    cluster_id = emr.create(ManagedScalingPolicy=_policy(3, 3, "InstanceFleetUnits"), instances=FLEETS)
    assert emr.call("GetManagedScalingPolicy", ClusterId=cluster_id)["ManagedScalingPolicy"]["ComputeLimits"]["MaximumCapacityUnits"] == 3


@pytest.mark.parametrize(
    ("policy", "instances", "message"),
    [
        (_policy(5, 4), {}, "min capacity cannot be higher than max capacity"),
        (_policy(0, 4), {}, "at least 1"),
        (_policy(1, 4, MaximumCoreCapacityUnits=5), {}, "max Core capacity cannot be higher than max capacity"),
        (_policy(1, 4, MaximumOnDemandCapacityUnits=5), {}, "max On-Demand capacity cannot be higher than max capacity"),
        (_policy(1, 4, "InstanceFleetUnits"), {}, "not supported for clusters with instance groups"),
        (_policy(1, 4, "VCPU"), FLEETS, "not supported for clusters with instance fleets"),
        ({}, {}, "ComputeLimits must be specified"),
    ],
)
def test_managed_scaling_policy_that_makes_no_sense_is_refused(emr, policy, instances, message):
    cluster_id = emr.create(instances=instances)
    with pytest.raises(Exception, match=message) as refused:
        emr.call("PutManagedScalingPolicy", ClusterId=cluster_id, ManagedScalingPolicy=policy)
    assert refused.value.code == "ValidationException"
    with pytest.raises(Exception, match=message):
        emr.create(ManagedScalingPolicy=policy, instances=instances)
    assert len(emr.engine.clusters("eu-central-1")) == 1


@pytest.mark.parametrize("operation", ["PutManagedScalingPolicy", "RemoveManagedScalingPolicy"])
def test_managed_scaling_of_an_ended_cluster_is_refused(emr, operation):
    cluster_id = emr.create()
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    request = {"ManagedScalingPolicy": _policy()} if operation.startswith("Put") else {}
    with pytest.raises(Exception, match="shutting down, terminated, or finished"):
        emr.call(operation, ClusterId=cluster_id, **request)


def test_list_instance_groups_counts_what_was_asked_and_what_runs(emr):
    groups = [
        {"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1},
        {"InstanceRole": "CORE", "InstanceType": "r5.xlarge", "InstanceCount": 4},
    ]
    cluster_id = emr.create(ready=False, instances={"InstanceGroups": groups, "InstanceCount": None})

    def counts():
        shown = emr.call("ListInstanceGroups", ClusterId=cluster_id)["InstanceGroups"]
        return [(group["RequestedInstanceCount"], group["RunningInstanceCount"], group["Status"]["State"]) for group in shown]

    assert counts() == [(1, 0, "PROVISIONING"), (4, 0, "PROVISIONING")]
    emr.after(31)
    assert counts() == [(1, 1, "RUNNING"), (4, 4, "RUNNING")]
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    emr.after(5)
    assert counts() == [(1, 0, "TERMINATED"), (4, 0, "TERMINATED")]


def test_list_release_labels_newest_first(emr):
    labels = emr.call("ListReleaseLabels")["ReleaseLabels"]
    assert labels == list(RELEASES)
    assert labels.index("emr-7.10.0") < labels.index("emr-7.9.0") < labels.index("emr-6.15.0")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"Prefix": "emr-7.1"}, ["emr-7.13.0", "emr-7.12.0", "emr-7.11.0", "emr-7.10.0", "emr-7.1.0"]),
        ({"Application": "spark@3.5.5"}, ["emr-7.10.0", "emr-7.9.0"]),
        ({"Application": "Spark-3.5.5"}, ["emr-7.10.0", "emr-7.9.0"]),
        ({"Prefix": "emr-6.", "Application": "spark@3.3.2"}, ["emr-6.11.1", "emr-6.11.0"]),
        ({"Prefix": "emr-spark", "Application": "spark"}, ["emr-spark-8.0.0"]),
        ({"Application": "presto"}, []),
        ({"Prefix": "emr-9"}, []),
    ],
)
def test_list_release_labels_filters_by_prefix_and_application(emr, filters, expected):
    assert emr.call("ListReleaseLabels", Filters=filters)["ReleaseLabels"] == expected


def test_list_release_labels_pages(emr):
    pages, token = [], None
    while True:
        answer = emr.call("ListReleaseLabels", MaxResults=8, **({"NextToken": token} if token else {}))
        pages.append(answer["ReleaseLabels"])
        token = answer.get("NextToken")
        if token is None:
            break
    assert [label for page in pages for label in page] == list(RELEASES)
    assert {len(page) for page in pages[:-1]} == {8}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"NextToken": "nonsense"}, "NextToken 'nonsense' is not valid"),
        ({"NextToken": "djE6YWJj"}, "NextToken 'djE6YWJj' is not valid"),
        ({"Filters": {"Application": "@@"}}, "Application '@@' is not valid"),
    ],
)
def test_list_release_labels_wrong_input_is_refused(emr, request_, message):
    with pytest.raises(Exception, match=message) as refused:
        emr.call("ListReleaseLabels", **request_)
    assert refused.value.code == "InvalidRequestException"


def test_describe_release_label_tells_the_versions(emr):
    answer = emr.call("DescribeReleaseLabel", ReleaseLabel="emr-7.9.0")
    assert answer["Applications"] == [{"Name": "Spark", "Version": "3.5.5"}, {"Name": "Hadoop", "Version": "3.4.1"}]
    assert emr.call("DescribeReleaseLabel")["ReleaseLabel"] == "emr-7.13.0"
    with pytest.raises(Exception, match="Release label 'emr-0' is not valid"):
        emr.call("DescribeReleaseLabel", ReleaseLabel="emr-0")


def test_persistent_ui_outlives_its_cluster_and_a_restart(emr, live_application):
    cluster_id = emr.create()
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    emr.after(5)
    tags = [{"Key": "a", "Value": "b"}]
    created = emr.call("CreatePersistentAppUI", TargetResourceArn=ARN.format(cluster_id), Tags=tags)
    assert created["RuntimeRoleEnabledCluster"] is False
    ui_id = created["PersistentAppUIId"]
    emr.reopen()
    shown = emr.call("DescribePersistentAppUI", PersistentAppUIId=ui_id)["PersistentAppUI"]
    assert (shown["PersistentAppUIStatus"], shown["PersistentAppUITypeList"]) == ("ATTACHED", ["SHS", "YTS", "TEZ"])
    assert (shown["Tags"], shown["CreationTime"], shown["AuthorId"]) == (tags, emr.clock.now, "AKID")
    emr.runner.live_applications = [live_application(cluster_id)]
    for request, path in [
        ({}, "/shs/"),
        ({"PersistentAppUIType": "YTS"}, "/yts/"),
        ({"ApplicationId": "application_1_0001"}, "/shs/history/application_1_0001/"),
    ]:
        answer = emr.call("GetPersistentAppUIPresignedURL", PersistentAppUIId=ui_id, **request)
        assert answer["PresignedURLReady"] is True
        assert answer["PresignedURL"].startswith(f"/emrsim/history/{cluster_id}{path}?authToken=")
    unknown = emr.call("GetPersistentAppUIPresignedURL", PersistentAppUIId=ui_id, ApplicationId="application_1_0009")
    assert unknown == {"PresignedURLReady": False}


@pytest.mark.parametrize("arn", [ARN.format("j-0000000000000"), "arn:aws:elasticmapreduce:us-east-1:123456789012:cluster/{}", "x" * 20])
def test_persistent_ui_of_another_resource_is_refused(emr, arn):
    cluster_id = emr.create()
    with pytest.raises(Exception, match="is not valid") as refused:
        emr.call("CreatePersistentAppUI", TargetResourceArn=arn.format(cluster_id))
    assert refused.value.code == "InvalidRequestException"


@pytest.mark.parametrize("operation", ["DescribePersistentAppUI", "GetPersistentAppUIPresignedURL"])
def test_persistent_ui_unknown_or_of_another_region_is_refused(emr, operation):
    ui_id = emr.call("CreatePersistentAppUI", TargetResourceArn=ARN.format(emr.create()))["PersistentAppUIId"]
    for region, one in (("eu-central-1", "p-NOPE"), ("us-west-2", ui_id)):
        with pytest.raises(Exception, match=f"'{one}' is not valid") as refused:
            emr.call(operation, region=region, PersistentAppUIId=one)
        assert refused.value.code == "InvalidRequestException"


def test_presigned_url_opens_a_page(serve):
    with serve() as server:
        config = Config(retries={"total_max_attempts": 1})
        keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s"}
        emr = boto3.client("emr", region_name="us-east-1", endpoint_url=server.url, config=config, **keys)
        cluster = emr.run_job_flow(Name="x", Instances={"InstanceCount": 1})
        ui_id = emr.create_persistent_app_ui(TargetResourceArn=cluster["ClusterArn"])["PersistentAppUIId"]
        url = emr.get_persistent_app_ui_presigned_url(PersistentAppUIId=ui_id)["PresignedURL"]
        with urllib.request.urlopen(url) as answer:
            page = answer.read().decode()
    assert f"Applications of {cluster['JobFlowId']}" in page


def test_history_page_lists_the_clusters_applications(emr, live_application):
    mine, other = live_application("j-1AAAAAAAAAAAA"), live_application("j-2BBBBBBBBBBBB")
    emr.runner.live_applications = [mine, other]
    pages = HistoryPages(emr.runner)

    def get(path):
        statuses = []
        body = b"".join(pages({"PATH_INFO": path}, lambda status, _headers: statuses.append(status)))
        return statuses[0][:3], body.decode()

    status, page = get("/emrsim/history/j-1AAAAAAAAAAAA/shs/")
    assert (status, page.count("<tr>"), "application_1_0001" in page) == ("200", 2, True)
    assert get("/emrsim/history/j-3CCCCCCCCCCCC/yts")[1].count("<tr>") == 0
    assert get("/emrsim/history/j-1AAAAAAAAAAAA/shs/history/application_1_0001/")[0] == "200"
    assert get("/emrsim/history/j-1AAAAAAAAAAAA/shs/history/application_1_0002/")[0] == "404"
    assert get("/emrsim/history/j-1/<script>")[0] == "404"


def test_history_page_escapes_what_jobs_call_themselves(emr, live_application):
    emr.runner.live_applications = [dataclasses.replace(live_application("j-1AAAAAAAAAAAA"), name="<script>alert(1)</script>")]
    body = b"".join(HistoryPages(emr.runner)({"PATH_INFO": "/emrsim/history/j-1AAAAAAAAAAAA/shs/"}, lambda *_: None))
    assert b"<script>" not in body
    assert b"&lt;script&gt;" in body
