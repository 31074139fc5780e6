"""The server in this process: loopback only, routing, S3 on disk; the runner is scripted."""

import http.client
import json
import threading

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.s3.models import S3Backend, s3_backends

from platyspark_provider.emrsim.aws_services import bucket_and_key, is_s3
from platyspark_provider.emrsim.callers import caller_of
from platyspark_provider.emrsim.s3_disk import S3Disk
from platyspark_provider.emrsim.server import EmrSimServer, NotLoopback
from tests.unit.emrsim.conftest import echo


def _client(server, service):
    config = Config(retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s"}
    return boto3.client(service, region_name="us-east-1", endpoint_url=server.url, config=config, **keys)


def _get(server, path, headers=None):
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "example.org", "::"])
def test_server_on_another_host_than_loopback_is_refused(tmp_path, emr, host):
    with pytest.raises(NotLoopback, match="loopback only"):
        EmrSimServer(data_dir=tmp_path, make_parts=lambda *_: (emr.runner, echo), host=host)


def test_server_yarn_of_one_cluster_answers_only_while_it_has_a_master(serve):
    with serve(starting_s=0, bootstrapping_s=0, terminating_s=0) as server:
        emr = _client(server, "emr")
        cluster_id = emr.run_job_flow(Name="x", Instances={"InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True})["JobFlowId"]
        emr.get_waiter("cluster_running").wait(ClusterId=cluster_id, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
        path = f"/emrsim/yarn/{cluster_id}/ws/v1/cluster/apps"
        assert _get(server, path) == (200, path.encode())
        assert _get(server, "/ws/v1/cluster/apps")[0] == 200
        emr.terminate_job_flows(JobFlowIds=[cluster_id])
        emr.get_waiter("cluster_terminated").wait(ClusterId=cluster_id, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
        with pytest.raises(http.client.RemoteDisconnected):
            _get(server, path)


def test_server_settings_given_win_and_are_kept(serve):
    with serve(starting_s=7.0, throttle="aws"):
        pass
    with serve(starting_s=9.0) as server:
        assert (server.engine.config.starting_s, server.engine.config.throttle) == (9.0, "aws")


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("127.0.0.1:8099", "/bucket/a/b", ("bucket", "a/b")),
        ("127.0.0.1:8099", "/bucket", ("bucket", "")),
        ("127.0.0.1:8099", "/", ("", "")),
        ("localhost:8099", "/bucket/", ("bucket", "")),
        ("bucket.localhost:8099", "/a/b", ("bucket", "a/b")),
        ("my.bucket.s3.eu-central-1.amazonaws.com", "/a", ("my.bucket", "a")),
        ("127.0.0.1", "/bucket/\xc3\xbc", ("bucket", "ü")),
    ],
)
def test_bucket_and_key_in_both_styles(host, path, expected):
    assert bucket_and_key({"HTTP_HOST": host, "PATH_INFO": path}) == expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HTTP_AUTHORIZATION": "AWS4 Credential=k/20260101/us-east-1/s3/aws4_request"}, True),
        ({"HTTP_AUTHORIZATION": "AWS4 Credential=k/20260101/us-east-1/sqs/aws4_request"}, False),
        ({"QUERY_STRING": "X-Amz-Credential=k%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"}, True),
        ({}, True),
        ({"HTTP_X_AMZ_TARGET": "AmazonSQS.SendMessage"}, False),
        ({"CONTENT_TYPE": "application/x-www-form-urlencoded"}, False),
        ({"PATH_INFO": "/moto-api/reset"}, False),
    ],
)
def test_is_s3_by_signature_query_or_absence(environ, expected):
    environ = {"PATH_INFO": "/bucket/key", **environ}
    assert is_s3(environ, caller_of(environ)) is expected


def test_s3_survives_a_restart(serve):
    with serve() as server:
        s3 = _client(server, "s3")
        s3.create_bucket(Bucket="kept")
        s3.create_bucket(Bucket="dropped")
        s3.put_object(Bucket="kept", Key="a/ü b", Body=b"v1", ContentType="text/plain", Metadata={"who": "me"}, Tagging="k=v")
        s3.put_object(Bucket="kept", Key="twice", Body=b"old")
        s3.put_object(Bucket="kept", Key="twice", Body=b"new")
        s3.copy_object(Bucket="kept", Key="copy", CopySource={"Bucket": "kept", "Key": "a/ü b"})
        for key in ("one", "two", "three"):
            s3.put_object(Bucket="kept", Key=key, Body=b"x")
        s3.delete_object(Bucket="kept", Key="one")
        s3.delete_objects(Bucket="kept", Delete={"Objects": [{"Key": "two"}, {"Key": "three"}]})
        upload = s3.create_multipart_upload(Bucket="kept", Key="parts")["UploadId"]
        parts = [
            {"PartNumber": n, "ETag": s3.upload_part(Bucket="kept", Key="parts", UploadId=upload, PartNumber=n, Body=body)["ETag"]}
            for n, body in ((1, b"a" * 5 * 1024 * 1024), (2, b"b"))
        ]
        s3.complete_multipart_upload(Bucket="kept", Key="parts", UploadId=upload, MultipartUpload={"Parts": parts})
        s3.delete_bucket(Bucket="dropped")
        before = s3.list_objects_v2(Bucket="kept")["Contents"]
    for account in s3_backends.values():
        for backend in account.values():
            backend.reset()
    with serve() as server:
        s3 = _client(server, "s3")
        assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["kept"]
        assert s3.list_objects_v2(Bucket="kept")["Contents"] == before
        found = s3.get_object(Bucket="kept", Key="a/ü b")
        assert (found["Body"].read(), found["ContentType"], found["Metadata"]) == (b"v1", "text/plain", {"who": "me"})
        assert s3.get_object_tagging(Bucket="kept", Key="a/ü b")["TagSet"] == [{"Key": "k", "Value": "v"}]
        assert s3.get_object(Bucket="kept", Key="twice")["Body"].read() == b"new"
        assert len(s3.get_object(Bucket="kept", Key="parts")["Body"].read()) == 5 * 1024 * 1024 + 1
        s3.delete_object(Bucket="kept", Key="copy")
        s3.put_object(Bucket="kept", Key="twice", Body=b"newest")
        assert s3.get_object(Bucket="kept", Key="twice")["Body"].read() == b"newest"


def test_s3_virtual_host_style_reaches_the_disk(serve, tmp_path):
    with serve() as server:
        _client(server, "s3").create_bucket(Bucket="vhost")
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
        connection.request("PUT", "/some/key", body=b"hello", headers={"Host": "vhost.localhost"})
        assert connection.getresponse().status == 200
        connection.close()
    described = [path.read_text() for path in (tmp_path / "sim" / "s3" / "vhost").glob("*.json")]
    assert any('"key": "some/key"' in text for text in described)


def test_s3_left_over_body_of_a_crash_is_removed(serve, tmp_path):
    with serve() as server:
        s3 = _client(server, "s3")
        s3.create_bucket(Bucket="crash")
        s3.put_object(Bucket="crash", Key="k", Body=b"x")
    s3_backends["123456789012"]["aws"].reset()
    leftover = tmp_path / "sim" / "s3" / "crash" / "0000.part"
    leftover.write_bytes(b"half")
    S3Disk(tmp_path / "sim" / "s3").restore()
    assert not leftover.exists()
    assert s3_backends["123456789012"]["aws"].get_object("crash", "k").value == b"x"


def test_s3_conditional_writes_at_once_have_one_winner(serve, monkeypatch):
    plain = S3Backend.put_object

    def slow(*args, **kwargs):  # moto looks first and writes later; this makes the gap wide enough for every writer
        threading.Event().wait(0.05)
        return plain(*args, **kwargs)

    monkeypatch.setattr(S3Backend, "put_object", slow)
    with serve() as server:
        _client(server, "s3").create_bucket(Bucket="fences")
        outcomes = []
        gate = threading.Barrier(12)

        def write(number):
            s3 = _client(server, "s3")
            gate.wait()
            try:
                s3.put_object(Bucket="fences", Key="app/1", Body=str(number).encode() * 100_000, IfNoneMatch="*")
                outcomes.append(number)
            except ClientError as error:
                assert error.response["Error"]["Code"] == "PreconditionFailed"  # noqa: PT017
                outcomes.append(None)

        writers = [threading.Thread(target=write, args=(number,)) for number in range(12)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        (winner,) = [number for number in outcomes if number is not None]
        body = _client(server, "s3").get_object(Bucket="fences", Key="app/1")["Body"].read()
    assert len(outcomes) == 12
    assert body == str(winner).encode() * 100_000


def test_s3_calls_stand_in_the_journal(serve):
    with serve() as server:
        s3 = _client(server, "s3")
        s3.create_bucket(Bucket="noted")
        s3.put_object(Bucket="noted", Key="k", Body=b"x")
        with pytest.raises(ClientError):
            s3.get_object(Bucket="noted", Key="nope")
        _, body = _get(server, "/_emrsim/journal")
    entries = [(e["operation"], e["bucket"], e["key"], e["status"], e["effect"]) for e in json.loads(body)]
    assert entries == [("PUT", "noted", "", 200, True), ("PUT", "noted", "k", 200, True), ("GET", "noted", "nope", 404, False)]


@pytest.mark.parametrize("path", ["/_emrsim/nothing", "/_emrsim/clusters"])
def test_control_route_unknown_path_is_not_found(serve, path):
    with serve() as server:
        assert _get(server, path)[0] == 404


def _send(server, method, path, body=None):
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, f"/_emrsim/{path}", body=None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_control_route_advances_the_clock(serve):
    with serve(clock_speed=0) as server:
        _, before = _send(server, "GET", "clock")
        status, after = _send(server, "POST", "clock/advance", {"seconds": 90})
        assert (status, after["now"], before["speed"]) == (200, before["now"] + 90, 0)
        assert _send(server, "POST", "clock/advance", {"seconds": -1})[0] == 400
        assert _send(server, "POST", "clock/back", {"seconds": 1})[0] == 400


def test_control_route_clock_goes_on_after_a_restart(serve):
    with serve(clock_speed=0) as server:
        _, now = _send(server, "POST", "clock/advance", {"seconds": 10_000})
    with serve() as server:
        assert _send(server, "GET", "clock")[1] == now | {"speed": 0}


@pytest.mark.parametrize(
    ("path", "spec"), [("step-scripts", {"duration_s": 5, "step": "a.*"}), ("launch-failures", {"failure": "capacity", "cluster": "etl"})]
)
def test_control_route_plants_shows_and_removes(serve, path, spec):
    with serve() as server:
        status, planted = _send(server, "POST", path, spec)
        assert status == 201
        (shown,) = _send(server, "GET", path)[1]
        assert {name: shown[name] for name in ("id", *spec)} == planted | spec
        assert _send(server, "POST", path, {"color": "red"})[0] == 400
        assert _send(server, "DELETE", f"{path}/{planted['id']}")[1] == {"removed": 1}
        _send(server, "POST", path, spec)
        assert _send(server, "DELETE", path)[1] == {"removed": 1}
        assert _send(server, "GET", path)[1] == []


def test_control_route_strikes_clusters(serve):
    with serve(starting_s=0, bootstrapping_s=0) as server:
        emr = _client(server, "emr")
        one = emr.run_job_flow(Name="x", Instances={"InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True})["JobFlowId"]
        masters = [{"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 3}]
        three = emr.run_job_flow(Name="x", Instances={"InstanceGroups": masters, "KeepJobFlowAliveWhenNoSteps": True})["JobFlowId"]
        assert _send(server, "POST", f"clusters/{three}/fail-over", {}) == (200, {"id": three})
        assert _send(server, "POST", f"clusters/{one}/fail-over", {})[0] == 400
        assert _send(server, "POST", f"clusters/{one}/fail", {"code": "NOPE"})[0] == 400
        assert _send(server, "POST", f"clusters/{one}/explode", {})[0] == 400
        assert _send(server, "POST", f"clusters/{one}/fail", {}) == (200, {"id": one})
        assert _send(server, "POST", f"clusters/{one}/fail", {})[0] == 404
        assert emr.describe_cluster(ClusterId=one)["Cluster"]["Status"]["State"] == "TERMINATED_WITH_ERRORS"
