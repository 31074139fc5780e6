"""The class archive that halves a driver's start: its name and the options that use it."""

import os
from pathlib import Path

from platyspark_provider.emrsim.runner_archive import class_archive, java_options, path_option
from platyspark_provider.emrsim.spark_homes import SparkHome, installed_spark


def spark_of(folder: Path) -> SparkHome:
    (folder / "jars").mkdir()
    return installed_spark(folder / "jars")


def test_java_options_use_the_archive_only_when_it_exists(tmp_path: Path) -> None:
    archive = class_archive(spark_of(tmp_path))
    assert java_options(archive) == "-Xshare:auto"
    archive.path.touch()

    assert f"-XX:SharedArchiveFile={archive.path}" in java_options(archive)


def test_path_option_quotes_what_spark_would_split_or_unescape() -> None:
    assert path_option("-Dx", Path('/my "own"/a\\b')) == '"-Dx=/my \\"own\\"/a\\\\b"'


def test_class_archive_of_changed_jars_is_another_file(tmp_path: Path) -> None:
    spark = spark_of(tmp_path)
    before = class_archive(spark)
    os.utime(spark.jars_dir, (1, 1))
    after = class_archive(spark)

    assert before.path != after.path
    assert before.conf_dir == after.conf_dir


def test_class_archive_has_an_empty_conf_folder(tmp_path: Path) -> None:
    assert list(class_archive(spark_of(tmp_path)).conf_dir.iterdir()) == []
