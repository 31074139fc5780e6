"""Steps of AddJobFlowSteps from runs, and what has to lie on S3 for them: launch scripts, the SQL driver; pure."""

import hashlib
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from platyspark_provider.backends.base import Launch
from platyspark_provider.core.spec import ResolvedSpec
from platyspark_provider.core.states import DeployMode
from platyspark_provider.errors import BackendRejected

MAX_STEP_CHARACTERS = 10_240  # of one HadoopJarStep (EMR guide, "Service limits")
COMMAND_RUNNER = "command-runner.jar"
DRIVER = "platyspark_sql.py"
STATEMENTS = "platyspark-query.sql"
SCRIPT = "launch.sh"
_PREFIX_HINT = "Set [platyspark] artifacts (or `artifacts:` in profiles.yaml) to an S3 prefix."

# Java reads its arguments in the locale's encoding (sun.jnu.encoding): outside UTF-8 all but ASCII would become "?".
_SCRIPT_HEAD = """#!/bin/bash
# The command of step {name}: longer than EMR's arguments may be. Written by platyspark_provider.
case "${{LC_ALL:-${{LC_CTYPE:-$LANG}}}}" in *[Uu][Tt][Ff]8|*[Uu][Tt][Ff]-8) ;; *) export LC_ALL=C.UTF-8 ;; esac
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """A step, and the contents that have to be at their addresses before it is sent.

    :param objects: by address; each address holds the hash of its content, so that it never has to be written twice.
    """

    request: Mapping[str, Any]
    objects: Mapping[str, bytes] = field(default_factory=dict)


def planned_step(launch: Launch) -> PlannedStep:
    """Return the step of a run; a command that is too long for EMR becomes a script.

    :raises BackendRejected: something has to be put on S3 and no prefix is known; `fields["launch"]` names the run.
    """
    objects: dict[str, bytes] = {}
    prepared = replace(launch, spec=_with_driver(launch, objects)) if launch.spec.sql is not None else launch
    command = spark_submit_args(prepared)
    step = command_step(launch.name, command)
    length = _length(step)
    if length <= MAX_STEP_CHARACTERS:
        return PlannedStep(request=step, objects=objects)
    problem = f"its step arguments are {length:,} characters long; EMR takes {MAX_STEP_CHARACTERS:,}, and there is no place for a script"
    address = _placed(launch, SCRIPT, script_from_command(launch.name, command).encode(), objects, problem=problem)
    fetch = f"aws s3 cp --only-show-errors {shlex.quote(address)} ./{SCRIPT} && exec bash ./{SCRIPT}"
    return PlannedStep(request=command_step(launch.name, ["bash", "-c", fetch]), objects=objects)


def command_step(name: str, args: Iterable[str]) -> dict[str, Any]:
    """Return a step that runs a command on the master; CONTINUE is all that a concurrency above 1 allows."""
    return {"Name": name, "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": COMMAND_RUNNER, "Args": list(args)}}


def script_from_command(name: str, command: Iterable[str]) -> str:
    """Return a bash script that becomes the command, each argument as it is whatever it holds.

    Not `--properties-file` for the conf: it replaces the cluster's spark-defaults.conf, and Spark strips the blanks of its
    values.
    """
    return _SCRIPT_HEAD.format(name=name) + "exec " + " \\\n  ".join(shlex.quote(argument) for argument in command) + "\n"


def _length(step: Mapping[str, Any]) -> int:
    """Return how long EMR may find a step: whether it counts characters or bytes is not documented."""
    return sum(len(text.encode(errors="replace")) for text in (COMMAND_RUNNER, *step["HadoopJarStep"]["Args"]))


def _with_driver(launch: Launch, objects: dict[str, bytes]) -> ResolvedSpec:
    """Return the spec of the driver that runs the statements: they lie beside it in cluster mode, and it is told their address."""
    spec, problem = launch.spec, "sql is run by a small driver, and there is no place to put the two"
    driver = _placed(launch, DRIVER, driver_source(), objects, problem=problem)
    statements = _placed(launch, STATEMENTS, (spec.sql or "").encode(errors="replace"), objects, problem=problem)
    return replace(spec, application_uri=driver, args=(STATEMENTS, statements), files=(*spec.files, statements))


@cache
def driver_source() -> bytes:
    """Return the driver's file as this package ships it."""
    return files("platyspark_provider.drivers").joinpath(DRIVER).read_bytes()


def _placed(launch: Launch, name: str, content: bytes, objects: dict[str, bytes], *, problem: str) -> str:
    """Note a content for its address below the artifacts prefix and return that."""
    if not launch.spec.artifacts:
        message = f"Application {launch.spec.name!r}: {problem}."
        raise BackendRejected(message, hint=_PREFIX_HINT, launch=launch.name)
    prefix = launch.spec.artifacts.partition("://")[2].rstrip("/")
    address = f"s3://{prefix}/{hashlib.sha256(content).hexdigest()}/{name}"
    objects[address] = content
    return address


def spark_submit_args(launch: Launch) -> list[str]:
    """Return the step's command line: `spark-submit ... application args`."""
    spec = launch.spec
    args = ["spark-submit", "--deploy-mode", spec.deploy_mode.value, "--name", spec.name]
    if spec.main_class:
        args += ["--class", spec.main_class]
    lists = {
        "--py-files": spec.py_files,
        "--files": spec.files,
        "--jars": spec.jars,
        "--archives": spec.archives,
        "--packages": spec.packages,
    }
    for option, values in lists.items():
        args += [option, ",".join(values)] if values else []
    for key, value in spark_conf(spec, launch.yarn_tag).items():
        args += ["--conf", f"{key}={value}"]
    return [*args, spec.application_uri, *spec.args]


def spark_conf(spec: ResolvedSpec, yarn_tag: str) -> dict[str, str]:
    """Return the conf that is sent: the spec's, then what identity and exactly-once need.

    One driver attempt unless the owner asked for more: YARN's own second attempt would be a run that nobody decided on.
    `env_vars` reach the driver in cluster mode only: in client mode it is the step's own process, whose environment no
    conf sets.
    """
    conf = {"spark.yarn.maxAppAttempts": "1", **spec.conf}
    own_tags = [tag for tag in conf.get("spark.yarn.tags", "").split(",") if tag]
    conf["spark.yarn.tags"] = ",".join([*own_tags, yarn_tag])
    conf["spark.yarn.submit.waitAppCompletion"] = "true"
    for name, value in spec.env_vars.items():
        if spec.deploy_mode is DeployMode.CLUSTER:
            conf[f"spark.yarn.appMasterEnv.{name}"] = value
        conf[f"spark.executorEnv.{name}"] = value
    return conf
