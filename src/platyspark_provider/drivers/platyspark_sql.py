"""The driver of applications that are SQL: runs statements one after another and reports what came of them.

Called as `platyspark_sql.py FILE ADDRESS`: the statements lie in FILE beside the driver in cluster mode, and at ADDRESS for all.
It stands alone on the cluster: Python 3.9, the standard library, and whichever Spark runs it.
"""

from __future__ import annotations

import json
import math
import re
import sys
import time
import traceback
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

SHOWN_NAME = "query.sql"
SHOWN_ROWS = 20
COUNTED_ROWS = 1000
HEADING_CHARS = 80
CELL_CHARS = 60
RESULT_BYTES = 8 * 1024
# Delta answers a command with its count; other writes tell it in the metrics of their plan: the first of files
# (BasicWriteJobStatsTracker), the second of Iceberg on Spark 4. CREATE TABLE AS SELECT tells it nowhere.
AFFECTED_COLUMN = "num_affected_rows"
WRITE_METRICS = ("numOutputRows", "addedRecords")

_SPACE = re.compile(r"\s+")
_LINE_COMMENT = re.compile(r"--(?:\\\r?\n|[^\r\n])*")
_STRING = {quote: re.compile(rf"{quote}(?:[^{quote}\\]|\\.)*(?:{quote}|\\?\Z)", re.DOTALL) for quote in "'\""}
_RAW_STRING = re.compile(r"[rR](?:'[^']*(?:'|\Z)|\"[^\"]*(?:\"|\Z))")
_IDENTIFIER = re.compile(r"`[^`]*(?:`|\Z)")
_WORD = re.compile(r"\w+")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_POSITION = re.compile(r"\bline (\d+),? pos(?:ition)? \d+")
_ERROR_CLASS_LINE = re.compile(r"\[[A-Z][A-Z0-9_.]*\] [^\n]*")
_SCRIPT = re.compile(r"begin\b", re.IGNORECASE)


@dataclass(frozen=True)
class Statement:
    """One statement as it stands in the file, from its first word on; `line` is where that stands."""

    text: str
    line: int

    @property
    def heading(self) -> str:
        """Its beginning in one line."""
        flat = _SPACE.sub(" ", self.text)
        return flat if len(flat) <= HEADING_CHARS else f"{flat[:HEADING_CHARS].rstrip()}..."


def split_statements(text: str) -> list[Statement]:
    """Split at the semicolons that are in no string, quoted name or comment, by the rules of Spark's lexer (SqlBaseLexer.g4).

    What holds nothing but comments is left out. A text that begins with BEGIN is a script of Spark 4 and stays whole.
    """
    found: list[Statement] = []
    start: int | None = None
    place = 0
    while place < len(text):
        end, is_code = _next_token(text, place)
        if start is None and is_code and text[place] != ";":
            if not found and _SCRIPT.match(text, place):
                return [_statement(text, place, len(text))]
            start = place
        if is_code and text[place] == ";":
            if start is not None:
                found.append(_statement(text, start, place))
            start = None
        place = end
    if start is not None:
        found.append(_statement(text, start, len(text)))
    return found


def _statement(text: str, start: int, end: int) -> Statement:
    return Statement(text=text[start:end].rstrip(), line=text.count("\n", 0, start) + 1)


def _next_token(text: str, place: int) -> tuple[int, bool]:
    """Return where the token at `place` ends, and whether it is code."""
    character = text[place]
    if character.isspace():
        return place + 1, False
    if text.startswith("--", place):
        return _end_of(_LINE_COMMENT, text, place), False
    if text.startswith("/*", place):
        return _end_of_comment(text, place), text.startswith("/*+", place)
    if character in _STRING:
        return _end_of(_STRING[character], text, place), True
    if character == "`":
        return _end_of(_IDENTIFIER, text, place), True
    raw = _RAW_STRING.match(text, place) if character in "rR" else None
    if raw:
        return raw.end(), True
    return _end_of(_WORD, text, place), True


def _end_of(pattern: re.Pattern[str], text: str, place: int) -> int:
    hit = pattern.match(text, place)
    return hit.end() if hit and hit.end() > place else place + 1


def _end_of_comment(text: str, place: int) -> int:
    """Return the end of a bracketed comment; they nest, and one that is not closed goes on to the end."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, place):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(text)


@dataclass(frozen=True)
class Outcome:
    """What came of one statement.

    :param written: rows that it wrote or changed, where Spark tells; :param rows: first rows of a query's answer, else None.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]] | None
    written: int | None


def run_statement(spark: Any, statement: Statement) -> Outcome:
    """Run one statement: Spark runs a command at once, and of a query's answer the first rows are fetched."""
    frame = spark.sql(statement.text)
    columns = tuple(frame.columns)
    if not columns:
        return Outcome(columns=(), rows=None, written=_written(frame))
    rows = [tuple(row) for row in frame.take(COUNTED_ROWS + 1)]
    if AFFECTED_COLUMN in columns and len(rows) == 1:
        return Outcome(columns=columns, rows=rows, written=_whole(rows[0][columns.index(AFFECTED_COLUMN)]))
    return Outcome(columns=columns, rows=rows, written=None)


def _written(frame: Any) -> int | None:
    """Return how many rows a command wrote, by its plan's metrics; None where no plan of this Spark tells."""
    try:
        plan = frame._jdf.queryExecution().executedPlan()
        if plan.getClass().getSimpleName() == "CommandResultExec":
            plan = plan.commandPhysicalPlan()
        metrics = plan.metrics()
        for name in WRITE_METRICS:
            if metrics.contains(name):
                return int(metrics.apply(name).value())
    except Exception:  # noqa: BLE001 - the count is an extra, and what it is read from is no stable interface
        return None
    return None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def report_of(outcomes: list[Outcome]) -> dict[str, Any]:
    """Return what the application reports of itself: counts, and the columns of a last answer of one row."""
    written = [outcome.written for outcome in outcomes if outcome.written is not None]
    last = outcomes[-1] if outcomes else None
    report: dict[str, Any] = {"rows": None, "statements": len(outcomes)}
    if written:
        report["rows"] = sum(written)
    elif last is not None and last.rows is not None:
        report["rows"] = min(len(last.rows), COUNTED_ROWS)
        if len(last.rows) > COUNTED_ROWS:
            report["has_more_rows"] = True
    if last is not None and last.rows is not None and len(last.rows) == 1:
        values = {_text(name): _plain(value) for name, value in zip(last.columns, last.rows[0]) if name}  # noqa: B905 - of Python 3.10
        wider = {**values, **report}
        if len(json.dumps(wider).encode()) <= RESULT_BYTES:
            return wider
    return report


def _plain(value: Any) -> Any:
    """Return a cell as JSON takes it: numbers, text and booleans as they are, all else as text."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (float, Decimal)) and not math.isfinite(value):
        return str(value)
    if isinstance(value, float):
        return value
    if isinstance(value, Decimal) and value == int(value):
        return int(value)
    return _text(str(value))


def _text(value: str) -> str:
    """Return text that every reader takes: no NUL, no half of a surrogate pair."""
    return value.replace("\x00", "").encode(errors="replace").decode()


def table_from_rows(columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Return rows as Spark shows them."""
    cells = [[_cell(name) for name in columns], *([_cell("NULL" if value is None else value) for value in row] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    rule = "+" + "+".join("-" * width for width in widths) + "+"
    lines = ["|" + "|".join(map(str.ljust, line, widths)) + "|" for line in cells]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])


def _cell(value: Any) -> str:
    flat = _SPACE.sub(" ", str(value))
    return flat if len(flat) <= CELL_CHARS else f"{flat[: CELL_CHARS - 3]}..."


def failure_text(error: BaseException, statement: Statement, number: int, total: int) -> str:
    """Return Spark's error as a traceback that points at the statement's own line."""
    message = _with_sql_state("".join(traceback.format_exception_only(type(error), error)).rstrip(), error)
    hit = _POSITION.search(message)
    lines = statement.text.splitlines()
    offset = min(int(hit[1]), len(lines)) - 1 if hit and int(hit[1]) > 0 else 0
    place = f'  File "{SHOWN_NAME}", line {statement.line + offset}, in statement {number} of {total}\n    {lines[offset].strip()}'
    return f"Traceback (most recent call last):\n{place}\n{message}"


def _with_sql_state(message: str, error: BaseException) -> str:
    """Add the SQLSTATE where Spark's own text lacks it (3.5)."""
    get_state = getattr(error, "getSqlState", None)
    state = get_state() if get_state is not None and "SQLSTATE" not in message else None
    return _ERROR_CLASS_LINE.sub(rf"\g<0> SQLSTATE: {state}", message, count=1) if state else message


def say(text: str) -> None:
    """Print a line at once: a driver that is killed keeps what it said."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run_all(spark: Any, statements: list[Statement]) -> int:
    """Run every statement up to the first that fails, and report; return the exit code."""
    outcomes: list[Outcome] = []
    for number, statement in enumerate(statements, 1):
        say(f"[{number}/{len(statements)}] line {statement.line}: {statement.heading}")
        began = time.monotonic()
        try:
            outcomes.append(run_statement(spark, statement))
        except Exception as error:  # noqa: BLE001 - whatever Spark raises is the job's failure, told with its statement
            say(f"[{number}/{len(statements)}] failed after {time.monotonic() - began:.1f} s")
            say(failure_text(error, statement, number, len(statements)))
            return 1
        written = outcomes[-1].written
        told = f", {written:,} rows written" if written is not None else ""
        say(f"[{number}/{len(statements)}] done in {time.monotonic() - began:.1f} s{told}")
    _show_last(outcomes[-1])
    say(f"platyspark-result: {json.dumps(report_of(outcomes))}")
    return 0


def _show_last(outcome: Outcome) -> None:
    if outcome.rows is None:
        return
    say(table_from_rows(outcome.columns, outcome.rows[:SHOWN_ROWS]))
    if len(outcome.rows) > SHOWN_ROWS:
        say(f"only the first {SHOWN_ROWS} rows are shown")


def open_session() -> Any:
    """Return the session, with the cluster's metastore unless the conf says otherwise, as Spark's own shells do it."""
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    SparkContext._ensure_initialized()  # without a JVM SparkConf knows nothing of what spark-submit was told
    builder = SparkSession.builder
    if SparkConf().get("spark.sql.catalogImplementation", "hive") == "hive":
        builder = builder.enableHiveSupport()
    return builder.getOrCreate()


def read_statements(spark: Any, name: str, address: str) -> str:
    """Return the text from the file beside the driver, or (in client mode nothing is put there) from its address."""
    path = Path(name)
    if path.is_file():
        return path.read_text(encoding="utf-8")
    (row,) = spark.read.text(address, wholetext=True).collect()
    return str(row[0])


def main(argv: list[str]) -> int:
    """Run the statements that the arguments name."""
    spark = open_session()
    try:
        statements = split_statements(read_statements(spark, argv[1], argv[2]))
        if not statements:
            say(
                "Traceback (most recent call last):\n" + f'  File "{SHOWN_NAME}", line 1\nValueError: sql holds no statement, only comments'
            )
            return 1
        return run_all(spark, statements)
    finally:
        spark.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
