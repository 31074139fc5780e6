"""Files by content, against an S3 that is served locally."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from platyspark_provider.errors import ArtifactMissing, BackendRejected, TemporaryError
from platyspark_provider.packaging.artifacts import hash_file, head, put_missing, upload_missing
from tests.unit.backends.aws_server import Answer, Server, client, free_port, serve

BUCKET = "artifacts"


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    """Serve S3 with moto."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_url: str) -> Iterator[Any]:
    """Return a client of an S3 with one empty bucket."""
    found = client("s3", s3_url)
    found.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    yield found
    for one in found.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        found.delete_object(Bucket=BUCKET, Key=one["Key"])
    found.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "job.py"
    path.write_text("print('hello')\n")
    return path


def address(sha256: str, path: Path) -> str:
    return f"s3://{BUCKET}/apps/{sha256}/{path.name}"


def test_hash_file_is_the_sha256_and_size_of_its_bytes(tmp_path: Path) -> None:
    content = b"x" * (3 * 1024 * 1024 + 7)
    (tmp_path / "big").write_bytes(content)

    assert hash_file(tmp_path / "big") == (hashlib.sha256(content).hexdigest(), len(content))


def test_hash_file_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match=r"nowhere\.py can't be read"):
        hash_file(tmp_path / "nowhere.py")


def test_upload_missing_puts_a_file_once(s3: Any, job: Path) -> None:
    sha256, size = hash_file(job)
    uri = address(sha256, job)

    first = upload_missing(s3, {sha256: job}, {sha256: uri})
    second = upload_missing(s3, {sha256: job}, {sha256: uri})

    assert (first.uploaded, first.present, first.uploaded_bytes) == ((uri,), (), size)
    assert (second.uploaded, second.present, second.uploaded_bytes) == ((), (uri,), 0)
    assert s3.get_object(Bucket=BUCKET, Key=uri.partition(f"{BUCKET}/")[2])["Body"].read() == job.read_bytes()


def test_upload_missing_present_content_needs_no_local_file(s3: Any, job: Path) -> None:
    """A retry on another worker may not have the file any more."""
    sha256, _ = hash_file(job)
    uri = address(sha256, job)
    upload_missing(s3, {sha256: job}, {sha256: uri})

    assert upload_missing(s3, {}, {sha256: uri}).present == (uri,)


def test_upload_missing_file_changed_since_hashing_is_not_sent(s3: Any, job: Path) -> None:
    sha256, _ = hash_file(job)
    job.write_text("print('changed')\n")

    with pytest.raises(ArtifactMissing, match="was changed"):
        upload_missing(s3, {sha256: job}, {sha256: address(sha256, job)})
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_upload_missing_file_larger_than_one_part_arrives_whole(s3: Any, tmp_path: Path) -> None:
    path = tmp_path / "big.jar"
    path.write_bytes(bytes(range(256)) * 40_000)
    sha256, size = hash_file(path)

    upload_missing(s3, {sha256: path}, {sha256: address(sha256, path)})

    assert head(s3, address(sha256, path)) == size


def test_upload_missing_unknown_content_is_named(s3: Any, job: Path) -> None:
    with pytest.raises(ArtifactMissing, match="No local file"):
        upload_missing(s3, {}, {"0" * 64: address("0" * 64, job)})


def test_upload_missing_bucket_that_does_not_exist_is_named(s3: Any, job: Path) -> None:
    sha256, _ = hash_file(job)

    with pytest.raises(BackendRejected, match=r"bucket of s3://nowhere/.* does not exist"):
        upload_missing(s3, {sha256: job}, {sha256: f"s3://nowhere/{sha256}/job.py"})


def denying(*methods: str) -> Iterator[Server]:
    """Serve an S3 that refuses these methods and takes all others."""
    denied = Answer(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
    with serve(lambda method, _path, _body: denied if method in methods else Answer(200, b"")) as server:
        yield server


@pytest.fixture
def write_only() -> Iterator[Server]:
    yield from denying("HEAD")


@pytest.fixture
def closed() -> Iterator[Server]:
    yield from denying("HEAD", "PUT")


def test_upload_missing_without_the_right_to_look_uploads(write_only: Server, job: Path) -> None:
    """S3 answers 403 for an object that is not there to whoever may not list the bucket."""
    sha256, _ = hash_file(job)

    report = upload_missing(client("s3", write_only.url), {sha256: job}, {sha256: address(sha256, job)})

    assert report.uploaded == (address(sha256, job),)
    assert [method for method, _, _ in write_only.seen] == ["HEAD", "PUT"]


def test_upload_missing_without_the_right_to_write_says_what_to_grant(closed: Server, job: Path) -> None:
    sha256, _ = hash_file(job)

    with pytest.raises(BackendRejected, match=r"may not write to .*s3:PutObject"):
        upload_missing(client("s3", closed.url), {sha256: job}, {sha256: address(sha256, job)})


def test_upload_missing_endpoint_down_is_temporary(job: Path) -> None:
    sha256, _ = hash_file(job)

    with pytest.raises(TemporaryError):
        upload_missing(client("s3", f"http://127.0.0.1:{free_port()}"), {sha256: job}, {sha256: address(sha256, job)})


def test_head_object_that_is_not_there_is_named(s3: Any) -> None:
    with pytest.raises(ArtifactMissing, match=f"no file at s3://{BUCKET}/job.py") as caught:
        head(s3, f"s3://{BUCKET}/job.py")
    assert caught.value.fields["uri"] == f"s3://{BUCKET}/job.py"


def test_head_without_rights_is_not_a_missing_file(closed: Server) -> None:
    with pytest.raises(BackendRejected, match=r"may not look at .*s3:GetObject"):
        head(client("s3", closed.url), f"s3://{BUCKET}/job.py")


@pytest.mark.parametrize("uri", ["job.py", "s3://bucket", "https://host/job.py", "s3:///key"])
def test_head_address_that_is_none_is_named(uri: str) -> None:
    with pytest.raises(ArtifactMissing, match="is no address of a file on S3"):
        head(client("s3", "http://127.0.0.1:9"), uri)


def test_put_missing_puts_a_content_once(s3: Any) -> None:
    uri = f"s3://{BUCKET}/apps/0/launch.sh"

    assert [put_missing(s3, uri, b"exec true\n"), put_missing(s3, uri, b"exec true\n")] == [True, False]
    assert s3.get_object(Bucket=BUCKET, Key="apps/0/launch.sh")["Body"].read() == b"exec true\n"


def test_put_missing_into_no_bucket_names_the_prefix(s3: Any) -> None:
    with pytest.raises(BackendRejected, match="bucket of s3://nowhere/x does not exist"):
        put_missing(s3, "s3://nowhere/x", b"")
