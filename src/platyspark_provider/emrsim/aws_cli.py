"""What scripts of steps use to reach S3: `aws s3 cp` of one object, `hadoop fs` (`hdfs dfs`) -cat, -get, -put. For `command_main`.

Words and exit codes follow AWS CLI 2 (hadoop has its exit codes only); whatever else those commands can do is refused, with what is served.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from platyspark_provider.emrsim.runner_fetch import s3_client, split_s3

_FLAGS = frozenset({"--quiet", "--only-show-errors", "--no-progress", "--no-sign-request", "--no-cli-pager", "--no-verify-ssl"})
_OPTIONS = frozenset(
    {"--region", "--profile", "--output", "--endpoint-url", "--cli-read-timeout", "--cli-connect-timeout"}
    | {"--acl", "--sse", "--sse-kms-key-id", "--storage-class", "--content-type", "--expected-size"}
)
_SERVED = "Served here: aws s3 cp SOURCE TARGET, where each is a local file, s3://bucket/key or - and one of them lies on S3.\n"
_HADOOP_SERVED = "Served here: fs -cat FILE..., fs -get SOURCE TARGET, fs -put SOURCE TARGET, with files on S3 as s3://bucket/key.\n"
_TRANSFER_FAILED, _USAGE, _NO_LOCAL_FILE = 1, 252, 255
_FS_NAMES = {"-copyToLocal": "-get", "-copyFromLocal": "-put"}


class _CopyError(Exception):
    """A copy that failed, with the CLI's words and exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def run_aws(args: Sequence[str], endpoint_url: str | None) -> int:
    """Carry out `aws <args>`; return its exit code.

    :param endpoint_url: where S3 is, unless `--endpoint-url` says otherwise
    """
    try:
        words, options = _taken_apart(args)
        match words:
            case ["s3", "cp", source, target]:
                said = _copy(_client(options.get("--endpoint-url") or endpoint_url), source, target)
            case _:
                raise _CopyError(f"aws: error: no such command here: aws {' '.join(words[:2])}\n{_SERVED}", _USAGE)
    except _CopyError as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    if said and not options.keys() & {"--quiet", "--only-show-errors"}:
        sys.stdout.write(f"{said}\n")
    return 0


def run_hadoop(args: Sequence[str], endpoint_url: str | None) -> int:
    """Carry out `hadoop <args>` or `hdfs <args>`; return its exit code."""
    try:
        match [_FS_NAMES.get(arg, arg) for arg in args]:
            case ["fs" | "dfs", "-cat", *sources] if sources:
                for source in sources:
                    _copy(_client(endpoint_url), source, "-")
            case ["fs" | "dfs", "-get" | "-put", source, target]:
                _copy(_client(endpoint_url), source, target)
            case _:
                raise _CopyError(f"Unknown command: hadoop {' '.join(args[:2])}\n{_HADOOP_SERVED}", _USAGE)
    except _CopyError as error:
        sys.stderr.write(f"{error}\n")
        return 255 if error.code == _USAGE else 1
    return 0


def _taken_apart(args: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the words of the command and its options, which may stand anywhere."""
    words: list[str] = []
    options: dict[str, str] = {}
    rest = list(args)
    while rest:
        name, equals, value = (arg := rest.pop(0)).partition("=")
        if not arg.startswith("--"):
            words.append(arg)
        elif arg in _FLAGS:
            options[arg] = ""
        elif name in _OPTIONS and (equals or rest):
            options[name] = value if equals else rest.pop(0)
        else:
            raise _CopyError(f"Unknown options: {arg}\n{_SERVED}", _USAGE)
    return words, options


def _client(endpoint_url: str | None) -> Any:
    if not endpoint_url:
        raise _CopyError("fatal error: AWS_ENDPOINT_URL is not set: this command reaches the local endpoint only", _TRANSFER_FAILED)
    return s3_client(endpoint_url)


def _copy(client: Any, source: str, target: str) -> str:
    """Copy one object; return what the CLI says about it, "" for nothing."""
    from botocore.exceptions import BotoCoreError, ClientError

    here, there = split_s3(source), split_s3(target)
    try:
        if here and there:
            to = _named(there, here[1])
            client.copy({"Bucket": here[0], "Key": here[1]}, *to)
            return f"copy: {source} to s3://{to[0]}/{to[1]}"
        if here:
            return _download(client, source, here, target)
        if there:
            return _upload(client, source, there)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"404", "NoSuchKey"} and here:
            operation = "HeadObject" if error.response["Error"]["Code"] == "404" else error.operation_name
            said = f'An error occurred (404) when calling the {operation} operation: Key "{here[1]}" does not exist'
            raise _CopyError(f"fatal error: {said}", _TRANSFER_FAILED) from error
        raise _CopyError(f"fatal error: {error}", _TRANSFER_FAILED) from error
    except (BotoCoreError, OSError) as error:
        raise _CopyError(f"fatal error: {error}", _TRANSFER_FAILED) from error
    raise _CopyError(f"aws: error: Invalid argument type: neither {source} nor {target} lies on S3\n{_SERVED}", _USAGE)


def _download(client: Any, source: str, where: tuple[str, str], target: str) -> str:
    bucket, key = where
    if target == "-":
        sys.stdout.flush()
        body = client.get_object(Bucket=bucket, Key=key)["Body"]
        shutil.copyfileobj(body, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return ""
    path = Path(target)
    if target.endswith("/") or path.is_dir():
        path = path / key.rpartition("/")[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    client.download_file(bucket, key, str(path))
    return f"download: {source} to {_shown(path)}"


def _upload(client: Any, source: str, where: tuple[str, str]) -> str:
    if source == "-":
        with tempfile.TemporaryFile() as spooled:
            shutil.copyfileobj(sys.stdin.buffer, spooled)
            spooled.seek(0)
            client.upload_fileobj(spooled, *where)
        return ""
    if not Path(source).is_file():
        raise _CopyError(f"\nThe user-provided path {source} does not exist.", _NO_LOCAL_FILE)
    bucket, key = _named(where, Path(source).name)
    client.upload_file(source, bucket, key)
    return f"upload: {_shown(Path(source))} to s3://{bucket}/{key}"


def _named(where: tuple[str, str], source: str) -> tuple[str, str]:
    """Return the target with a name: a bucket or an address that ends in a slash is a folder."""
    bucket, key = where
    return (bucket, key + source.rpartition("/")[2]) if not key or key.endswith("/") else where


def _shown(path: Path) -> str:
    shown = os.path.relpath(path)
    return shown if shown.startswith("..") else f"./{shown}"
