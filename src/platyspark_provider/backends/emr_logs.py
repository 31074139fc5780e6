"""Driver logs on S3 in EMR's layout: where they are, their last 64 KB, and what a step's log tells of its application."""

import re
import zlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from platyspark_provider.aws_errors import aws_errors
from platyspark_provider.backends.base import AttemptRef, LogTail
from platyspark_provider.core.states import DeployMode

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

TAIL_BYTES = 64 * 1024
_MAX_COMPRESSED_BYTES = 128 * 1024 * 1024
# EMR's log pusher sends the files of a container one by one: a young stderr without stdout may still get one.
_STDOUT_GRACE = timedelta(seconds=60)
_SUBMITTED = re.compile(r"Submitted application (application_\d+_\d+)")
_REPORT = re.compile(r"Application report for (application_\d+_\d+) \(state: ([A-Z_]+)\)")
# How Spark's YARN client (deploy.yarn.Client) ends when its log level hides the reports. It ends in the same words when it
# merely lost YARN, and then says so before: such an application may well go on.
_FAILED = re.compile(r"SparkException: Application (application_\d+_\d+) finished with failed status")
_KILLED = re.compile(r"SparkException: Application (application_\d+_\d+) is killed")
_REASON = "Application diagnostics message: "
_LOST_YARN = re.compile(r"Failed to contact YARN for application|Application application_\d+_\d+ not found")
_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLog:
    """The end of one log object.

    :param age: how long ago it was written, by S3's own clock.
    """

    uri: str
    text: str
    age: timedelta
    written_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What a cluster-mode step's stderr (the YARN client's log) says; `final_state` is the last state it saw."""

    application_id: str | None
    final_state: str | None

    @property
    def is_ended(self) -> bool:
        """Tell whether the YARN client saw its application end."""
        return self.final_state in {"FINISHED", "FAILED", "KILLED"}


def report_from_stderr(text: str) -> StepReport:
    """Read the YARN client's lines; both values are None when no application was submitted."""
    submitted = _SUBMITTED.findall(text)
    reports = _REPORT.findall(text)
    failed, killed = _FAILED.findall(text), _KILLED.findall(text)
    named = submitted or [application for application, _ in reports] or failed or killed
    id_ = named[-1] if named else None
    states = [state for application, state in reports if application == id_]
    if not _LOST_YARN.search(text):
        # a log without the reason shows no errors at all, so it can't tell whether YARN was lost
        states += ["FAILED"] if id_ in failed and _REASON in text else []
        states += ["KILLED"] if id_ in killed else []
    return StepReport(application_id=id_, final_state=states[-1] if states else None)


def log_root(log_uri: str, cluster: str) -> str:
    """Return the folder of a cluster's logs; EMR itself answers with the old scheme `s3n`."""
    return f"s3://{log_uri.partition('://')[2].rstrip('/')}/{cluster}"


def driver_log_uri(root: str, attempt: AttemptRef, application_id: str | None) -> str:
    """Return where the driver's log is or will be: the container folder as soon as its application is known."""
    if attempt.spec.deploy_mode is DeployMode.CLUSTER and application_id:
        return f"{root}/containers/{application_id}/"
    return f"{root}/steps/{attempt.external_id}/stderr.gz"


class S3Logs:
    """Reads logs with the target's credentials."""

    def __init__(self, s3: "S3Client") -> None:
        self._s3 = s3

    def step_stderr(self, root: str, step: str) -> StoredLog | None:
        """Return a step's own stderr; None while it has not arrived."""
        return self.tail(f"{root}/steps/{step}/stderr.gz")

    def step_log(self, root: str, step: str) -> LogTail | None:
        """Return a step's own streams: the driver's in client mode, the YARN client's in cluster mode."""
        return self._streams(f"{root}/steps/{step}")

    def container_log(self, root: str, application_id: str) -> LogTail | None:
        """Return the streams of the application's last driver container; None while they have not arrived."""
        folder = self._driver_folder(f"{root}/containers/{application_id}/")
        return self._streams(folder) if folder else None

    def tail(self, uri: str) -> StoredLog | None:
        """Return the end of a gzipped object, reading it as a stream; None if there is no such object."""
        bucket, _, key = uri.partition("://")[2].partition("/")
        with aws_errors(f"reading {uri}", mutates=False):
            try:
                answer = self._s3.get_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in _MISSING:
                    return None
                raise
            if answer["ContentLength"] > _MAX_COMPRESSED_BYTES:
                text = f"[{answer['ContentLength']:,} bytes compressed: too large to show, read it at {uri}]"
            else:
                text = tail_of_gzip(answer["Body"].iter_chunks(TAIL_BYTES))
        written = answer["LastModified"]
        return StoredLog(uri=uri, text=text, age=_age(written, answer["ResponseMetadata"]["HTTPHeaders"].get("date")), written_at=written)

    def _streams(self, folder: str) -> LogTail | None:
        stderr = self.tail(f"{folder}/stderr.gz")
        if stderr is None:
            return None
        stdout = self.tail(f"{folder}/stdout.gz")
        if stdout is None and stderr.age < _STDOUT_GRACE:
            return None
        return LogTail(stderr=stderr.text, stdout=stdout.text if stdout else "", uri=stderr.uri, written_at=stderr.written_at)

    def _driver_folder(self, prefix: str) -> str | None:
        """Find the driver's container, `container_..._<attempt>_000001`; the last attempt counts."""
        bucket, _, key = prefix.partition("://")[2].partition("/")
        with aws_errors(f"listing {prefix}", mutates=False):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key, Delimiter="/")
            folders = [one.get("Prefix", "") for page in pages for one in page.get("CommonPrefixes", [])]
        drivers = sorted(folder for folder in folders if folder.rstrip("/").endswith("_000001"))
        return f"s3://{bucket}/{drivers[-1].rstrip('/')}" if drivers else None


def _age(written: datetime, server_date: str | None) -> timedelta:
    """Return how old an object is; one whose store tells no readable time counts as old."""
    try:
        return parsedate_to_datetime(server_date or "") - written
    except (TypeError, ValueError):
        return _STDOUT_GRACE


def tail_of_gzip(chunks: Iterable[bytes], limit: int = TAIL_BYTES) -> str:
    """Return the last `limit` bytes of a gzip stream as text; several members in a row and a cut end are fine."""
    kept: deque[bytes] = deque()
    size = 0
    for block in _decompressed(chunks):
        kept.append(block)
        size += len(block)
        while size - len(kept[0]) >= limit:
            size -= len(kept.popleft())
    return b"".join(kept)[-limit:].decode(errors="replace")


def _decompressed(chunks: Iterable[bytes]) -> Iterable[bytes]:
    inflater = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        data = chunk
        while data:
            block = inflater.decompress(data)
            if block:
                yield block
            data = inflater.unused_data
            if data:
                inflater = zlib.decompressobj(wbits=31)
            elif inflater.eof:
                inflater = zlib.decompressobj(wbits=31)
                break
