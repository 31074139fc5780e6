"""Bring what a step names (application, py-files, files, jars, archives, properties file) to where its driver runs.

`s3://`, `s3a://` and `s3n://` addresses come from the endpoint; local paths are used as they are; anything else is left to Spark.
"""

import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from platyspark_provider.emrsim.spark_args import Submission, resource_alias

_S3_SCHEMES = frozenset({"s3", "s3a", "s3n"})


class FetchError(Exception):
    """Something a step names can't be had; the message is Spark's last line on stderr."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Localized:
    """Where everything a submission names lies now; each value is what spark-submit is given."""

    primary: str
    py_files: tuple[str, ...]
    files: tuple[str, ...]
    jars: tuple[str, ...]


def s3_client(endpoint_url: str) -> Any:
    """Return a client for the endpoint's S3 side; any key is accepted there."""
    import boto3  # here: half of the start of a step that needs no S3 went into it
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        aws_access_key_id=os.environ.get("AWS_ACCESS_KEY_ID", "emrsim"),
        aws_secret_access_key=os.environ.get("AWS_SECRET_ACCESS_KEY", "emrsim"),
        config=Config(s3={"addressing_style": "path"}, connect_timeout=5, read_timeout=30, retries={"total_max_attempts": 3}),
    )


def split_s3(uri: str) -> tuple[str, str] | None:
    """Return bucket and key of an S3 address; None for anything else."""
    scheme, _, rest = uri.partition("://")
    if scheme.lower() not in _S3_SCHEMES:
        return None
    bucket, _, key = rest.partition("/")
    return bucket, key


class Fetcher:
    """Puts resources into one folder."""

    def __init__(self, endpoint_url: str, folder: Path) -> None:
        self._endpoint_url = endpoint_url
        self._folder = folder
        self._client: Any = None

    def text(self, uri: str) -> str:
        """Return the text of a small resource.

        :raises FetchError: there is none
        """
        return Path(self.fetch(uri)).read_text(encoding="utf-8")

    def localize(self, submission: Submission, *, copy_local: bool, archives_into: Path) -> Localized:
        """Bring a submission's resources; `copy_local` also copies local ones into the folder, as YARN does in cluster mode.

        :raises FetchError: one of them doesn't exist
        """
        for archive in submission.archives:
            self._unpack(archive, archives_into)
        return Localized(
            primary=self.fetch(submission.primary, copy_local=copy_local),
            py_files=tuple(self.fetch(uri, copy_local=copy_local) for uri in submission.py_files),
            files=tuple(self.fetch(uri, copy_local=copy_local) for uri in submission.files),
            jars=tuple(self.fetch(uri, copy_local=copy_local) for uri in submission.jars),
        )

    def fetch(self, uri: str, *, copy_local: bool = False) -> str:
        """Return a local path for one resource, or the address itself when it is neither on S3 nor local.

        :raises FetchError: it doesn't exist
        """
        address, alias = resource_alias(uri)
        where = split_s3(address)
        if where is not None:
            return str(self._download(address, *where, self._folder / alias))
        local = _local_path(address)
        if local is None:
            return uri
        if not local.exists():
            raise FetchError(f"java.io.FileNotFoundException: File file:{local} does not exist")
        return str(_copied(local, self._folder / alias)) if copy_local else str(local)

    def _download(self, address: str, bucket: str, key: str, target: Path) -> Path:
        from botocore.exceptions import BotoCoreError, ClientError

        self._client = self._client or s3_client(self._endpoint_url)
        try:
            self._client.download_file(bucket, key, str(target))
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                raise FetchError(f"java.io.FileNotFoundException: No such file or directory '{address}'") from error
            raise FetchError(f"java.io.IOException: {address}: {error}") from error
        except BotoCoreError as error:
            raise FetchError(f"java.io.IOException: {address}: {error}") from error
        return target

    def _unpack(self, uri: str, into: Path) -> None:
        address, alias = resource_alias(uri)
        unpack = _unpacker(address)
        if unpack is None:
            raise FetchError(f"java.io.IOException: {uri} is no archive (zip, jar, tar, tar.gz, tgz)")
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".archive-") as folder:
            unpack(Path(Fetcher(self._endpoint_url, Path(folder)).fetch(address)), into / alias)


def _local_path(address: str) -> Path | None:
    parts = urlsplit(address)
    if parts.scheme in {"", "file", "local"}:
        return Path(unquote(parts.path) if parts.scheme else address)
    return None


def _copied(source: Path, target: Path) -> Path:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.resolve() != target.resolve():
        shutil.copy2(source, target)
    return target


def _unpacker(name: str) -> Callable[[Path, Path], None] | None:
    lower = name.lower()
    if lower.endswith((".zip", ".jar")):
        return _unzip
    return _untar if lower.endswith((".tar", ".tar.gz", ".tgz")) else None


def _unzip(packed: Path, target: Path) -> None:
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(target)  # noqa: S202 - zipfile strips absolute and parent parts
        for member in archive.infolist():  # zipfile drops the executable bit
            mode = member.external_attr >> 16
            if mode & 0o111:
                (target / member.filename).chmod(mode & 0o777)


def _untar(packed: Path, target: Path) -> None:
    with tarfile.open(packed) as archive:
        if hasattr(tarfile, "tar_filter"):  # Python 3.11.4 has it, Debian 12's 3.11.2 not
            archive.extractall(target, filter="tar")
        else:
            archive.extractall(target)  # noqa: S202 - the owner's own archive, unpacked as YARN does
