"""Look before starting: python, Java, memory, ports; each with a tick, or with what to do about it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from demo.database import closed_parents
from demo.installation import HOME
from demo.processes import is_free

RAM_GB = 4.0
JAVA = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    :param fix: what to do; None when all is well
    """

    text: str
    fix: str | None = None

    def __str__(self) -> str:
        return f"✓ {self.text}" if self.fix is None else f"✗ {self.text}\n  → {self.fix}"


def look() -> list[Finding]:
    """Return what was found, good and bad."""
    checks: tuple[Callable[[], Finding], ...] = (_python, _java, _memory)
    return [check() for check in checks]


def choose_port(wanted: int) -> int:
    """Return the wanted port or the next one that is free."""
    return next(port for port in range(wanted, wanted + 200) if is_free(port))


def notices() -> list[str]:
    """Return what root should know before PostgreSQL starts."""
    closed = closed_parents(HOME)
    if not closed:
        return []
    return [f"PostgreSQL refuses root and runs as user pgserver; for it these folders are made readable: {', '.join(map(str, closed))}"]


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    fix = None if sys.version_info >= (3, 11) else "apt-get install -y python3 python3-venv, then: rm -rf .venv && make setup"
    return Finding(text=f"Python {version}", fix=fix)


def _java() -> Finding:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    fix = f"apt-get install -y openjdk-{JAVA}-jre-headless (or set JAVA_HOME)"
    if java is None:
        return Finding(text="no Java", fix=fix)
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', answer.stderr + answer.stdout)
    major = int(found.group(1)) if found else 0
    return Finding(text=f"Java {major or 'of unknown version'}", fix=None if major >= JAVA else fix)


def _memory() -> Finding:
    free_gb = psutil.virtual_memory().available / 1e9
    fix = None if free_gb >= RAM_GB else f"the demo needs {RAM_GB:.0f} GB; end something else first"
    return Finding(text=f"{free_gb:.1f} GB free memory", fix=fix)
