"""The process of one EMR step on the primary node: plays `command-runner.jar` and `script-runner.jar`, records the end, outlives emrsim.

`python -m platyspark_provider.emrsim.step_main <step folder>`; started by the runner in a session of its own, with the step's streams.
"""

import fcntl
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from platyspark_provider.emrsim.ports import StepLaunch
from platyspark_provider.emrsim.runner_conf import Caller, base_environment, step_environment
from platyspark_provider.emrsim.runner_driver import Child, ChildEnd, Terminator, follow, sweep_session
from platyspark_provider.emrsim.runner_fetch import Fetcher, FetchError
from platyspark_provider.emrsim.runner_process import MARKER
from platyspark_provider.emrsim.runner_records import StepFolder
from platyspark_provider.emrsim.runner_submit import run_spark_submit
from platyspark_provider.emrsim.yarn_cli import run_yarn

_JARS = "/var/lib/aws/emr/step-runner/hadoop-jars"
_OWN_JAR = 'run a jar of your own by command-runner.jar with the arguments "spark-submit", "--class", MAIN_CLASS, JAR'
_LAST_WORDS_S = 5.0


def run_step(step: StepFolder, launch: StepLaunch, terminator: Terminator) -> ChildEnd:
    """Run what the step's jar makes of its arguments to its end."""
    jar = PurePosixPath(launch.jar).name
    if jar not in {"command-runner.jar", "script-runner.jar"}:
        return _refused(f"{launch.jar}: emrsim runs command-runner.jar and script-runner.jar; {_OWN_JAR}")
    if not launch.args:
        return _refused(f"{jar} needs a {'command' if jar == 'command-runner.jar' else 'script'}")
    env = base_environment(step.site(), step.spark(), os.environ[MARKER]) | step_environment(step, launch.cluster_id)
    if jar == "script-runner.jar":
        return _run_script(launch.args, step, env, terminator)
    command, *args = launch.args
    match PurePosixPath(command).name:
        case "spark-submit":
            caller = Caller(cluster_id=launch.cluster_id, mark=os.environ[MARKER], spark=step.spark(), environment=env)
            return run_spark_submit(args, step, caller, terminator)
        case "yarn":
            return ChildEnd(code=run_yarn(args, step.site(), launch.cluster_id))
        case _:
            return _run_plain(launch.args, step, env, terminator)


def _run_script(args: Sequence[str], step: StepFolder, env: Mapping[str, str], terminator: Terminator) -> ChildEnd:
    """Fetch the script into the working folder and run it, as script-runner.jar does."""
    try:
        script = Path(Fetcher(step.site().endpoint_url, step.work).fetch(args[0], copy_local=True))
    except FetchError as error:
        return _refused(f'Exception in thread "main" {error}')
    script.chmod(0o755)
    return _run_plain([str(script.absolute()), *args[1:]], step, env, terminator)


def _refused(text: str) -> ChildEnd:
    sys.stderr.write(f"{text}\n")
    return ChildEnd(code=1)


def _run_plain(argv: Sequence[str], step: StepFolder, env: Mapping[str, str], terminator: Terminator) -> ChildEnd:
    try:
        child = Child(argv, cwd=step.work, env=env, stdout=None, stderr=None)
    except OSError as error:
        reason = f'java.io.IOException: Cannot run program "{argv[0]}" (in directory "."): error={error.errno}, {error.strerror}'
        return _refused(f'Exception in thread "main" java.lang.RuntimeException: {reason}')
    end = follow(child, terminator, app=None, escalate=False)
    # a shell dies of SIGTERM at once; the spark-submit it had called ends its driver first
    sweep_session(grace_s=_LAST_WORDS_S if terminator.is_set else 0.0)
    return end


def _guarded_run(step: StepFolder, launch: StepLaunch, terminator: Terminator) -> ChildEnd:
    try:
        return run_step(step, launch, terminator)
    except Exception:  # noqa: BLE001 - the step's own stderr is where its reader looks
        traceback.print_exc()
        return ChildEnd(code=1)


class ControllerLog:
    """EMR's controller log of one step."""

    def __init__(self, step: StepFolder) -> None:
        self._path = step.log("controller")

    def write(self, level: str, text: str) -> None:
        """Append one line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {level} {text}\n")

    def begin(self, step: StepFolder, launch: StepLaunch) -> None:
        """Note what is started and where."""
        self.write("INFO", f"Ensure step 1 jar file {launch.jar}")
        self.write("INFO", "StepRunner: Created Runner for step 1")
        self.write("INFO", f"startExec 'hadoop jar {_JARS}/{PurePosixPath(launch.jar).name} {' '.join(launch.args)}'")
        self.write("INFO", f"Working dir {step.work}")
        self.write("INFO", f"ProcessRunner started child process {os.getpid()}")

    def end(self, end: ChildEnd, seconds: float) -> None:
        """Note how it ended."""
        self.write("INFO", f"waitProcessCompletion ended with exit code {end.code}")
        if end.code == 0:
            self.write("INFO", f"Step succeeded with exitCode 0 and took {seconds:.0f} seconds")
        else:
            self.write("WARN", f"Step failed with exitCode {end.code} and took {seconds:.0f} seconds")


def main(argv: list[str]) -> int:
    """Run the step of one folder, unless that was done before or another process is at it."""
    step = StepFolder(Path(argv[1]))
    with (step.path / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        launch = step.launch()
        if launch is None or step.has("begun"):
            return 0
        step.mark("begun")
        terminator = Terminator()
        step.record_process(os.getpid())
        controller, began = ControllerLog(step), time.monotonic()
        controller.begin(step, launch)
        end = _guarded_run(step, launch, terminator)
        controller.end(end, time.monotonic() - began)
        step.record_exit(code=end.code, signal=end.signal)
        return end.code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
