"""Checks of the prefixes in S3: their buckets exist, lie in the target's region, and can be listed, written and cleaned."""

import uuid
from collections.abc import Iterator
from typing import Any

from platyspark_provider.cli.doctor.aws_site import TargetSite
from platyspark_provider.cli.doctor.checks import Finding, Status
from platyspark_provider.errors import BackendRejected, PlatySparkError

_GONE = frozenset({"404", "NoSuchBucket", "NotFound"})


def check_storage(site: TargetSite) -> Iterator[Finding]:
    """Look at the artifacts prefix and at every log prefix of the target's profiles."""
    check = f"s3 {site.target.name}"
    if site.artifacts is None:
        fix = "export AIRFLOW__PLATYSPARK__ARTIFACTS=s3://BUCKET/PREFIX, or `artifacts:` in profiles.yaml"
        yield Finding(check=check, status=Status.WARN, found="There is no artifacts prefix: applications can't be local files.", fix=fix)
    else:
        yield from _prefix(site, site.artifacts, writes=True)
    for prefix in site.log_prefixes:
        yield from _prefix(site, prefix, writes=False)
    if not site.log_prefixes:
        fix = "log_uri: s3://BUCKET/logs in the profile"
        yield Finding(check=check, status=Status.WARN, found="There is no log prefix: failures can't be explained.", fix=fix)


def _prefix(site: TargetSite, prefix: str, *, writes: bool) -> Iterator[Finding]:
    check = f"s3 {site.target.name}"
    bucket, _, key = prefix.split("://", 1)[1].partition("/")
    try:
        yield _bucket(site, bucket)
        done = _tried(site, bucket, key, writes=writes)
    except BackendRejected as refused:
        yield _refusal(check, bucket, prefix, refused)
        return
    yield Finding(check=check, status=Status.OK, found=f"{prefix}: {done}.")


def _bucket(site: TargetSite, bucket: str) -> Finding:
    check = f"s3 {site.target.name}"
    with site.errors(f"s3:ListBucket of {bucket}"):
        answer = site.client("s3").head_bucket(Bucket=bucket)
    there = answer.get("BucketRegion") or answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
    if not there or there == site.region:
        return Finding(check=check, status=Status.OK, found=f"Bucket {bucket} is in {there or 'an unknown region'}.")
    fix = f"Name a bucket of {site.region}, or set targets.{site.target.name}.region to {there}."
    found = f"Bucket {bucket} is in {there}, the target in {site.region}: each transfer crosses regions."
    return Finding(check=check, status=Status.WARN, found=found, fix=fix)


def _tried(site: TargetSite, bucket: str, key: str, *, writes: bool) -> str:
    """List the prefix and, where applications are uploaded to, write and remove a marker; say what worked."""
    s3: Any = site.client("s3")
    with site.errors(f"s3:ListBucket of s3://{bucket}/{key}"):
        s3.list_objects_v2(Bucket=bucket, Prefix=key.rstrip("/") + "/" if key else "", MaxKeys=1)
    if not writes:
        return "can be listed"
    marker = f"{key.rstrip('/')}/platyspark-doctor-{uuid.uuid4().hex}".lstrip("/")
    with site.errors(f"s3:PutObject at s3://{bucket}/{marker}"):
        s3.put_object(Bucket=bucket, Key=marker, Body=b"Written and removed by `airflow platyspark doctor`.\n")
    try:
        with site.errors(f"s3:DeleteObject of s3://{bucket}/{marker}"):
            s3.delete_object(Bucket=bucket, Key=marker)
    except PlatySparkError as left:
        return f"can be listed and written; the marker {marker} stayed behind ({left.fields.get('aws_code')}), which only this check needs"
    return "can be listed, written and cleaned"


def _refusal(check: str, bucket: str, prefix: str, refused: BackendRejected) -> Finding:
    if refused.fields.get("aws_code") in _GONE:
        fix = f"aws s3 mb s3://{bucket}"
        return Finding(check=check, status=Status.FAIL, found=f"{prefix}: there is no bucket {bucket}.", fix=fix)
    fix = f"Allow s3:ListBucket, s3:GetObject and s3:PutObject on {prefix} to the role of the connection (docs/deployment.md)."
    return Finding(check=check, status=Status.FAIL, found=refused.message, fix=fix)
