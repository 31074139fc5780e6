"""Files of a DAG: relative to it, absolute, or at an address; what is missing names the places that were looked at."""

import hashlib
import sys
import types
import zipfile
from pathlib import Path

import pytest

from platyspark_provider.errors import ArtifactMissing, InvalidRequest
from platyspark_provider.operators.files import DagFiles, dag_folders, files_of_dag


@pytest.fixture
def dag_file(tmp_path: Path) -> Path:
    path = tmp_path / "dags" / "team" / "daily.py"
    (path.parent / "jobs").mkdir(parents=True)
    path.write_text("# airflow dag")
    (path.parent / "jobs" / "agg.py").write_text("print(1)")
    return path


def finder(dag_file: Path) -> DagFiles:
    return DagFiles(str(dag_file), is_parsed_by_airflow=True)


def test_dag_files_relative_path_starts_at_the_dag_file(dag_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    files = finder(dag_file)
    artifact = files("application", "jobs/agg.py")
    digest = hashlib.sha256(b"print(1)").hexdigest()
    assert (artifact.name, artifact.sha256, artifact.size_bytes, artifact.uri) == ("agg.py", digest, 8, None)
    assert files.paths == {digest: dag_file.parent / "jobs" / "agg.py"}


def test_dag_files_absolute_path_is_taken_as_it_is(dag_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text("x")
    assert finder(dag_file)("application", str(other)).name == "other.py"


def test_dag_files_symlinked_dag_file_starts_at_its_real_folder(dag_file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.py"
    link.symlink_to(dag_file)
    assert finder(link)("application", "jobs/agg.py").name == "agg.py"


def test_dag_files_missing_file_lists_the_places_tried(dag_file: Path) -> None:
    with pytest.raises(ArtifactMissing) as refusal:
        finder(dag_file)("application", "jobs/none.py")
    assert str(dag_file.parent / "jobs" / "none.py") in str(refusal.value)
    assert "folder of the DAG file" in str(refusal.value)


def test_dag_files_folder_is_refused(dag_file: Path) -> None:
    with pytest.raises(InvalidRequest, match="zip a package"):
        finder(dag_file)("py_files[0]", "jobs")


def test_dag_files_dag_in_a_zip_is_refused_with_the_way_out(tmp_path: Path) -> None:
    archive = tmp_path / "dags.zip"
    archive.write_bytes(b"PK")
    with pytest.raises(InvalidRequest, match="s3:// address"):
        DagFiles(str(archive / "daily.py"), is_parsed_by_airflow=True)("application", "jobs/agg.py")


def test_dag_files_address_in_a_zipped_dag_is_kept(tmp_path: Path) -> None:
    files = DagFiles(str(tmp_path / "dags.zip" / "daily.py"), is_parsed_by_airflow=True)
    artifact = files("archives[0]", "s3://code/env.tar.gz#environment")
    assert (artifact.name, artifact.uri, artifact.sha256) == ("env.tar.gz", "s3://code/env.tar.gz#environment", None)
    assert files.uris == ["s3://code/env.tar.gz"]


@pytest.mark.parametrize("address", ["s3a://code/a.py", "https://x/a.py", "s3://code", "s3://code/folder/", "s3:///a.py"])
def test_dag_files_other_address_is_refused(dag_file: Path, address: str) -> None:
    with pytest.raises(InvalidRequest, match="s3://bucket/path/file"):
        finder(dag_file)("application", address)


@pytest.mark.parametrize("name", ["files[0]", "archives[1]"])
def test_dag_files_alias_of_a_local_file_is_kept_beside_its_content(dag_file: Path, name: str) -> None:
    files = finder(dag_file)
    artifact = files(name, "jobs/agg.py#env")
    assert (artifact.name, artifact.alias, artifact.uri) == ("agg.py", "env", None)
    assert files.paths == {artifact.sha256: dag_file.parent / "jobs" / "agg.py"}


@pytest.mark.parametrize(("name", "path"), [("application", "jobs/agg.py#x"), ("jars[0]", "a.jar#x"), ("files[0]", "jobs/agg.py#")])
def test_dag_files_alias_that_nothing_would_read_is_refused(dag_file: Path, name: str, path: str) -> None:
    with pytest.raises(InvalidRequest, match=r'archives=\["env.tar.gz#env"\]'):
        finder(dag_file)(name, path)


def test_dag_files_main_class_is_read_from_a_local_jar_alone(dag_file: Path) -> None:
    with zipfile.ZipFile(dag_file.parent / "jobs" / "app.jar", "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "Main-Class: com.acme.Main\n")
    files = finder(dag_file)
    assert files.main_class_of(files("application", "jobs/app.jar")) == "com.acme.Main"
    assert files.main_class_of(files("application", "s3://code/app.jar")) is None


def test_dag_folders_script_outside_airflow_counts_too(dag_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = types.ModuleType("__main__")
    main.__file__ = str(dag_file)
    monkeypatch.setitem(sys.modules, "__main__", main)
    factory = tmp_path / "lib" / "factory.py"
    assert dag_folders(str(factory), is_parsed_by_airflow=False) == (factory.parent, dag_file.parent)
    assert dag_folders(str(factory), is_parsed_by_airflow=True) == (factory.parent,)


def test_files_of_dag_reads_where_the_dag_was_parsed(dag_file: Path) -> None:
    dag = types.SimpleNamespace(fileloc=str(dag_file), relative_fileloc="team/daily.py")
    assert files_of_dag(dag)("application", "jobs/agg.py").name == "agg.py"
