"""What counts as a job's result, whatever else its driver printed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platyspark_provider.core.results import MAX_RESULT_BYTES, missing_metrics, result_from_log

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=20)
RESULTS = st.dictionaries(NAMES, st.one_of(SCALARS, st.lists(SCALARS, max_size=4)), max_size=6)


@given(RESULTS, st.text(max_size=60), st.booleans())
def test_result_from_log_finds_what_a_job_printed_between_other_lines(result: dict[str, Any], noise: str, is_ascii: bool) -> None:
    line = f"platyspark-result: {json.dumps(result, ensure_ascii=is_ascii)}"
    assert result_from_log(f"{noise}\n{line}\n--- stdout ---\n") == result


@given(st.text(max_size=300))
def test_result_from_log_of_any_text_never_raises(text: str) -> None:
    for candidate in (text, f"platyspark-result: {text}"):
        found = result_from_log(candidate)
        assert found is None or json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ('platyspark-result: {"rows": 3}', {"rows": 3}),
        ('platyspark-result:{"rows": 3}\r\n', {"rows": 3}),
        ('  platyspark-result: {"rows": 3}\n', {"rows": 3}),
        ('[Stage 0:==>   (1 + 1) / 2]\rplatyspark-result: {"rows": 3}\n', {"rows": 3}),
        ('platyspark-result: {"rows": 1}\nplatyspark-result: {"rows": 2}\nbye', {"rows": 2}),
        ('platyspark-result: {"tables": ["a", null, 1.5, true], "ok": true}', {"tables": ["a", None, 1.5, True], "ok": True}),
        ('platyspark-result: {"note": "line\u2028separator"}', {"note": "line\u2028separator"}),
        ("platyspark-result: {}", {}),
        ("", None),
        ('I print platyspark-result: {"rows": 3}', None),
        ('platyspark-result: {"rows": 1}\nplatyspark-result: {"rows": ', None),
        ("platyspark-result: [1]", None),
        ("platyspark-result: 3", None),
        ("platyspark-result:", None),
        ('platyspark-result: {"a": {"b": 1}}', None),
        ('platyspark-result: {"a": [[1]]}', None),
        ('platyspark-result: {"a": NaN}', None),
        ('platyspark-result: {"a": 1e999}', None),
        ('platyspark-result: {"a": [Infinity]}', None),
        ('platyspark-result: {"a": "x\\u0000"}', None),
        ('platyspark-result: {"a\\ud800": 1}', None),
        ('platyspark-result: {"": 1}', None),
        (f"platyspark-result: {'[' * 8000}", None),
    ],
)
def test_result_from_log_takes_one_flat_object_of_the_last_line(text: str, result: Any) -> None:
    assert result_from_log(text) == result


def test_result_from_log_up_to_its_limit_is_taken_and_one_byte_more_is_not() -> None:
    room = MAX_RESULT_BYTES - len('{"a": ""}')
    assert result_from_log(f'platyspark-result: {{"a": "{"x" * room}"}}') == {"a": "x" * room}
    assert result_from_log(f'platyspark-result: {{"a": "{"x" * (room + 1)}"}}') is None
    assert result_from_log(f'platyspark-result: {{"a": "{"ü" * (room // 2 + 1)}"}}') is None


@pytest.mark.parametrize(
    ("result", "missing"), [(None, ("rows", "max_day")), ({"rows": None}, ("max_day",)), ({"rows": 1, "max_day": 2}, ())]
)
def test_missing_metrics_are_those_the_job_did_not_report(result: Any, missing: tuple[str, ...]) -> None:
    assert missing_metrics(("rows", "max_day"), result) == missing
