"""Compile small jobs into jars with no more than a Java runtime: Java by Eclipse's compiler, fetched and pinned, Scala by Spark's own."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from platyspark_provider.emrsim.ivy import retrieve
from platyspark_provider.emrsim.jars import find_java, spark_home
from platyspark_provider.emrsim.spark_homes import SparkHome

ECJ = "ecj-3.33.0.jar"
ECJ_SHA256 = "f7686c4960cf70c2ebc5c500a73a8cfc04541b730c18f1c5c21329889b137f45"
_ECJ_DEPENDENCY = '<dependency org="org.eclipse.jdt" name="ecj" rev="3.33.0" transitive="false" conf="default->default"/>'
_CACHE = Path(__file__).resolve().parents[3] / ".cache"


def java_jar(spark: SparkHome, sources: Mapping[str, str], folder: Path, name: str, *others: Path) -> Path:
    """Compile Java sources (path: text) against a Spark and other jars into `folder/name.jar`."""
    return _jar([find_java(), "-jar", str(_ecj()), "-nowarn", "-11"], spark, sources, folder / name, others)


def scala_jar(spark: SparkHome, sources: Mapping[str, str], folder: Path, name: str, *others: Path) -> Path:
    """Compile Scala sources likewise."""
    compiler = [find_java(), "-XX:TieredStopAtLevel=1", "-cp", f"{spark.home}/jars/*", "scala.tools.nsc.Main", "-nowarn"]
    return _jar(compiler, spark, sources, folder / name, others)


def _jar(compiler: Sequence[str], spark: SparkHome, sources: Mapping[str, str], folder: Path, others: Sequence[Path]) -> Path:
    classes = folder / "classes"
    classes.mkdir(parents=True)
    for path, text in sources.items():
        (folder / path).write_text(text, encoding="utf-8")
    class_path = os.pathsep.join(map(str, [*sorted((spark.home / "jars").glob("*.jar")), *others]))
    command = [*compiler, "-cp", class_path, "-d", str(classes), *(str(folder / path) for path in sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    jar = folder.with_suffix(".jar")
    with zipfile.ZipFile(jar, "w") as packed:
        for path in sorted(classes.rglob("*.class")):
            packed.write(path, path.relative_to(classes))
    return jar


def _ecj() -> Path:
    """Fetch beside and rename, as several test processes may do it at once."""
    jar = _CACHE / ECJ
    if not jar.is_file():
        _CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".ecj-", dir=_CACHE) as folder:
            retrieve(Path(folder), [_ECJ_DEPENDENCY], java=find_java(), spark_home=spark_home())
            fetched = Path(folder) / "files" / ECJ
            assert hashlib.sha256(fetched.read_bytes()).hexdigest() == ECJ_SHA256
            shutil.move(fetched, jar)
    return jar
