"""What the systems between a request and its driver take as a command line; EMR's own limit is none of it (a script gets round that)."""

import re

from platyspark_provider.core.spec import ResolvedSpec
from platyspark_provider.core.states import DeployMode
from platyspark_provider.errors import InvalidRequest

# Linux refuses an argument of 128 KiB (MAX_ARG_STRLEN, its end included), and arguments with environment beyond a quarter of
# the stack's 8 MiB (execve(2)): half a MiB is left to Spark's own. In cluster mode YARN passes the whole driver command as one
# argument of `bash -c "..."` (see YarnSparkHadoopUtil.escapeForShell), so that all arguments share the first limit.
MAX_ARGUMENT_BYTES = 128 * 1024 - 1
MAX_COMMAND_BYTES = 1536 * 1024
MAX_YARN_COMMAND_BYTES = 120 * 1024

# escapeForShell (run with Spark 4.1.4) escapes $ and " for that `bash -c`, but neither backslashes nor backticks, and YARN's
# ContainerLaunch expands {{ and }}; spark-class drops carriage returns in either mode.
_CHANGED_IN_CLUSTER_MODE = (
    (re.compile(r'\\[\\$"`\n]'), r'a \ before \, $, ", ` or a line end'),
    (re.compile("`"), "a backtick"),
    (re.compile(r"\{\{|\}\}"), "{{ or }}"),
)
_CHANGED_ALWAYS = ((re.compile("\r"), "a carriage return"),)


def check_lengths(spec: ResolvedSpec) -> None:
    """Raise `InvalidRequest` where a command line is longer than what starts the driver takes."""
    arguments = {f"args[{index}]": argument for index, argument in enumerate(spec.args)}
    settings = {f"conf {key}": f"{key}={value}" for key, value in spec.conf.items()}
    variables = {f"env_vars {name}": f"spark.executorEnv.{name}={value}" for name, value in spec.env_vars.items()}
    sizes = {field: _bytes(text) for field, text in {**arguments, **settings, **variables}.items()}
    for field, size in sizes.items():
        if size > MAX_ARGUMENT_BYTES:
            raise _too_long(field, size, MAX_ARGUMENT_BYTES, "Linux takes that much in one argument")
    if sum(sizes.values()) > MAX_COMMAND_BYTES:
        raise _too_long("args, conf and env_vars together", sum(sizes.values()), MAX_COMMAND_BYTES, "Linux takes about 2 MB in all")
    size = sum(_bytes(_escaped(argument)) for argument in spec.args)
    if spec.deploy_mode is DeployMode.CLUSTER and size > MAX_YARN_COMMAND_BYTES:
        raise _too_long(
            "args together (quoted)", size, MAX_YARN_COMMAND_BYTES, "in cluster mode YARN starts the driver by one command of that size"
        )


def changed_on_the_way(spec: ResolvedSpec) -> tuple[str, ...]:
    """Return warnings about arguments that don't reach the driver as they are, whoever sends them."""
    patterns = _CHANGED_ALWAYS + (_CHANGED_IN_CLUSTER_MODE if spec.deploy_mode is DeployMode.CLUSTER else ())
    warnings = []
    for index, argument in enumerate(spec.args):
        found = [words for pattern, words in patterns if pattern.search(argument)]
        if found:
            advice = "Pass such text in a file (files=) or encoded."
            warnings.append(f"args[{index}] holds {' and '.join(found)}: Spark and YARN change that on the way to the driver. {advice}")
    return tuple(warnings)


def _bytes(text: str) -> int:
    return len(text.encode(errors="replace"))


def _escaped(argument: str) -> str:
    """Return an argument as `escapeForShell` writes it, with the option before it."""
    return "--arg '" + re.sub(r'[$"]', r"\\\g<0>", argument).replace("'", "'\\''") + "' "


def _too_long(field: str, size: int, limit: int, why: str) -> InvalidRequest:
    hint = "Put long values into a file and pass its name (files=)."
    return InvalidRequest(f"{field}: {size:,} bytes are too long; {why}, so at most {limit:,} go.", hint=hint, field=field)
