"""Name patterns, and who may see what."""

import pytest

from platyspark_provider.core.listing import EVERYTHING_VISIBLE, EventFilter, Visible, alternatives, fits_pattern
from platyspark_provider.core.model import Event
from tests.builders import NOW


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("daily", "sales_DAILY_agg", True),
        ("d%y", "daily", True),
        ("d_ily", "daily", True),
        ("d.ily", "daily", False),
        ("hourly|daily", "daily", True),
        ("hourly|", "daily", False),
        ("~", "anything", True),
        ("", "anything", True),
        ("%", "two\nlines", True),
    ],
)
def test_fits_pattern_follows_airflow_s_patterns(pattern: str, name: str, fits: bool) -> None:
    assert fits_pattern(pattern, name) is fits


def test_alternatives_are_the_parts_between_bars() -> None:
    assert alternatives("a|b") == ("%a%", "%b%")
    assert alternatives(" ~ ") == ()


@pytest.mark.parametrize(
    ("visible", "dag_id", "shown"),
    [
        (EVERYTHING_VISIBLE, None, True),
        (EVERYTHING_VISIBLE, "a", True),
        (Visible(dag_ids=frozenset({"a"}), without_dag=False), "a", True),
        (Visible(dag_ids=frozenset({"a"}), without_dag=False), "b", False),
        (Visible(dag_ids=frozenset({"a"}), without_dag=False), None, False),
        (Visible(dag_ids=None, without_dag=False), "b", True),
    ],
)
def test_visible_shows_what_it_names(visible: Visible, dag_id: str | None, shown: bool) -> None:
    assert visible.shows(dag_id) is shown
    assert visible.is_everything is (visible == EVERYTHING_VISIBLE)


def test_event_filter_wants_what_it_names_after_an_id() -> None:
    event = Event(id=7, object_kind="app", object_id=3, kind="app.sent", message="", actor="x", at=NOW)
    assert EventFilter(after=6, object_kind="app", object_id=3, kind="app.sent").wants(event)
    for other in (
        EventFilter(after=7),
        EventFilter(object_kind="cluster"),
        EventFilter(object_id=4),
        EventFilter(kind="app.ended"),
        EventFilter(hidden_kinds=("app",)),
    ):
        assert not other.wants(event)
