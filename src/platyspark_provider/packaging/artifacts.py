"""What lies on S3 by content: hash files, put what is missing to `<artifacts>/<sha256>/<name>`, check addresses."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING

from platyspark_provider.errors import ArtifactMissing, BackendRejected

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_BLOCK_BYTES = 1024 * 1024
_IN_MEMORY_BYTES = 32 * _BLOCK_BYTES
_NOT_FOUND = frozenset({"404", "NoSuchKey", "NotFound"})
_NO_BUCKET = "NoSuchBucket"
_NO_ACCESS = frozenset({"403", "AccessDenied", "AllAccessDisabled", "Forbidden"})


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadReport:
    """What an upload did: addresses that were written, and those that held their content already."""

    uploaded: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    uploaded_bytes: int = 0


def hash_file(path: Path) -> tuple[str, int]:
    """Return a file's sha256 (hex) and its size in bytes.

    :raises ArtifactMissing: there is no such file, or it can't be read.
    """
    digest, size = hashlib.sha256(), 0
    for block in _blocks(path):
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size


def head(s3_client: "S3Client", uri: str) -> int:
    """Return the size in bytes of the object at an `s3://` address.

    :raises ArtifactMissing: nothing is there. :raises BackendRejected: the credentials may not look.
    :raises TemporaryError: S3 can't be reached or asks to wait.
    """
    bucket, key = _split(uri)
    with _s3_errors(uri, mutates=False):
        return s3_client.head_object(Bucket=bucket, Key=key)["ContentLength"]


def upload_missing(s3_client: "S3Client", paths_by_sha: Mapping[str, Path], uris_by_sha: Mapping[str, str]) -> UploadReport:
    """Upload each file whose address does not hold it yet; two workers that do the same write the same bytes.

    A crash leaves whole objects only (S3 shows an object once all of it is there), and the next try goes on from there.

    :param paths_by_sha: where the files are on this machine; :param uris_by_sha: where they belong.
    :raises ArtifactMissing: a file is gone, or no longer has the content that was asked for.
    :raises BackendRejected: the bucket does not exist, or the credentials may not write to it.
    :raises TemporaryError: S3 can't be reached or asks to wait.
    """
    uploaded: list[str] = []
    present: list[str] = []
    size = 0
    for sha256, uri in sorted(uris_by_sha.items()):
        if _is_there(s3_client, uri):
            present.append(uri)
            continue
        if sha256 not in paths_by_sha:
            raise ArtifactMissing(f"No local file is known for the content that belongs at {uri}.", uri=uri)
        size += _upload(s3_client, paths_by_sha[sha256], uri, sha256)
        uploaded.append(uri)
    return UploadReport(uploaded=tuple(uploaded), present=tuple(present), uploaded_bytes=size)


def put_missing(s3_client: "S3Client", uri: str, content: bytes) -> bool:
    """Put a content to the address that holds its hash, unless something is there; tell whether that was done.

    Two that do so at once write the same bytes. :raises BackendRejected, TemporaryError: as `upload_missing` does.
    """
    if _is_there(s3_client, uri):
        return False
    bucket, key = _split(uri)
    with _s3_errors(uri, mutates=True):
        s3_client.put_object(Bucket=bucket, Key=key, Body=content)
    return True


def _is_there(s3_client: "S3Client", uri: str) -> bool:
    """Tell whether an object is there; S3 hides that from whoever may not list, so a refusal counts as no."""
    try:
        head(s3_client, uri)
    except ArtifactMissing:
        return False
    except BackendRejected as error:
        if error.fields.get("aws_code") in _NO_ACCESS:
            return False
        raise
    return True


def _upload(s3_client: "S3Client", path: Path, uri: str, sha256: str) -> int:
    """Copy the file aside while checking its hash, then send the copy: what is sent is what was checked."""
    bucket, key = _split(uri)
    with SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as copy:
        size = _checked_copy(path, sha256, copy)
        copy.seek(0)
        with _s3_errors(uri, mutates=True):
            s3_client.upload_fileobj(copy, bucket, key)
    return size


def _checked_copy(path: Path, sha256: str, copy: IO[bytes]) -> int:
    digest, size = hashlib.sha256(), 0
    for block in _blocks(path):
        digest.update(block)
        size += copy.write(block)
    if digest.hexdigest() != sha256:
        raise ArtifactMissing(
            f"File {path} was changed while the application was being submitted.", hint="Run the task again.", path=str(path)
        )
    return size


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                yield block
    except OSError as error:
        raise ArtifactMissing(f"File {path} can't be read: {error.strerror}.", path=str(path)) from error


def _split(uri: str) -> tuple[str, str]:
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme not in {"s3", "s3a", "s3n"} or not bucket or not key:
        raise ArtifactMissing(f"{uri!r} is no address of a file on S3.", hint="Write s3://bucket/path/file.", uri=uri)
    return bucket, key


@contextmanager
def _s3_errors(uri: str, *, mutates: bool) -> Iterator[None]:
    """Translate S3's refusals; boto3 is loaded by whoever made the client, so its errors are imported here and late."""
    from platyspark_provider.aws_errors import aws_errors

    verb = "write to" if mutates else "look at"
    try:
        with aws_errors(f"asking S3 to {verb} {uri}", mutates=False):
            yield
    except BackendRejected as error:
        code = error.fields.get("aws_code")
        if code == _NO_BUCKET:
            raise BackendRejected(f"The bucket of {uri} does not exist.", hint="Check the artifacts prefix.", aws_code=code) from error
        if code in _NO_ACCESS:
            hint = "Give the role of the target's AWS connection s3:GetObject, s3:PutObject and s3:ListBucket there."
            raise BackendRejected(f"The credentials may not {verb} {uri}.", hint=hint, aws_code=code, uri=uri) from error
        if code in _NOT_FOUND:
            raise ArtifactMissing(f"There is no file at {uri}.", uri=uri) from error
        raise
