"""The worker's part of a wait: without deferral it also acts, so that neither triggerer nor watchdog is needed."""

import time
from collections.abc import Callable

from platyspark_provider.core.polling import (
    AppEvent,
    Blind,
    Look,
    Outcome,
    Seen,
    WaitRule,
    brief_from_detail,
    drive,
    progress_line,
    wait_for_app,
)
from platyspark_provider.core.records import AppDetail
from platyspark_provider.errors import NotFound, RegistryUnavailable, Superseded, TemporaryError
from platyspark_provider.operators.submission import Caller, Held, take_steps
from platyspark_provider.settings import Settings


def wait_rule(settings: Settings) -> WaitRule:
    """Return the numbers of a wait from `[platyspark]`."""
    return WaitRule(poll_s=settings.poll_interval, log_wait_s=settings.log_wait, max_blind_s=settings.max_blind or None)


def wait_in_worker(caller: Caller, held: Held, rule: WaitRule, *, tell: Callable[[AppDetail], None]) -> AppEvent:
    """Act and look until the generation is over.

    :param tell: gets the details of each look.
    """
    looker = _Looker(caller, held, tell)
    return drive(wait_for_app(held.app_id, held.generation, rule=rule), describe=looker.look, sleep=caller.clock.sleep)


def ended_detail(caller: Caller, event: AppEvent) -> AppDetail | None:
    """Return how the generation ended; None when it has not (a wait is to go on).

    :raises RegistryUnavailable: the wait was blind for too long. :raises Superseded: another generation took over.
    """
    app_id, generation = event.app_id, event.generation
    if event.outcome is Outcome.BLIND:
        raise RegistryUnavailable(event.message, hint="The application may run on; a retry attaches to it.")
    detail = caller.patience.ask("Look", lambda: caller.registry.detail(app_id, generation, ti_id=caller.ti_id))
    if detail.attempt.phase.is_terminal:
        return detail
    if event.outcome is Outcome.SUPERSEDED:
        raise Superseded(
            f"Application {app_id} generation {generation} was replaced by generation {detail.app.generation}.",
            hint="Another submit under the same key took over.",
        )
    caller.log.info("Application %s generation %s is %s: waiting on.", app_id, generation, detail.attempt.phase.value)
    return None


class _Looker:
    """One look after another at one application, each told when it says something new."""

    def __init__(self, caller: Caller, held: Held, tell: Callable[[AppDetail], None]) -> None:
        self._caller, self._held, self._tell = caller, held, tell
        self._line = ""

    def look(self) -> Look:
        """Act once and say where the application is; the api-server being away is a look like any other."""
        caller = self._caller
        try:
            detail = take_steps(caller, self._held)
        except NotFound:
            return Seen(moment=time.monotonic(), at=caller.clock.now(), brief=None)
        except TemporaryError as error:
            caller.log.warning("No answer (%s); the application runs on, this task waits.", error)
            return Blind(moment=time.monotonic(), error=str(error))
        brief = brief_from_detail(detail)
        line = progress_line(brief)
        if line != self._line:
            self._line = line
            caller.log.info("%s", line)
        self._tell(detail)
        return Seen(moment=time.monotonic(), at=caller.clock.now(), brief=brief)
