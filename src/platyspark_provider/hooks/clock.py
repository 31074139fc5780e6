"""The real time for shells; rules take `now`, tests take a `FakeClock`."""

import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's clock, as port `Clock`."""

    def now(self) -> datetime:
        """Return the aware UTC time."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Block the calling thread."""
        time.sleep(seconds)
