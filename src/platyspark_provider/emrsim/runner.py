"""The step runner: starts steps as processes that outlive emrsim, finds their ends, kills what has to die.

Everything it knows is in files (`runner_records`), so a new runner on the same folder goes on where the last one was ended.
Implements `ports.StepRunner`; constructed by the server.
"""

import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from platyspark_provider.emrsim.logs import LogShipper, step_log_uri
from platyspark_provider.emrsim.ports import StepExit, StepLaunch, YarnApplication
from platyspark_provider.emrsim.runner_commands import package_root, write_commands
from platyspark_provider.emrsim.runner_conf import base_environment
from platyspark_provider.emrsim.runner_process import (
    ProcessId,
    marked_processes,
    reap_children,
    signal_process,
    signal_session,
    start_session,
    take_exit_code,
)
from platyspark_provider.emrsim.runner_records import Site, StepFolder, read_json, read_tail, write_json
from platyspark_provider.emrsim.spark_homes import SparkHomes
from platyspark_provider.emrsim.yarn_apps import (
    ENDED_STATES,
    ApplicationDetails,
    application_details,
    enforce_kill,
    find_application,
    kill_application,
    view_application,
)

logger = logging.getLogger(__name__)

_TICK_S = 0.2
_STOP_GRACE_S = 1.0
_KILL_FALLBACK_S = 1.0
_START_WINDOW_S = 30.0


class RunnerConfig(Protocol):
    """What the runner reads of emrsim's knobs, at use."""

    log_delay_s: float


class SparkRunner:
    """Run steps with the Spark that their cluster's release label asks for.

    :param data_dir: where records, working folders and logs live
    :param endpoint_url: the address under which jobs reach S3 and the other services
    :param config: read at use, so a changed knob counts at once
    :param sparks: None for the installed pyspark alone; what it needs for `s3://` is fetched by the first step when missing
    :param log_interval_s: how often the logs of a process that still runs reach S3
    """

    def __init__(
        self, *, data_dir: Path, endpoint_url: str, config: RunnerConfig, sparks: SparkHomes | None = None, log_interval_s: float = 60.0
    ) -> None:
        self._site = Site(data_dir=data_dir.resolve(), endpoint_url=endpoint_url)
        self._sparks = sparks or SparkHomes()
        for name in ("steps", "yarn", "clusters", "stopping"):
            (self._site.data_dir / name).mkdir(parents=True, exist_ok=True)
        write_commands(self._site.data_dir)
        self._lock = threading.RLock()
        steps = [self._site.step(step_id) for step_id in self._site.step_ids()]
        self._open = {step.id: step for step in steps if not step.has("acknowledged")}
        self._reported: set[str] = set()
        self._ended_apps: dict[str, YarnApplication] = {}
        self._stop = threading.Event()
        self._shipper = LogShipper(self._site, config, log_interval_s)
        self._reaper = threading.Thread(target=self._tend, name="emrsim-runner", daemon=True)
        self._reaper.start()
        self._shipper.start()

    def start(self, launch: StepLaunch) -> None:
        """Start the step's process; a step that was launched before is left alone."""
        step = self._site.step(launch.step_id)
        with self._lock:
            is_new = step.create(launch, self._site, self._sparks.of_release(launch.release_label))
            if not is_new and (step.has("begun") or step.exit() is not None or step.process() is not None):
                return
            self._open[step.id] = step
            try:
                step.record_process(self._spawn(step, launch))
            except OSError as error:
                step.log("stderr").write_text(f"The step's process could not start: {error}\n", encoding="utf-8")
                step.record_exit(code=1, signal=None)

    def poll(self) -> Sequence[StepExit]:
        """Return the steps that ended since the last call.

        The end of a step is acknowledged on disk by the next call (or `shutdown`), when the caller has dealt with it: after a crash in
        between, a new runner reports it again rather than never.
        """
        with self._lock:
            self._acknowledge()
            reap_children()
            exits = [step_exit for step in list(self._open.values()) if (step_exit := self._ended(step)) is not None]
            self._reported = {step_exit.step_id for step_exit in exits}
            return exits

    def signal_step(self, step_id: str, *, kill: bool) -> None:
        """Send SIGTERM to the step's own process, or SIGKILL to it and its descendants; a cluster-mode driver is none of them."""
        step = self._site.step(step_id)
        process = step.process()
        if process is None or step.exit() is not None:
            return
        number = signal.SIGKILL if kill else signal.SIGTERM
        write_json(step.path / "signal.json", {"signal": int(number)})
        if kill:
            signal_session(process, number)
        else:
            signal_process(process, number)

    def stop_cluster(self, cluster_id: str) -> None:
        """End every process of the cluster: SIGTERM now, SIGKILL after a second, also for processes that hid in a session of their own."""
        with self._lock:
            mark = self._site.cluster_mark(cluster_id)
            write_json(self._site.data_dir / "stopping" / f"{uuid.uuid4().hex}.json", {"mark": mark, "asked_at": time.time()})
            self._site.end_era(cluster_id)
        for pid in marked_processes(mark):
            _signal_pid(pid, signal.SIGTERM)

    def applications(self, cluster_id: str | None = None) -> Sequence[YarnApplication]:
        """Return YARN's view of one cluster or of all, oldest first."""
        with self._lock:
            found = [self._application(application_id) for application_id in self._site.application_ids()]
        return [app for app in found if app is not None and cluster_id in {None, app.cluster_id}]

    def kill_application(self, application_id: str) -> bool:
        """Kill a driver as YARN does (SIGTERM, then SIGKILL); False if YARN doesn't know it."""
        if find_application(self._site, application_id) is None:
            return False
        kill_application(self._site.app(application_id))
        return True

    def application_details(self, application_id: str) -> ApplicationDetails | None:
        """Return what YARN's REST shows beyond `YarnApplication`; None if unknown."""
        return application_details(self._site, application_id)

    def shutdown(self) -> None:
        """Stop helper threads; processes go on."""
        self._stop.set()
        self._shipper.stop()
        if self._reaper is not threading.current_thread():
            self._reaper.join()
        with self._lock:
            self._acknowledge()
        reap_children()

    def _spawn(self, step: StepFolder, launch: StepLaunch) -> int:
        step.work.mkdir(parents=True, exist_ok=True)
        mark = self._site.cluster_mark(launch.cluster_id)
        env = {**base_environment(self._site, step.spark(), mark), "PYTHONPATH": package_root()}
        command = [sys.executable, "-m", "platyspark_provider.emrsim.step_main", str(step.path)]
        with step.log("stdout").open("ab") as out, step.log("stderr").open("ab") as err:
            return start_session(command, cwd=step.work, env=env, stdout=out, stderr=err)

    def _acknowledge(self) -> None:
        for step_id in self._reported:
            self._open.pop(step_id).mark("acknowledged")
        self._reported = set()

    def _ended(self, step: StepFolder) -> StepExit | None:
        process = step.process()  # looked at before the record: a process that ends in between has written it
        is_alive = process is not None and process.is_alive
        ended = step.exit()
        if ended is None and is_alive:
            return None
        launch = step.launch()
        if launch is None:
            return None
        if ended is None:
            if process is None and time.time() < step.launched_at() + _START_WINDOW_S:
                return None
            ended = _record_unrecorded_end(step, process)
        return step_exit(step, launch, code=int(ended["code"]), number=ended["signal"])

    def _application(self, application_id: str) -> YarnApplication | None:
        known = self._ended_apps.get(application_id)
        if known is not None:
            return known
        application = view_application(self._site.app(application_id))
        if application is not None and application.state in ENDED_STATES:
            self._ended_apps[application_id] = application
        return application

    def _tend(self) -> None:
        while not self._stop.wait(_TICK_S):
            try:
                reap_children()
                self._enforce_kills()
                self._enforce_stops()
            except Exception:  # the thread has to outlive any one bad record
                logger.exception("emrsim runner: tending processes failed; trying again")

    def _enforce_kills(self) -> None:
        for application in self.applications():
            app = self._site.app(application.id)
            asked_at = app.kill_requested_at if application.state not in ENDED_STATES else None
            if asked_at is not None and time.time() > asked_at + _KILL_FALLBACK_S:
                enforce_kill(app)

    def _enforce_stops(self) -> None:
        for path in (self._site.data_dir / "stopping").glob("*.json"):
            stop = read_json(path)
            if stop is None or time.time() < float(stop["asked_at"]) + _STOP_GRACE_S:
                continue
            left = marked_processes(str(stop["mark"]))
            for pid in left:
                _signal_pid(pid, signal.SIGKILL)
            if not left:
                path.unlink(missing_ok=True)


def step_exit(step: StepFolder, launch: StepLaunch, *, code: int, number: int | None) -> StepExit:
    """Return a step's end with the words EMR's FailureDetails would have."""
    failed = code != 0
    uri = step_log_uri(launch)
    return StepExit(
        step_id=step.id,
        exit_code=code,
        signal=number,
        message=_failure_message(step, code) if failed else None,
        log_file=f"{uri}/stderr.gz" if failed and uri else None,
    )


def _record_unrecorded_end(step: StepFolder, process: ProcessId | None) -> dict[str, Any]:
    """Record the end of a step whose process is gone without a word: it was killed, unless we know better."""
    code = None if process is None else take_exit_code(process.pid)
    if code is not None and code >= 0:
        step.record_exit(code=code or 1, signal=None)
    else:
        asked = (read_json(step.path / "signal.json") or {"signal": signal.SIGKILL})["signal"]
        number = int(asked) if code is None else -code
        step.record_exit(code=128 + number, signal=number)
    return step.exit() or {}


def _failure_message(step: StepFolder, code: int) -> str:
    lines = read_tail(step.log("stderr")).splitlines()
    named = [line.strip() for line in lines if line.startswith('Exception in thread "main"')]
    return named[-1] if named else f"The step's process ended with exit code {code}."


def _signal_pid(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
