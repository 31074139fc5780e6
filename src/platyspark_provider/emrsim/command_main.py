"""A command that a step's script called: `spark-submit`, `yarn`, `aws`, `hadoop`. A child of the step's process, ended with it.

Which cluster and step it works for, its environment says. `runner_commands` puts these commands on the PATH of steps.
"""

import os
import sys
import traceback
from collections.abc import Sequence

from platyspark_provider.emrsim.runner_process import MARKER
from platyspark_provider.emrsim.runner_records import Site, parse_mark

_NO_STEP = (
    f"Error: spark-submit: this process belongs to no step ({MARKER} or EMR_STEP_ID is missing or unknown). "
    "Call it from a step's command or script, with the environment that the step has.\n"
)


def run_command(name: str, args: Sequence[str]) -> int:
    """Run one command to its end; return its exit code. Each imports only what it needs, as scripts start many."""
    match name:
        case "spark-submit":
            return _spark_submit(args)
        case "yarn":
            return _yarn(args)
        case "aws":
            from platyspark_provider.emrsim.aws_cli import run_aws

            return run_aws(args, os.environ.get("AWS_ENDPOINT_URL"))
        case _:
            from platyspark_provider.emrsim.aws_cli import run_hadoop

            return run_hadoop(args, os.environ.get("AWS_ENDPOINT_URL"))


def _spark_submit(args: Sequence[str]) -> int:
    from platyspark_provider.emrsim.runner_conf import Caller
    from platyspark_provider.emrsim.runner_driver import Terminator
    from platyspark_provider.emrsim.runner_submit import run_spark_submit

    terminator = Terminator()
    mark, step_id = os.environ.get(MARKER), os.environ.get("EMR_STEP_ID")
    step = _site(mark).step(step_id) if mark and step_id else None
    if mark is None or step is None or step.launch() is None:
        sys.stderr.write(_NO_STEP)
        return 1
    caller = Caller(cluster_id=parse_mark(mark)[1], mark=mark, spark=step.spark(), environment=os.environ)
    return run_spark_submit(args, step, caller, terminator).code


def _site(mark: str) -> Site:
    data_dir, _ = parse_mark(mark)
    return Site(data_dir=data_dir, endpoint_url="")


def _yarn(args: Sequence[str]) -> int:
    from platyspark_provider.emrsim.yarn_cli import run_yarn

    mark = os.environ.get(MARKER)
    if mark is None:
        sys.stderr.write("yarn: this process belongs to no cluster\n")
        return 255
    return run_yarn(args, _site(mark), parse_mark(mark)[1])


def main(argv: Sequence[str]) -> int:
    """Run the command that the first argument names."""
    try:
        return run_command(argv[0], argv[1:])
    except Exception:  # noqa: BLE001 - the caller is a shell script: it reads stderr and the exit code
        traceback.print_exc()
        return 1
