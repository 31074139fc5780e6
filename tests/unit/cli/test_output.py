"""What commands print: nothing is interpreted, cut or coloured, and values keep their types where programs read them."""

import json
from datetime import UTC, datetime

import pytest
import yaml

from platyspark_provider.cli.output import print_object, print_rows

ROWS = [
    {"id": 7, "name": "[bold]a[/bold]", "at": datetime(2026, 11, 25, 12, tzinfo=UTC), "done": True, "tags": ("x", "y"), "spec": {"k": 1}},
    {"id": 12, "name": "w" * 300, "at": None, "done": False, "tags": (), "spec": {}},
]


def test_print_rows_json_keeps_types(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, "json", columns=("id",))
    first, second = json.loads(capsys.readouterr().out)
    assert first == {
        "id": 7,
        "name": "[bold]a[/bold]",
        "at": "2026-11-25T12:00:00+00:00",
        "done": True,
        "tags": ["x", "y"],
        "spec": {"k": 1},
    }
    assert second["at"] is None


def test_print_rows_yaml_reads_back_as_json_does(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, "yaml")
    as_yaml = yaml.safe_load(capsys.readouterr().out)
    print_rows(ROWS, "json")
    assert as_yaml == json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("output", ["table", "plain"])
def test_print_rows_for_people_shows_the_columns_whole(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, output, columns=("id", "name", "at", "done"))
    out = capsys.readouterr().out
    lines = [line.split() for line in out.replace("|", " ").splitlines() if "===" not in line]
    assert lines == [
        ["id", "name", "at", "done"],
        ["7", "[bold]a[/bold]", "2026-11-25", "12:00:00", "UTC", "yes"],
        ["12", "w" * 300, "no"],
    ]
    assert "\x1b" not in out


@pytest.mark.parametrize(("output", "out"), [("table", ""), ("plain", ""), ("json", "[]\n"), ("yaml", "[]\n")])
def test_print_rows_nothing_is_no_data_but_a_message(output: str, out: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([], output, empty="There is none.")
    said = capsys.readouterr()
    assert said.out == out
    assert said.err == ("" if out else "There is none.\n")


def test_print_object_for_people_is_a_line_per_value(capsys: pytest.CaptureFixture[str]) -> None:
    print_object({"id": 7, "spec": {"a": 1, "b": (1, 2)}}, "plain")
    assert capsys.readouterr().out == "id    7\nspec  a=1, b=1, 2\n"
