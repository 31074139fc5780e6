"""A step runner on a folder of its own beside a real S3 server, with what the tests of the runner ask of both."""

import gzip
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
from moto.server import ThreadedMotoServer

from platyspark_provider.emrsim.ports import StepExit, StepLaunch, YarnApplication
from platyspark_provider.emrsim.runner import SparkRunner
from platyspark_provider.emrsim.runner_fetch import s3_client

T = TypeVar("T")
CLUSTER, OTHER_CLUSTER = "j-1RUNNERCLUSTR", "j-2RUNNERCLUSTR"
LOGS = "s3://logs/emr/"
_numbers = itertools.count(1)

_HOST = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from platyspark_provider.emrsim.ports import StepLaunch
from platyspark_provider.emrsim.runner import SparkRunner
runner = SparkRunner(data_dir=Path(sys.argv[1]), endpoint_url=sys.argv[2], config=SimpleNamespace(log_delay_s=0.0))
cluster_id, step_id, *args = sys.argv[3:]
runner.start(StepLaunch(cluster_id=cluster_id, step_id=step_id, name="n", jar="command-runner.jar", args=tuple(args), log_uri=None))
print("started", flush=True)
time.sleep(600)
"""


@dataclass
class Config:
    """The runner's knobs."""

    log_delay_s: float = 0.0


def wait_for(probe: Callable[[], T | None], what: str, timeout_s: float = 60.0) -> T:
    """Return the first true answer of `probe`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := probe():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {timeout_s} s")


def is_running(pid: int) -> bool:
    """Tell whether the OS process is there (a zombie has ended)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Harness:
    """One runner that can be replaced by a new one on the same folder, and the S3 side."""

    def __init__(self, folder: Path, endpoint_url: str) -> None:
        self.folder = folder
        self.endpoint_url = endpoint_url
        self.config = Config()
        self.log_interval_s = 60.0
        self.s3 = s3_client(endpoint_url)
        self.runner = self.new_runner()

    def new_runner(self) -> SparkRunner:
        """Return another runner on the folder."""
        return SparkRunner(data_dir=self.folder, endpoint_url=self.endpoint_url, config=self.config, log_interval_s=self.log_interval_s)

    def restart(self) -> None:
        """Replace the runner."""
        self.runner.shutdown()
        self.runner = self.new_runner()

    def start(self, *args: str, cluster_id: str = CLUSTER, log_uri: str | None = LOGS, jar: str = "command-runner.jar") -> str:
        """Start a step; return its id."""
        step_id = f"s-{next(_numbers):020d}"
        launch = StepLaunch(cluster_id=cluster_id, step_id=step_id, name="n", jar=jar, args=args, log_uri=log_uri)
        self.runner.start(launch)
        return step_id

    def start_from_another_process(self, *args: str) -> tuple[str, subprocess.Popen[str]]:
        """Start a step from a process of its own that holds the runner; return the step and that process."""
        step_id = f"s-{next(_numbers):020d}"
        command = [sys.executable, "-c", _HOST, str(self.folder), self.endpoint_url, CLUSTER, step_id, *args]
        host = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert host.stdout is not None
        assert host.stdout.readline() == "started\n"
        host.stdout.close()
        return step_id, host

    def wait_exit(self, step_id: str, timeout_s: float = 90.0) -> StepExit:
        """Poll until the step ended."""

        def ended() -> StepExit | None:
            return next((step_exit for step_exit in self.runner.poll() if step_exit.step_id == step_id), None)

        return wait_for(ended, f"the end of {step_id}", timeout_s)

    def run(self, *args: str, **options: Any) -> StepExit:
        """Start a step and wait for its end."""
        return self.wait_exit(self.start(*args, **options))

    def application(self, step_id: str) -> YarnApplication | None:
        """Return the application that a step submitted."""
        return next((app for app in self.runner.applications() if app.step_id == step_id), None)

    def wait_state(self, step_id: str, state: str) -> YarnApplication:
        """Wait until the step's application is in a state."""

        def found() -> YarnApplication | None:
            app = self.application(step_id)
            return app if app is not None and app.state == state else None

        return wait_for(found, f"{state} of the application of {step_id}")

    def log(self, step_id: str, name: str) -> str:
        """Return a step's log on the primary node."""
        return (self.folder / "steps" / step_id / name).read_text(encoding="utf-8")

    def s3_log(self, key: str, *, timeout_s: float = 30.0) -> str:
        """Wait for a gzipped log on S3 that isn't empty and return its text."""

        def fetched() -> bytes | None:
            with suppress(self.s3.exceptions.NoSuchKey):
                return gzip.decompress(self.s3.get_object(Bucket="logs", Key=key)["Body"].read())
            return None

        return wait_for(fetched, f"s3://logs/{key}", timeout_s).decode()

    def put(self, key: str, body: str | bytes) -> str:
        """Store an object in the jobs' bucket; return its address."""
        self.s3.put_object(Bucket="jobs", Key=key, Body=body)
        return f"s3://jobs/{key}"

    def pids(self) -> set[int]:
        """Return every live process that belongs to this folder: the processes whose command line or environment names it."""
        return {process.pid for process in psutil.process_iter() if process.pid != os.getpid() and _belongs(process, str(self.folder))}

    def close(self) -> None:
        """End everything that a test left running."""
        for cluster_id in (CLUSTER, OTHER_CLUSTER):
            self.runner.stop_cluster(cluster_id)
        wait_for(lambda: not self.pids(), "the end of all processes")
        self.runner.shutdown()


@contextmanager
def s3_server() -> Iterator[str]:
    """Run an S3 server; yield its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@contextmanager
def open_harness(folder: Path, endpoint_url: str) -> Iterator[Harness]:
    """Make a harness with its buckets; end all its processes at the end."""
    harness = Harness(folder, endpoint_url)
    for bucket in ("logs", "jobs"):
        harness.s3.create_bucket(Bucket=bucket)
    try:
        yield harness
    finally:
        harness.close()


def _belongs(process: psutil.Process, folder: str) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and any(value.startswith(folder) for value in process.environ().values())
    except (psutil.Error, OSError):
        return False


def kill_host(host: subprocess.Popen[str]) -> None:
    """End a process as a crash does."""
    os.kill(host.pid, signal.SIGKILL)
    host.wait()
