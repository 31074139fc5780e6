"""Fetch the jars that let pyspark read `s3://` paths: pinned, verified, kept in a cache folder. No Maven needed.

Ivy (see `ivy`) fetches exactly the list of `jars.tsv` (no dependencies: Spark has those, and a second netty or jackson on the
driver's class path breaks it). Called by the step runner and by `python -m platyspark_provider.emrsim.jars --dest DIR`.
"""

import argparse
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from platyspark_provider.emrsim.ivy import IvyFailed, last_lines, retrieve

_LIST = Path(__file__).with_name("jars.tsv")


class JarsError(RuntimeError):
    """The jars could not be fetched or are not what was pinned; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedJar:
    """One jar of the list, by Maven coordinate and content."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """Return the name under which the jar is kept."""
        return f"{self.artifact}-{self.version}.jar"


def spark_home() -> Path:
    """Return the folder of the installed pyspark, which is a complete Spark distribution.

    :raises JarsError: pyspark is not installed
    """
    spec = importlib.util.find_spec("pyspark")
    if spec is None or not spec.submodule_search_locations:
        raise JarsError("pyspark is not installed; install the 'demo' extra: pip install 'platyspark-provider[demo]'")
    return Path(next(iter(spec.submodule_search_locations)))


def spark_line() -> str:
    """Return the installed pyspark's minor line, such as "4.1"."""
    return ".".join(importlib.metadata.version("pyspark").split(".")[:2])


def pinned_jars(line: str) -> tuple[PinnedJar, ...]:
    """Return the list for one Spark line.

    :raises JarsError: the line has no list
    """
    rows = [row.split("\t") for row in _LIST.read_text(encoding="utf-8").splitlines() if row and not row.startswith("#")]
    jars = tuple(_pinned_jar(coordinate, sha256) for row_line, coordinate, sha256 in rows if row_line == line)
    if not jars:
        known = ", ".join(sorted({row[0] for row in rows}))
        raise JarsError(f"No list of s3a jars for Spark {line} (known: {known}). Install one of those pyspark versions.")
    return jars


def default_dest(line: str | None = None) -> Path:
    """Return `.cache/s3a/<line>` of the project the package runs from, else of the user's cache folder.

    :param line: None for the installed pyspark's
    """
    checkout = Path(__file__).resolve().parents[3]
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "platyspark"
    base = checkout / ".cache" if (checkout / "pyproject.toml").is_file() else user_cache
    return base / "s3a" / (line or spark_line())


def ensure_jars(dest: Path, line: str | None = None) -> Path:
    """Fetch what is missing, so that `dest` holds the whole list with the pinned contents; return `dest`.

    Several processes may call it at once: one fetches, the others wait. A crash leaves `dest` as it was.

    :raises JarsError: java is missing, nothing could be downloaded, or a download is not the pinned file
    """
    jars = pinned_jars(line or spark_line())
    if not _differing(dest, jars):
        return dest
    dest.parent.mkdir(parents=True, exist_ok=True)
    with _locked(dest.parent / f".{dest.name}.lock"):
        if _differing(dest, jars):
            _fetch_into(dest, jars)
    return dest


def _pinned_jar(coordinate: str, sha256: str) -> PinnedJar:
    group, artifact, version = coordinate.split(":")
    return PinnedJar(group=group, artifact=artifact, version=version, sha256=sha256)


def _differing(folder: Path, jars: Sequence[PinnedJar]) -> list[str]:
    return [jar.file_name for jar in jars if _sha256(folder / jar.file_name) != jar.sha256]


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_into(dest: Path, jars: Sequence[PinnedJar]) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{dest.name}-", dir=dest.parent) as folder:
        work = Path(folder)
        try:
            output = retrieve(work, [_dependency(jar) for jar in jars], java=find_java(), spark_home=spark_home())
        except IvyFailed as error:
            raise JarsError(_advice(str(error))) from error
        wrong = _differing(work / "files", jars)
        if wrong:
            said = f"{len(wrong)} of {len(jars)} jars are missing or not the pinned files: {', '.join(wrong[:5])}"
            raise JarsError(_advice(f"{said}.\n{last_lines(output)}"))
        if dest.exists():
            dest.rename(work / "replaced")
        (work / "files").rename(dest)


def _dependency(jar: PinnedJar) -> str:
    return (
        f"    <dependency org={quoteattr(jar.group)} name={quoteattr(jar.artifact)} rev={quoteattr(jar.version)}"
        ' transitive="false" conf="default->default"/>'
    )


def find_java() -> str:
    """Return the java that Spark uses: JAVA_HOME's, else the PATH's.

    :raises JarsError: there is none
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if found is None:
        raise JarsError("No java found. Install a Java 17 runtime (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME.")
    return found


def _advice(problem: str) -> str:
    return (
        "The s3a jars could not be fetched. Check the network, or point PLATYSPARK_IVY_SETTINGS at an Ivy settings file with a "
        f"repository you can reach, then run: python -m platyspark_provider.emrsim.jars\n{problem}"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch and verify the jars and make the class archive; print the folder."""
    from platyspark_provider.emrsim.runner_archive import ensure_archive  # they need this module
    from platyspark_provider.emrsim.spark_homes import SparkHome

    parser = argparse.ArgumentParser(prog="python -m platyspark_provider.emrsim.jars", description="Prepare what emrsim's Spark jobs need.")
    parser.add_argument("--dest", type=Path, default=None, help="folder to fill (default: .cache/s3a/<spark line>)")
    parser.add_argument("--line", default=None, help="Spark line (default: the installed pyspark's); another one's jars are only fetched")
    parser.add_argument("--no-archive", action="store_true", help="don't make the class archive that halves a driver's start")
    options = parser.parse_args(argv)
    try:
        dest = ensure_jars(options.dest or default_dest(options.line), options.line).resolve()
        if not options.no_archive and options.line in {None, spark_line()}:
            ensure_archive(SparkHome(home=spark_home(), jars_dir=dest))
    except (JarsError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{dest}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
