"""What commands print on stdout: rows or one object, as a table, plain text, JSON or YAML; no colour, values keep their types."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from platyspark_provider.cli.running import say

Row = Mapping[str, Any]
_WIDE = 10_000


def print_rows(
    rows: Sequence[Row],
    output: str,
    *,
    columns: Sequence[str] = (),
    empty: str = "Nothing found.",
    documents: Sequence[Row] | None = None,
) -> None:
    """Print a list.

    :param columns: what tables show; JSON and YAML hold every value. Empty: all.
    :param empty: said on stderr where a table would have no line.
    :param documents: what JSON and YAML hold in place of the rows.
    """
    match output:
        case "json" | "yaml":
            _print_document([plain(row) for row in (rows if documents is None else documents)], output)
        case _ if not rows:
            say(empty)
        case _:
            names = list(columns or rows[0])
            _print_lines(names, [[_cell(row.get(name)) for name in names] for row in rows], output)


def print_object(values: Row, output: str) -> None:
    """Print one object: a line per value in a table, a mapping elsewhere."""
    if output in {"json", "yaml"}:
        _print_document(plain(values), output)
        return
    _print_lines(None, [[name, _cell(value)] for name, value in values.items()], output)


def print_text(text: str) -> None:
    """Print a line of data."""
    print(text)  # noqa: T201 - a command line speaks


def plain(value: Any) -> Any:
    """Return a value as JSON and YAML hold it: times as ISO text, tuples as lists."""
    match value:
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
        case datetime():
            return value.isoformat()
        case bool() | int() | float() | None:
            return value
        case _:
            return str(value)


def moment(at: datetime | None) -> str:
    """Return a time for people; empty for none."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return moment(value)
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return ", ".join(f"{key}={_cell(item)}" for key, item in value.items())
        case list() | tuple() | set() | frozenset():
            return ", ".join(_cell(item) for item in value)
        case _:
            return str(value)


def _print_document(document: Any, output: str) -> None:
    if output == "json":
        print_text(json.dumps(document, indent=2, ensure_ascii=False))
        return
    import yaml

    print_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True).rstrip())


def _print_lines(header: Sequence[str] | None, rows: Sequence[Sequence[str]], output: str) -> None:
    if output == "plain":
        lines = [header, *rows] if header else rows
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            print_text("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        return
    from airflow.cli.simple_table import SimpleTable
    from rich.console import Console
    from rich.text import Text

    is_tty = sys.stdout.isatty()
    table = SimpleTable(show_header=header is not None, caption=None)  # type: ignore[no-untyped-call]
    for index, name in enumerate(header or ("", "")):
        table.add_column(name, no_wrap=index == 0)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console(highlight=False, markup=False, color_system="auto" if is_tty else None, width=None if is_tty else _WIDE)
    console.print(table, soft_wrap=False)
