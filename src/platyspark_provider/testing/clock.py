"""A clock behind the `Clock` port that only moves when told."""

from datetime import UTC, datetime, timedelta


class FakeClock:
    """A clock that stands still between `advance` and `sleep`."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the virtual time."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass, and return at once."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let virtual time pass."""
        self._now += timedelta(seconds=seconds)
