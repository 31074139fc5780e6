"""Requests that are malformed or could do harm by their names."""

from typing import Any

import pytest

from platyspark_provider.core.request_checks import check_request
from platyspark_provider.core.spec import Artifact
from platyspark_provider.errors import InvalidRequest
from tests.builders import make_request

SHA = "0f" * 32
UGLY: list[tuple[dict[str, Any], str]] = [
    ({"name": "a|b"}, "name 'a|b'"),
    ({"name": ""}, "name ''"),
    ({"name": "x" * 201}, "name"),
    ({"app_key": "  "}, "app_key"),
    ({"app_key": "k" * 251}, "app_key"),
    ({"app_key": "a\nb"}, "app_key"),
    ({"max_runtime_s": 0}, "max_runtime 0"),
    ({"application": Artifact(name="x")}, "artifact 'x'"),
    ({"application": Artifact(name="x", uri="s3://b/x", sha256=SHA)}, "artifact 'x'"),
    ({"application": Artifact(name="x", sha256="0F")}, "sha256 '0F'"),
    ({"application": Artifact(name="x", uri="file:///etc/passwd")}, "address 'file:///etc/passwd'"),
    ({"application": Artifact(name="x", uri="s3:/b/x")}, "address"),
    ({"application": Artifact(name="x", uri="s3://b/a,s3://b/c")}, "address"),
    ({"jars": (Artifact(name="x", uri="s3://b/a b"),)}, "address"),
    ({"application": Artifact(name="../../etc/x", sha256=SHA)}, "file name"),
    ({"application": Artifact(name="a..b", sha256=SHA)}, "file name"),
    ({"application": Artifact(name="", sha256=SHA)}, "file name"),
    ({"files": (Artifact(name="a.txt", sha256=SHA), Artifact(name="b.txt", sha256=SHA))}, "also given as 'a.txt'"),
    ({"files": (Artifact(name="a", uri="s3://b/1/a"), Artifact(name="a", uri="s3://b/2/a#x"))}, "file name 'a'"),
    ({"files": (Artifact(name="a", sha256=SHA, alias="x"), Artifact(name="a", sha256=SHA, alias="y"))}, "file name 'a'"),
    ({"jars": (Artifact(name="a.jar", uri="s3://b/a.jar"),), "files": (Artifact(name="a.jar", sha256=SHA),)}, "file name 'a.jar'"),
    ({"archives": (Artifact(name="a.zip", sha256=SHA, alias="../a"),)}, "alias 'a.zip#../a'"),
    ({"archives": (Artifact(name="a.zip", uri="s3://b/a.zip#x/y"),)}, "alias 'a.zip#x/y'"),
    ({"files": (Artifact(name="a", sha256=SHA, alias=".."),)}, "alias"),
    ({"application": None}, "application None"),
    ({"sql": "select 1"}, "application 'job.py'"),
    ({"application": None, "sql": " \n"}, "sql"),
    ({"application": None, "sql": "select '\x00'"}, "sql"),
    ({"application": None, "sql": "x" * 1_000_001}, "sql '1,000,001 characters'"),
    ({"application": None, "sql": "select 1", "main_class": "a.B"}, "main_class 'a.B'"),
    ({"application": None, "sql": "select 1", "args": ("x",)}, "args ('x',)"),
    ({"main_class": "a.B"}, "main_class 'a.B'"),
    ({"application": Artifact(name="a.jar", uri="s3://b/a.jar")}, "main_class None"),
    ({"conf": {"": "x"}}, "conf key"),
    ({"conf": {"spark.a b": "x"}}, "conf key"),
    ({"conf": {"spark.a=b": "x"}}, "conf key"),
    ({"conf": {"spark.a\n": "x"}}, "conf key"),
    ({"conf": {"spark.a": "x\x00"}}, "conf spark.a"),
    ({"env_vars": {"1A": "x"}}, "env_vars name"),
    ({"env_vars": {"A": "x\x00"}}, "env_vars A"),
    ({"packages": ("spark-avro",)}, "packages 'spark-avro'"),
    ({"packages": ("a:b:1,c:d:2",)}, "packages"),
    ({"args": ("a\x00",)}, "args"),
    ({"tags": {"k" * 129: "v"}}, "tags"),
    ({"tags": {"": "v"}}, "tags"),
    ({"tags": {"aws:x": "v"}}, "tags 'aws:x=v'"),
    ({"tags": {"k": "v" * 257}}, "tags"),
    ({"tags": {"k": "<script>"}}, "tags"),
    ({"tags": {str(n): "v" for n in range(41)}}, "tags 41"),
]


@pytest.mark.parametrize(("values", "message"), UGLY)
def test_check_request_of_bad_value_names_it(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_request(make_request(**values))
    assert message in str(refused.value)
    assert refused.value.hint


def test_check_request_takes_sql_a_jar_with_its_class_and_aliases() -> None:
    check_request(make_request(application=None, sql="select 1; select 2"))
    jar = Artifact(name="a.jar", sha256=SHA)
    archives = (Artifact(name="env.tar.gz", sha256="1" * 64, alias="env"), Artifact(name="x.zip", uri="s3://b/x.zip#x"))
    check_request(make_request(application=jar, main_class="a.B", jars=(jar,), archives=archives))


def test_check_request_never_shows_the_value_of_a_secret_in_conf() -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_request(make_request(conf={"spark.secret": "hunter2\x00"}))
    assert "hunter2" not in str(refused.value)


def test_check_request_of_everything_at_once_is_fine() -> None:
    check_request(
        make_request(
            name="daily (ads), €",
            app_key="daily/2026-11-25 ä",
            application=Artifact(name="daily agg-1.py", sha256=SHA),
            jars=(Artifact(name="x.jar", uri="s3a://b/x.jar"), Artifact(name="y.jar", uri="local:///opt/y.jar")),
            files=(Artifact(name="daily agg-1.py", sha256=SHA),),
            conf={"spark.x": "a=b c\n"},
            env_vars={"_A1": "x"},
            packages=("org.apache.spark:spark-avro_2.12:3.5.0",),
            tags={"team": "ads", "Übung": "ja: a/b=c+d-e@f"},
            max_runtime_s=1,
            args=("--date", "2026-11-25", "ü\n"),
        )
    )
