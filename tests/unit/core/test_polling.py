"""How long a task waits: the same generator under a blocking and a paced driver, in virtual time."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platyspark_provider.core.model import Condition
from platyspark_provider.core.polling import (
    AppEvent,
    Blind,
    Look,
    Outcome,
    Seen,
    WaitRule,
    answer_until_pause,
    brief_from_detail,
    drive,
    event_from_dict,
    judge,
    progress_line,
    wait_for_app,
)
from platyspark_provider.core.records import AppBrief, AppDetail
from platyspark_provider.core.states import AppPhase, LogState
from tests.builders import NOW, in_phase, make_target

RULE = WaitRule(poll_s=10.0, log_wait_s=120.0, max_blind_s=600.0)


def brief(phase: AppPhase = AppPhase.RUNNING, **values: Any) -> AppBrief:
    base: dict[str, Any] = {"app_id": 7, "generation": 2, "wanted_generation": 2, "log_state": LogState.NONE, "ended_at": None}
    return AppBrief(phase=phase, **{**base, **values})


def looks_to_event(looks: list[Look], rule: WaitRule = RULE) -> tuple[AppEvent, float, int]:
    """Drive a wait with scripted looks; return the event, the seconds slept and the looks taken."""
    slept: list[float] = []
    left = iter(looks)
    event = drive(wait_for_app(7, 2, rule=rule), describe=lambda: next(left), sleep=slept.append)
    return event, sum(slept), len(looks) - len(list(left))


def seen(moment: float, value: AppBrief | None) -> Seen:
    return Seen(moment=moment, at=NOW + timedelta(seconds=moment), brief=value)


@pytest.mark.parametrize("phase", [p for p in AppPhase if p.is_terminal])
def test_wait_for_app_terminal_phase_ends_after_the_polls_before_it(phase: AppPhase) -> None:
    event, slept, taken = looks_to_event([seen(0, brief()), seen(10, brief()), seen(20, brief(phase))])
    assert (event.outcome, slept, taken) == (Outcome.ENDED, 20.0, 3)
    assert (event.app_id, event.generation) == (7, 2)


@pytest.mark.parametrize("phase", [p for p in AppPhase if not p.is_terminal])
def test_judge_live_phase_goes_on(phase: AppPhase) -> None:
    assert judge(brief(phase), 2, at=NOW, rule=WaitRule(log_wait_s=0)) is None


def test_judge_failed_waits_for_its_log_until_the_limit() -> None:
    failed = brief(AppPhase.FAILED, log_state=LogState.PENDING, ended_at=NOW)
    assert judge(failed, 2, at=NOW + timedelta(seconds=119), rule=RULE) is None
    assert judge(failed, 2, at=NOW + timedelta(seconds=120), rule=RULE) is Outcome.ENDED
    arrived = brief(AppPhase.FAILED, log_state=LogState.ARRIVED, ended_at=NOW)
    assert judge(arrived, 2, at=NOW, rule=RULE) is Outcome.ENDED


def test_judge_succeeded_does_not_wait_for_its_log() -> None:
    done = brief(AppPhase.SUCCEEDED, log_state=LogState.PENDING, ended_at=NOW)
    assert judge(done, 2, at=NOW, rule=RULE) is Outcome.ENDED


def test_judge_succeeded_waits_for_its_log_where_a_result_is_wanted() -> None:
    rule = WaitRule(log_wait_s=120.0, log_on_success=True)
    done = brief(AppPhase.SUCCEEDED, log_state=LogState.PENDING, ended_at=NOW)
    assert judge(done, 2, at=NOW + timedelta(seconds=119), rule=rule) is None
    assert judge(done, 2, at=NOW + timedelta(seconds=120), rule=rule) is Outcome.ENDED
    for state in (LogState.ARRIVED, LogState.MISSING, LogState.NONE):
        assert judge(brief(AppPhase.SUCCEEDED, log_state=state, ended_at=NOW), 2, at=NOW, rule=rule) is Outcome.ENDED
    stopped = brief(AppPhase.STOPPED, log_state=LogState.PENDING, ended_at=NOW)
    assert judge(stopped, 2, at=NOW, rule=rule) is Outcome.ENDED


def test_judge_later_generation_is_superseded() -> None:
    assert judge(brief(generation=3, wanted_generation=3), 2, at=NOW, rule=WaitRule(log_wait_s=0)) is Outcome.SUPERSEDED


def test_judge_generation_that_waits_for_the_old_one_goes_on() -> None:
    ended = brief(AppPhase.CANCELLING, generation=1, wanted_generation=2)
    assert judge(ended, 2, at=NOW, rule=WaitRule(log_wait_s=0)) is None


def test_judge_generation_called_off_is_missing() -> None:
    assert judge(brief(generation=1, wanted_generation=1), 2, at=NOW, rule=WaitRule(log_wait_s=0)) is Outcome.MISSING


def test_wait_for_app_missing_once_goes_on_and_thrice_ends() -> None:
    once = [seen(0, None), seen(10, brief()), seen(20, None), seen(30, None), seen(40, None)]
    event, _, taken = looks_to_event(once)
    assert (event.outcome, taken) == (Outcome.MISSING, 5)


def test_wait_for_app_blind_ends_with_the_cause_after_its_limit() -> None:
    looks: list[Look] = [seen(0, brief()), *(Blind(moment=float(10 * i), error="connection refused") for i in range(1, 100))]
    event, _, taken = looks_to_event(looks)
    assert event.outcome is Outcome.BLIND
    assert taken == 61
    assert "connection refused" in event.message


def test_wait_for_app_blind_without_limit_waits_until_it_sees_again() -> None:
    looks: list[Look] = [*(Blind(moment=1000.0 * i, error="down") for i in range(50)), seen(50_000, brief(AppPhase.SUCCEEDED))]
    event, _, taken = looks_to_event(looks, WaitRule(max_blind_s=None))
    assert (event.outcome, taken) == (Outcome.ENDED, 51)


def test_wait_for_app_a_view_between_outages_restarts_the_blind_count() -> None:
    outage = [Blind(moment=float(m), error="down") for m in (0, 300)]
    again = [Blind(moment=float(m), error="down") for m in (400, 900)]
    event, _, _ = looks_to_event([*outage, seen(350, brief()), *again, seen(940, brief(AppPhase.SUCCEEDED))])
    assert event.outcome is Outcome.ENDED


def test_wait_for_app_describe_without_a_look_raises() -> None:
    steps = wait_for_app(7, 2, rule=RULE)
    next(steps)
    with pytest.raises(TypeError, match="Look"):
        steps.send(None)


_BRIEFS = st.one_of(
    st.none(),
    st.builds(
        brief,
        st.sampled_from(AppPhase),
        generation=st.integers(1, 4),
        wanted_generation=st.integers(1, 4),
        log_state=st.sampled_from(LogState),
        ended_at=st.one_of(st.none(), st.just(NOW)),
    ),
)


@given(st.lists(st.one_of(_BRIEFS, st.just("blind")), max_size=12))
def test_wait_for_app_both_drivers_give_the_same_event(script: list[AppBrief | str | None]) -> None:
    looks: list[Look] = [Blind(moment=10.0 * i, error="down") if isinstance(b, str) else seen(10.0 * i, b) for i, b in enumerate(script)]
    looks.append(seen(10.0 * len(script), brief(AppPhase.SUCCEEDED)))
    paced = wait_for_app(7, 2, rule=RULE)
    next(paced)
    events = [e for e in (answer_until_pause(paced, look) for look in _until_over(paced, looks)) if e is not None]
    assert events == [looks_to_event(looks)[0]]


def _until_over(steps: Any, looks: list[Look]) -> Any:
    for look in looks:
        if steps.gi_frame is None:
            return
        yield look


@given(st.builds(AppEvent, app_id=st.integers(), generation=st.integers(), outcome=st.sampled_from(Outcome), message=st.text()))
def test_event_from_dict_rebuilds_what_as_dict_gave(event: AppEvent) -> None:
    assert event_from_dict({**event.as_dict(), "of_a_later_version": 1}) == event


def test_brief_from_detail_says_what_a_snapshot_says() -> None:
    app, attempt = in_phase(AppPhase.WAIT_CLUSTER)
    condition = Condition(type="Waiting", reason="cluster", message="Cluster shared is starting.", since=NOW)
    waiting = AppDetail(app=_with_condition(app, condition), attempt=attempt, cluster=None, target=make_target())
    line = progress_line(brief_from_detail(waiting))
    assert line == "Application 1 generation 1: wait cluster. Cluster shared is starting."
    quiet = AppDetail(app=app, attempt=attempt, cluster=None, target=make_target())
    assert progress_line(brief_from_detail(quiet)) == "Application 1 generation 1: wait cluster."


def _with_condition(app: Any, condition: Condition) -> Any:
    from dataclasses import replace

    return replace(app, conditions=(condition,))
