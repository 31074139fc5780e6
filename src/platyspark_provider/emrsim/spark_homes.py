"""Which Spark runs the steps of which EMR release: the pyspark of this Python, unless a release label's prefix names another SPARK_HOME."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from platyspark_provider.emrsim.jars import default_dest, pinned_jars, spark_home

ENVIRONMENT = "EMRSIM_SPARK"
_CORE = re.compile(r"spark-core_[\d.]+-(\d+\.\d+)\.\S*\.jar")


class SparkHomeError(ValueError):
    """A SPARK_HOME can't be used; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkHome:
    """One Spark distribution, and the folder of jars with which it reads `s3://`."""

    home: Path
    jars_dir: Path

    @property
    def core_jar(self) -> Path:
        """Return the jar of Spark's core, whose name tells the version.

        :raises SparkHomeError: there is none
        """
        jar = next((self.home / "jars").glob("spark-core_*.jar"), None)
        if jar is None:
            raise SparkHomeError(f"{self.home} is no SPARK_HOME: it has no jars/spark-core_*.jar")
        return jar

    @property
    def line(self) -> str:
        """Return the minor line, such as "3.5"."""
        match = _CORE.fullmatch(self.core_jar.name)
        if match is None:
            raise SparkHomeError(f"{self.core_jar}: the name tells no Spark version")
        return match[1]

    @property
    def submit(self) -> str:
        """Return the path of Spark's own spark-submit."""
        return str(self.home / "bin" / "spark-submit")


def installed_spark(jars_dir: Path | None = None) -> SparkHome:
    """Return the pyspark of this Python.

    :param jars_dir: None for the cache's folder
    """
    return SparkHome(home=spark_home(), jars_dir=jars_dir or default_dest())


def spark_at(home: Path) -> SparkHome:
    """Return the Spark of a folder.

    :raises SparkHomeError: it is none
    :raises JarsError: `s3://` can't be had for its version
    """
    line = SparkHome(home=home, jars_dir=home).line
    pinned_jars(line)
    return SparkHome(home=home.resolve(), jars_dir=default_dest(line).resolve())


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkHomes:
    """The choice by release label; the longest prefix that fits wins."""

    default: SparkHome = field(default_factory=installed_spark)
    by_prefix: Mapping[str, SparkHome] = field(default_factory=dict)

    def of_release(self, label: str | None) -> SparkHome:
        """Return the Spark for a cluster's release label."""
        fitting = [prefix for prefix in self.by_prefix if (label or "").startswith(prefix)]
        return self.by_prefix[max(fitting, key=len)] if fitting else self.default


def parse_homes(settings: Sequence[str]) -> dict[str, SparkHome]:
    """Read `LABEL_PREFIX=SPARK_HOME` settings; a later one of the same prefix wins.

    :raises SparkHomeError: another form, or no Spark at the place
    :raises JarsError: `s3://` can't be had for its version
    """
    found: dict[str, SparkHome] = {}
    for setting in settings:
        prefix, equals, home = setting.partition("=")
        if not equals or not prefix.strip() or not home.strip():
            raise SparkHomeError(f"{setting!r} must be LABEL_PREFIX=SPARK_HOME, such as emr-7.=/opt/spark-3.5")
        found[prefix.strip()] = spark_at(Path(home.strip()).expanduser())
    return found


def settings_of_environment() -> list[str]:
    """Return the settings that EMRSIM_SPARK holds, separated by commas."""
    return [setting for setting in os.environ.get(ENVIRONMENT, "").split(",") if setting.strip()]
