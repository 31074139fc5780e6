"""Local files of an application that is submitted from the command line: found from the current folder, uploaded as a task's are."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platyspark_provider.cli.running import say
from platyspark_provider.core.governance import Resolution
from platyspark_provider.core.model import Target
from platyspark_provider.core.spec import AppRequest, Artifact
from platyspark_provider.errors import ArtifactMissing
from platyspark_provider.operators.files import DagFiles

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


class LocalFiles:
    """Finds and hashes files of this machine; `paths` keeps where each is, by sha256."""

    def __init__(self, folder: Path) -> None:
        self._files = DagFiles(str(folder / "here"), is_parsed_by_airflow=True)

    def __call__(self, name: str, path: str) -> Artifact:
        """Return the artifact at a path or address; raises InvalidRequest, ArtifactMissing."""
        try:
            return self._files(name, path)
        except ArtifactMissing as error:
            raise ArtifactMissing(error.message, hint="A relative path starts at the current folder.", **error.fields) from error

    def main_class_of(self, jar: Artifact) -> str | None:
        """Return the class that a local jar's manifest names; None for an address."""
        return self._files.main_class_of(jar)

    @property
    def paths(self) -> Mapping[str, Path]:
        """Return where each local file is, by sha256."""
        return self._files.paths


def bring(request: AppRequest, files: LocalFiles, resolution: Resolution) -> AppRequest:
    """Upload what is missing at its address by content, and return the request with addresses alone.

    A crash leaves files that the next submit finds there.

    :raises BackendUnavailable, BackendRejected: the connection of the target gives no credentials, or they may not write.
    """
    uploads = resolution.spec.uploads
    if not uploads:
        return request
    from platyspark_provider.packaging.artifacts import upload_missing

    for uri in upload_missing(_s3_of(resolution.target), files.paths, uploads).uploaded:
        say(f"Uploaded {uri}")
    return with_addresses(request, uploads)


def with_addresses(request: AppRequest, uploads: Mapping[str, str]) -> AppRequest:
    """Return the request with the address of each local file in its place."""
    lists: dict[str, Any] = {
        name: tuple(_addressed(one, uploads) for one in getattr(request, name)) for name in ("py_files", "files", "jars", "archives")
    }
    application = None if request.application is None else _addressed(request.application, uploads)
    return replace(request, application=application, **lists)


def _addressed(artifact: Artifact, uploads: Mapping[str, str]) -> Artifact:
    if artifact.sha256 is None:
        return artifact
    alias = f"#{artifact.alias}" if artifact.alias else ""
    return Artifact(name=artifact.name, uri=uploads[artifact.sha256] + alias)


def _s3_of(target: Target) -> "S3Client":
    from airflow.sdk import Connection

    from platyspark_provider.airflow_core.connections import find_connection
    from platyspark_provider.hooks.aws import EmrBackends

    conn_id = target.aws_conn_id
    return EmrBackends({conn_id: find_connection(conn_id) or Connection(conn_id=conn_id, conn_type="aws")}).s3_of(target)
