"""Keep moto's S3 objects on disk: write-through after each change, read back at the start.

One folder a bucket: `bucket.json`, and for each object `<hash>.json` naming its body file. Only the newest version of an object,
its headers, tags and the bucket's versioning are kept; policies, lifecycle rules and unfinished multipart uploads are not.
"""

import hashlib
import json
import os
import shutil
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

from moto.s3.models import FakeBucket, FakeKey, s3_backends

_BUCKET_FILE = "bucket.json"
_CHECKSUM = ("checksum_algorithm", "checksum_value", "checksum_type", "checksum_parts")


class S3Disk:
    """Copy buckets and objects between moto and a folder. Not thread-safe: callers hold a lock.

    A crash in the middle of a write leaves the old object, and at most a body file that no description names.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._stored: dict[str, dict[str, tuple[str, str]]] = {}

    def restore(self) -> None:
        """Load every bucket and object into moto."""
        for description in sorted(self._folder.glob(f"*/{_BUCKET_FILE}")):
            stored = json.loads(description.read_text(encoding="utf-8"))
            backend = s3_backends[stored["account"]][stored["partition"]]
            bucket = backend.create_bucket(stored["name"], stored["region"])
            bucket.creation_date = datetime.fromisoformat(stored["created"])
            bucket.versioning_status = stored["versioning"]
            self._stored[bucket.name] = {}
            self._restore_objects(backend, bucket, description.parent)

    def _restore_objects(self, backend: Any, bucket: FakeBucket, folder: Path) -> None:
        named = {_BUCKET_FILE}
        for description in folder.glob("*.json"):
            if description.name == _BUCKET_FILE:
                continue
            stored = json.loads(description.read_text(encoding="utf-8"))
            body = (folder / stored["body"]).read_bytes()
            named |= {description.name, stored["body"]}
            key = backend.put_object(
                bucket.name, stored["key"], body, storage=stored["storage_class"], etag=stored["etag"], disable_notification=True
            )
            key.last_modified = datetime.fromisoformat(stored["modified"])
            key.set_metadata(stored["metadata"], replace=True)
            for name in _CHECKSUM:
                setattr(key, name, stored[name])
            if stored["tags"]:
                backend.tagger.tag_resource(key.arn, [{"Key": name, "Value": value} for name, value in stored["tags"].items()])
            self._stored[bucket.name][key.name] = _stamp(key)
        for leftover in set(os.listdir(folder)) - named:
            (folder / leftover).unlink()

    def sync_key(self, bucket_name: str, key_name: str) -> None:
        """Make the disk say what moto says about one object."""
        bucket = _bucket(bucket_name)
        key = None if bucket is None else _newest(bucket, key_name)
        if key is not None:
            self._write_key(bucket_name, key)
        elif key_name in self._stored.get(bucket_name, {}):
            self._forget_key(bucket_name, key_name)

    def sync_bucket(self, bucket_name: str) -> None:
        """Make the disk say what moto says about a bucket and all its objects."""
        bucket = _bucket(bucket_name)
        if bucket is None:
            shutil.rmtree(self._folder / bucket_name, ignore_errors=True)
            self._stored.pop(bucket_name, None)
            return
        self._write_bucket(bucket)
        stored = self._stored[bucket_name]
        current = {name: key for name in list(bucket.keys) if (key := _newest(bucket, name)) is not None}
        for name in set(stored) - set(current):
            self._forget_key(bucket_name, name)
        for name, key in current.items():
            if stored.get(name) != _stamp(key):
                self._write_key(bucket_name, key)

    def _write_bucket(self, bucket: FakeBucket) -> None:
        partition, account = s3_backends.bucket_accounts[bucket.name]
        description = {
            "name": bucket.name,
            "region": bucket.region_name,
            "created": bucket.creation_date.isoformat(),
            "versioning": bucket.versioning_status,
            "partition": partition,
            "account": account,
        }
        (self._folder / bucket.name).mkdir(exist_ok=True)
        _write(self._folder / bucket.name / _BUCKET_FILE, json.dumps(description).encode())
        self._stored.setdefault(bucket.name, {})

    def _write_key(self, bucket_name: str, key: FakeKey) -> None:
        folder = self._folder / bucket_name
        description = folder / f"{_hash(key.name)}.json"
        old = json.loads(description.read_text(encoding="utf-8"))["body"] if description.exists() else None
        body = f"{_hash(key.name)}.{uuid.uuid4().hex}"
        _write(folder / body, key.value)
        _write(description, json.dumps({**_describe(key), "body": body}).encode())
        if old is not None:
            (folder / old).unlink(missing_ok=True)
        self._stored[bucket_name][key.name] = _stamp(key)

    def _forget_key(self, bucket_name: str, key_name: str) -> None:
        description = self._folder / bucket_name / f"{_hash(key_name)}.json"
        body = json.loads(description.read_text(encoding="utf-8"))["body"]
        description.unlink()
        (self._folder / bucket_name / body).unlink(missing_ok=True)
        del self._stored[bucket_name][key_name]


def _describe(key: FakeKey) -> dict[str, Any]:
    partition, account = s3_backends.bucket_accounts[key.bucket_name]
    return {
        "key": key.name,
        "etag": key.etag.strip('"'),
        "modified": key.last_modified.isoformat(),
        "metadata": dict(key.metadata),
        "storage_class": key.storage_class,
        **{name: getattr(key, name) for name in _CHECKSUM},
        "tags": s3_backends[account][partition].tagger.get_tag_dict_for_resource(key.arn),
    }


def _bucket(name: str) -> FakeBucket | None:
    if name not in s3_backends.bucket_accounts:
        return None
    partition, account = s3_backends.bucket_accounts[name]
    return s3_backends[account][partition].buckets.get(name)


def _newest(bucket: FakeBucket, key_name: str) -> FakeKey | None:
    versions = bucket.keys.getlist(key_name) or [None]
    return versions[-1] if isinstance(versions[-1], FakeKey) else None


def _stamp(key: FakeKey) -> tuple[str, str]:
    return key.etag, key.last_modified.isoformat()


def _hash(key_name: str) -> str:
    return hashlib.sha256(key_name.encode()).hexdigest()


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
