"""The worker's part of a wait: where nobody else moves its application it acts itself, so that no triggerer or watchdog is needed."""

import time
from collections.abc import Callable
from datetime import datetime

from platyspark_provider.core.polling import (
    AppEvent,
    Blind,
    Look,
    Outcome,
    Seen,
    WaitRule,
    brief_from_detail,
    drive,
    judge,
    progress_line,
    wait_for_app,
)
from platyspark_provider.core.records import AppDetail, SubmitAnswer
from platyspark_provider.core.states import AppPhase
from platyspark_provider.errors import NotFound, RegistryUnavailable, Superseded, TemporaryError
from platyspark_provider.operators.submission import Caller, Held, take_steps
from platyspark_provider.settings import Settings

# Looks in a row without a sign of somebody else after which this task acts: what runs is observed at each of an observer's
# passes; what is to be sent or stopped is moved at once.
SILENT_LOOKS = 3
SILENT_LOOKS_IF_URGENT = 1


def wait_rule(settings: Settings, *, log_on_success: bool = False) -> WaitRule:
    """Return the numbers of a wait from `[platyspark]`."""
    return WaitRule(
        poll_s=settings.poll_interval,
        log_wait_s=settings.log_wait,
        max_blind_s=settings.max_blind or None,
        log_on_success=log_on_success,
    )


def is_over(answer: SubmitAnswer, rule: WaitRule, now: datetime) -> bool:
    """Tell whether nothing more of a generation that a submit found ended is to be waited for."""
    detail = AppDetail(app=answer.app, attempt=answer.attempt, cluster=None, target=answer.target)
    return judge(brief_from_detail(detail), answer.generation, at=now, rule=rule) is not None


def wait_in_worker(caller: Caller, held: Held, rule: WaitRule, *, tell: Callable[[AppDetail], None]) -> AppEvent:
    """Look until the generation is over, and act while nobody else does.

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
        self._others = Others()
        self._line = ""

    def look(self) -> Look:
        """Say where the application is; the api-server being away is a look like any other."""
        caller = self._caller
        try:
            detail = self._detail()
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

    def _detail(self) -> AppDetail:
        """Return the current generation, after acting for it where nobody else seems to."""
        caller, held = self._caller, self._held
        detail = caller.registry.detail(held.app_id, ti_id=caller.ti_id)
        if not self._others.are_silent(detail, caller.clock.now()):
            return detail
        acted = take_steps(caller, held)
        self._others.expect(acted)
        return acted


class Others:
    """Whether anybody else works on an application, judged by how its rows change from look to look.

    Acting costs calls of the backend's quotas, a look does not: with an observer about, any number of waiting tasks only look.
    A worker's clock may be off, so times are compared with each other; only a pause that a backend asked for is held to it.
    """

    def __init__(self) -> None:
        self._mark: object = None
        self._quiet_looks = 0

    def are_silent(self, detail: AppDetail, now: datetime) -> bool:
        """Take one look and tell whether it is this task's turn to act."""
        mark, later = _mark_of(detail), detail.app.next_reconcile_at
        self._quiet_looks = self._quiet_looks + 1 if mark == self._mark else 0
        self._mark = mark
        if later is not None and later > now:
            return False
        return self._quiet_looks >= _patience(detail)

    def expect(self, detail: AppDetail) -> None:
        """Remember how this task itself left the rows; unless somebody else moves them, it goes on acting at each look."""
        self._mark, self._quiet_looks = _mark_of(detail), SILENT_LOOKS


def _mark_of(detail: AppDetail) -> object:
    app, attempt = detail.app, detail.attempt
    return (app.generation, app.phase, app.updated_at, attempt.observed_at, attempt.stop_stage_at, attempt.log_state, attempt.log_uri)


def _patience(detail: AppDetail) -> int:
    """Return for how many looks in a row nothing may have moved."""
    is_urgent = detail.app.phase not in {AppPhase.PENDING, AppPhase.RUNNING} and not detail.app.phase.is_terminal
    return SILENT_LOOKS_IF_URGENT if is_urgent else SILENT_LOOKS
