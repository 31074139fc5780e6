"""Run one child to its end inside a step's or container's process: pass on SIGTERM, carry out YARN's kill, leave no orphan.

Used by `step_main` and `command_main` (client mode, plain commands) and `container_main` (cluster mode). What the child was is on disk
before it runs.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from platyspark_provider.emrsim.runner_process import ProcessId, session_members, signal_group, signal_session
from platyspark_provider.emrsim.runner_records import AppFolder, read_json

_POLL_S = 0.1
KILL_GRACE_S = 0.25  # yarn.nodemanager.sleep-delay-before-sigkill.ms


class Terminator:
    """Notes SIGTERM, so that the main loop can act on it."""

    def __init__(self) -> None:
        self.is_set = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.is_set = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnd:
    """How a child ended: its exit code, and the signal if one ended it (128 + signal then)."""

    code: int
    signal: int | None = None


class Child:
    """One child in a process group of its own."""

    def __init__(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdout: IO[bytes] | None, stderr: IO[bytes] | None
    ) -> None:
        self._process = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, process_group=0)
        self.pid = self._process.pid
        self._id = ProcessId.of(self.pid)

    def signal(self, number: signal.Signals) -> None:
        """Signal the child and all it started in its group."""
        if self._id is not None:
            signal_group(self._id, number)

    def wait(self, timeout_s: float) -> ChildEnd | None:
        """Return the end, or None if the child still runs after the timeout."""
        try:
            code = self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return None
        return ChildEnd(code=128 - code, signal=-code) if code < 0 else ChildEnd(code=code)


def follow(child: Child, terminator: Terminator, *, app: AppFolder | None, escalate: bool) -> ChildEnd:
    """Wait for the child; SIGTERM is passed on once, and a kill that YARN was asked for is carried out.

    What the child leaves behind is the caller's to end.

    :param escalate: SIGTERM is followed by SIGKILL after the grace, as when a container is stopped
    """
    asked_at: float | None = None
    while (end := child.wait(_POLL_S)) is None:
        killed = app is not None and app.kill_requested_at is not None
        if asked_at is None and (terminator.is_set or killed):
            child.signal(signal.SIGTERM)
            asked_at = time.monotonic()
        elif asked_at is not None and (escalate or killed) and time.monotonic() > asked_at + KILL_GRACE_S:
            child.signal(signal.SIGKILL)
    if terminator.is_set and end.signal is None:  # a JVM turns SIGTERM into a plain exit with 143
        return ChildEnd(code=end.code or 128 + signal.SIGTERM, signal=signal.SIGTERM)
    return end


def run_driver(spec: Mapping[str, Any], app: AppFolder, terminator: Terminator, *, logs: Path | None, escalate: bool) -> ChildEnd:
    """Run the driver that `spec` describes (argv, cwd, scratch, env) and follow it to its end.

    :param logs: folder for its stdout and stderr; None inherits ours
    """
    if app.kill_requested_at is not None or terminator.is_set:
        return ChildEnd(code=128 + signal.SIGTERM, signal=signal.SIGTERM)
    cwd = Path(spec["cwd"])
    Path(spec["scratch"]).mkdir(parents=True, exist_ok=True)
    if logs is None:
        child = Child(spec["argv"], cwd=cwd, env=spec["env"], stdout=None, stderr=None)
    else:
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / "stdout").open("ab") as out, (logs / "stderr").open("ab") as err:
            child = Child(spec["argv"], cwd=cwd, env=spec["env"], stdout=out, stderr=err)
    app.record_process(child.pid, "driver")
    end = follow(child, terminator, app=app, escalate=escalate)
    child.signal(signal.SIGKILL)  # what it left behind in its group
    return end


def sweep_session(*, grace_s: float = 0.0) -> None:
    """End all that is left in this process's session, which it leads; within the grace they may end by themselves."""
    own = ProcessId.of(os.getpid())
    if own is None or own.pid != os.getsid(0):
        return
    spared = frozenset({own.pid})
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and session_members(own) - spared:
        time.sleep(_POLL_S)
    signal_session(own, signal.SIGKILL, spare=spared)


def read_spec(app: AppFolder) -> dict[str, Any]:
    """Return what to run."""
    spec = read_json(app.path / "spec.json")
    if spec is None:
        raise FileNotFoundError(app.path / "spec.json")
    return spec
