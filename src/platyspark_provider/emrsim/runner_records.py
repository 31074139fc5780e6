"""What is on disk about steps and YARN applications: one folder each, small JSON files written whole. The truth after a restart.

`steps/<step id>/`: launch.json, process.json, signal.json, exit.json, acknowledged, logs_sent, and the files controller, stdout, stderr.
`yarn/<application id>/`: app.json, spec.json, attempt.json, process.json, driver.json, kill.json, exit.json, logs_sent, and container/
(the working folder) and logs/.
`clusters/<cluster id>.json`: its YARN timestamp and era; `stopping/`: marks of processes that are being ended; `bin/`: commands for steps.
Written by the runner, `step_main` and `container_main`.
"""

import json
import os
import re
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from platyspark_provider.emrsim.ports import StepLaunch
from platyspark_provider.emrsim.runner_process import ProcessId
from platyspark_provider.emrsim.spark_homes import SparkHome

_APPLICATION_ID = re.compile(r"^application_(\d+)_(\d{4,})$")


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a file so that readers see all of it or none."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(value, file)
    Path(name).replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a file's content; None when it isn't there."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return dict(content)


def bin_folder(data_dir: Path) -> Path:
    """Return the folder of commands that every process of a step finds first on its PATH."""
    return data_dir / "bin"


def parse_mark(mark: str) -> tuple[Path, str]:
    """Return the data folder and the cluster that a process's mark (`Site.cluster_mark`) names."""
    data_dir, cluster_id, _era = mark.rsplit(":", 2)
    return Path(data_dir), cluster_id


def read_tail(path: Path, size: int = 65536) -> str:
    """Return the end of a log; "" when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where one emrsim keeps its things and how a job reaches it; travels to the step's process in launch.json."""

    data_dir: Path
    endpoint_url: str

    def step(self, step_id: str) -> "StepFolder":
        """Return a step's folder (it need not exist)."""
        return StepFolder(self.data_dir / "steps" / step_id)

    def app(self, application_id: str) -> "AppFolder":
        """Return a YARN application's folder (it need not exist)."""
        return AppFolder(self.data_dir / "yarn" / application_id)

    def step_ids(self) -> list[str]:
        """Return the ids of all steps on disk."""
        return _names(self.data_dir / "steps")

    def application_ids(self) -> list[str]:
        """Return the ids of all YARN applications on disk, oldest first."""
        return _names(self.data_dir / "yarn")

    def cluster_timestamp(self, cluster_id: str) -> int:
        """Return the start time of a cluster's ResourceManager in epoch ms, which is part of its application ids; unique among clusters."""
        return int(self._cluster(cluster_id)["timestamp"])

    def cluster_mark(self, cluster_id: str) -> str:
        """Return the mark that processes started now carry in their environment; another one after each `end_era`."""
        return f"{self.data_dir}:{cluster_id}:{self._cluster(cluster_id)['era']}"

    def end_era(self, cluster_id: str) -> None:
        """Let processes started from now on carry another mark, so that those of before can be ended without them."""
        cluster = self._cluster(cluster_id)
        write_json(self._cluster_file(cluster_id), {**cluster, "era": int(cluster["era"]) + 1})

    def _cluster_file(self, cluster_id: str) -> Path:
        return self.data_dir / "clusters" / f"{cluster_id}.json"

    def _cluster(self, cluster_id: str) -> dict[str, Any]:
        known = read_json(self._cluster_file(cluster_id))
        if known is not None:
            return known
        folder = self._cluster_file(cluster_id).parent
        folder.mkdir(parents=True, exist_ok=True)
        taken = [int((read_json(path) or {"timestamp": 0})["timestamp"]) for path in folder.glob("*.json")]
        new = {"timestamp": max([int(time.time() * 1000), *(other + 1 for other in taken)]), "era": 0}
        write_json(self._cluster_file(cluster_id), new)
        return new

    def new_app(self, cluster_id: str) -> "AppFolder":
        """Make the folder of the next application of a cluster; two processes never get the same one."""
        timestamp = self.cluster_timestamp(cluster_id)
        numbers = [
            int(match[2]) for name in self.application_ids() if (match := _APPLICATION_ID.match(name)) and int(match[1]) == timestamp
        ]
        number = max(numbers, default=0) + 1
        while True:
            folder = self.data_dir / "yarn" / f"application_{timestamp}_{number:04d}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                number += 1
            else:
                return AppFolder(folder)


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []


class _ProcessFolder:
    """A folder that stands for one process of ours and its end."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def id(self) -> str:
        """Return the id, which is the folder's name."""
        return self.path.name

    def process(self, name: str = "process") -> ProcessId | None:
        """Return a recorded process."""
        record = read_json(self.path / f"{name}.json")
        return None if record is None else ProcessId(pid=int(record["pid"]), birth=str(record["birth"]))

    def record_process(self, pid: int, name: str = "process") -> None:
        """Record a process, unless it is already gone."""
        process = ProcessId.of(pid)
        if process is not None:
            write_json(self.path / f"{name}.json", asdict(process))

    def exit(self) -> dict[str, Any] | None:
        """Return how it ended; None while it hasn't."""
        return read_json(self.path / "exit.json")

    def record_exit(self, **fields: Any) -> None:
        """Record the end."""
        write_json(self.path / "exit.json", {**fields, "ended_at": time.time()})

    def has(self, name: str) -> bool:
        """Tell whether a mark is set."""
        return (self.path / name).exists()

    def mark(self, name: str) -> None:
        """Set a mark for good."""
        (self.path / name).touch()


class StepFolder(_ProcessFolder):
    """One step's folder."""

    __slots__ = ()

    def create(self, launch: StepLaunch, site: Site, spark: SparkHome) -> bool:
        """Make the folder of a new step; False when the step was launched before."""
        self.path.mkdir(parents=True, exist_ok=True)
        if self.has("launch.json"):
            return False
        where = {"data_dir": str(site.data_dir), "endpoint_url": site.endpoint_url}
        runs = {"spark_home": str(spark.home), "jars_dir": str(spark.jars_dir)}
        write_json(self.path / "launch.json", {**asdict(launch), **where, **runs, "launched_at": time.time()})
        return True

    def launch(self) -> StepLaunch | None:
        """Return what was to be launched; None if the folder is empty."""
        record = read_json(self.path / "launch.json")
        if record is None:
            return None
        names = ("cluster_id", "step_id", "name", "jar", "log_uri")
        fields = {name: record[name] for name in names}
        return StepLaunch(args=tuple(record["args"]), release_label=record.get("release_label"), **fields)

    def site(self) -> Site:
        """Return the emrsim that launched the step."""
        record = read_json(self.path / "launch.json") or {}
        return Site(data_dir=Path(record["data_dir"]), endpoint_url=str(record["endpoint_url"]))

    def spark(self) -> SparkHome:
        """Return the Spark that runs the step's drivers."""
        record = read_json(self.path / "launch.json") or {}
        return SparkHome(home=Path(record["spark_home"]), jars_dir=Path(record["jars_dir"]))

    def launched_at(self) -> float:
        """Return the epoch second of the launch."""
        return float((read_json(self.path / "launch.json") or {})["launched_at"])

    @property
    def work(self) -> Path:
        """Return the working folder of the step's process; its last part is the step id, as on EMR's primary node."""
        return self.path.parents[1] / "mnt" / "var" / "lib" / "hadoop" / "steps" / self.id

    def log(self, name: str) -> Path:
        """Return the path of controller, stdout or stderr."""
        return self.path / name


class AppFolder(_ProcessFolder):
    """One YARN application's folder."""

    __slots__ = ()

    def describe(self) -> dict[str, Any] | None:
        """Return what was submitted; None while the submission is under way or when it failed."""
        return read_json(self.path / "app.json")

    def record(self, **fields: Any) -> None:
        """Record the submission."""
        write_json(self.path / "app.json", fields)

    def container_id(self, attempt: int = 1) -> str:
        """Return the id of the application master's container of an attempt."""
        timestamp, number = self.id.removeprefix("application_").split("_")
        return f"container_{timestamp}_{number}_{attempt:02d}_000001"

    def attempt_id(self, attempt: int = 1) -> str:
        """Return YARN's id of an attempt."""
        return f"appattempt_{self.id.removeprefix('application_')}_{attempt:06d}"

    @property
    def attempt(self) -> int:
        """Return the number of the latest attempt; 1 before the first."""
        return int((read_json(self.path / "attempt.json") or {"number": 1})["number"])

    def record_attempt(self, number: int) -> None:
        """Record that an attempt begins."""
        write_json(self.path / "attempt.json", {"number": number})

    @property
    def work(self) -> Path:
        """Return the container's working folder."""
        return self.path / "container"

    def logs(self, attempt: int = 1) -> Path:
        """Return the folder of stdout and stderr of an attempt."""
        return self.path / "logs" / self.container_id(attempt)

    @property
    def kill_requested_at(self) -> float | None:
        """Return when YARN was asked to kill it, in epoch seconds."""
        record = read_json(self.path / "kill.json")
        return None if record is None else float(record["requested_at"])

    def request_kill(self) -> None:
        """Record the wish to kill it; the first one counts."""
        if not self.has("kill.json"):
            write_json(self.path / "kill.json", {"requested_at": time.time()})
