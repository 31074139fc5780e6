"""Checks of this machine: profiles.yaml, and Java where Spark itself runs here (emrsim)."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from platyspark_provider.cli.doctor.aws_site import TargetSite
from platyspark_provider.cli.doctor.checks import EVERYWHERE, Check, Finding, Process, Status
from platyspark_provider.errors import PlatySparkError
from platyspark_provider.profiles_file import ProfilesFile

OLDEST_JAVA = 17
_ANSWER_S = 10
_INSTALL = "apt-get install -y openjdk-17-jre-headless"
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def machine_checks(path: str, profiles: ProfilesFile, sites: Sequence[TargetSite]) -> tuple[Check, ...]:
    """Return the checks.

    :param path: of profiles.yaml; empty for the built-in profile.
    """
    return (
        Check(name="profiles", processes=EVERYWHERE, run=lambda: check_profiles(path, profiles)),
        Check(name="java", processes=frozenset({Process.WORKER}), run=lambda: check_java(sites)),
    )


def check_profiles(path: str, profiles: ProfilesFile) -> Iterator[Finding]:
    """Read profiles.yaml; an error names its line."""
    error = profiles.error
    if error is not None:
        found = f"{path or 'Section [platyspark]'} can't be used: {error.message}"
        fix = f"{error.hint} Then: airflow platyspark profiles check {path}".strip()
        yield Finding(check="profiles", status=Status.FAIL, found=found, fix=fix)
        return
    names = ", ".join(profiles.current().profiles)
    where = path or "No profiles_file on this machine (the api-server's counts); built-in"
    yield Finding(check="profiles", status=Status.OK, found=f"{where}: profiles {names}.")


def check_java(sites: Sequence[TargetSite]) -> Iterator[Finding]:
    """Look for a Java runtime if a target's endpoint is on this machine: there Spark runs here."""
    local = [site.target.name for site in sites if _is_local(site)]
    if not local:
        yield Finding(check="java", status=Status.OK, found="Not needed here: no target runs Spark on this machine.")
        return
    java = _java()
    if java is None:
        found = f"Target {', '.join(local)} runs Spark on this machine and there is no java."
        yield Finding(check="java", status=Status.FAIL, found=found, fix=_INSTALL)
        return
    said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=_ANSWER_S, check=False)
    lines = (said.stderr or said.stdout).strip().splitlines() or [""]
    version = _VERSION.search(lines[0])
    if version is None or int(version[1]) < OLDEST_JAVA:
        found = f"{java} is {lines[0] or 'of an unknown version'}; Spark needs Java {OLDEST_JAVA}."
        yield Finding(check="java", status=Status.FAIL, found=found, fix=_INSTALL)
    else:
        yield Finding(check="java", status=Status.OK, found=f"{java} is Java {version[1]}.")


def _is_local(site: TargetSite) -> bool:
    """A connection that can't be used runs nothing here; its own check says why."""
    try:
        return urlsplit(site.endpoint or "").hostname in _LOOPBACK
    except PlatySparkError:
        return False


def _java() -> str | None:
    home = os.environ.get("JAVA_HOME")
    if home and (found := Path(home) / "bin" / "java").is_file():
        return str(found)
    return shutil.which("java")
