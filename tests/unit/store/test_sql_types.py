"""Columns give back the value that went in, whatever the database makes of it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from platyspark_provider.core.model import Failure
from platyspark_provider.core.states import AppPhase, FailureClass
from platyspark_provider.store.sql_types import JsonValue, UtcDateTime, Word, datetime_from_ms, now_ms

TOKYO = timezone(timedelta(hours=9))
NOON = datetime(2026, 11, 25, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def table() -> sa.Table:
    return sa.Table(
        "things",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", UtcDateTime()),
        sa.Column("phase", Word(AppPhase)),
        sa.Column("failure", JsonValue(Failure)),
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, table: sa.Table) -> Iterator[sa.Connection]:
    """Yield a connection to each database; PostgreSQL's session lives in Tokyo."""
    if request.param == "sqlite":
        engine = sa.create_engine("sqlite://")
    else:
        engine = sa.create_engine(request.getfixturevalue("postgres_url"), connect_args={"options": "-c timezone=Asia/Tokyo"})
    with engine.connect() as opened:
        table.create(opened)
        yield opened
    engine.dispose()


def kept(connection: sa.Connection, table: sa.Table, **values: Any) -> Any:
    connection.execute(table.insert().values(id=1, **values))
    (name,) = values
    return connection.execute(sa.select(table.c[name])).scalar_one()


@pytest.mark.parametrize("value", [NOON, NOON.astimezone(TOKYO), None], ids=["utc", "tokyo", "none"])
def test_utc_datetime_any_zone_comes_back_as_the_same_moment_in_utc(
    connection: sa.Connection, table: sa.Table, value: datetime | None
) -> None:
    back = kept(connection, table, at=value)
    assert back == value
    assert back is None or back.utcoffset() == timedelta(0)


def test_utc_datetime_without_a_zone_is_refused(connection: sa.Connection, table: sa.Table) -> None:
    with pytest.raises(sa.exc.StatementError, match="no time zone"):
        kept(connection, table, at=NOON.replace(tzinfo=None))


def test_utc_datetime_compares_by_moment(connection: sa.Connection, table: sa.Table) -> None:
    kept(connection, table, at=NOON)
    later = NOON.astimezone(TOKYO) + timedelta(microseconds=1)
    assert connection.execute(sa.select(table.c.id).where(table.c.at < later)).scalar_one() == 1
    assert connection.execute(sa.select(table.c.id).where(table.c.at > later)).scalar_one_or_none() is None


def test_word_comes_back_as_a_member(connection: sa.Connection, table: sa.Table) -> None:
    assert kept(connection, table, phase=AppPhase.RUNNING) is AppPhase.RUNNING
    assert connection.exec_driver_sql("SELECT phase FROM things").scalar_one() == "running"
    assert connection.execute(sa.select(table.c.id).where(table.c.phase.in_([AppPhase.RUNNING]))).scalar_one() == 1


def test_word_that_is_none_of_the_enum_is_refused(connection: sa.Connection, table: sa.Table) -> None:
    with pytest.raises(sa.exc.StatementError, match="flying"):
        kept(connection, table, phase="flying")


@pytest.mark.parametrize("value", [Failure(klass=FailureClass.USER, summary="ü", log_tail="a\nb"), None])
def test_json_value_comes_back_as_the_value(connection: sa.Connection, table: sa.Table, value: Failure | None) -> None:
    assert kept(connection, table, failure=value) == value


def test_json_value_none_is_sql_null(connection: sa.Connection, table: sa.Table) -> None:
    kept(connection, table, failure=None)
    assert connection.execute(sa.select(table.c.id).where(table.c.failure.is_(None))).scalar_one() == 1


def test_json_value_with_a_field_of_a_newer_release_is_read_without_it(connection: sa.Connection, table: sa.Table) -> None:
    connection.exec_driver_sql("""INSERT INTO things (id, failure) VALUES (1, '{"klass": "user", "summary": "x", "colour": "red"}')""")
    assert connection.execute(sa.select(table.c.failure)).scalar_one() == Failure(klass=FailureClass.USER, summary="x")


def test_now_ms_is_the_databases_clock_and_moves_within_a_transaction(connection: sa.Connection) -> None:
    first = connection.execute(sa.select(now_ms())).scalar_one()
    assert abs(datetime.now(UTC) - datetime_from_ms(first)) < timedelta(minutes=1)
    for _ in range(100_000):
        if connection.execute(sa.select(now_ms())).scalar_one() > first:
            return
    raise AssertionError("the clock stands still within a transaction")


@given(st.integers(0, 4_102_444_800_000))
def test_datetime_from_ms_is_exact(value: int) -> None:
    moment = datetime_from_ms(value)
    assert (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) == value
    assert moment.microsecond % 1000 == 0
