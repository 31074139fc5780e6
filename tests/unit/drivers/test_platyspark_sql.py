"""The SQL driver: where statements end, what it says and reports, with Spark's own answers scripted."""

import ast
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from platyspark_provider.core.faults import find_fault
from platyspark_provider.core.results import result_from_log
from platyspark_provider.drivers.platyspark_sql import (
    COUNTED_ROWS,
    Statement,
    failure_text,
    read_statements,
    run_all,
    split_statements,
    table_from_rows,
)

WHOLE = [
    "select 1",
    "select 'a;b'",
    "select 'it''s; ok'",
    r"select 'a\'; b'",
    r"select 'a\\'",
    'select "a;b"',
    r'select "a\";b"',
    "select `a;b`",
    "select `a``;b`",
    r"select r'\' as x",
    r'select R"\" as x',
    "select r, bar'x;y'",
    "select 1 -- not; here",
    "select 1 --\\\n goes on; here",
    "select /* not; here */ 1",
    "select /* a /* b; */ c; */ 1",
    "select /*+ broadcast(t) */ 1",
    "select a-b from t where x = '--' and y = '/*'",
    "select '\n;\n'",
    "select '' ''",
    "select 'é漢🎉;'",
]


@pytest.mark.parametrize("text", WHOLE)
def test_split_statements_semicolon_in_text_names_and_comments_ends_nothing(text: str) -> None:
    assert [one.text for one in split_statements(text)] == [text]
    assert [one.text for one in split_statements(f"{text}\n;select 2")] == [text, "select 2"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" ;; -- nothing\n; /* nothing */", []),
        ("select 1;", [("select 1", 1)]),
        ("-- first\n\nselect 1;\n\n  select\n2 ;", [("select 1", 3), ("select\n2", 5)]),
        ("/* c;\n */ select 1", [("select 1", 2)]),
        ("/*+ hint */ select 1", [("/*+ hint */ select 1", 1)]),
        ("select 1 /* never closed ; select 2", [("select 1 /* never closed ; select 2", 1)]),
        ("select 'never closed ; select 2", [("select 'never closed ; select 2", 1)]),
        ("select `never closed ; select 2", [("select `never closed ; select 2", 1)]),
        ("select r'never closed ; select 2", [("select r'never closed ; select 2", 1)]),
        ("-- script\nBEGIN\nselect 1; select 2;\nEND", [("BEGIN\nselect 1; select 2;\nEND", 2)]),
        ("select 1; begin", [("select 1", 1), ("begin", 1)]),
        ("begin_of(x); select 1", [("begin_of(x)", 1), ("select 1", 1)]),
        ("select 1\r\n;\r\nselect 2", [("select 1", 1), ("select 2", 3)]),
    ],
)
def test_split_statements_gives_texts_and_their_lines(text: str, expected: list[tuple[str, int]]) -> None:
    assert [(one.text, one.line) for one in split_statements(text)] == expected


@given(st.lists(st.sampled_from(WHOLE), max_size=6), st.sampled_from(["\n;\n", "\n;; ", "\n; -- more;\n", "\n;/* x; */"]))
def test_split_statements_puts_apart_what_was_put_together(statements: list[str], between: str) -> None:
    assert [one.text for one in split_statements(between.join(statements))] == statements


@given(st.text(alphabet="ab;'\"`\\-/*+rR \n", max_size=40))
@example("\\")
@example("--\\")
def test_split_statements_of_any_text_gives_statements_that_split_no_further(text: str) -> None:
    found = split_statements(text)
    assert [split_statements(one.text) for one in found] == [[Statement(text=one.text, line=1)] for one in found]
    lines = text.split("\n")
    for one in found:
        assert one.text.split("\n")[0] in lines[one.line - 1]


@dataclass
class Frame:
    """A data frame with an answer; `_jdf` stands for the JVM's."""

    columns: list[str] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    metrics: dict[str, int] | None = None

    def take(self, count: int) -> list[tuple[Any, ...]]:
        return self.rows[:count]

    @property
    def _jdf(self) -> Any:
        if self.metrics is None:
            raise AttributeError("no JVM")
        return Plan(self.metrics)


@dataclass
class Plan:
    """As much of a command's physical plan as the driver reads through py4j."""

    values: dict[str, int]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        match name:
            case "contains":
                return lambda metric: metric in self.values
            case "apply":
                return lambda metric: Plan({"value": self.values[metric]})
            case "value":
                return lambda: self.values["value"]
            case "getSimpleName":
                return lambda: "CommandResultExec"
            case _:
                return lambda: self


class SqlError(Exception):
    """Named as PySpark's are, with a module."""


@dataclass
class Spark:
    """A session whose answers are scripted in order."""

    answers: Iterator[Frame | Exception]
    asked: list[str] = field(default_factory=list)

    def sql(self, text: str) -> Frame:
        self.asked.append(text)
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def ran(text: str, *answers: Frame | Exception, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = run_all(Spark(iter(answers)), split_statements(text))
    return code, capsys.readouterr().out


def test_run_all_heads_each_statement_and_shows_the_last_answer(capsys: pytest.CaptureFixture[str]) -> None:
    long = "insert into t select " + "x, " * 60 + "y from s"
    code, said = ran(f"{long};\nselect 1", Frame(metrics={"numOutputRows": 1200}), Frame(["n", "t"], [(1, None)]), capsys=capsys)

    assert code == 0
    assert f"[1/2] line 1: {long[:80].rstrip()}...\n" in said
    assert ", 1,200 rows written\n" in said
    assert "[2/2] line 2: select 1\n" in said
    assert "|n|t   |\n" in said
    assert "|1|NULL|\n" in said


@pytest.mark.parametrize(
    ("answers", "result"),
    [
        ([Frame()], {"rows": None, "statements": 1}),
        ([Frame(metrics={})], {"rows": None, "statements": 1}),
        ([Frame(metrics={"numOutputRows": 0})], {"rows": 0, "statements": 1}),
        ([Frame(metrics={"numOutputRows": 3}), Frame(metrics={"addedRecords": 4}), Frame()], {"rows": 7, "statements": 3}),
        (
            [Frame(["num_affected_rows", "num_updated_rows"], [(5, 5)])],
            {"num_affected_rows": 5, "num_updated_rows": 5, "rows": 5, "statements": 1},
        ),
        ([Frame(["a"], [(1,), (2,)])], {"rows": 2, "statements": 1}),
        ([Frame(["a"], [])], {"rows": 0, "statements": 1}),
        ([Frame(["a"], [(1,)] * COUNTED_ROWS)], {"rows": COUNTED_ROWS, "statements": 1}),
        ([Frame(["a"], [(1,)] * (COUNTED_ROWS + 5))], {"rows": COUNTED_ROWS, "has_more_rows": True, "statements": 1}),
        ([Frame(metrics={"numOutputRows": 3}), Frame(["top"], [("x",)])], {"top": "x", "rows": 3, "statements": 2}),
        ([Frame(["rows", ""], [("mine", 1)])], {"rows": 1, "statements": 1}),
        (
            [
                Frame(
                    ["i", "d", "e", "f", "g", "day", "s", "b"],
                    [(1, Decimal("2.00"), Decimal("2.50"), 0.5, float("nan"), date(2026, 1, 2), "\x00é", True)],
                )
            ],
            {"i": 1, "d": 2, "e": "2.50", "f": 0.5, "g": "nan", "day": "2026-01-02", "s": "é", "b": True, "rows": 1, "statements": 1},
        ),
        ([Frame(["huge"], [("x" * 9000,)])], {"rows": 1, "statements": 1}),
    ],
)
def test_run_all_reports_rows_and_the_columns_of_one_last_row(
    answers: list[Frame | Exception], result: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    text = ";".join(f"statement {i}" for i in range(len(answers)))
    code, said = ran(text, *answers, capsys=capsys)
    assert code == 0
    assert result_from_log(said) == result


def test_run_all_stops_at_the_first_failure_and_points_at_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = "select 1;\n\n-- the second\ninsert into t\nselect day,\n  nope\nfrom s;\nselect 3"
    error = SqlError(
        "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column `nope` cannot be resolved. SQLSTATE: 42703; line 3 pos 2;\n'Project ['nope]"
    )
    spark = Spark(iter([Frame(["a"], [(1,)]), error]))
    code = run_all(spark, split_statements(text))
    said = capsys.readouterr().out

    assert (code, len(spark.asked)) == (1, 2)
    assert '  File "query.sql", line 6, in statement 2 of 3\n    nope\n' in said
    assert result_from_log(said) is None
    fault = find_fault("", said)
    assert fault is not None
    assert (fault.error_class, fault.sql_state) == ("UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703")
    assert (fault.user_line, fault.is_users) == ("query.sql:6  nope", True)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("\n[PARSE_SYNTAX_ERROR] Syntax error at or near 'form'. SQLSTATE: 42601 (line 2, pos 7)\n\n== SQL ==\nselect\n", 12),
        ("[DIVIDE_BY_ZERO] Division by zero. SQLSTATE: 22012\n== SQL (line 1, position 8) ==\nselect 1/0", 11),
        ("no position", 11),
        ("line 99 pos 1", 13),
        ("line 0 pos 1", 11),
    ],
)
def test_failure_text_counts_from_the_statements_own_line(message: str, line: int) -> None:
    said = failure_text(SqlError(message), Statement(text="select\n  * form\nt", line=11), 1, 1)
    assert f'File "query.sql", line {line}, in statement 1 of 1' in said


class StateError(SqlError):
    """As PySpark 3.5 raises it: the state is told by a method alone."""

    def getSqlState(self) -> str | None:
        return "42P01"


@pytest.mark.parametrize(
    "message", ["[TABLE_OR_VIEW_NOT_FOUND] No table `t`.\nVerify it; line 1 pos 7;\n'Project", "\n[PARSE_SYNTAX_ERROR] No\n"]
)
def test_failure_text_adds_the_sql_state_that_spark_3_5_leaves_out(message: str) -> None:
    fault = find_fault("", failure_text(StateError(message), Statement(text="select 1", line=1), 1, 1))
    assert fault is not None
    assert fault.sql_state == "42P01"
    again = failure_text(StateError(f"{message} SQLSTATE: 22000"), Statement(text="select 1", line=1), 1, 1)
    assert again.count("SQLSTATE") == 1
    assert "SQLSTATE" not in failure_text(StateError("no class"), Statement(text="select 1", line=1), 1, 1)


def test_table_from_rows_keeps_columns_in_line() -> None:
    shown = table_from_rows(("n", "text"), [(1, "a\nb"), (None, "x" * 70), (Decimal("1.5"), "é")])
    lines = shown.splitlines()
    assert lines[1] == "|n   |text" + " " * 56 + "|"
    assert "|1   |a b " in shown
    assert "|NULL|" + "x" * 57 + "...|" in shown
    assert len({len(line) for line in lines}) == 1


class Texts:
    """`spark.read.text(...).collect()` of one object."""

    def __init__(self, content: str) -> None:
        self.content, self.asked = content, ""

    @property
    def read(self) -> "Texts":
        return self

    def text(self, address: str, *, wholetext: bool) -> "Texts":
        assert wholetext
        self.asked = address
        return self

    def collect(self) -> list[tuple[str]]:
        return [(self.content,)]


def test_read_statements_from_the_file_beside_the_driver_or_from_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spark = Texts("select 2")
    assert read_statements(spark, "platyspark-query.sql", "s3://b/q") == "select 2"
    assert spark.asked == "s3://b/q"
    (tmp_path / "platyspark-query.sql").write_text("select 'é'", encoding="utf-8")
    assert read_statements(spark, "platyspark-query.sql", "s3://b/q") == "select 'é'"


def test_driver_parses_as_python_3_9_and_imports_nothing_of_this_package() -> None:
    source = files("platyspark_provider.drivers").joinpath("platyspark_sql.py").read_text()
    tree = ast.parse(source, feature_version=(3, 9))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in names if name.startswith("platyspark_provider")]


def test_driver_is_part_of_the_wheel(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    (path,) = WheelBuilder(str(Path(__file__).parents[3])).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(path) as wheel:
        assert "platyspark_provider/drivers/platyspark_sql.py" in wheel.namelist()


def test_driver_result_is_one_line_that_the_platform_reads(capsys: pytest.CaptureFixture[str]) -> None:
    _, said = ran("select 1", Frame(["t"], [("two\nlines",)]), capsys=capsys)
    line = said.splitlines()[-1]
    assert json.loads(line.removeprefix("platyspark-result: "))["t"] == "two\nlines"
