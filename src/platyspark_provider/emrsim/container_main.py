"""The process that stands for a YARN container: runs the driver, again if YARN would, and records the end. Outlives emrsim and the step.

`python -m platyspark_provider.emrsim.container_main <application folder>`; started by `step_main` in a session of its own.
"""

import fcntl
import os
import signal
import sys
from pathlib import Path

from platyspark_provider.emrsim.runner_driver import ChildEnd, Terminator, read_spec, run_driver
from platyspark_provider.emrsim.runner_process import ProcessId, signal_session
from platyspark_provider.emrsim.runner_records import AppFolder


def run_container(app: AppFolder, terminator: Terminator) -> None:
    """Run the driver's attempts and record how the application ended."""
    spec = read_spec(app)
    attempts = int(spec["max_attempts"])
    end = ChildEnd(code=1)
    attempt = 0
    while attempt < attempts:
        attempt += 1
        app.record_attempt(attempt)
        env = {**spec["env"], "CONTAINER_ID": app.container_id(attempt), "LOCAL_DIRS": f"{spec['cwd']}/scratch"}
        end = run_driver({**spec, "env": env}, app, terminator, logs=app.logs(attempt), escalate=True)
        _sweep_session()
        if end.code == 0 or app.kill_requested_at is not None or terminator.is_set:
            break
    record_end(app, end, is_python=bool(spec["is_python"]), attempt=attempt, terminated=terminator.is_set)


def record_end(app: AppFolder, end: ChildEnd, *, is_python: bool, attempt: int, terminated: bool = False) -> None:
    """Record an application's end in YARN's words."""
    if app.kill_requested_at is not None or terminated:
        diagnostics = f"Application {app.id} was killed by user hadoop at 127.0.0.1"
        app.record_exit(state="KILLED", final_status="KILLED", diagnostics=diagnostics, code=end.code)
    elif end.code == 0:
        app.record_exit(state="FINISHED", final_status="SUCCEEDED", diagnostics="", code=0)
    elif end.signal is not None:
        diagnostics = (
            f"Application {app.id} failed {attempt} times due to AM Container for {app.attempt_id(attempt)} "
            f"exited with  exitCode: {end.code}\n"
            f"Failing this attempt.Diagnostics: Container killed on request. Exit code is {end.code}\n. Failing the application."
        )
        app.record_exit(state="FAILED", final_status="FAILED", diagnostics=diagnostics, code=end.code)
    else:
        # on its last attempt the application master unregisters itself, so YARN says FINISHED with a failed final status
        text = f"User application exited with status {end.code}" if is_python else f"User class threw exception: exit code {end.code}"
        app.record_exit(state="FINISHED", final_status="FAILED", diagnostics=text, code=end.code)


def _sweep_session() -> None:
    own = ProcessId.of(os.getpid())
    if own is not None and own.pid == os.getsid(0):
        signal_session(own, signal.SIGKILL, spare=frozenset({own.pid}))


def main(argv: list[str]) -> int:
    """Run the container of one application folder, unless another process already does."""
    app = AppFolder(Path(argv[1]))
    with (app.path / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        if app.exit() is None:
            terminator = Terminator()
            app.record_process(os.getpid())
            run_container(app, terminator)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
