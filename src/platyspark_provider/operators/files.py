"""Where a DAG's files are: paths relative to the DAG file, absolute paths and s3:// addresses, as `Artifact`s."""

import sys
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from platyspark_provider.core.spec import Artifact
from platyspark_provider.errors import ArtifactMissing, InvalidRequest

# A fragment of an address names the file or folder that appears beside the driver (spark-submit --files, --archives).
_ALIASED = ("files", "archives")


class FileFinder(Protocol):
    """Finds the files that arguments name."""

    def __call__(self, name: str, path: str) -> Artifact:
        """Return the artifact at a path or address.

        :param name: of the argument, for errors: `files[2]`.
        """

    def main_class_of(self, jar: Artifact) -> str | None:
        """Return the class that a local jar's manifest names; None without one, and for an address: nothing is fetched."""


def dag_folders(fileloc: str, *, is_parsed_by_airflow: bool) -> tuple[Path, ...]:
    """Return the folders that a relative path is looked for in.

    :param fileloc: the DAG's; `python file.py` with a DAG from a factory names the factory's module, so the script's own
        folder counts too there (and only there: in workers `__main__` is Airflow's).
    :param is_parsed_by_airflow: the DAG has a `relative_fileloc`.
    :raises InvalidRequest: the DAG lies in a zip file, which is no folder.
    """
    bases = [fileloc]
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if not is_parsed_by_airflow and script:
        bases.append(script)
    folders = []
    for base in bases:
        folder = Path(base).resolve().parent
        if folder.is_file():
            raise InvalidRequest(
                f"The DAG lies in the archive {folder}: a path relative to it can't be read.",
                hint="Put the DAG into a folder, or the application at an s3:// address.",
            )
        folders.append(folder)
    return tuple(dict.fromkeys(folders))


class DagFiles:
    """Finds and hashes the files of one task; `paths` keeps where each local file is, by sha256, for the upload."""

    def __init__(self, fileloc: str, *, is_parsed_by_airflow: bool) -> None:
        self._fileloc = fileloc
        self._is_parsed_by_airflow = is_parsed_by_airflow
        self.paths: dict[str, Path] = {}
        self.uris: list[str] = []

    def __call__(self, name: str, path: str) -> Artifact:
        """Return the artifact at a path or address; raises InvalidRequest, ArtifactMissing."""
        if "://" in path:
            return self._by_address(name, path)
        path, mark, alias = path.partition("#")
        if mark and not (alias and name.startswith(_ALIASED)):
            raise InvalidRequest(
                f"{name} is {path + mark + alias!r}: '#' begins the name that a file of files= or archives= gets beside the driver.",
                hint='Write archives=["env.tar.gz#env"], and rename a file that has a # in its own name.',
                field=name,
            )
        return self._by_content(name, path, alias or None)

    def main_class_of(self, jar: Artifact) -> str | None:
        """Return the class that a local jar's manifest names; None for an address."""
        from platyspark_provider.packaging.jars import main_class_of

        return main_class_of(self.paths[jar.sha256]) if jar.sha256 is not None else None

    def _by_address(self, name: str, uri: str) -> Artifact:
        scheme, _, rest = uri.partition("://")
        bucket, _, key = rest.partition("#")[0].partition("/")
        if scheme != "s3" or not bucket or not key or key.endswith("/"):
            raise InvalidRequest(
                f"{name} is {uri!r}: not the s3:// address of a file.",
                hint="Write s3://bucket/path/file, or a path relative to the DAG file.",
                field=name,
            )
        self.uris.append(uri.partition("#")[0])
        return Artifact(name=PurePosixPath(key).name, uri=uri)

    def _by_content(self, name: str, path: str, alias: str | None) -> Artifact:
        from platyspark_provider.packaging.artifacts import hash_file

        found = self._find(name, path)
        sha256, size = hash_file(found)
        self.paths[sha256] = found
        return Artifact(name=found.name, sha256=sha256, size_bytes=size, alias=alias)

    def _find(self, name: str, path: str) -> Path:
        tried = [folder / path for folder in dag_folders(self._fileloc, is_parsed_by_airflow=self._is_parsed_by_airflow)]
        for candidate in dict.fromkeys(tried):
            if candidate.is_file():
                return candidate
            if candidate.is_dir():
                raise InvalidRequest(f"{name} is {path!r}: a folder.", hint="Name a file; zip a package for py_files.", field=name)
        places = ", ".join(str(place) for place in tried)
        raise ArtifactMissing(
            f"{name} is {path!r}: no such file. Looked for {places}.",
            hint="A relative path starts at the folder of the DAG file.",
            field=name,
        )


def files_of_dag(dag: Any) -> DagFiles:
    """Return the finder for a DAG as the task's context holds it."""
    return DagFiles(str(dag.fileloc), is_parsed_by_airflow=getattr(dag, "relative_fileloc", None) is not None)
