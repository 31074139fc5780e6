"""What a jar says of itself: the class that its manifest names to start."""

import re
import zipfile
from pathlib import Path

from platyspark_provider.errors import ArtifactMissing, InvalidRequest

MANIFEST = "META-INF/MANIFEST.MF"
_MAX_MANIFEST_BYTES = 1024 * 1024
_WRAPPED = re.compile(r"\r?\n |\r ")  # a line of more than 72 bytes goes on after a blank (JAR specification)
_MAIN_CLASS = re.compile(r"^Main-Class:[ \t]*(\S+)[ \t]*$", re.MULTILINE | re.IGNORECASE)


def main_class_of(path: Path) -> str | None:
    """Return the `Main-Class` of a jar's manifest; None where it names none.

    :raises InvalidRequest: the file is no jar. :raises ArtifactMissing: it can't be read.
    """
    try:
        with zipfile.ZipFile(path) as jar:
            if MANIFEST not in jar.namelist():
                return None
            with jar.open(MANIFEST) as file:
                text = file.read(_MAX_MANIFEST_BYTES).decode(errors="replace")
    except zipfile.BadZipFile as error:
        raise InvalidRequest(f"{path} is no jar: {error}.", hint="Name the jar that your build wrote.", field="application") from error
    except OSError as error:
        raise ArtifactMissing(f"File {path} can't be read: {error.strerror}.", path=str(path)) from error
    found = _MAIN_CLASS.search(_WRAPPED.sub("", text).replace("\r\n", "\n"))
    return found[1] if found else None
