"""The process that stands for a YARN container: runs the driver, again if YARN would, and records the end. Outlives emrsim and the step.

`python -m platyspark_provider.emrsim.container_main <application folder>`; started by `step_main` in a session of its own.
What Spark's ApplicationMaster and YARN say about an end is added to the driver's stderr and to the diagnostics, in their words.
"""

import fcntl
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from platyspark_provider.emrsim.runner_driver import ChildEnd, Terminator, read_spec, run_driver, sweep_session
from platyspark_provider.emrsim.runner_records import AppFolder, read_tail

_EXCEPTION = 'Exception in thread "main" '
_USER_CLASS_EXIT = 15  # ApplicationMaster.EXIT_EXCEPTION_USER_CLASS


def run_container(app: AppFolder, terminator: Terminator) -> None:
    """Run the driver's attempts and record how the application ended."""
    spec = read_spec(app)
    attempts, is_python = int(spec["max_attempts"]), bool(spec["is_python"])
    for attempt in range(1, attempts + 1):
        app.record_attempt(attempt)
        env = {**spec["env"], "CONTAINER_ID": app.container_id(attempt), "LOCAL_DIRS": spec["scratch"]}
        logs = app.logs(attempt)
        end = run_driver({**spec, "env": env}, app, terminator, logs=logs, escalate=True)
        sweep_session()
        is_stopped = app.kill_requested_at is not None or terminator.is_set
        reason = None if end.signal else _reason(end, logs / "stderr", is_python=is_python)
        is_last = end.code == 0 or is_stopped or attempt == attempts
        if reason is not None and not is_stopped:
            _write_master_log(logs / "stderr", end, reason, is_last=is_last)
        if is_last:
            record_end(app, end, reason=reason, attempt=attempt, is_stopped=is_stopped)
            return


def record_end(app: AppFolder, end: ChildEnd, *, reason: str | None, attempt: int, is_stopped: bool) -> None:
    """Record an application's end as YARN shows it.

    :param reason: what the application master said when it unregistered; None when it was killed before it could
    """
    if is_stopped:
        diagnostics = f"Application {app.id} was killed by user hadoop at 127.0.0.1"
        app.record_exit(state="KILLED", final_status="KILLED", diagnostics=diagnostics, code=end.code)
    elif reason is not None:
        # an application master on its last attempt unregisters itself, so a failed one is FINISHED with a failed final status
        app.record_exit(state="FINISHED", final_status="FAILED" if end.code else "SUCCEEDED", diagnostics=reason, code=end.code)
    else:
        diagnostics = (
            f"Application {app.id} failed {attempt} times due to AM Container for {app.attempt_id(attempt)} "
            f"exited with  exitCode: {end.code}\n"
            f"Failing this attempt.Diagnostics: Container killed on request. Exit code is {end.code}\n. Failing the application."
        )
        app.record_exit(state="FAILED", final_status="FAILED", diagnostics=diagnostics, code=end.code)


def _reason(end: ChildEnd, stderr: Path, *, is_python: bool) -> str:
    """Return the application master's word on how the user's code ended; "" for success."""
    if end.code == 0:
        return ""
    if is_python:
        return f"User application exited with status {end.code}"
    thrown = [line.removeprefix(_EXCEPTION) for line in read_tail(stderr).splitlines() if line.startswith(_EXCEPTION)]
    return f"User class threw exception: {thrown[-1]}" if thrown else f"User application exited with status {end.code}"


def _write_master_log(stderr: Path, end: ChildEnd, reason: str, *, is_last: bool) -> None:
    status = "FAILED" if end.code else "SUCCEEDED"
    code = _USER_CLASS_EXIT if reason.startswith("User class") else end.code
    lines = [f"INFO ApplicationMaster: Final app status: {status}, exitCode: {code}" + (f", (reason: {reason})" if reason else "")]
    if reason:
        lines.insert(0, f"ERROR ApplicationMaster: {reason}")
    if is_last:
        message = f" (diag message: {reason})" if reason else ""
        lines.append(f"INFO ApplicationMaster: Unregistering ApplicationMaster with {status}{message}")
    now = f"{datetime.now(UTC):%y/%m/%d %H:%M:%S}"
    with stderr.open("a", encoding="utf-8") as file:
        file.writelines(f"{now} {line}\n" for line in lines)


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
