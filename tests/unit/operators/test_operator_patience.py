"""Temporary errors are asked again with growing pauses until patience is over; permanent ones never."""

import logging

import pytest

from platyspark_provider.errors import InvalidRequest, RegistryUnavailable, StoreBusy
from platyspark_provider.operators.patience import Patience
from platyspark_provider.testing import FakeClock


def patience(clock: FakeClock, seconds: float = 600.0) -> Patience:
    return Patience(seconds=seconds, clock=clock, log=logging.getLogger("test"))


def test_patience_outage_that_ends_is_waited_out(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    up_at = clock.now().timestamp() + 120

    def question() -> str:
        if clock.now().timestamp() < up_at:
            raise RegistryUnavailable("No answer from the api-server.")
        return "answer"

    with caplog.at_level(logging.WARNING):
        assert patience(clock).ask("Submit", question) == "answer"
    assert 120 <= clock.now().timestamp() - up_at + 120 < 160
    assert all("Submit: No answer" in record.message and "Asking again" in record.message for record in caplog.records)
    assert len(caplog.records) >= 4


def test_patience_outage_that_lasts_raises_its_last_error() -> None:
    clock = FakeClock()
    begun = clock.now()

    def question() -> None:
        raise StoreBusy("locked", retry_after=2.0)

    with pytest.raises(StoreBusy):
        patience(clock, 60.0).ask("Submit", question)
    assert (clock.now() - begun).total_seconds() == 60.0


def test_patience_permanent_error_is_not_asked_again() -> None:
    clock, asked = FakeClock(), []

    def question() -> None:
        asked.append(1)
        raise InvalidRequest("no")

    with pytest.raises(InvalidRequest):
        patience(clock).ask("Submit", question)
    assert asked == [1]
