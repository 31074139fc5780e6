"""How a task waits for its application: one generator that a worker's loop and the triggerer's stream both drive."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, TypeVar, assert_never

from platyspark_provider.core.records import AppBrief, AppDetail
from platyspark_provider.core.states import AppPhase, LogState

# A look and an event: those of applications here, those of clusters in `cluster_polling`.
L = TypeVar("L")
E = TypeVar("E")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitRule:
    """The numbers of a wait.

    :param log_wait_s: seconds after a failure during which its driver's log is waited for.
    :param log_on_success: the log of a run that succeeded is waited for as well: the job's result is in it.
    :param max_blind_s: seconds without a view of the application after which the wait ends; None waits for ever.
    :param missing_looks: looks in a row without the application after which it counts as gone; the first may be older
        than the submit (a cached snapshot), so one never suffices.
    """

    poll_s: float = 10.0
    log_wait_s: float = 120.0
    max_blind_s: float | None = None
    missing_looks: int = 3
    log_on_success: bool = False


@dataclass(frozen=True, slots=True)
class Describe:
    """Ask for a look at the application."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Ask for a pause."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A look that worked.

    :param moment: monotonic seconds of the looker.
    :param at: the registry's time.
    :param brief: None when the application is not among the live and unacknowledged ones.
    """

    moment: float
    at: datetime
    brief: AppBrief | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blind:
    """A look that failed."""

    moment: float
    error: str


class Sight(Protocol):
    """A look that worked, at whatever is waited for."""

    @property
    def moment(self) -> float:
        """Monotonic seconds of the looker."""


V = TypeVar("V", bound=Sight)
End = TypeVar("End", bound=StrEnum)
Watching = Generator[Describe | Sleep, V | Blind | None, tuple[End, str]]
Look = Seen | Blind
Waiting = Generator[Describe | Sleep, Look | None, "AppEvent"]


class Outcome(StrEnum):
    """Why a wait ended; how the application ended is read from the registry by the resumed task."""

    ENDED = "ended"
    SUPERSEDED = "superseded"
    MISSING = "missing"
    BLIND = "blind"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppEvent:
    """The one thing that resumes a waiting task."""

    app_id: int
    generation: int
    outcome: Outcome
    message: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the event as Airflow stores it."""
        return {"app_id": self.app_id, "generation": self.generation, "outcome": self.outcome.value, "message": self.message}


def event_from_dict(values: dict[str, Any]) -> AppEvent:
    """Rebuild an event; fields of a newer version are ignored."""
    return AppEvent(
        app_id=int(values["app_id"]),
        generation=int(values["generation"]),
        outcome=Outcome(values["outcome"]),
        message=str(values.get("message", "")),
    )


def watch(judged: Callable[[V], End | None], *, what: str, missing: End, blind: End, rule: WaitRule) -> Watching[V, End]:
    """Yield `Describe` (send a look) and `Sleep` (send anything) until a look means an end; return that, and words to it.

    :param judged: what a look that worked means; None to go on, `missing` counts only `rule.missing_looks` times in a row.
    :param blind: what no look at all for `rule.max_blind_s` means.
    """
    misses = 0
    seen_at: float | None = None
    while True:
        look = yield Describe()
        if look is None:
            raise TypeError("Describe needs a Look")
        if isinstance(look, Blind):
            seen_at = look.moment if seen_at is None else seen_at
            if rule.max_blind_s is not None and look.moment - seen_at >= rule.max_blind_s:
                return blind, f"No view of the {what} for {look.moment - seen_at:.0f} s: {look.error}"
        else:
            seen_at = look.moment
            outcome = judged(look)
            misses = misses + 1 if outcome is missing else 0
            if outcome is not None and (outcome is not missing or misses >= rule.missing_looks):
                return outcome, ""
        yield Sleep(rule.poll_s)


def wait_for_app(app_id: int, generation: int, *, rule: WaitRule) -> Waiting:
    """Watch until the generation is over for its task."""

    def judged(look: Seen) -> Outcome | None:
        return judge(look.brief, generation, at=look.at, rule=rule)

    outcome, message = yield from watch(judged, what="application", missing=Outcome.MISSING, blind=Outcome.BLIND, rule=rule)
    return AppEvent(app_id=app_id, generation=generation, outcome=outcome, message=message)


def judge(brief: AppBrief | None, generation: int, *, at: datetime, rule: WaitRule) -> Outcome | None:
    """Return what one look means for a task that waits for `generation`; None to go on.

    ENDED and SUPERSEDED stay true, so an old snapshot may say them. MISSING (not listed, or the generation was called off
    before it began) may be a snapshot older than the submit.
    """
    if brief is None:
        return Outcome.MISSING
    if brief.generation > generation:
        return Outcome.SUPERSEDED
    if brief.generation < generation:
        return Outcome.MISSING if brief.wanted_generation < generation else None
    if not brief.phase.is_terminal or _awaits_log(brief, at, rule):
        return None
    return Outcome.ENDED


def _awaits_log(brief: AppBrief, at: datetime, rule: WaitRule) -> bool:
    is_wanted = brief.phase is AppPhase.FAILED or (rule.log_on_success and brief.phase is AppPhase.SUCCEEDED)
    if not is_wanted or brief.log_state is not LogState.PENDING or brief.ended_at is None:
        return False
    return at < brief.ended_at + timedelta(seconds=rule.log_wait_s)


def drive(steps: Generator[Describe | Sleep, L | None, E], *, describe: Callable[[], L], sleep: Callable[[float], None]) -> E:
    """Run a wait to its end in the calling thread."""
    answer: L | None = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            event: E = end.value
            return event
        match step:
            case Describe():
                answer = describe()
            case Sleep(seconds):
                sleep(seconds)
                answer = None
            case _:
                assert_never(step)


def answer_until_pause(steps: Generator[Describe | Sleep, L | None, E], look: L) -> E | None:
    """Give a started wait one look and leave it at its next `Describe`; the event if that ended it.

    For drivers that are paced from outside: the stream brings looks, so `Sleep` needs no pause.
    """
    try:
        steps.send(look)
        steps.send(None)
    except StopIteration as end:
        event: E = end.value
        return event
    return None


def brief_from_detail(detail: AppDetail) -> AppBrief:
    """Return the snapshot's line of an application from its details (of the current generation)."""
    app, attempt = detail.app, detail.attempt
    return AppBrief(
        app_id=app.id,
        generation=app.generation,
        wanted_generation=app.wanted_generation,
        phase=app.phase,
        log_state=attempt.log_state,
        ended_at=attempt.ended_at,
        note=app.conditions[0].message if app.conditions else "",
    )


def progress_line(brief: AppBrief) -> str:
    """Return where an application is, in one line for the task's log."""
    words = f"Application {brief.app_id} generation {brief.generation}: {brief.phase.value.replace('_', ' ')}."
    return f"{words} {brief.note}".rstrip()
