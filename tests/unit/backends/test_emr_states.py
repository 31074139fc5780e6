"""EMR's words and what they mean for us."""

from datetime import UTC, datetime
from typing import Any

import pytest

from platyspark_provider.backends.base import failure_class_from_code
from platyspark_provider.backends.emr_states import (
    Step,
    StepState,
    attempt_sight,
    attempt_state,
    cluster_sight,
    death_from_step,
    step_from_summary,
)
from platyspark_provider.core.ports import Death
from platyspark_provider.core.states import DeployMode, FailureClass

AT = datetime(2026, 1, 1, tzinfo=UTC)
CLUSTER, CLIENT = DeployMode.CLUSTER, DeployMode.CLIENT


def raw_cluster(state: str, code: str = "", details: tuple[str, ...] = ()) -> dict[str, Any]:
    status: dict[str, Any] = {"State": state, "Timeline": {"CreationDateTime": AT}}
    if code:
        status["StateChangeReason"] = {"Code": code, "Message": "because"}
    if details:
        status["ErrorDetails"] = [{"ErrorCode": one} for one in details]
    return {"Id": "j-1", "Name": "plsp/x", "Status": status}


def step(state: StepState, *, started: bool = True) -> Step:
    return Step(id="s-1", name="run", state=state, started_at=AT if started else None)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("STARTING", "starting"),
        ("BOOTSTRAPPING", "starting"),
        ("RUNNING", "ready"),
        ("WAITING", "ready"),
        ("TERMINATING", "terminating"),
        ("TERMINATED", "dead"),
        ("TERMINATED_WITH_ERRORS", "dead"),
    ],
)
def test_cluster_sight_translates_the_state(word: str, state: str) -> None:
    sight = cluster_sight(raw_cluster(word))

    assert (sight.state, sight.raw_state, sight.created_at) == (state, word, AT)


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        ("USER_REQUEST", (), FailureClass.EXTERNAL_KILL),
        ("INSTANCE_FAILURE", (), FailureClass.INFRASTRUCTURE),
        ("INSTANCE_FLEET_TIMEOUT", (), FailureClass.INFRASTRUCTURE),
        ("INTERNAL_ERROR", (), FailureClass.INFRASTRUCTURE),
        ("INTERNAL_ERROR", ("INTERNAL_ERROR_EC2_INSUFFICIENT_CAPACITY_AZ",), FailureClass.CAPACITY),
        ("INTERNAL_ERROR", ("INTERNAL_ERROR_SPOT_NO_CAPACITY_PRIMARY",), FailureClass.CAPACITY),
        ("INTERNAL_ERROR", ("INTERNAL_ERROR_SPOT_PRICE_INCREASE_PRIMARY",), FailureClass.CAPACITY),
        ("INTERNAL_ERROR", ("A_CODE_OF_TOMORROW",), FailureClass.INFRASTRUCTURE),
        ("BOOTSTRAP_FAILURE", ("BOOTSTRAP_FAILURE_BA_NON_ZERO_EXIT",), FailureClass.INFRASTRUCTURE),
        ("VALIDATION_ERROR", ("VALIDATION_ERROR_SUBNET_NOT_FOUND",), FailureClass.USER),
        ("STEP_FAILURE", (), FailureClass.USER),
        ("A_CODE_OF_TOMORROW", (), FailureClass.UNKNOWN),
    ],
)
def test_cluster_sight_dead_cluster_is_classified_by_code(code: str, details: tuple[str, ...], expected: FailureClass) -> None:
    assert cluster_sight(raw_cluster("TERMINATED_WITH_ERRORS", code, details)).failure_class == expected


def test_cluster_sight_finer_code_is_reported() -> None:
    sight = cluster_sight(raw_cluster("TERMINATING", "VALIDATION_ERROR", ("VALIDATION_ERROR_SUBNET_NOT_FOUND",)))

    assert (sight.reason_code, sight.reason, sight.failure_class) == ("VALIDATION_ERROR_SUBNET_NOT_FOUND", "because", FailureClass.USER)


@pytest.mark.parametrize(("word", "code"), [("WAITING", ""), ("TERMINATED", "ALL_STEPS_COMPLETED")])
def test_cluster_sight_live_or_cleanly_ended_has_no_failure(word: str, code: str) -> None:
    assert cluster_sight(raw_cluster(word, code)).failure_class is None


def test_failure_class_longest_stem_wins_and_half_words_do_not_match() -> None:
    table = {"INTERNAL_ERROR": FailureClass.INFRASTRUCTURE, "INTERNAL_ERROR_EC2": FailureClass.CAPACITY}

    assert failure_class_from_code("INTERNAL_ERROR_EC2_X", table) is FailureClass.CAPACITY
    assert failure_class_from_code("INTERNAL_ERRORS", table) is FailureClass.UNKNOWN


def test_step_from_summary_reads_times_and_failure() -> None:
    parsed = step_from_summary(
        {
            "Id": "s-1",
            "Name": "run",
            "Status": {
                "State": "FAILED",
                "Timeline": {"CreationDateTime": AT, "StartDateTime": AT, "EndDateTime": AT},
                "FailureDetails": {"Reason": "Unknown Error.", "LogFile": "s3://logs/stderr.gz"},
            },
        }
    )

    assert (parsed.state, parsed.created_at, parsed.started_at, parsed.ended_at) == (StepState.FAILED, AT, AT, AT)
    assert parsed.reason == "Unknown Error. s3://logs/stderr.gz"


def test_step_from_summary_word_of_tomorrow_counts_as_running() -> None:
    assert step_from_summary({"Id": "s-1", "Status": {"State": "PAUSED"}}).state is StepState.RUNNING


@pytest.mark.parametrize(
    ("state", "started", "expected"),
    [
        (StepState.PENDING, False, "pending"),
        (StepState.RUNNING, True, "running"),
        (StepState.CANCEL_PENDING, False, "pending"),
        (StepState.CANCEL_PENDING, True, "running"),
        (StepState.COMPLETED, True, "succeeded"),
        (StepState.CANCELLED, True, "cancelled"),
        (StepState.FAILED, True, "failed"),
        (StepState.INTERRUPTED, True, "failed"),
    ],
)
def test_attempt_state_translates_every_word(state: StepState, started: bool, expected: str) -> None:
    assert attempt_state(step(state, started=started)) == expected


@pytest.mark.parametrize(
    ("state", "started", "mode", "stage", "expected"),
    [
        (StepState.CANCELLED, False, CLUSTER, 0, "dead"),
        (StepState.CANCELLED, False, CLIENT, 0, "dead"),
        (StepState.COMPLETED, True, CLUSTER, 0, "dead"),
        (StepState.PENDING, False, CLUSTER, 0, "alive"),
        (StepState.RUNNING, True, CLUSTER, 0, "unknown"),
        (StepState.FAILED, True, CLUSTER, 2, "unknown"),
        (StepState.CANCELLED, True, CLUSTER, 2, "unknown"),
        (StepState.RUNNING, True, CLIENT, 1, "alive"),
        (StepState.FAILED, True, CLIENT, 0, "dead"),
        (StepState.CANCELLED, True, CLIENT, 1, "unknown"),
        (StepState.CANCELLED, True, CLIENT, 2, "dead"),
    ],
)
def test_death_from_step_proves_only_what_the_record_can(
    state: StepState, started: bool, mode: DeployMode, stage: int, expected: str
) -> None:
    assert death_from_step(step(state, started=started), mode, stop_stage=stage).state == expected


def test_attempt_sight_live_step_says_nothing_of_its_driver() -> None:
    sight = attempt_sight(step(StepState.RUNNING), Death(state="alive", proof="seen"))

    assert (sight.driver, sight.proof) == ("unknown", None)


def test_attempt_sight_ended_step_carries_the_proof() -> None:
    sight = attempt_sight(step(StepState.FAILED), Death(state="dead", proof="YARN: gone"), {"yarn_application_id": "application_1_1"})

    assert (sight.state, sight.driver, sight.proof) == ("failed", "dead", "YARN: gone")
    assert sight.external_detail == {"yarn_application_id": "application_1_1"}
