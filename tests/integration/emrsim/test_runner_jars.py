"""Fetching the s3a jars with pyspark's own Ivy, from a folder that plays the repository."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from platyspark_provider.emrsim.jars import JarsError, default_dest, ensure_jars, main, pinned_jars, spark_line


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a folder of the real jars, fetched the ordinary way when the project's cache has none yet."""
    folder = tmp_path / "repository"
    shutil.copytree(ensure_jars(default_dest()), folder)
    return folder


@pytest.fixture
def settings(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "ivysettings.xml"
    file.write_text(
        '<ivysettings><settings defaultResolver="folder"/><resolvers><filesystem name="folder">'
        f'<artifact pattern="{repository}/[artifact]-[revision].[ext]"/></filesystem></resolvers></ivysettings>'
    )
    monkeypatch.setenv("PLATYSPARK_IVY_SETTINGS", str(file))
    return file


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_ensure_jars_fetches_the_whole_list_and_then_leaves_it_alone(settings: Path, repository: Path, tmp_path: Path) -> None:
    dest = ensure_jars(tmp_path / "jars")
    assert names(dest) == {jar.file_name for jar in pinned_jars(spark_line())}
    before = {path.name: path.stat().st_ino for path in dest.iterdir()}
    shutil.rmtree(repository)

    assert ensure_jars(dest) == dest
    assert {path.name: path.stat().st_ino for path in dest.iterdir()} == before


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"something else")])
def test_ensure_jars_mends_a_damaged_folder(settings: Path, tmp_path: Path, damage: Callable[[Path], object]) -> None:
    dest = ensure_jars(tmp_path / "jars")
    damage(dest / pinned_jars(spark_line())[0].file_name)
    ensure_jars(dest)

    assert names(dest) == {jar.file_name for jar in pinned_jars(spark_line())}


def test_ensure_jars_refuses_a_jar_that_is_not_the_pinned_one(settings: Path, repository: Path, tmp_path: Path) -> None:
    jar = pinned_jars(spark_line())[0].file_name
    (repository / jar).write_bytes(b"tampered")

    with pytest.raises(JarsError, match=f"not the pinned files: {jar}"):
        ensure_jars(tmp_path / "jars")
    assert not (tmp_path / "jars").exists()


def test_ensure_jars_by_several_processes_at_once_gives_all_of_them_the_whole_list(settings: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "platyspark_provider.emrsim.jars", "--no-archive", "--dest", str(tmp_path / "jars")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [process.communicate(timeout=100) for process in processes]

    assert answers == [(f"{tmp_path}/jars\n", "")] * 3
    assert names(tmp_path) - {"repository", "ivysettings.xml"} == {"jars", ".jars.lock"}


def test_jars_command_without_a_repository_says_how_to_mend_it(
    settings: Path, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(repository)

    assert main(["--dest", str(tmp_path / "jars")]) == 1
    assert "PLATYSPARK_IVY_SETTINGS" in capsys.readouterr().err


def test_ensure_jars_without_java_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(JarsError, match="openjdk-17"):
        ensure_jars(tmp_path / "jars")


def test_pinned_jars_of_spark_3_5_are_eleven_and_of_an_unknown_line_an_error() -> None:
    assert len(pinned_jars("3.5")) == 11
    with pytest.raises(JarsError, match=r"No list of s3a jars for Spark 2\.4 \(known: 3\.5, 4\.1\)"):
        pinned_jars("2.4")
