"""Bad arguments are refused by name, value and what to write instead; good ones become the request."""

from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

import pytest

from platyspark_provider.core.spec import Artifact
from platyspark_provider.core.states import OnLimit, Reuse
from platyspark_provider.errors import InvalidRequest
from platyspark_provider.operators.request import Arguments, metrics_from_value, request_from_arguments


class Finder:
    """Finds every file: jars named `local...` on this machine, all else at an address."""

    def __call__(self, name: str, path: str) -> Artifact:
        file = PurePosixPath(path).name
        return Artifact(name=file, sha256="0" * 64) if file.startswith("local") else Artifact(name=file, uri=f"s3://code/{path}")

    def main_class_of(self, jar: Artifact) -> str | None:
        return "com.acme.Manifest" if jar.name == "local-named.jar" else None


find = Finder()


def request_with(**values: Any) -> Any:
    return request_from_arguments(Arguments(**{"application": "job.py", **values}), find)


BAD: list[tuple[str, Any, str, str]] = [
    ("application", None, "application is None", 'or sql="..."'),
    ("application", "", "application is ''", "Write a value"),
    ("application", ["job.py"], "list instead of text", "Write a string"),
    ("application", "job.sql", "neither a .py nor a .jar", "PySpark file or a jar"),
    ("application", "job.jar", "no class to start (the manifest of an address is not read)", "main_class="),
    ("application", "local.jar", "no class to start (its manifest names none)", "main_class="),
    ("sql", "select 1", "application is 'job.py': sql is given as well", "one of the two"),
    ("sql", "", "sql is ''", "Write a value"),
    ("main_class", "com.acme.Main", "job.py is a Python file", "Leave main_class out"),
    ("args", "--date 2026-01-01", "one string instead of a list", "args=['--date 2026-01-01']"),
    ("args", {"--date": 1}, "dict instead of a list", "args=[...]"),
    ("args", 3, "int instead of a list", "args=[...]"),
    ("args", ["--flag", None], "args[1] is None", "text your application expects"),
    ("args", [True], "args[0] is True", "text your application expects"),
    ("conf", ["spark.x=1"], "list instead of a dict", "conf="),
    ("conf", {"spark.x": None}, "conf['spark.x'] is None", "leave it out"),
    ("conf", {"shuffle": 1}, "Spark ignores", "spark.hadoop.shuffle"),
    ("conf", {3: 1}, "conf key is 3", "Write a string"),
    ("env_vars", {"1X": "a"}, "not a name of an environment variable", "letters"),
    ("env_vars", {"X": []}, "env_vars['X'] is []", "a string"),
    ("py_files", "lib.zip", "one string instead of a list", "py_files=['lib.zip']"),
    ("files", [3], "files[0] is 3", "Write a string"),
    ("packages", ["pandas==2.3"], "not a Maven coordinate", "group:artifact:version"),
    ("name", 7, "name is 7", "Write a string"),
    ("cluster", {"name": "x"}, "dict instead of a profile's name", 'cluster="shared"'),
    ("cluster", "", "cluster is ''", "Write a value"),
    ("max_runtime", "soon", "no duration", "PT2H"),
    ("max_runtime", 7200, "int is no duration", "timedelta(hours=2)"),
    ("max_runtime", timedelta(0), "shorter than a second", "2h"),
    ("on_limit", "stop", "on_limit is 'stop'", "'cancel', 'alert'"),
    ("team", 1, "team is 1", "Write a string"),
    ("tags", {"a": 1}, "tags['a'] is 1", "Write a string"),
    ("app_key", "  ", "app_key is '  '", "leave it out"),
    ("reuse", "always", "reuse is 'always'", "'running', 'result', 'never'"),
]


@pytest.mark.parametrize(("field", "value", "problem", "advice"), BAD, ids=[f"{f}={v!r}" for f, v, _, _ in BAD])
def test_request_from_arguments_bad_value_names_field_problem_and_advice(field: str, value: Any, problem: str, advice: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        request_with(**{field: value})
    text = str(refusal.value)
    assert problem in text
    assert advice in text
    assert str(refusal.value.fields["field"]).startswith(field) or field in {"application", "sql"}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, "application is None: nothing to run"),
        ({"sql": "select 1", "args": ["x"]}, "args is ['x']: sql takes none"),
        ({"sql": "select 1", "main_class": "a.B"}, "main_class is 'a.B': sql has no class"),
        ({"sql": ["select 1"]}, "sql is ['select 1']: a list instead of text"),
    ],
)
def test_request_from_arguments_of_no_program_or_two_says_so(values: Any, problem: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        request_with(application=None, **values)
    assert problem in str(refusal.value)


def test_request_from_arguments_sql_takes_all_but_a_program() -> None:
    request = request_with(application=None, sql="select 1", conf={"spark.x": 1}, jars=["udf.jar"], args=[])
    assert (request.sql, request.application, request.main_class) == ("select 1", None, None)
    assert [a.name for a in request.artifacts()] == ["udf.jar"]


def test_request_from_arguments_local_jar_starts_what_its_manifest_names() -> None:
    assert request_with(application="local-named.jar").main_class == "com.acme.Manifest"
    assert request_with(application="local-named.jar", main_class="com.acme.Other").main_class == "com.acme.Other"


@pytest.mark.parametrize(
    ("metrics", "wait", "problem"),
    [
        ("rows", True, "one string instead of a list"),
        (["app_id"], True, "metrics is 'app_id': always returned"),
        ([3], True, "metrics[0] is 3"),
        (["rows"], False, "nobody waits"),
    ],
)
def test_metrics_from_value_bad_names_are_refused(metrics: Any, wait: bool, problem: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        metrics_from_value(metrics, wait=wait)
    assert problem in str(refusal.value)


def test_metrics_from_value_may_be_none_or_any_other_names() -> None:
    assert metrics_from_value(None, wait=False) == ()
    assert metrics_from_value(["rows", "max day"], wait=True) == ("rows", "max day")


def test_request_from_arguments_defaults_leave_the_rest_to_the_profile() -> None:
    request = request_with()
    assert request.application.uri == "s3://code/job.py"
    assert (request.cluster, request.on_limit, request.reuse) == ("shared", OnLimit.CANCEL, Reuse.RUNNING)
    assert (request.max_runtime_s, request.team, request.app_key, request.conf) == (None, None, None, {})


def test_request_from_arguments_values_become_text() -> None:
    request = request_with(
        args=["--n", 3, 0.5],
        conf={"spark.sql.adaptive.enabled": True, "spark.executor.cores": 4},
        env_vars={"MODE": "full", "LEVEL": 2},
        on_limit=None,
    )
    assert request.args == ("--n", "3", "0.5")
    assert request.conf == {"spark.sql.adaptive.enabled": "true", "spark.executor.cores": "4"}
    assert request.env_vars == {"MODE": "full", "LEVEL": "2"}
    assert request.on_limit is None


@pytest.mark.parametrize(("value", "seconds"), [("2h", 7200), ("PT2H", 7200), (timedelta(minutes=90), 5400), (None, None)])
def test_request_from_arguments_max_runtime_in_every_spelling(value: Any, seconds: int | None) -> None:
    assert request_with(max_runtime=value).max_runtime_s == seconds


def test_request_from_arguments_jar_passes_its_class_and_jars() -> None:
    request = request_with(application="app.jar", main_class="com.acme.Main", jars=["a.jar"], packages=["org.x:y_2.13:1.0"])
    assert request.main_class == "com.acme.Main"
    assert [a.name for a in request.artifacts()] == ["app.jar", "a.jar"]
    assert request.packages == ("org.x:y_2.13:1.0",)
