"""How errors become one sentence and an exit code."""

import sqlite3
from argparse import Namespace

import pytest
from sqlalchemy.exc import OperationalError

from platyspark_provider.cli.running import command
from platyspark_provider.errors import InvalidRequest, NotFound, SchemaBehind, SparkAppFailed, StoreBusy


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SparkAppFailed("It failed."), 1),
        (InvalidRequest("No.", hint="Write yes."), 2),
        (NotFound("There is none."), 3),
        (StoreBusy("Locked."), 4),
        (SchemaBehind("Behind.", hint="Run `airflow db migrate`."), 4),
        (OperationalError("SELECT 1", {}, sqlite3.OperationalError("unable to open database file")), 4),
    ],
)
def test_command_error_is_one_sentence_with_its_hint(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def body(args: Namespace) -> None:
        raise error

    with pytest.raises(SystemExit) as stopped:
        command(body)(Namespace())

    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert (stopped.value.code, said.out) == (code, "")
    assert lines[0].startswith("Error: ")
    assert "Traceback" not in said.err
    assert len(lines) == (2 if getattr(error, "hint", "database") else 1)


def test_command_error_of_ours_that_nobody_expected_keeps_its_traceback() -> None:
    def body(args: Namespace) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command(body)(Namespace())


def test_command_interrupted_exits_130() -> None:
    def body(args: Namespace) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stopped:
        command(body)(Namespace())
    assert stopped.value.code == 130
