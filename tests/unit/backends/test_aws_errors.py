"""What failed AWS calls mean for us, with a real boto3 client against a server that misbehaves."""

from pathlib import Path

import pytest
from botocore.exceptions import ClientError, NoCredentialsError

from platyspark_provider.aws_errors import aws_errors, error_from_aws
from platyspark_provider.errors import BackendRejected, BackendThrottled, BackendUnavailable, PlatySparkError, ReplyLost
from tests.unit.backends.aws_server import Answer, client, free_port, refused, serve


def call(answer: Answer, *, mutates: bool = True) -> PlatySparkError:
    """Make one call that gets this answer, and return our error."""
    with serve(lambda *_: answer) as server:
        emr = client("emr", server.url, read_timeout=0.3)
        with pytest.raises(PlatySparkError) as caught, aws_errors("RunJobFlow for x", mutates=mutates):
            emr.run_job_flow(Name="x", Instances={})
        assert len(server.seen) == 1
    return caught.value


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("ThrottlingException", 400, BackendThrottled),
        ("Throttling", 400, BackendThrottled),
        ("TooManyRequestsException", 429, BackendThrottled),
        ("RequestLimitExceeded", 503, BackendThrottled),
        ("ValidationException", 400, BackendRejected),
        ("InvalidRequestException", 400, BackendRejected),
        ("AccessDeniedException", 400, BackendRejected),
        ("SomethingNew", 404, BackendRejected),
        ("ExpiredTokenException", 400, BackendUnavailable),
        ("UnrecognizedClientException", 400, BackendUnavailable),
        ("InternalServerError", 500, ReplyLost),
        ("ServiceUnavailable", 503, ReplyLost),
    ],
)
def test_aws_errors_answer_is_translated_by_its_code(code: str, status: int, expected: type[PlatySparkError]) -> None:
    error = call(refused(code, status))

    assert type(error) is expected
    assert error.fields["aws_code"] == code
    assert "RunJobFlow for x" in str(error)


@pytest.mark.parametrize("status", [0, -1], ids=["connection closed", "no answer in time"])
def test_aws_errors_lost_reply_of_a_change_is_reply_lost(status: int) -> None:
    assert type(call(Answer(status))) is ReplyLost


@pytest.mark.parametrize("status", [0, -1], ids=["connection closed", "no answer in time"])
def test_aws_errors_lost_reply_of_a_read_is_unavailable(status: int) -> None:
    assert type(call(Answer(status), mutates=False)) is BackendUnavailable


def test_aws_errors_refused_connection_means_nothing_left() -> None:
    emr = client("emr", f"http://127.0.0.1:{free_port()}")

    with pytest.raises(BackendUnavailable, match="nothing was done"), aws_errors("RunJobFlow", mutates=True):
        emr.run_job_flow(Name="x", Instances={})


def test_aws_errors_missing_credentials_mean_nothing_left() -> None:
    with pytest.raises(BackendUnavailable, match="no usable AWS credentials"), aws_errors("RunJobFlow", mutates=True):
        raise NoCredentialsError


def test_aws_errors_bad_argument_is_rejected_before_it_leaves() -> None:
    emr = client("emr", f"http://127.0.0.1:{free_port()}")

    with pytest.raises(BackendRejected, match="Nothing was done"), aws_errors("RunJobFlow", mutates=True):
        emr.run_job_flow(Name=7, Instances={})


def test_aws_errors_refused_sign_in_is_not_the_calls_refusal() -> None:
    """A role that can't be assumed fails inside the call with STS's error: the call itself never left."""
    error = ClientError({"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "AssumeRole")

    assert type(error_from_aws(error, "RunJobFlow", mutates=True)) is BackendUnavailable


def test_aws_errors_our_own_error_passes_untouched() -> None:
    with pytest.raises(FileNotFoundError), aws_errors("reading", mutates=False):
        Path("/no/such/file").read_text()
