"""`make demo-clean`: no process and no file of the demo is left."""

import shutil
import signal
from contextlib import suppress

import psutil

from demo.installation import HOME
from demo.lock import AlreadyRunning, Lock
from demo.stack import end_leftovers

RUNNER_GRACE_S = 60.0


def clean() -> int:
    """End a running demo, then whatever a killed one left behind, then remove the folder."""
    if not HOME.exists():
        print("nothing to clean")
        return 0
    try:
        return _remove()
    except AlreadyRunning as running:
        _end_runner(running.pid)
        return _remove()


def _remove() -> int:
    with Lock(HOME):
        count = end_leftovers(HOME, database=True)
        shutil.rmtree(HOME)
    print(f"removed {HOME}" + (f" and ended {count} processes" if count else ""))
    return 0


def _end_runner(pid: int) -> None:
    """Let the runner stop its stack; the lock it holds names it, so the pid is no other process's."""
    print(f"ending the running demo (process {pid})")
    with suppress(psutil.NoSuchProcess):
        runner = psutil.Process(pid)
        runner.send_signal(signal.SIGTERM)
        with suppress(psutil.TimeoutExpired):
            runner.wait(RUNNER_GRACE_S)
