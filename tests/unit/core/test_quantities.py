"""Durations, sizes and limits as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platyspark_provider.core.quantities import bytes_from_text, kind_of_limit, quantity_from_conf, seconds_from_text
from platyspark_provider.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h", 7200),
        ("90min", 5400),
        ("90m", 5400),
        ("1.5h", 5400),
        ("45", 45),
        (45, 45),
        (0.5, 0.5),
        ("PT2H", 7200),
        ("P1DT1H", 90_000),
        ("pt90s", 90),
        ("3d", 259_200),
        ("250ms", 0.25),
        (" 2 H ", 7200),
    ],
)
def test_seconds_from_text_of_duration_returns_seconds(text: str | float, seconds: float) -> None:
    assert seconds_from_text(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "h", "2 weeks", "-5", -5, True, "P", "PT", "P1DT", "1h30", "2g", "nan", "inf"])
def test_seconds_from_text_of_anything_else_is_refused(text: str | int) -> None:
    with pytest.raises(InvalidRequest, match="is no duration"):
        seconds_from_text(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("8g", 8 * 2**30), ("8GB", 8 * 2**30), ("512m", 2**29), ("1.5gib", 1.5 * 2**30), ("7", 7), ("7b", 7), (7, 7), ("2t", 2**41)],
)
def test_bytes_from_text_of_size_returns_bytes(text: str | int, size: float) -> None:
    assert bytes_from_text(text) == size


@pytest.mark.parametrize("text", ["", "g", "8x", "8 gg", "-1g", "nan"])
def test_bytes_from_text_of_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is no size"):
        bytes_from_text(text)


@pytest.mark.parametrize(
    ("limit", "kind"), [("16g", "size"), ("10m", "size"), ("30min", "duration"), ("30s", "duration"), ("50", "number"), (0.5, "number")]
)
def test_kind_of_limit_goes_by_its_unit(limit: str | float, kind: str) -> None:
    assert kind_of_limit(limit) == kind


@pytest.mark.parametrize("limit", ["", "many", "5 apples", "-3"])
def test_kind_of_limit_of_no_limit_is_refused(limit: str) -> None:
    with pytest.raises(InvalidRequest):
        kind_of_limit(limit)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("spark.executor.memory", "4096", 2**32),
        ("spark.executor.memoryOverhead", "512", 2**29),
        ("spark.driver.maxResultSize", "4096", 4096),
        ("spark.executor.memory", "4g", 2**32),
    ],
)
def test_quantity_from_conf_reads_bare_numbers_as_spark_does(key: str, text: str, value: float) -> None:
    assert quantity_from_conf(key, text, "size").value == value


@pytest.mark.parametrize("text", ["many", "NaN", "5s", "-1", "1e9"])
def test_quantity_from_conf_of_no_plain_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is no number"):
        quantity_from_conf("spark.executor.cores", text, "number")


def test_quantity_from_conf_of_duration_reads_spark_minutes() -> None:
    assert quantity_from_conf("spark.network.timeout", "10m", "duration").value == 600


@given(st.integers(0, 10_000), st.sampled_from(["s", "min", "h", "d"]))
def test_seconds_from_text_grows_with_the_number(number: int, unit: str) -> None:
    assert seconds_from_text(f"{number}{unit}") < seconds_from_text(f"{number + 1}{unit}")
