"""Who called what: access keys in the journal, counters by key, filters, latency on the way."""

import io
import json

import boto3
import pytest
from botocore.config import Config

from platyspark_provider.emrsim.callers import caller_of
from platyspark_provider.emrsim.journal import Journal

SCOPE = "20260101/us-east-1/s3/aws4_request"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HTTP_AUTHORIZATION": f"AWS4-HMAC-SHA256 Credential=AKID/{SCOPE}, SignedHeaders=host"}, ("AKID", "us-east-1", "s3")),
        ({"QUERY_STRING": "X-Amz-Credential=AKID%2F20260101%2Fus-east-1%2Fs3%2Faws4_request"}, ("AKID", "us-east-1", "s3")),
        ({"HTTP_AUTHORIZATION": "AWS AKID:c2lnbmF0dXJl"}, ("AKID", None, None)),
    ],
)
def test_caller_of_a_signature_is_its_key(environ, expected):
    caller = caller_of(environ)
    assert (caller.access_key, caller.region, caller.service) == expected


@pytest.mark.parametrize("environ", [{}, {"HTTP_AUTHORIZATION": "Bearer x"}, {"QUERY_STRING": "list-type=2"}])
def test_caller_of_an_unsigned_request_is_nobody(environ):
    assert caller_of(environ) is None


def _client(server, service, key):
    config = Config(retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": key, "aws_secret_access_key": "s"}
    return boto3.client(service, region_name="us-east-1", endpoint_url=server.url, config=config, **keys)


def test_journal_tells_who_called_every_service(serve, read_json):
    with serve() as server:
        _client(server, "emr", "WATCHDOG").list_clusters()
        _client(server, "s3", "WORKER").create_bucket(Bucket="mine")
        _client(server, "s3", "WORKER").put_object(Bucket="mine", Key="k", Body=b"x")
        _client(server, "sts", "WORKER").get_caller_identity()
        _client(server, "sqs", "EVENTS").create_queue(QueueName="q")
        _client(server, "iam", "ADMIN").list_roles()
        callers = read_json(server, "callers")
        entries = read_json(server, "journal?access_key=WORKER")
        puts = read_json(server, "journal?service=s3&bucket=mine&key=k")
    assert callers == {
        "WATCHDOG": {"ListClusters": 1},
        "WORKER": {"s3:PUT": 2, "sts:GetCallerIdentity": 1},
        "EVENTS": {"sqs:CreateQueue": 1},
        "ADMIN": {"iam:ListRoles": 1},
    }
    assert [(entry["service"], entry["operation"]) for entry in entries] == [("s3", "PUT"), ("s3", "PUT"), ("sts", "GetCallerIdentity")]
    assert [entry["access_key"] for entry in puts] == ["WORKER"]


def test_refused_call_is_noted_with_its_key(emr):
    with pytest.raises(Exception, match="is not valid"):
        emr.cluster("j-NOPE")
    (entry,) = emr.journal.since(0)
    assert (entry["access_key"], entry["error"]) == ("AKID", "InvalidRequestException")


def test_unsigned_call_is_noted_without_a_key(emr):
    emr.post("ListClusters", b"{}", signed=False)
    assert emr.journal.since(0)[0]["access_key"] is None
    assert emr.journal.callers() == {"": {"ListClusters": 1}}


def test_signature_without_scope_is_refused(emr):
    environ = {
        "HTTP_X_AMZ_TARGET": "ElasticMapReduce.ListClusters",
        "HTTP_AUTHORIZATION": "AWS AKID:c2ln",
        "CONTENT_LENGTH": "2",
        "wsgi.input": io.BytesIO(b"{}"),
    }
    statuses = []
    body = json.loads(b"".join(emr._endpoint(environ, lambda status, _headers: statuses.append(status))))
    assert (statuses[0][:3], body["__type"]) == ("400", "IncompleteSignatureException")


def test_journal_callers_are_counted_anew_after_a_restart_and_a_clearing(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append({"service": "emr", "operation": "ListClusters", "access_key": "A"})
    journal.close()
    again = Journal(tmp_path / "journal.jsonl")
    assert again.callers() == {"A": {"ListClusters": 1}}
    again.clear()
    assert again.callers() == {}
    again.close()


def test_latency_lies_half_before_and_half_after_the_effect(emr, monkeypatch):
    paused = []
    monkeypatch.setattr("platyspark_provider.emrsim.emr_endpoint.pause", lambda seconds: paused.append((seconds, _effects(emr))))
    emr.config.reply_latency_s = 0.15
    emr.create(ready=False)
    assert paused == [(0.075, 0), (0.075, 1)]


def _effects(emr):
    return len(emr.engine.clusters("eu-central-1"))
