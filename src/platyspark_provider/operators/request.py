"""From an operator's (rendered) arguments to an `AppRequest`; every refusal names field, value and what to write instead."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from platyspark_provider.core.quantities import seconds_from_text
from platyspark_provider.core.spec import AppRequest, Artifact, ClusterRequest
from platyspark_provider.core.states import OnLimit, Reuse
from platyspark_provider.errors import InvalidRequest
from platyspark_provider.operators.clusters import SparkCluster
from platyspark_provider.operators.files import FileFinder

E = TypeVar("E", OnLimit, Reuse)

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN_RESULTS = frozenset({"app_id", "generation", "cluster_id", "external_id", "duration_s", "log_uri", "spark_ui"})
_COORDINATE = re.compile(r"[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+:[A-Za-z0-9_.+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The operator's arguments after templating: anything may be in them."""

    application: Any = None
    sql: Any = None
    main_class: Any = None
    args: Any = ()
    conf: Any = None
    env_vars: Any = None
    py_files: Any = ()
    files: Any = ()
    jars: Any = ()
    archives: Any = ()
    packages: Any = ()
    name: Any = None
    cluster: Any = "shared"
    max_runtime: Any = None
    on_limit: Any = "cancel"
    team: Any = None
    tags: Any = field(default_factory=dict)
    app_key: Any = None
    reuse: Any = "running"


def request_from_arguments(arguments: Arguments, find: FileFinder) -> AppRequest:
    """Check every argument and hash the local files; raises InvalidRequest and ArtifactMissing.

    :param find: turns a path or an address into an `Artifact`.
    """
    a = arguments
    sql = _text_or_none("sql", a.sql)
    application, main_class = (None, None) if sql is not None else _application(a, find)
    _check_alone(a)
    return AppRequest(
        application=application,
        sql=sql,
        main_class=main_class,
        args=tuple(_argument(f"args[{i}]", value) for i, value in enumerate(_sequence("args", a.args))),
        conf=_conf(a.conf),
        env_vars=_env_vars(a.env_vars),
        py_files=_artifacts("py_files", a.py_files, find),
        files=_artifacts("files", a.files, find),
        jars=_artifacts("jars", a.jars, find),
        archives=_artifacts("archives", a.archives, find),
        packages=tuple(_coordinate(i, value) for i, value in enumerate(_sequence("packages", a.packages))),
        name=_text_or_none("name", a.name),
        cluster=cluster_from_value(a.cluster),
        max_runtime_s=_max_runtime(a.max_runtime),
        on_limit=None if a.on_limit is None else _choice("on_limit", a.on_limit, OnLimit),
        team=_text_or_none("team", a.team),
        tags=_mapping("tags", a.tags, _text),
        app_key=_text_or_none("app_key", a.app_key),
        reuse=_choice("reuse", a.reuse, Reuse),
    )


def refused(name: str, value: Any, problem: str, advice: str) -> InvalidRequest:
    """Return the error for one argument."""
    return InvalidRequest(f"{name} is {value!r}: {problem}.", hint=advice, field=name)


def metrics_from_value(value: Any, *, wait: bool) -> tuple[str, ...]:
    """Check the names to pick from what a job reports."""
    names = tuple(_text(f"metrics[{i}]", name) for i, name in enumerate(_sequence("metrics", value)))
    for name in names:
        if name in _OWN_RESULTS:
            raise refused("metrics", name, "always returned, by the platform", "Remove it, or report yours by another name.")
    if names and not wait:
        raise refused("metrics", list(names), "nobody waits for the job with wait=False", "Remove metrics or wait=False.")
    return names


def _application(a: Arguments, find: FileFinder) -> tuple[Artifact, str | None]:
    """Return the file and the class to start in it."""
    if a.application is None:
        raise refused("application", None, "nothing to run", 'Write application="jobs/job.py" (or a .jar), or sql="...".')
    path, main_class = _text("application", a.application), _text_or_none("main_class", a.main_class)
    artifact = find("application", path)
    is_python, is_jar = artifact.name.endswith(".py"), artifact.name.endswith(".jar")
    if not (is_python or is_jar):
        raise refused("application", path, "neither a .py nor a .jar file", "Name a PySpark file or a jar; sql= takes SQL.")
    if is_python and main_class is not None:
        raise refused("main_class", main_class, f"{artifact.name} is a Python file", "Leave main_class out.")
    if is_jar and main_class is None:
        main_class = find.main_class_of(artifact)
        if main_class is None:
            why = "its manifest names none" if artifact.sha256 else "the manifest of an address is not read"
            raise refused("main_class", None, f"{artifact.name} has no class to start ({why})", 'Write main_class="com.example.Main".')
    return artifact, main_class


def _check_alone(a: Arguments) -> None:
    """Refuse what makes no sense beside `sql`: its values come from templates, and our driver runs it."""
    if a.sql is None:
        return
    if a.application is not None:
        raise refused("application", a.application, "sql is given as well", "Write one of the two.")
    if a.main_class is not None:
        raise refused("main_class", a.main_class, "sql has no class", "Leave main_class out.")
    if _sequence("args", a.args):
        raise refused("args", a.args, "sql takes none", "Put values into the statement: sql=\"... '{{ ds }}'\".")


def _artifacts(name: str, value: Any, find: FileFinder) -> tuple[Artifact, ...]:
    return tuple(find(f"{name}[{i}]", _text(f"{name}[{i}]", path)) for i, path in enumerate(_sequence(name, value)))


def _sequence(name: str, value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        raise refused(name, value, "one string instead of a list", f"Write {name}={[value]!r}.")
    if isinstance(value, Mapping) or not hasattr(value, "__iter__"):
        raise refused(name, value, f"a {type(value).__name__} instead of a list", f"Write {name}=[...].")
    return tuple(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise refused(name, value, f"a {type(value).__name__} instead of text", "Write a string.")
    if not value.strip():
        raise refused(name, value, "empty", "Write a value, or leave it out.")
    return value


def _text_or_none(name: str, value: Any) -> str | None:
    return None if value is None else _text(name, value)


def _argument(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise refused(name, value, f"a {type(value).__name__} can't be a command line argument", "Write the text your application expects.")
    return str(value)


def _setting(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise refused(
            name, value, f"a {type(value).__name__} can't be a setting", "Write a string, a number or a bool; leave it out to unset."
        )
    return str(value)


def _mapping(name: str, value: Any, item: Callable[[str, Any], str]) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise refused(name, value, f"a {type(value).__name__} instead of a dict", f'Write {name}={{"key": "value"}}.')
    for key in value:
        if not isinstance(key, str) or not key.strip():
            raise refused(f"{name} key", key, "no text", "Write a string.")
    return {key: item(f"{name}[{key!r}]", content) for key, content in value.items()}


def _conf(value: Any) -> dict[str, str]:
    conf = _mapping("conf", value, _setting)
    for key in conf:
        if not key.startswith("spark."):
            raise refused(
                "conf key", key, "Spark ignores what does not begin with 'spark.'", f"Write 'spark.hadoop.{key}' for Hadoop's settings."
            )
    return conf


def _env_vars(value: Any) -> dict[str, str]:
    names = _mapping("env_vars", value, _setting)
    for name in names:
        if not _ENV_NAME.fullmatch(name):
            raise refused("env_vars key", name, "not a name of an environment variable", "Use letters, digits and underscores.")
    return names


def _coordinate(index: int, value: Any) -> str:
    text = _text(f"packages[{index}]", value)
    if not _COORDINATE.fullmatch(text):
        raise refused(
            f"packages[{index}]", text, "not a Maven coordinate", "Write group:artifact:version, as spark-submit --packages takes it."
        )
    return text


def cluster_from_value(value: Any) -> str | ClusterRequest:
    """Check `cluster=`: the name of a profile, or a `SparkCluster`."""
    if isinstance(value, SparkCluster):
        return value.request()
    if not isinstance(value, str):
        problem = f"a {type(value).__name__} instead of a profile's name or a SparkCluster"
        raise refused("cluster", value, problem, 'Write cluster="shared", or cluster=SparkCluster("etl", workers=4).')
    return _text("cluster", value)


def _max_runtime(value: Any) -> int | None:
    if value is None:
        return None
    advice = 'Write timedelta(hours=2), "2h" or "PT2H".'
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, str):
        try:
            seconds = seconds_from_text(value)
        except InvalidRequest:
            raise refused("max_runtime", value, "no duration", advice) from None
    else:
        raise refused("max_runtime", value, f"a {type(value).__name__} is no duration", advice)
    if seconds < 1:
        raise refused("max_runtime", value, "shorter than a second", advice)
    return int(seconds)


def _choice(name: str, value: Any, words: type[E]) -> E:
    try:
        return words(value)
    except ValueError:
        raise refused(name, value, "unknown", f"Write one of {', '.join(repr(w.value) for w in words)}.") from None
