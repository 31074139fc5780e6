"""Whether a request is well formed, harmless in names and addresses, and fit for a command line; nothing of profiles or policies here."""

import re

from platyspark_provider.core.spec import AppRequest, Artifact, ClusterRequest
from platyspark_provider.errors import InvalidRequest

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_APP_NAME = re.compile(r"[^<>$|`\x00-\x1f\x7f]{1,200}")  # EMR refuses < > $ | and backtick in names
_FILE_NAME = re.compile(r"[A-Za-z0-9_.+=@-][A-Za-z0-9 _.+=@-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_URI = re.compile(r"(s3|s3a|s3n|hdfs|local|https|http)://[^\x00-\x20\x7f,]+", re.IGNORECASE)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAG = re.compile(r"[\w\s.:/=+\-@]*")  # https://docs.aws.amazon.com/general/latest/gr/aws_tagging.html
_KEY_LIMIT = 250
_MAX_TAGS = 40  # AWS allows 50 a resource; the rest is the platform's
_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@-]{0,199}")
_MAX_SQL = 1_000_000
_CLUSTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_MAX_WORKERS = 4000


def check_request(request: AppRequest) -> None:
    """Raise `InvalidRequest` naming the field, its value and what to write instead."""
    if request.name is not None and not _APP_NAME.fullmatch(request.name):
        raise _bad("name", request.name, "Up to 200 characters without < > $ | and backticks.")
    if request.app_key is not None and (
        not request.app_key.strip() or len(request.app_key) > _KEY_LIMIT or _CONTROL.search(request.app_key)
    ):
        raise _bad("app_key", request.app_key, f"1 to {_KEY_LIMIT} characters, no control characters.")
    if request.max_runtime_s is not None and request.max_runtime_s <= 0:
        raise _bad("max_runtime", request.max_runtime_s, 'A positive duration such as "2h".')
    _check_program(request)
    for artifact in request.artifacts():
        _check_artifact(artifact)
    for artifact in (*request.files, *request.archives):
        _check_alias(artifact)
    _check_files_differ(request)
    _check_names_differ(request)
    _check_texts(request)
    _check_env_vars(request)
    _check_tags(request)


def check_cluster(request: ClusterRequest) -> None:
    """Raise `InvalidRequest` naming the field of a cluster, its value and what to write instead."""
    if not _CLUSTER_NAME.fullmatch(request.name):
        raise _bad("cluster.name", request.name, "Letters, digits, '_', '.', '-', up to 32.")
    if request.workers is not None:
        least, most = request.workers
        if not 1 <= least <= most <= _MAX_WORKERS:
            raise _bad("cluster.workers", request.workers, f"At least and at most so many machines, 1 to {_MAX_WORKERS}: 4, or (2, 12).")
    if request.spot is not None and not 0 <= request.spot <= 1:
        raise _bad("cluster.spot", request.spot, "A share of the workers, 0 to 1.")
    if request.idle_timeout_s is not None and not 60 <= request.idle_timeout_s <= 604_800:  # EMR's bounds of AutoTerminationPolicy
        raise _bad("cluster.idle_timeout", request.idle_timeout_s, "60 to 604,800 seconds.")


def _check_artifact(artifact: Artifact) -> None:
    if (artifact.uri is None) == (artifact.sha256 is None):
        raise _bad("artifact", artifact.name, "Either an address or a local file.")
    if artifact.sha256 is not None and not _SHA256.fullmatch(artifact.sha256):
        raise _bad("sha256", artifact.sha256, "64 hex digits.")
    if artifact.uri is not None and not _URI.fullmatch(artifact.uri):
        raise _bad("address", artifact.uri, "An address such as s3://bucket/key, without blanks or commas.")
    if artifact.sha256 is not None and (not _FILE_NAME.fullmatch(artifact.name) or ".." in artifact.name):
        raise _bad("file name", artifact.name, "Letters, digits, blanks and . _ + = @ -; no folders.")


def _check_program(request: AppRequest) -> None:
    """One of application and sql; a class for jars alone, which need one."""
    if (request.application is None) == (request.sql is None):
        raise _bad("application", request.application and request.application.name, "Either application or sql.")
    if request.sql is not None:
        _check_sql(request.sql, request)
        return
    name = request.application.name if request.application is not None else ""
    if request.main_class is None and name.endswith(".jar"):
        raise _bad("main_class", request.main_class, f"The class to start in {name}, such as com.example.Main.")
    if request.main_class is not None and name.endswith(".py"):
        raise _bad("main_class", request.main_class, f"None: {name} is a Python file.")


def _check_sql(sql: str, request: AppRequest) -> None:
    if not sql.strip() or "\x00" in sql:
        raise _bad("sql", sql[:80], "Statements separated by semicolons, no NUL characters.")
    if len(sql) > _MAX_SQL:
        raise _bad("sql", f"{len(sql):,} characters", f"At most {_MAX_SQL:,}; load data from tables or files.")
    if request.main_class is not None:
        raise _bad("main_class", request.main_class, "None: sql has no class.")
    if request.args:
        raise _bad("args", request.args, "None: put values into the statement.")


def _check_alias(artifact: Artifact) -> None:
    alias = artifact.alias if artifact.uri is None else artifact.uri.partition("#")[2] or None
    if alias is not None and (not _ALIAS.fullmatch(alias) or ".." in alias):
        raise _bad("alias", f"{artifact.name}#{alias}", "Letters, digits and . _ + = @ -; no folders.")


def _check_names_differ(request: AppRequest) -> None:
    """YARN's client drops the second file of a name with no more than a warning, whatever the aliases are (Spark's `Client`)."""
    seen: dict[str, Artifact] = {}
    for artifact in request.artifacts():
        name = artifact.name if artifact.uri is None else artifact.uri.partition("#")[0].rpartition("/")[2]
        if _identity(seen.setdefault(name, artifact)) != _identity(artifact):
            raise _bad("file name", name, "Two different files (or aliases) have it, and Spark would keep the first: rename one.")


def _identity(artifact: Artifact) -> tuple[str | None, str | None, str | None]:
    return artifact.uri, artifact.sha256, artifact.alias


def _check_files_differ(request: AppRequest) -> None:
    """One content has one address: under two names it would need two."""
    names: dict[str, str] = {}
    for artifact in request.artifacts():
        if artifact.sha256 is not None and names.setdefault(artifact.sha256, artifact.name) != artifact.name:
            raise _bad("file name", artifact.name, f"The same content is also given as {names[artifact.sha256]!r}; use one name.")


def _check_texts(request: AppRequest) -> None:
    for key, value in request.conf.items():
        if not key or _CONTROL.search(key) or "=" in key or re.search(r"\s", key):
            raise _bad("conf key", key, "A property name such as spark.executor.memory.")
        if "\x00" in value:
            raise _bad(f"conf {key}", "...", "No NUL characters.")
    for package in request.packages:
        if len(package.split(":")) < 3 or re.search(r"[\s,]", package):
            raise _bad("packages", package, "Maven coordinates, group:artifact:version.")
    for argument in request.args:
        if "\x00" in argument:
            raise _bad("args", argument, "No NUL characters.")


def _check_env_vars(request: AppRequest) -> None:
    for name, value in request.env_vars.items():
        if not _ENV_NAME.fullmatch(name):
            raise _bad("env_vars name", name, "Letters, digits and '_', not beginning with a digit.")
        if "\x00" in value:
            raise _bad(f"env_vars {name}", "...", "No NUL characters.")


def _check_tags(request: AppRequest) -> None:
    if len(request.tags) > _MAX_TAGS:
        raise _bad("tags", len(request.tags), f"At most {_MAX_TAGS}.")
    for key, value in request.tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or not _TAG.fullmatch(key + value) or key.lower().startswith("aws:"):
            raise _bad("tags", f"{key}={value}", "AWS tags: key up to 128, value up to 256, letters, digits, blanks and . : / = + - @ _.")


def _bad(field: str, value: object, instead: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {value!r} can't be used.", hint=instead, field=field)
