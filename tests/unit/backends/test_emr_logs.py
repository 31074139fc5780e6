"""Logs on S3 in EMR's layout, and the YARN client's lines in a step's log."""

import gzip
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platyspark_provider.backends.base import LogTail
from platyspark_provider.backends.emr import EmrBackend
from platyspark_provider.backends.emr_api import EmrClients
from platyspark_provider.backends.emr_logs import TAIL_BYTES, log_root, report_from_stderr, tail_of_gzip
from platyspark_provider.core.states import DeployMode
from platyspark_provider.errors import BackendRejected, BackendUnavailable
from tests.builders import make_cluster_spec, make_spec, make_target
from tests.unit.backends.aws_server import Answer, client, free_port, serve
from tests.unit.backends.scripted_emr import ref

APPLICATION = "application_1700000000000_0001"
CONTAINER = f"j-1/containers/{APPLICATION}/container_1700000000000_0001_{{attempt}}_{{number}}"
STEP = "j-1/steps/s-1"
SUBMITTED = f"26/01/01 INFO Client: Submitted application {APPLICATION}\n"


class Bucket:
    """Objects of one bucket behind a server; `age` is how long ago all of them were written."""

    def __init__(self, objects: dict[str, str | bytes], *, age: timedelta = timedelta(hours=1)) -> None:
        self.objects = {key: gzip.compress(text.encode()) if isinstance(text, str) else text for key, text in objects.items()}
        self.written = datetime.now(UTC) - age
        self.headers: dict[str, str] = {}
        self.failure: Answer | None = None

    def answer(self, _method: str, path: str, _body: Any) -> Answer:
        if self.failure:
            return self.failure
        parts = urlsplit(path)
        if "list-type" in parts.query:
            return self._list(parse_qs(parts.query)["prefix"][0])
        content = self.objects.get(parts.path.removeprefix("/logs/"))
        if content is None:
            return Answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        return Answer(200, content, {"Last-Modified": format_datetime(self.written, usegmt=True), **self.headers})

    def _list(self, prefix: str) -> Answer:
        folders = sorted({f"{prefix}{key.removeprefix(prefix).split('/')[0]}/" for key in self.objects if key.startswith(prefix)})
        listed = "".join(f"<CommonPrefixes><Prefix>{one}</Prefix></CommonPrefixes>" for one in folders)
        return Answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>".encode())


def nothing(address: str, content: bytes) -> None:
    """Reading logs puts nothing anywhere."""
    raise AssertionError(address)


def read(bucket: Bucket, **values: Any) -> LogTail | None:
    """Read the log of a cluster-mode run whose application id is not known and whose YARN is silent."""
    spec = make_spec(cluster=make_cluster_spec(log_uri="s3n://logs/"), deploy_mode=values.pop("mode", DeployMode.CLUSTER))
    with serve(bucket.answer) as server:
        emr = client("emr", server.url)
        clients = EmrClients(mutating=emr, reading=emr, s3=client("s3", server.url))
        backend = EmrBackend(clients, make_target(yarn_url=f"http://127.0.0.1:{free_port()}"), put=nothing)
        return backend.read_log(ref(spec=spec, **values))


def container(attempt: str = "01", number: str = "000001") -> str:
    return CONTAINER.format(attempt=attempt, number=number)


def test_log_cluster_mode_driver_is_found_through_the_steps_log() -> None:
    tail = read(
        Bucket(
            {
                f"{STEP}/stderr.gz": SUBMITTED,
                f"{container()}/stderr.gz": "driver err",
                f"{container()}/stdout.gz": "driver out",
                f"{container(number='000002')}/stderr.gz": "executor err",
            }
        )
    )

    assert tail is not None
    assert (tail.stderr, tail.stdout, tail.uri) == ("driver err", "driver out", f"s3://logs/{container()}/stderr.gz")


def test_log_known_application_needs_no_steps_log() -> None:
    bucket = Bucket({f"{container()}/stderr.gz": "err", f"{container()}/stdout.gz": "out"})

    assert read(bucket, external_detail={"yarn_application_id": APPLICATION}) is not None


def test_log_second_driver_attempt_is_the_one_shown() -> None:
    both = {f"{container(attempt)}/{stream}.gz": f"{attempt} {stream}" for attempt in ("01", "02") for stream in ("stderr", "stdout")}

    tail = read(Bucket({f"{STEP}/stderr.gz": SUBMITTED, **both}))

    assert tail is not None
    assert tail.stderr == "02 stderr"


def test_log_run_that_never_got_an_application_shows_the_steps_own() -> None:
    tail = read(Bucket({f"{STEP}/stderr.gz": "Error: Failed to load class\n", f"{STEP}/stdout.gz": ""}))

    assert tail is not None
    assert (tail.stderr, tail.stdout, tail.uri) == ("Error: Failed to load class\n", "", f"s3://logs/{STEP}/stderr.gz")


def test_log_client_mode_is_the_steps() -> None:
    tail = read(Bucket({f"{STEP}/stderr.gz": "driver", f"{STEP}/stdout.gz": "out"}), mode=DeployMode.CLIENT)

    assert tail is not None
    assert (tail.stderr, tail.stdout) == ("driver", "out")


def test_log_submitted_but_container_not_arrived_is_none() -> None:
    assert read(Bucket({f"{STEP}/stderr.gz": SUBMITTED})) is None


def test_log_nothing_arrived_is_none() -> None:
    assert read(Bucket({})) is None


@pytest.mark.parametrize(("age", "is_there"), [(timedelta(seconds=5), False), (timedelta(seconds=90), True)])
def test_log_stdout_is_waited_for_a_minute_because_tracebacks_lie_there(age: timedelta, is_there: bool) -> None:
    bucket = Bucket({f"{STEP}/stderr.gz": "driver"}, age=age)

    assert (read(bucket, mode=DeployMode.CLIENT) is not None) is is_there


def test_log_says_when_it_was_written() -> None:
    bucket = Bucket({f"{STEP}/stderr.gz": "driver"})
    tail = read(bucket, mode=DeployMode.CLIENT)

    assert tail is not None
    assert tail.written_at == bucket.written.replace(microsecond=0)


def test_log_store_without_a_readable_clock_does_not_hold_the_log_back() -> None:
    bucket = Bucket({f"{STEP}/stderr.gz": "driver"}, age=timedelta(0))
    bucket.headers["Date"] = "yesterday"

    assert read(bucket, mode=DeployMode.CLIENT) is not None


def test_log_no_access_is_an_error_and_not_a_missing_log() -> None:
    bucket = Bucket({})
    bucket.failure = Answer(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")

    with pytest.raises(BackendRejected, match="AccessDenied"):
        read(bucket)


def test_log_endpoint_down_is_temporary() -> None:
    emr = client("emr", f"http://127.0.0.1:{free_port()}")
    clients = EmrClients(mutating=emr, reading=emr, s3=client("s3", f"http://127.0.0.1:{free_port()}"))
    spec = make_spec(cluster=make_cluster_spec(log_uri="s3://logs"), deploy_mode=DeployMode.CLIENT)

    with pytest.raises(BackendUnavailable):
        EmrBackend(clients, make_target(), put=nothing).read_log(ref(spec=spec))


def uri(**values: Any) -> str | None:
    log_prefix = values.pop("log_prefix", "s3://logs/emr/")
    spec = make_spec(cluster=make_cluster_spec(log_uri=log_prefix), deploy_mode=values.pop("mode", DeployMode.CLUSTER))
    emr = client("emr", "http://127.0.0.1:9")
    clients = EmrClients(mutating=emr, reading=emr, s3=client("s3", "http://127.0.0.1:9"))
    return EmrBackend(clients, make_target(), put=nothing).log_uri(ref(spec=spec, **values))


def test_log_uri_points_at_the_container_once_the_application_is_known() -> None:
    assert uri() == "s3://logs/emr/j-1/steps/s-1/stderr.gz"
    assert uri(external_detail={"yarn_application_id": APPLICATION}) == f"s3://logs/emr/j-1/containers/{APPLICATION}/"
    assert uri(mode=DeployMode.CLIENT, external_detail={"yarn_application_id": APPLICATION}) == "s3://logs/emr/j-1/steps/s-1/stderr.gz"


def test_log_uri_lies_where_the_cluster_writes_and_not_where_the_request_asked() -> None:
    assert uri(log_uri="s3://joined/") == "s3://joined/j-1/steps/s-1/stderr.gz"
    assert uri(log_uri="") is None


def test_log_uri_without_prefix_or_id_is_none() -> None:
    assert uri(log_prefix=None) is None
    assert uri(external_id=None) is None


def test_log_root_takes_emrs_old_scheme_and_any_trailing_slash() -> None:
    assert log_root("s3n://logs/a/", "j-1") == log_root("s3://logs/a", "j-1") == "s3://logs/a/j-1"


@given(st.text(max_size=2000), st.integers(min_value=1, max_value=500), st.integers(min_value=1, max_value=64))
def test_tail_of_gzip_any_chunking_gives_the_same_end(text: str, limit: int, chunk: int) -> None:
    packed = gzip.compress(text.encode()) + gzip.compress(b"second member")
    chunks = [packed[i : i + chunk] for i in range(0, len(packed), chunk)]

    assert tail_of_gzip(chunks, limit) == (text.encode() + b"second member")[-limit:].decode(errors="replace")


def test_tail_of_gzip_large_log_keeps_64_kilobytes() -> None:
    text = "".join(f"line {n:06}\n" for n in range(50_000))

    tail = tail_of_gzip([gzip.compress(text.encode())])

    assert len(tail) == TAIL_BYTES
    assert tail.endswith("line 049999\n")


def test_tail_of_gzip_cut_stream_gives_what_there_is() -> None:
    packed = gzip.compress(b"0123456789" * 1000)

    assert tail_of_gzip([packed[:-20]]).startswith("0123")


@pytest.mark.parametrize(
    ("text", "application", "state", "is_ended"),
    [
        ("", None, None, False),
        (SUBMITTED, APPLICATION, None, False),
        (f"{SUBMITTED}INFO Client: Application report for {APPLICATION} (state: RUNNING)\n", APPLICATION, "RUNNING", False),
        (
            f"{SUBMITTED}INFO Client: Application report for {APPLICATION} (state: RUNNING)\n"
            f"INFO Client: Application report for {APPLICATION} (state: FINISHED)\n",
            APPLICATION,
            "FINISHED",
            True,
        ),
        (f"... cut\nINFO Client: Application report for {APPLICATION} (state: KILLED)\n", APPLICATION, "KILLED", True),
    ],
)
def test_report_from_stderr_reads_the_yarn_clients_last_word(text: str, application: str | None, state: str | None, is_ended: bool) -> None:
    report = report_from_stderr(text)

    assert (report.application_id, report.final_state, report.is_ended) == (application, state, is_ended)


LEVEL_ERROR = "26/01/01 ERROR Client: Application diagnostics message: User application exited with status 1\n"
FAILED = f'Exception in thread "main" org.apache.spark.SparkException: Application {APPLICATION} finished with failed status\n'
KILLED = f'Exception in thread "main" org.apache.spark.SparkException: Application {APPLICATION} is killed\n'
LOST = f"26/01/01 ERROR Client: Failed to contact YARN for application {APPLICATION}.\njava.net.ConnectException: refused\n"
LOST_REASON = f"26/01/01 ERROR Client: Application diagnostics message: Failed to contact YARN for application {APPLICATION}.\n"
RUNNING = f"26/01/01 INFO Client: Application report for {APPLICATION} (state: RUNNING)\n"
FINISHED = f"26/01/01 INFO Client: Application report for {APPLICATION} (state: FINISHED)\n\t final status: FAILED\n"


@pytest.mark.parametrize(
    ("text", "is_ended"),
    [
        (SUBMITTED + RUNNING + FINISHED + LEVEL_ERROR + FAILED, True),
        (LEVEL_ERROR + FAILED, True),
        (KILLED, True),
        (SUBMITTED + RUNNING, False),
        (FAILED, False),
        (f"26/01/01 ERROR Client: Application {APPLICATION} not found.\n{KILLED}", False),
        (LOST + LOST_REASON + FAILED, False),
        (SUBMITTED + RUNNING + LOST + LOST_REASON + FAILED, False),
    ],
    ids=["reported", "reports hidden", "killed", "cut off", "errors hidden", "forgotten", "yarn lost", "yarn lost after a report"],
)
def test_report_is_ended_only_by_what_the_client_saw_of_the_end(text: str, is_ended: bool) -> None:
    """Spark's client fails in the same words when it merely lost YARN, and then its application may go on."""
    report = report_from_stderr(text)

    assert (report.application_id, report.is_ended) == (APPLICATION, is_ended)
