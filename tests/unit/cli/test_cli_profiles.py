"""`airflow platyspark profiles ...` on real files."""

from pathlib import Path

import pytest

from tests.integration.airflow.cli_world import run_cli

CONTENT = """
profiles:
  shared: {conf: {spark.sql.shuffle.partitions: "8"}, env_vars: {PASSPHRASE: hidden}}
  large: {extends: shared, release_label: emr-7.9.0, conf: {spark.hadoop.secret.key: hidden}}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "profiles.yaml"
    path.write_text(CONTENT)
    monkeypatch.setenv("AIRFLOW__PLATYSPARK__PROFILES_FILE", str(path))
    return path


@pytest.mark.usefixtures("file")
def test_profiles_list_names_every_profile() -> None:
    rows = run_cli("profiles", "list", "-o", "json").json()
    assert [(row["name"], row["release_label"]) for row in rows] == [("shared", "emr-7.10.0"), ("large", "emr-7.9.0")]
    assert rows[0]["machines"] == ["1 x m5.xlarge (master)", "2 x m5.xlarge (core)"]


@pytest.mark.usefixtures("file")
def test_profiles_show_has_the_source_of_each_value_and_no_secret() -> None:
    said = run_cli("profiles", "show", "large", "-o", "json")
    sources = {row["key"]: (row["value"], row["source"]) for row in said.json()}
    assert sources["release_label"] == ("emr-7.9.0", "profile large")
    assert sources["conf.spark.sql.shuffle.partitions"] == ("8", "profile shared")
    assert sources["step_concurrency"] == (10, "built-in")
    assert sources["conf.spark.hadoop.secret.key"] == ("***", "profile large")
    assert sources["env_vars.PASSPHRASE"] == ("***", "profile shared")
    assert "hidden" not in said.out


@pytest.mark.usefixtures("file")
def test_profiles_show_unknown_exits_3_with_the_nearest() -> None:
    said = run_cli("profiles", "show", "lage")
    assert (said.code, said.out, "Did you mean 'large'" in said.err) == (3, "", True)


def test_profiles_check_good_file_exits_0(file: Path) -> None:
    said = run_cli("profiles", "check", str(file), "-o", "json")
    assert (said.code, said.json()["profiles"]) == (0, ["shared", "large"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profiles:\n  shared:\n    realease_label: x\n", "line 3"),
        ("profiles: [\n", "line 2"),
        ("profiles:\n  a: {}\n  a: {}\n", "stands twice"),
    ],
)
def test_profiles_check_bad_file_exits_2_naming_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    said = run_cli("profiles", "check", str(path))
    assert (said.code, said.out, message in said.err) == (2, "", True), said.err
    assert len(said.err.splitlines()) == 2


def test_profiles_check_missing_file_exits_2(tmp_path: Path) -> None:
    said = run_cli("profiles", "check", str(tmp_path / "none.yaml"))
    assert (said.code, "can't be read" in said.err) == (2, True)
