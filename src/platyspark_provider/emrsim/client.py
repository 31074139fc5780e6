"""Start, steer and ask emrsim from tests and the demo."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config

REGION = "us-east-1"
KEY = "emrsim"
START_DEADLINE_S = 60.0
STOP_DEADLINE_S = 20.0


class EmrSimError(RuntimeError):
    """emrsim did not start, or its control route refused a request."""


class EmrSim:
    """A running emrsim in a process of its own.

    `stop` ends the processes of steps too, unless told otherwise; after `kill` and `restart` they go on, as state and port do.
    """

    def __init__(self, data_dir: Path, port: int) -> None:
        self.data_dir = data_dir
        self._port = port
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    @classmethod
    def start(cls, data_dir: Path | str, port: int = 0, **config: Any) -> Self:
        """Start emrsim and wait until it answers.

        :param config: knobs, see `platyspark_provider.emrsim.config.SimConfig`
        :raises EmrSimError: it ended or gave no sign of life within 60 s; the message holds its error output
        """
        sim = cls(Path(data_dir), port)
        sim._launch()
        try:
            if config:
                sim.configure(**config)
        except BaseException:
            sim.stop()
            raise
        return sim

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._running().pid

    @property
    def port(self) -> int:
        """The server's port."""
        return self._port

    def env(self, access_key: str = KEY) -> dict[str, str]:
        """Return the variables that send a child's AWS clients here; the access key tells its calls apart in the journal."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def boto3(self, service: str, *, region: str = REGION, config: Config | None = None, access_key: str = KEY) -> Any:
        """Return a boto3 client of a service that talks to this server."""
        make_client: Any = boto3.session.Session(aws_access_key_id=access_key, aws_secret_access_key=KEY).client
        return make_client(service, region_name=region, endpoint_url=self.url, config=config)

    def journal(
        self, since: int = 0, *, service: str | None = "emr", operation: str | None = None, access_key: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the calls after a number, by default EMR's only; `service` None is for all."""
        asked = {"since": since, "service": service, "operation": operation, "access_key": access_key}
        query = urllib.parse.urlencode({name: value for name, value in asked.items() if value is not None})
        return list(self._control("GET", f"journal?{query}"))

    def clear_journal(self) -> None:
        """Forget all calls and counters."""
        self._control("DELETE", "journal")

    def counters(self) -> dict[str, int]:
        """Return the number of calls by operation."""
        return dict(self._control("GET", "counters"))

    def callers(self) -> dict[str, dict[str, int]]:
        """Return the number of calls by access key and operation; other services than EMR's stand as `service:operation`."""
        return dict(self._control("GET", "callers"))

    def events(self) -> dict[str, int]:
        """Return how many events were made, sent, lost, doubled, delayed, reordered and failed, and how many are `waiting`."""
        return dict(self._control("GET", "events"))

    def now(self) -> float:
        """Return the simulation's epoch seconds."""
        return float(self._control("GET", "clock")["now"])

    def advance(self, seconds: float) -> float:
        """Jump forward through all that falls due on the way and return the new time; `clock_speed=0` makes this the only way."""
        return float(self._control("POST", "clock/advance", {"seconds": seconds})["now"])

    def script_steps(self, **script: Any) -> str:
        """Make steps that start from now on take a time and end without running a process, and return the script's id.

        :param script: `step` and `cluster` (expressions for whole names, default all), `duration_s`, `spread_s`, `seed`, `state`
            (COMPLETED or FAILED), `message`, `count` (None is for ever)
        """
        return str(self._control("POST", "step-scripts", script)["id"])

    def run_steps_for_real(self, script_id: str | None = None) -> int:
        """Remove one script of `script_steps` or all."""
        return int(self._control("DELETE", f"step-scripts/{script_id}" if script_id else "step-scripts")["removed"])

    def fail_launches(self, failure: str, *, count: int | None = 1, cluster: str = ".*") -> str:
        """Make the next clusters fail before they are ready, and return the planted failure's id.

        :param failure: a name of `platyspark_provider.emrsim.launch_failures.FAILURES`, such as "capacity" or "bootstrap"
        :param count: None is for ever
        :param cluster: an expression for whole cluster names
        """
        spec = {"failure": failure, "count": count, "cluster": cluster}
        return str(self._control("POST", "launch-failures", spec)["id"])

    def launch_failures(self) -> list[dict[str, Any]]:
        """Return the planted failures with `hits`."""
        return list(self._control("GET", "launch-failures"))

    def heal_launches(self, failure_id: str | None = None) -> int:
        """Remove one planted failure or all; clusters that met one still die."""
        return int(self._control("DELETE", f"launch-failures/{failure_id}" if failure_id else "launch-failures")["removed"])

    def configure(self, **config: Any) -> dict[str, Any]:
        """Change knobs and return all of them."""
        return dict(self._control("PUT", "config", config))

    def fault(self, operation: str, action: str, *, when: str = "before", **details: Any) -> str:
        """Plant a fault and return its id.

        :param details: `count` (default 1, None is for ever), `delay_s`, `http_status`, `code`, `match`
        """
        spec = {"operation": operation, "action": action, "when": when, **details}
        return str(self._control("POST", "faults", spec)["id"])

    def faults(self) -> list[dict[str, Any]]:
        """Return the planted faults with `hits` and `held`."""
        return list(self._control("GET", "faults"))

    def release(self, fault_id: str | None = None) -> int:
        """Remove one fault or all and let go what they hold."""
        return int(self._control("DELETE", f"faults/{fault_id}" if fault_id else "faults")["removed"])

    def applications(self) -> list[dict[str, Any]]:
        """Return YARN's applications with their process ids."""
        return list(self._control("GET", "applications"))

    def fail_cluster(self, cluster_id: str, **reason: Any) -> None:
        """End a cluster as if its master were lost.

        :param reason: `code`, `message`, `error_details`
        """
        self._control("POST", f"clusters/{cluster_id}/fail", reason)

    def fail_over(self, cluster_id: str) -> None:
        """Lose one of a cluster's three masters: its running steps are FAILED, YARN's applications and the cluster go on."""
        self._control("POST", f"clusters/{cluster_id}/fail-over")

    def stop(self, *, keep_processes: bool = False) -> None:
        """End the server, and the processes of all steps with it; ends quietly if it is already gone."""
        if self._process is None:
            return
        if self._process.poll() is None:
            if not keep_processes:
                with suppress(OSError, EmrSimError):
                    self._control("POST", "stop-processes")
            self._process.send_signal(signal.SIGTERM)
        self._reap()

    def kill(self) -> None:
        """End the server with SIGKILL; the processes of steps go on."""
        self._running().kill()
        self._reap()

    def restart(self) -> None:
        """Start again on the same port and data; a server that still runs is ended first."""
        self.stop(keep_processes=True)
        self._launch()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is None:
            raise EmrSimError("emrsim is not running")
        return self._process

    def _launch(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "platyspark_provider.emrsim", "--port", str(self._port), "--data", str(self.data_dir)]
        errors = self.data_dir / "emrsim.err"
        with errors.open("a", encoding="utf-8") as stderr:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True, env=_server_env()
            )
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line.startswith("emrsim listening on "):
            self._reap()
            raise EmrSimError(f"emrsim did not start: {errors.read_text(encoding='utf-8')[-2000:]}")
        self.url = line.split()[-1]
        self._port = int(self.url.rsplit(":", 1)[1])
        self._await_health()

    def _await_health(self) -> None:
        deadline = time.monotonic() + START_DEADLINE_S
        while True:
            try:
                self._control("GET", "health")
                return
            except (OSError, EmrSimError) as error:
                if time.monotonic() > deadline or self._running().poll() is not None:
                    raise EmrSimError(f"emrsim at {self.url} does not answer: {error}") from error
                time.sleep(0.05)

    def _reap(self) -> None:
        process = self._running()
        try:
            process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
        self._process = None

    def _control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_emrsim/{path}", data=data, method=method)  # noqa: S310 - our own http address
        request.add_header("Content-Type", "application/json")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise EmrSimError(f"{method} {path}: {error.code} {error.read().decode()}") from error


def _server_env() -> dict[str, str]:
    """Return this process's environment without what would send the server's own AWS clients elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
