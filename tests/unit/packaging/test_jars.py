"""The class that a jar's manifest names."""

import zipfile
from pathlib import Path

import pytest

from platyspark_provider.errors import ArtifactMissing, InvalidRequest
from platyspark_provider.packaging.jars import main_class_of

LONG = "com.acme." + ".".join(["department"] * 10) + ".Main"


def jar_with(folder: Path, manifest: str | None) -> Path:
    path = folder / "app.jar"
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr("com/acme/Main.class", b"")
        if manifest is not None:
            jar.writestr("META-INF/MANIFEST.MF", manifest)
    return path


def wrapped(line: str, end: str) -> str:
    """Write a manifest line as jar tools do: 72 bytes, then a blank for what follows."""
    head, rest = line[:70], line[70:]
    while rest:
        head, rest = f"{head}{end} {rest[:69]}", rest[69:]
    return head + end


@pytest.mark.parametrize(
    ("manifest", "name"),
    [
        ("Manifest-Version: 1.0\r\nMain-Class: com.acme.Main\r\n\r\nName: com/\r\n", "com.acme.Main"),
        ("Main-Class:com.acme.Main", "com.acme.Main"),
        (wrapped(f"Main-Class: {LONG}", "\r\n"), LONG),
        (wrapped(f"Main-Class: {LONG}", "\n"), LONG),
        ("Manifest-Version: 1.0\n", None),
        ("Not-Main-Class: com.acme.Main\n", None),
        (None, None),
    ],
)
def test_main_class_of_a_jar_is_what_its_manifest_names(tmp_path: Path, manifest: str | None, name: str | None) -> None:
    assert main_class_of(jar_with(tmp_path, manifest)) == name


def test_main_class_of_no_jar_says_so(tmp_path: Path) -> None:
    (tmp_path / "app.jar").write_text("<html>404</html>")
    with pytest.raises(InvalidRequest, match=r"app\.jar is no jar"):
        main_class_of(tmp_path / "app.jar")


def test_main_class_of_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match=r"app\.jar can't be read"):
        main_class_of(tmp_path / "app.jar")
