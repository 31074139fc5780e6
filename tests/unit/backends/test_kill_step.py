"""The kill step's script, really run by bash, with a `yarn` command that keeps its applications in a file."""

import os
import subprocess
from pathlib import Path

import pytest

from platyspark_provider.backends.emr_stop import kill_script

# Applications are lines "<id> <tag>"; -kill removes a line unless the id is in `stubborn`; `broken` makes -list fail.
YARN = """#!/bin/bash
cd "$(dirname "$0")"
case "$*" in
  "application -list -appTags "*) [ ! -e broken ] || exit 1
     echo "Total number of applications:1"; echo "Application-Id	Application-Name"
     awk -v tag="$4" '$2 == tag {print $1 "\\tname\\tSPARK"}' applications;;
  "application -kill "*) grep -qx "$3" stubborn || sed -i "/^$3 /d" applications; echo "Killed application $3";;
  *) exit 64;;
esac
"""


@pytest.fixture
def yarn(tmp_path: Path) -> Path:
    """Return the folder of a yarn command with two applications of the tag and one of another."""
    (tmp_path / "yarn").write_text(YARN)
    (tmp_path / "yarn").chmod(0o755)
    (tmp_path / "stubborn").write_text("")
    (tmp_path / "applications").write_text("application_1_0001 plsp:a:1:1\napplication_1_0002 plsp:a:2:1\napplication_1_0003 plsp:a:1:1\n")
    return tmp_path


def run(folder: Path, tag: str = "plsp:a:1:1") -> int:
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(["bash", "-c", kill_script(tag)], env=env, capture_output=True, check=False).returncode


def test_kill_script_kills_all_of_its_tag_and_nothing_else(yarn: Path) -> None:
    assert run(yarn) == 0
    assert (yarn / "applications").read_text() == "application_1_0002 plsp:a:2:1\n"


def test_kill_script_nothing_left_to_kill_succeeds(yarn: Path) -> None:
    assert run(yarn, "plsp:a:9:1") == 0


def test_kill_script_application_that_stays_is_a_failure(yarn: Path) -> None:
    (yarn / "stubborn").write_text("application_1_0003\n")

    assert run(yarn) != 0


def test_kill_script_yarn_that_does_not_list_is_a_failure(yarn: Path) -> None:
    (yarn / "broken").touch()

    assert run(yarn) != 0
