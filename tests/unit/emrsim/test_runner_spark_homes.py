"""Which Spark runs which release."""

from pathlib import Path

import pytest

from platyspark_provider.emrsim.jars import JarsError, default_dest, spark_home, spark_line
from platyspark_provider.emrsim.spark_homes import (
    SparkHome,
    SparkHomeError,
    SparkHomes,
    installed_spark,
    parse_homes,
    settings_of_environment,
    spark_at,
)


def home_of(folder: Path, version: str) -> Path:
    jar = folder / "jars" / f"spark-core_2.12-{version}.jar"
    jar.parent.mkdir(parents=True)
    jar.touch()
    return folder


def test_spark_at_reads_the_line_from_the_core_jar_and_keeps_its_own_s3_jars(tmp_path: Path) -> None:
    spark = spark_at(home_of(tmp_path / "spark home", "3.5.9"))

    assert (spark.line, spark.home) == ("3.5", tmp_path / "spark home")
    assert spark.jars_dir == default_dest("3.5")
    assert spark.submit == f"{tmp_path}/spark home/bin/spark-submit"


def test_spark_at_of_a_vendors_version_knows_its_line(tmp_path: Path) -> None:
    assert spark_at(home_of(tmp_path / "s", "3.5.5-amzn-0")).line == "3.5"


def test_installed_spark_is_pyspark() -> None:
    assert (installed_spark().home, installed_spark().line) == (spark_home(), spark_line())


def test_spark_at_without_a_list_of_s3_jars_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JarsError, match=r"No list of s3a jars for Spark 2\.4"):
        spark_at(home_of(tmp_path / "s", "2.4.8"))


@pytest.mark.parametrize("name", ["spark-core_2.12.jar", "spark-core_2.12-next.jar"])
def test_spark_at_of_a_jar_without_a_version_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / name).touch()

    with pytest.raises(SparkHomeError, match="the name tells no Spark version"):
        spark_at(tmp_path)


def test_homes_choose_by_the_longest_prefix_of_the_label(tmp_path: Path) -> None:
    default, seven, seven_nine = (SparkHome(home=tmp_path / name, jars_dir=tmp_path) for name in ("default", "7", "7.9"))
    homes = SparkHomes(default=default, by_prefix={"emr-7.": seven, "emr-7.9": seven_nine})

    labels = ("emr-7.1.0", "emr-7.9.0", "emr-spark-8.0.0", "emr-70.0.0", "", None)
    assert [homes.of_release(label) for label in labels] == [seven, seven_nine, default, default, default, default]


def test_parse_homes_takes_the_last_of_a_prefix(tmp_path: Path) -> None:
    first, second = home_of(tmp_path / "1", "3.5.1"), home_of(tmp_path / "2", "4.1.0")

    assert {prefix: spark.home for prefix, spark in parse_homes([f"emr-7={first}", f" emr-7 = {second} "]).items()} == {"emr-7": second}


@pytest.mark.parametrize("setting", ["emr-7.", "=/opt/spark", "emr-7.= "])
def test_parse_homes_of_another_form_says_the_form(setting: str) -> None:
    with pytest.raises(SparkHomeError, match="must be LABEL_PREFIX=SPARK_HOME, such as"):
        parse_homes([setting])


def test_settings_of_environment_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMRSIM_SPARK", "emr-7.=/a,emr-6.=/b,")
    assert settings_of_environment() == ["emr-7.=/a", "emr-6.=/b"]
    monkeypatch.delenv("EMRSIM_SPARK")
    assert settings_of_environment() == []
