"""Build the demo's Scala job with Maven: the one on the PATH, else one that is fetched into the project, pinned and verified.

Maven's own repository is `.cache/m2`; Spark is not downloaded, the job is compiled against the installed pyspark's jars.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from demo.processes import StackError
from platyspark_provider.emrsim.ivy import IvyFailed, retrieve
from platyspark_provider.emrsim.jars import find_java, spark_home

PROJECT = Path(__file__).resolve().parents[1]
SOURCE = PROJECT / "dags" / "demo" / "jobs" / "busy_routes"
JAR = SOURCE / "target" / "busy-routes.jar"
MAVEN = "3.9.11"
MAVEN_SHA256 = "4b7195b6a4f5c81af4c0212677a32ee8143643401bc6e1e8412e6b06ea82beac"
BUILD_LIMIT_S = 600.0
_DEPENDENCY = (
    '<dependency org="org.apache.maven" name="apache-maven" rev="{version}" transitive="false" conf="default->default">'
    '<artifact name="apache-maven" type="tar.gz" ext="tar.gz" m:classifier="bin"/></dependency>'
)


def build_jar() -> Path:
    """Return the jar, built anew if a source, Maven's project or Spark changed since.

    :raises StackError: Maven can't be fetched, or the build failed, with the end of its output
    """
    stamp, current = JAR.with_suffix(".stamp"), _fingerprint()
    if JAR.is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == current:
        return JAR
    command = [
        *(str(_maven()), "--batch-mode", "--no-transfer-progress", f"-Dmaven.repo.local={PROJECT / '.cache' / 'm2'}"),
        *(f"-Dspark.jars={spark_home() / 'jars'}", "--file", str(SOURCE), "package"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise StackError(f"Maven did not finish within {BUILD_LIMIT_S:.0f} s; it says: {str(error.stdout)[-1500:]}") from error
    if done.returncode != 0 or not JAR.is_file():
        raise StackError(f"Maven could not build {SOURCE.name}; it says:\n{(done.stdout + done.stderr)[-3000:]}")
    stamp.write_text(current, encoding="utf-8")
    return JAR


def _fingerprint() -> str:
    digest = hashlib.sha256(str(spark_home()).encode())
    for path in sorted([SOURCE / "pom.xml", *(SOURCE / "src").rglob("*.scala")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _maven() -> Path:
    found = shutil.which("mvn")
    if found:
        return Path(found)
    own = PROJECT / ".cache" / f"apache-maven-{MAVEN}"
    if not (own / "bin" / "mvn").is_file():
        _fetch_maven(own)
    return own / "bin" / "mvn"


def _fetch_maven(dest: Path) -> None:
    """Unpack beside and rename: a fetch that was interrupted leaves nothing that looks whole."""
    dest.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".maven-", dir=dest.parent) as folder:
        work = Path(folder)
        try:
            retrieve(work, [_DEPENDENCY.format(version=MAVEN)], java=find_java(), spark_home=spark_home())
        except IvyFailed as error:
            raise StackError(f"Maven {MAVEN} could not be fetched: {error} Or install it: apt-get install -y maven") from error
        archive = work / "files" / f"apache-maven-{MAVEN}.tar.gz"
        if hashlib.sha256(archive.read_bytes()).hexdigest() != MAVEN_SHA256:
            raise StackError(f"what came as Maven {MAVEN} is not the pinned file; install it instead: apt-get install -y maven")
        with tarfile.open(archive) as packed:
            packed.extractall(work)
        os.replace(work / dest.name, dest)
