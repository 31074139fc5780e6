"""Fetch files from a Maven repository with the Apache Ivy that pyspark ships; no Maven needed.

Ivy's own default repository is used unless `PLATYSPARK_IVY_SETTINGS` or `~/.ivy2/ivysettings.xml` names a settings file. What
comes is verified by the caller.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

TIMEOUT_S = 600.0
_SETTINGS = """<ivysettings>
  <settings defaultResolver="central"/>
  <resolvers><ibiblio name="central" m2compatible="true" usepoms="false"/></resolvers>
</ivysettings>
"""
_MODULE = """<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven">
  <info organisation="platyspark" module="files"/>
  <configurations><conf name="default"/></configurations>
  <dependencies>
{dependencies}
  </dependencies>
</ivy-module>
"""


class IvyFailed(RuntimeError):
    """Ivy could not fetch what was asked for; the message ends with its last lines."""


def retrieve(work: Path, dependencies: Sequence[str], *, java: str, spark_home: Path) -> str:
    """Fetch into `work/files`, as `[artifact]-[revision].[ext]`; return what Ivy printed.

    :param dependencies: `<dependency .../>` elements of an Ivy module
    :param spark_home: of a Spark whose jars hold Ivy
    :raises IvyFailed: Ivy ended with an error or not in time
    """
    (work / "ivy.xml").write_text(_MODULE.format(dependencies="\n".join(dependencies)), encoding="utf-8")
    command = [
        *(java, "-cp", os.pathsep.join(str(jar) for jar in _class_path(spark_home / "jars")), "org.apache.ivy.Main"),
        *("-settings", str(_settings_file(work)), "-cache", str(work / "cache"), "-ivy", str(work / "ivy.xml")),
        *("-retrieve", f"{work}/files/[artifact]-[revision].[ext]"),
    ]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise IvyFailed(f"Ivy did not finish within {TIMEOUT_S:.0f} s.\n{last_lines(str(error.output or ''))}") from error
    if done.returncode != 0:
        raise IvyFailed(f"Ivy ended with code {done.returncode}.\n{last_lines(done.stdout)}")
    return done.stdout


def last_lines(output: str) -> str:
    """Return the end of what Ivy printed."""
    return "\n".join(output.splitlines()[-15:])


def _class_path(folder: Path) -> list[Path]:
    return [*folder.glob("ivy-*.jar"), *folder.glob("commons-cli-*.jar")]


def _settings_file(work: Path) -> Path:
    named = os.environ.get("PLATYSPARK_IVY_SETTINGS")
    if named:
        return Path(named)
    own = Path.home() / ".ivy2" / "ivysettings.xml"
    if own.is_file():
        return own
    generated = work / "ivysettings.xml"
    generated.write_text(_SETTINGS, encoding="utf-8")
    return generated
