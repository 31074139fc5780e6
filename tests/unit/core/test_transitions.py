"""Facts about an application: sends, listings, stops, logs, reasons to wait. Observations: `test_observation`."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from platyspark_provider.core.app_state import AppState, Refused, count_listing, may_send_again, merged
from platyspark_provider.core.facts import LogLookedFor, SendEnded, SendIntended, SendLookedFor, StopAdvanced, Waiting
from platyspark_provider.core.model import Condition, Failure
from platyspark_provider.core.records import Policy
from platyspark_provider.core.states import APP_SENT, APP_TERMINAL, AppPhase, ClusterPhase, FailureClass, LogState
from platyspark_provider.core.transitions import AppRecord, apply_to_app, mark_ready, request_stop, stop_wanted
from tests.builders import NOW, in_phase, make_attempt, make_cluster

POLICY = Policy(settle_s=300, settle_gap_s=5)
MINUTE = timedelta(minutes=1)


def state_in(phase: AppPhase, *, wanted: bool = False, cluster_id: int | None = 7, **attempt: Any) -> AppState:
    """Return an application in a phase, on cluster 7, with a generation 2 that waits for its end if `wanted`."""
    app, current = in_phase(phase, cluster_id=cluster_id, **attempt)
    app = replace(app, cluster_id=cluster_id, wanted_generation=2 if wanted else 1)
    return AppState(app=app, attempt=current, wanted=make_attempt(generation=2) if wanted else None, cluster=make_cluster())


def apply(state: AppState, record: AppRecord) -> AppState:
    """Apply a fact that is taken."""
    done = apply_to_app(state, record, policy=POLICY, actor="observer", now=NOW)
    assert isinstance(done, AppState), done
    return done


def refusal(state: AppState, record: AppRecord) -> str:
    """Apply a fact that is refused and return the code."""
    done = apply_to_app(state, record, policy=POLICY, actor="observer", now=NOW)
    assert isinstance(done, Refused), done
    assert done.message
    return done.code


def intended(generation: int = 1) -> SendIntended:
    return SendIntended(app_id=1, generation=generation, epoch=1, nonce="nonce")


def ended(result: Any, **values: Any) -> SendEnded:
    return SendEnded(app_id=1, generation=1, epoch=1, result=result, **values)


def looked(external_id: str | None = None, **values: Any) -> SendLookedFor:
    return SendLookedFor(app_id=1, generation=1, epoch=1, external_id=external_id, **values)


def kinds(state: AppState) -> list[str]:
    return [e.kind for e in state.events]


@pytest.mark.parametrize(
    "record",
    [
        intended(2),
        SendEnded(app_id=1, generation=2, epoch=1, result="lost"),
        SendLookedFor(app_id=1, generation=2, epoch=1, external_id=None),
        StopAdvanced(app_id=1, generation=2, epoch=1, stage=1, message="x"),
        Waiting(app_id=1, generation=2, epoch=1, reason="x", message="x"),
    ],
    ids=lambda r: r.kind,
)
def test_apply_fact_about_another_generation_is_refused(record: AppRecord) -> None:
    assert refusal(state_in(AppPhase.RUNNING), record) == "other_generation"


def test_intend_counts_the_send_and_names_its_cluster_and_nonce() -> None:
    done = apply(state_in(AppPhase.WAIT_CLUSTER, sends=1, empty_listings=2, last_listing_at=NOW, cluster_id=None), intended())
    attempt = done.attempt
    assert (attempt.phase, attempt.sends, attempt.send_nonce, attempt.sent_at) == (AppPhase.SENDING, 2, "nonce", NOW)
    assert (attempt.empty_listings, attempt.last_listing_at) == (0, None)
    assert done.app.phase is AppPhase.SENDING
    assert kinds(done) == ["app.sending"]
    assert apply(state_in(AppPhase.WAIT_CLUSTER), intended()).attempt.cluster_id == 7


@pytest.mark.parametrize("phase", sorted(set(AppPhase) - {AppPhase.WAIT_CLUSTER}))
def test_intend_in_any_other_phase_is_refused(phase: AppPhase) -> None:
    assert refusal(state_in(phase), intended()) == "not_sendable"


def test_intend_after_a_stop_was_asked_for_is_refused() -> None:
    assert refusal(state_in(AppPhase.WAIT_CLUSTER, stop_requested_at=NOW, stop_reason="killed"), intended()) == "stop_requested"


@pytest.mark.parametrize("phase", [AppPhase.SENDING, AppPhase.AMBIGUOUS])
def test_send_ended_sent_keeps_the_id_and_what_is_known(phase: AppPhase) -> None:
    state = state_in(phase, external_detail={"cluster": "j-1", "kept": 1})
    done = apply(state, ended("sent", external_id="s-1", external_detail={"cluster": None, "yarn": "a-1"}))
    assert (done.attempt.phase, done.attempt.external_id, done.attempt.submitted_at) == (AppPhase.PENDING, "s-1", NOW)
    assert done.attempt.external_detail == {"cluster": "j-1", "kept": 1, "yarn": "a-1"}


def test_send_ended_sent_after_a_stop_was_asked_for_is_stopped_next() -> None:
    done = apply(state_in(AppPhase.SENDING, stop_requested_at=NOW, stop_actor="user:x"), ended("sent", external_id="s-1"))
    assert done.attempt.phase is AppPhase.CANCELLING


def test_send_ended_lost_has_to_be_looked_for() -> None:
    assert apply(state_in(AppPhase.SENDING), ended("lost", message="reset")).attempt.phase is AppPhase.AMBIGUOUS


@pytest.mark.parametrize(("result", "cluster_id"), [("throttled", 7), ("unavailable", 7), ("cluster_gone", None)])
def test_send_ended_not_done_waits_again(result: str, cluster_id: int | None) -> None:
    done = apply(state_in(AppPhase.SENDING, sent_at=NOW), ended(result, retry_after_s=60))
    assert (done.attempt.phase, done.attempt.sent_at, done.app.cluster_id) == (AppPhase.WAIT_CLUSTER, None, cluster_id)
    assert done.app.next_reconcile_at == NOW + MINUTE
    assert apply(state_in(AppPhase.SENDING), ended(result)).app.next_reconcile_at is None


def test_send_ended_not_done_after_a_stop_was_asked_for_is_stopped() -> None:
    done = apply(state_in(AppPhase.SENDING, stop_requested_at=NOW, stop_actor="user:x"), ended("throttled"))
    assert (done.attempt.phase, done.attempt.death_proof) == (AppPhase.STOPPED, "never sent")


@pytest.mark.parametrize(
    ("phase", "nonce"),
    [(AppPhase.AMBIGUOUS, None), (AppPhase.AMBIGUOUS, "mine"), (AppPhase.SENDING, None), (AppPhase.SENDING, "other")],
)
def test_send_ended_rejected_of_what_another_may_have_sent_is_refused(phase: AppPhase, nonce: str | None) -> None:
    """The run may be at the backend already: it is looked for by name, and nothing is called 'never sent'."""
    assert refusal(state_in(phase, send_nonce="mine"), ended("rejected", message="no such file", nonce=nonce)) == "may_have_been_sent"


def test_send_ended_rejected_by_its_own_sender_fails() -> None:
    done = apply(state_in(AppPhase.SENDING, send_nonce="mine"), ended("rejected", message="args too long", nonce="mine"))
    assert (done.attempt.phase, done.attempt.death_proof) == (AppPhase.FAILED, "never sent")


@pytest.mark.parametrize("phase", [AppPhase.WAIT_CLUSTER, AppPhase.SENDING])
def test_send_ended_rejected_fails_by_the_users_fault(phase: AppPhase) -> None:
    done = apply(state_in(phase), ended("rejected", message="args too long"))
    assert (done.attempt.phase, done.attempt.failure_class, done.attempt.log_state) == (AppPhase.FAILED, FailureClass.USER, LogState.NONE)
    assert done.attempt.failure is not None
    assert done.attempt.failure.summary == "args too long"


@pytest.mark.parametrize("phase", sorted(set(AppPhase) - {AppPhase.SENDING, AppPhase.AMBIGUOUS}))
def test_send_ended_without_a_send_is_refused(phase: AppPhase) -> None:
    assert refusal(state_in(phase), ended("sent", external_id="s-1")) == "not_sending"
    assert refusal(state_in(phase), looked("s-1")) == "not_sending"


def test_looked_for_found_is_adopted() -> None:
    done = apply(state_in(AppPhase.AMBIGUOUS), looked("s-1"))
    assert (done.attempt.phase, done.attempt.external_id) == (AppPhase.PENDING, "s-1")
    assert "Adopted" in done.events[0].message


def test_looked_for_not_found_is_counted_until_the_window_is_over() -> None:
    sent = state_in(AppPhase.SENDING, sent_at=NOW - MINUTE)
    one = apply(sent, looked())
    assert (one.attempt.phase, one.attempt.empty_listings, one.attempt.last_listing_at) == (AppPhase.AMBIGUOUS, 1, NOW)
    again = apply(replace(one, events=()), looked())
    assert (again.attempt.empty_listings, again.attempt.last_listing_at, again.events) == (1, NOW, ())


def test_looked_for_settled_may_be_sent_again() -> None:
    lost = state_in(AppPhase.AMBIGUOUS, sent_at=NOW - 6 * MINUTE, empty_listings=1, last_listing_at=NOW - MINUTE)
    done = apply(lost, looked())
    assert (done.attempt.phase, done.attempt.sent_at) == (AppPhase.WAIT_CLUSTER, None)
    assert apply(state_in(AppPhase.SENDING, sent_at=NOW), looked(may_repeat=True)).attempt.phase is AppPhase.WAIT_CLUSTER


def test_looked_for_settled_after_a_stop_was_asked_for_is_stopped() -> None:
    lost = state_in(AppPhase.AMBIGUOUS, sent_at=NOW - 6 * MINUTE, empty_listings=2, stop_requested_at=NOW, stop_actor="user:x")
    done = apply(lost, looked())
    assert (done.attempt.phase, done.attempt.death_proof) == (AppPhase.STOPPED, "never arrived")


def test_may_send_again_needs_the_window_and_two_empty_listings() -> None:
    long_ago = NOW - timedelta(seconds=300)
    assert may_send_again(sent_at=None, empty_listings=0, policy=POLICY, now=NOW)
    assert may_send_again(sent_at=long_ago, empty_listings=2, policy=POLICY, now=NOW)
    assert not may_send_again(sent_at=long_ago, empty_listings=1, policy=POLICY, now=NOW)
    assert not may_send_again(sent_at=long_ago + MINUTE, empty_listings=9, policy=POLICY, now=NOW)


def test_count_listing_two_within_the_gap_count_once() -> None:
    assert count_listing(0, None, POLICY, NOW) == 1
    assert count_listing(1, NOW - timedelta(seconds=4), POLICY, NOW) == 1
    assert count_listing(1, NOW - timedelta(seconds=5), POLICY, NOW) == 2


def test_merged_unknown_never_overwrites_known() -> None:
    assert merged({"a": 1, "b": 2}, {"a": None, "b": 3, "c": 4}) == {"a": 1, "b": 3, "c": 4}


@pytest.mark.parametrize("phase", [AppPhase.NEW, AppPhase.WAIT_CLUSTER])
def test_request_stop_of_what_was_never_sent_stops_at_once(phase: AppPhase) -> None:
    done = request_stop(state_in(phase), reason="marked failed", actor="user:x", now=NOW)
    assert (done.attempt.phase, done.attempt.death_proof, done.attempt.ended_at) == (AppPhase.STOPPED, "never sent", NOW)
    assert kinds(done) == ["app.stopped"]


@pytest.mark.parametrize("phase", [AppPhase.PENDING, AppPhase.RUNNING])
def test_request_stop_of_what_runs_begins_the_ladder(phase: AppPhase) -> None:
    done = request_stop(state_in(phase), reason="cleared", actor="user:x", now=NOW)
    attempt = done.attempt
    assert (attempt.phase, attempt.stop_reason, attempt.stop_actor, attempt.stop_stage) == (AppPhase.CANCELLING, "cleared", "user:x", 0)


@pytest.mark.parametrize("phase", [AppPhase.SENDING, AppPhase.AMBIGUOUS])
def test_request_stop_during_a_send_is_kept_until_its_end_is_known(phase: AppPhase) -> None:
    done = request_stop(state_in(phase), reason="cleared", actor="user:x", now=NOW)
    assert (done.attempt.phase, done.attempt.stop_requested_at, kinds(done)) == (phase, NOW, ["app.stop_requested"])


@pytest.mark.parametrize("phase", sorted(APP_TERMINAL))
def test_request_stop_of_what_has_ended_changes_nothing(phase: AppPhase) -> None:
    state = state_in(phase)
    assert request_stop(state, reason="x", actor="user:x", now=NOW) == state


def test_request_stop_twice_keeps_the_first_reason() -> None:
    one = request_stop(state_in(AppPhase.RUNNING), reason="first", actor="user:x", now=NOW)
    assert request_stop(one, reason="second", actor="user:y", now=NOW + MINUTE) == one


def test_request_stop_takes_over_a_stop_that_we_began_ourselves() -> None:
    ours = state_in(AppPhase.CANCELLING, stop_requested_at=NOW, stop_actor="backend", stop_stage=2, stop_stage_at=NOW)
    done = request_stop(ours, reason="killed", actor="user:x", now=NOW)
    assert (done.attempt.phase, done.attempt.stop_actor, done.attempt.stop_stage) == (AppPhase.CANCELLING, "user:x", 0)


def test_request_stop_of_an_unproven_stop_climbs_the_ladder_again() -> None:
    ours = state_in(AppPhase.STOP_UNPROVEN, stop_requested_at=NOW, stop_actor="backend", stop_stage=3, stop_stage_at=NOW)
    done = request_stop(ours, reason="killed", actor="user:x", now=NOW)
    assert (done.attempt.phase, done.attempt.stop_stage, done.attempt.stop_stage_at) == (AppPhase.CANCELLING, 0, None)


def test_stop_of_what_was_never_sent_begins_the_wanted_generation() -> None:
    done = request_stop(state_in(AppPhase.WAIT_CLUSTER, wanted=True), reason="cleared", actor="user:x", now=NOW)
    assert (done.app.generation, done.app.phase, done.app.cluster_id) == (2, AppPhase.NEW, None)
    assert done.wanted is not None
    assert done.wanted.phase is AppPhase.NEW
    assert [(e.kind, e.generation) for e in done.events] == [("app.stopped", 1), ("app.new", 2)]


def test_wanted_generation_with_its_files_waits_for_a_cluster_at_once() -> None:
    state = state_in(AppPhase.WAIT_CLUSTER, wanted=True)
    assert state.wanted is not None
    done = request_stop(replace(state, wanted=replace(state.wanted, artifacts_ready=True)), reason="x", actor="user:x", now=NOW)
    assert done.app.phase is AppPhase.WAIT_CLUSTER


def test_wanted_generation_that_was_called_off_does_not_begin() -> None:
    off = stop_wanted(state_in(AppPhase.CANCELLING, wanted=True), reason="marked failed", actor="user:x", now=NOW)
    assert off.wanted is not None
    assert (off.wanted.phase, off.wanted.death_proof, off.app.wanted_generation) == (AppPhase.STOPPED, "never sent", 1)
    done = apply(replace(off, attempt=replace(off.attempt, phase=AppPhase.SENDING)), ended("rejected"))
    assert done.app.generation == 1


def test_stop_wanted_without_one_that_can_be_called_off_changes_nothing() -> None:
    alone = state_in(AppPhase.RUNNING)
    assert stop_wanted(alone, reason="x", actor="user:x", now=NOW) == alone
    off = stop_wanted(state_in(AppPhase.CANCELLING, wanted=True), reason="x", actor="user:x", now=NOW)
    assert stop_wanted(off, reason="y", actor="user:x", now=NOW) == off


def test_mark_ready_of_a_new_app_waits_for_a_cluster() -> None:
    state = state_in(AppPhase.NEW)
    done = mark_ready(state, state.attempt, actor="task:x", now=NOW)
    assert (done.attempt.phase, done.attempt.artifacts_ready, done.app.phase) == (AppPhase.WAIT_CLUSTER, True, AppPhase.WAIT_CLUSTER)
    assert mark_ready(done, done.attempt, actor="task:x", now=NOW) == done


def test_mark_ready_of_a_wanted_generation_leaves_the_current_one() -> None:
    state = state_in(AppPhase.RUNNING, wanted=True)
    assert state.wanted is not None
    done = mark_ready(state, state.wanted, actor="task:x", now=NOW)
    assert done.wanted == replace(state.wanted, artifacts_ready=True)
    assert (done.app, done.attempt) == (state.app, state.attempt)


def test_mark_ready_of_what_goes_on_already_changes_no_phase() -> None:
    state = state_in(AppPhase.RUNNING)
    assert mark_ready(state, state.attempt, actor="task:x", now=NOW).attempt.phase is AppPhase.RUNNING


def test_stop_advanced_keeps_the_rung() -> None:
    done = apply(state_in(AppPhase.CANCELLING), StopAdvanced(app_id=1, generation=1, epoch=1, stage=2, message="Sent TERM."))
    assert (done.attempt.stop_stage, done.attempt.stop_stage_at, done.attempt.phase) == (2, NOW, AppPhase.CANCELLING)
    assert done.events[0].detail == {"stage": 2}


def test_stop_advanced_to_the_end_without_proof_is_unproven() -> None:
    fact = StopAdvanced(app_id=1, generation=1, epoch=1, stage=3, message="All tried.", unproven=True)
    done = apply(state_in(AppPhase.CANCELLING), fact)
    assert (done.attempt.phase, done.app.phase) == (AppPhase.STOP_UNPROVEN, AppPhase.STOP_UNPROVEN)
    assert apply(done, replace(fact, unproven=False)).attempt.phase is AppPhase.STOP_UNPROVEN


@pytest.mark.parametrize("phase", sorted(set(AppPhase) - {AppPhase.CANCELLING, AppPhase.STOP_UNPROVEN}))
def test_stop_advanced_without_a_stop_is_refused(phase: AppPhase) -> None:
    assert refusal(state_in(phase), StopAdvanced(app_id=1, generation=1, epoch=1, stage=1, message="x")) == "not_stopping"


def log(tail: str | None, **values: Any) -> LogLookedFor:
    return LogLookedFor(app_id=1, generation=1, tail=tail, log_uri=values.pop("log_uri", None), **values)


INCOMPLETE = Failure(klass=FailureClass.UNKNOWN, summary="The backend reports a failure.", is_complete=False)
EXPLAINED = Failure(klass=FailureClass.USER, summary="ValueError: x")


def test_log_arrived_explains_the_failure() -> None:
    state = state_in(AppPhase.FAILED, log_state=LogState.PENDING, failure=INCOMPLETE, failure_class=FailureClass.UNKNOWN)
    attempt = apply(state, log("trace", failure=EXPLAINED, log_uri="s3://l")).attempt
    assert (attempt.log_state, attempt.log_tail, attempt.log_uri) == (LogState.ARRIVED, "trace", "s3://l")
    assert (attempt.failure, attempt.failure_class) == (EXPLAINED, FailureClass.USER)


def test_log_not_there_yet_keeps_only_where_it_will_be() -> None:
    state = state_in(AppPhase.FAILED, log_state=LogState.PENDING, failure=INCOMPLETE)
    done = apply(state, log(None, log_uri="s3://l"))
    assert done == replace(state, attempt=replace(state.attempt, log_uri="s3://l"))
    assert apply(done, log(None)).attempt.log_uri == "s3://l"


def test_log_given_up_completes_the_failure_as_it_is_known() -> None:
    done = apply(state_in(AppPhase.FAILED, log_state=LogState.PENDING, failure=INCOMPLETE), log(None, given_up=True))
    assert (done.attempt.log_state, done.attempt.failure) == (LogState.MISSING, replace(INCOMPLETE, is_complete=True))
    assert kinds(done) == ["app.log_missing"]


def test_log_does_not_replace_a_failure_that_is_complete() -> None:
    state = state_in(AppPhase.FAILED, log_state=LogState.PENDING, failure=EXPLAINED)
    assert apply(state, log("trace", failure=INCOMPLETE)).attempt.failure == EXPLAINED


def test_log_of_a_good_end_is_kept_without_an_event() -> None:
    done = apply(state_in(AppPhase.SUCCEEDED, log_state=LogState.PENDING), log("fine"))
    assert (done.attempt.log_tail, done.attempt.failure_class, done.events) == ("fine", None, ())


@pytest.mark.parametrize("log_state", [LogState.NONE, LogState.ARRIVED, LogState.MISSING])
def test_log_that_nobody_waits_for_is_refused(log_state: LogState) -> None:
    assert refusal(state_in(AppPhase.FAILED, log_state=log_state), log("x")) == "log_settled"


def waiting(reason: str, message: str = "m") -> Waiting:
    return Waiting(app_id=1, generation=1, epoch=1, reason=reason, message=message)


def test_waiting_keeps_since_while_the_reason_stays() -> None:
    before = Condition(type="Waiting", reason="cluster", message="old", since=NOW - MINUTE)
    state = state_in(AppPhase.WAIT_CLUSTER)
    state = replace(state, app=replace(state.app, conditions=(before,)))
    assert apply(state, waiting("cluster", "new")).app.conditions == (replace(before, message="new"),)
    assert apply(state, waiting("files")).app.conditions[0].since == NOW


def test_waiting_is_not_an_event_and_goes_with_the_next_phase() -> None:
    done = apply(state_in(AppPhase.WAIT_CLUSTER), waiting("cluster"))
    assert done.events == ()
    assert apply(done, intended()).app.conditions == ()


@pytest.mark.parametrize("phase", sorted(APP_TERMINAL))
def test_waiting_of_what_has_ended_is_refused(phase: AppPhase) -> None:
    assert refusal(state_in(phase), waiting("cluster")) == "ended"


def test_sent_phases_are_those_that_an_observation_may_change() -> None:
    assert APP_SENT.isdisjoint(APP_TERMINAL)
    assert {p for p in AppPhase if p.is_terminal} == APP_TERMINAL


def test_intend_to_send_to_a_cluster_that_takes_no_work_is_refused() -> None:
    app, attempt = in_phase(AppPhase.WAIT_CLUSTER)
    state = AppState(app=replace(app, cluster_id=7), attempt=attempt, cluster=make_cluster(phase=ClusterPhase.DRAINING, live_key=None))
    fact = SendIntended(app_id=1, generation=1, epoch=1, nonce="n")
    done = apply_to_app(state, fact, policy=Policy(), actor="observer", now=NOW)
    assert isinstance(done, Refused)
    assert done.code == "cluster_ending"
