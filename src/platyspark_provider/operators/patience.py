"""Asking again what may pass by itself: the api-server is down, the database is locked, S3 does not answer."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from platyspark_provider.core.ports import Clock
from platyspark_provider.errors import TemporaryError

T = TypeVar("T")

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Retries temporary errors with growing pauses.

    :param seconds: how long in all, per question.
    """

    seconds: float
    clock: Clock
    log: logging.Logger

    def ask(self, what: str, question: Callable[[], T]) -> T:
        """Return the answer; raises the last TemporaryError when patience is over, any other error at once."""
        deadline = self.clock.now() + timedelta(seconds=self.seconds)
        pause = FIRST_PAUSE_S
        while True:
            try:
                return question()
            except TemporaryError as error:
                left = (deadline - self.clock.now()).total_seconds()
                if left <= 0:
                    raise
                wait = min(max(pause, min(error.retry_after, LONGEST_PAUSE_S)), left)
                self.log.warning("%s: %s Asking again in %.0f s, for %.0f s more.", what, error, wait, left)
                self.clock.sleep(wait)
                pause = min(pause * 2, LONGEST_PAUSE_S)
