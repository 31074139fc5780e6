"""Command lines that what starts a driver does not take, or changes."""

import shlex
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platyspark_provider.core.command_line import (
    MAX_ARGUMENT_BYTES,
    MAX_COMMAND_BYTES,
    MAX_YARN_COMMAND_BYTES,
    changed_on_the_way,
    check_lengths,
)
from platyspark_provider.core.states import DeployMode
from platyspark_provider.errors import InvalidRequest
from tests.builders import make_spec

KIB = 1024


def client(**values: Any) -> Any:
    return make_spec(deploy_mode=DeployMode.CLIENT, **values)


def test_longest_argument_is_what_linux_takes() -> None:
    done = subprocess.run(["/bin/true", "x" * MAX_ARGUMENT_BYTES], check=False)
    assert done.returncode == 0
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run(["/bin/true", "x" * (MAX_ARGUMENT_BYTES + 1)], check=False)


def test_longest_command_is_taken_by_linux() -> None:
    pieces = ["x" * 100 * KIB] * (MAX_COMMAND_BYTES // (100 * KIB))
    assert subprocess.run(["/bin/true", *pieces], check=False).returncode == 0


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"args": ("a", "x" * (MAX_ARGUMENT_BYTES + 1))}, "args[1]", "131,072 bytes are too long"),
        ({"args": ("ü" * (MAX_ARGUMENT_BYTES // 2 + 1),)}, "args[0]", "131,072 bytes"),
        ({"conf": {"spark.x": "x" * 128 * KIB}}, "conf spark.x", "at most 131,071 go"),
        ({"env_vars": {"X": "x" * 128 * KIB}}, "env_vars X", "in one argument"),
        ({"args": ("x" * 100 * KIB,) * 16}, "args, conf and env_vars together", "about 2 MB in all"),
    ],
)
def test_check_lengths_too_long_names_field_and_limit(values: Any, field: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=r"files=") as refused:
        check_lengths(client(**values))
    assert refused.value.fields["field"] == field
    assert words in str(refused.value)


def test_check_lengths_of_a_cluster_mode_command_counts_its_quotes() -> None:
    fits = ("$" * 30 * KIB, "x" * 50 * KIB)
    check_lengths(make_spec(args=fits))
    over = (*fits, "$" * 10 * KIB)
    with pytest.raises(InvalidRequest, match=rf"in cluster mode YARN.*at most {MAX_YARN_COMMAND_BYTES:,} go"):
        check_lengths(make_spec(args=over))
    check_lengths(client(args=over))


def test_check_lengths_long_conf_counts_in_no_yarn_command() -> None:
    check_lengths(make_spec(conf={f"spark.x{i}": "x" * 100 * KIB for i in range(5)}, args=("x" * 100 * KIB,)))


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ('{"a": {"b": 1}}', "{{ or }}"),
        ("{{X", "{{ or }}"),
        ("a\\\\b", "a \\ before"),
        ("\\$HOME", "a \\ before"),
        ("two\\\nlines", "a \\ before"),
        ("a`b", "a backtick"),
        ("a\r\n", "a carriage return"),
        ("\r`", "a carriage return and a backtick"),
    ],
)
def test_changed_on_the_way_in_cluster_mode_warns(argument: str, words: str) -> None:
    (warning,) = changed_on_the_way(make_spec(args=("plain", argument)))
    assert warning.startswith("args[1] holds ")
    assert words in warning


def test_changed_on_the_way_in_client_mode_is_the_carriage_return_alone() -> None:
    args = ('{"a": {"b": 1}}', "a\\\\b", "`", "\r")
    assert [w.partition(" ")[0] for w in changed_on_the_way(client(args=args))] == ["args[3]"]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40))
def test_changed_on_the_way_says_nothing_of_what_spark_escapes_well(argument: str) -> None:
    """Do what YARN does with what Spark's `escapeForShell` writes: `bash -c "<command>"`, expanding {{ and }}."""
    escaped = "'" + argument.replace("$", "\\$").replace('"', '\\"').replace("'", "'\\''") + "'"
    if changed_on_the_way(make_spec(args=(argument,))):
        return
    launched = escaped.replace("{{", "$").replace("}}", "")
    done = subprocess.run(["bash", "-c", f'exec bash -c "printf %s {launched}"'], capture_output=True, check=True, env={"PATH": "/bin"})
    assert done.stdout.decode() == argument, shlex.quote(argument)
