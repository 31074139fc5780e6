"""A log that says the same thing once a minute: a loop that fails every ten seconds must not fill the disk."""

import logging
import time
from collections.abc import Callable

REPEAT_S = 60.0


class QuietLog:
    """Passes a line on unless it was passed on lately.

    :param repeat_s: seconds after which the same line is written again, with the number of times it was held back.
    """

    def __init__(self, log: logging.Logger, *, repeat_s: float = REPEAT_S, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._repeat_s = repeat_s
        self._monotonic = monotonic
        self._line = ""
        self._since = 0.0
        self._held_back = 0

    def warning(self, line: str) -> None:
        """Warn, without a stack trace."""
        self._write(logging.WARNING, line)

    def info(self, line: str) -> None:
        """Inform."""
        self._write(logging.INFO, line)

    def _write(self, level: int, line: str) -> None:
        now = self._monotonic()
        if line == self._line and now < self._since + self._repeat_s:
            self._held_back += 1
            return
        more = f" ({self._held_back} more of the same)" if self._held_back and line == self._line else ""
        self._line, self._since, self._held_back = line, now, 0
        self._log.log(level, "%s%s", line, more)
