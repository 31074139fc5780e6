"""Wait for an application's end from the command line: look at our tables, say what changed, end with its log's arrival."""

from collections.abc import Callable
from datetime import timedelta

from platyspark_provider.cli.explanation import failure_text
from platyspark_provider.core.ports import Clock
from platyspark_provider.core.records import AppDetail
from platyspark_provider.core.states import AppPhase, LogState
from platyspark_provider.errors import SparkAppFailed

PAUSE_S = 1.0


def follow(
    look: Callable[[], AppDetail], tell: Callable[[str], None], *, clock: Clock, log_wait_s: float, pause_s: float = PAUSE_S
) -> AppDetail:
    """Return the generation once it has ended and its log is there, or has been waited for long enough.

    :param look: reads the generation; :param tell: is given each change of its state as a line.
    """
    told = ""
    while True:
        detail = look()
        if (line := _state(detail)) != told:
            told = line
            tell(line)
        if detail.attempt.phase.is_terminal and _log_is_settled(detail, clock, log_wait_s):
            return detail
        clock.sleep(pause_s)


def require_success(detail: AppDetail) -> None:
    """Raise what an end otherwise than well means: SparkAppFailed, with the text of the task's log."""
    if detail.attempt.phase is not AppPhase.SUCCEEDED:
        raise SparkAppFailed(failure_text(detail))


def _state(detail: AppDetail) -> str:
    why = f": {detail.place.message}" if detail.place else ""
    return f"Application {detail.app.id}, generation {detail.attempt.generation}: {detail.attempt.phase.value}{why}"


def _log_is_settled(detail: AppDetail, clock: Clock, log_wait_s: float) -> bool:
    attempt = detail.attempt
    if attempt.log_state is not LogState.PENDING or attempt.ended_at is None:
        return True
    return clock.now() - attempt.ended_at >= timedelta(seconds=log_wait_s)
