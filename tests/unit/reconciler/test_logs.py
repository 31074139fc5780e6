"""Which logs are fetched, when they count as final, and when they are given up."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from platyspark_provider.core.facts import Record
from platyspark_provider.core.model import Attempt
from platyspark_provider.core.polling import Outcome, WaitRule, brief_from_detail, judge
from platyspark_provider.core.ports import AttemptRef, LogTail
from platyspark_provider.core.profiles import profiles_from_mapping
from platyspark_provider.core.states import FailureClass, LogState
from platyspark_provider.errors import BackendRejected
from platyspark_provider.registry.service import RegistryService
from platyspark_provider.testing import FakeBackend
from tests.builders import make_request
from tests.desks import Desk, OneBackend

ERROR = 'Traceback (most recent call last):\n  File "/app/job.py", line 3, in <module>\n    1 / 0\nZeroDivisionError: division by zero\n'
DEADLINE_S = 1800.0


@dataclass(kw_only=True)
class LogBackend(FakeBackend):
    """Logs lie where the cluster writes them, are of a moment, and may be unreadable."""

    has_prefix: bool = True
    is_readable: bool = True
    written_at: datetime | None = None

    def read_log(self, attempt: AttemptRef) -> LogTail | None:
        if not self.is_readable:
            raise BackendRejected("The bucket belongs to somebody else.")
        found = super().read_log(attempt)
        return replace(found, written_at=self.written_at) if found else None

    def log_uri(self, attempt: AttemptRef) -> str | None:
        return f"{attempt.log_prefix}/{attempt.external_id}" if self.has_prefix else None


class Listening:
    """The registry of a desk, with the batches of looks for logs that are recorded."""

    def __init__(self, real: RegistryService) -> None:
        self.real = real
        self.batches: list[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def record(self, records: list[Record], **values: Any) -> Any:
        self.batches += [[record.kind for record in records]] if records[0].kind == "log_looked_for" else []
        return self.real.record(records, **values)


def ended(state: Any = "failed", *, count: int = 1, **backend: Any) -> tuple[Desk, LogBackend, list[int]]:
    """Return a desk whose runs have just ended, and no pass has looked for their logs yet."""
    desk = Desk()
    fake = LogBackend(clock=desk.clock)
    desk.backend, desk.backends = fake, OneBackend(fake)
    ids = []
    for number in range(count):
        desk.add_task(f"ti-{number}", task_id=f"task-{number}")
        ids.append(desk.registry.submit(make_request(), ti_id=f"ti-{number}").app.id)
    for _ in range(3):
        desk.pass_once()
        desk.clock.advance(300)
    for app_id in ids:
        fake.finish(desk.run_name(app_id), state)
    for name, value in backend.items():
        setattr(fake, name, value)
    return desk, fake, ids


def attempt_of(desk: Desk, app_id: int) -> Attempt:
    return desk.detail(app_id).attempt


def test_log_without_a_prefix_is_given_up_at_once_and_the_task_goes_on() -> None:
    desk, _, (app_id,) = ended(has_prefix=False)
    desk.pass_once()
    desk.pass_once()
    detail = desk.detail(app_id)
    assert detail.attempt.log_state is LogState.MISSING
    assert judge(brief_from_detail(detail), 1, at=desk.clock.now(), rule=WaitRule()) is Outcome.ENDED
    assert detail.attempt.failure is not None
    assert detail.attempt.failure.is_complete
    assert "set log_uri" in str(detail.attempt.failure.hint)


def test_log_that_has_not_arrived_yet_is_waited_for_with_its_address() -> None:
    desk, _, (app_id,) = ended()
    desk.pass_once()
    desk.pass_once()
    attempt = attempt_of(desk, app_id)
    assert (attempt.log_state, attempt.log_uri) == (LogState.PENDING, f"s3://artifacts/files/logs/{attempt.external_id}")


def test_log_is_sought_at_the_prefix_of_the_cluster_that_was_joined() -> None:
    desk, fake, (first,) = ended("succeeded")
    moved = profiles_from_mapping({"profiles": {"shared": {"log_uri": "s3://elsewhere"}}}, artifacts="s3://artifacts/files")
    desk.registry = RegistryService(desk.store, desk.tasks, lambda: moved)
    desk.add_task("ti-later", task_id="later")
    second = desk.registry.submit(make_request(), ti_id="ti-later").app.id
    desk.pass_once()
    assert attempt_of(desk, second).spec.cluster.log_uri == "s3://elsewhere"
    assert desk.detail(second).app.cluster_id == desk.detail(first).app.cluster_id
    desk.clock.advance(60)
    desk.pass_once()
    fake.finish(desk.run_name(second), "failed")
    desk.pass_once()
    fake.end_cluster(next(iter(fake.clusters)))
    desk.pass_once()
    desk.pass_once()
    assert str(attempt_of(desk, second).log_uri).startswith("s3://artifacts/files/logs/")


def test_log_with_nul_bytes_is_kept_without_them() -> None:
    desk, fake, (app_id,) = ended()
    stderr = "a\x00b\n" + ERROR.replace("1 / 0", "1 /\x00 0")
    fake.write_log(desk.run_name(app_id), stderr, "out\x00\n")
    desk.pass_once()
    desk.pass_once()
    attempt = attempt_of(desk, app_id)
    assert attempt.failure is not None
    assert (attempt.log_state, attempt.failure.klass) == (LogState.ARRIVED, FailureClass.USER)
    assert "\x00" not in f"{attempt.log_tail}{attempt.failure}"
    assert "ab" in str(attempt.log_tail)


@pytest.mark.parametrize("state", ["succeeded", "failed"])
def test_log_with_a_result_keeps_it_whichever_stream_it_came_by(state: Any) -> None:
    desk, fake, (first, second, third) = ended(state, count=3)
    result = 'platyspark-result: {"rows": 5}\n'
    fake.write_log(desk.run_name(first), f"INFO started\n{result}INFO stopped\n" + "x" * 40_000, "out\n" * 20_000)
    fake.write_log(desk.run_name(second), result, result.replace("5", "6"))
    fake.write_log(desk.run_name(third), "rows: 5", "")
    desk.pass_once()
    desk.pass_once()
    assert [attempt_of(desk, app_id).result for app_id in (first, second, third)] == [{"rows": 5}, {"rows": 6}, None]


def test_log_that_can_not_be_read_is_given_up_at_the_deadline() -> None:
    desk, _, (app_id,) = ended(is_readable=False)
    desk.pass_once()
    desk.pass_once()
    assert attempt_of(desk, app_id).log_state is LogState.PENDING
    desk.clock.advance(DEADLINE_S)
    desk.pass_once()
    assert attempt_of(desk, app_id).log_state is LogState.MISSING


@pytest.mark.parametrize(("seconds_before_the_end", "state"), [(6, LogState.PENDING), (4, LogState.ARRIVED), (-30, LogState.ARRIVED)])
def test_log_written_while_the_run_went_on_is_not_the_final_one(seconds_before_the_end: float, state: LogState) -> None:
    desk, fake, (app_id,) = ended()
    fake.write_log(desk.run_name(app_id), ERROR)
    fake.written_at = desk.clock.now() - timedelta(seconds=seconds_before_the_end)
    desk.pass_once()
    desk.pass_once()
    assert attempt_of(desk, app_id).log_state is state
    desk.clock.advance(DEADLINE_S)
    desk.pass_once()
    assert attempt_of(desk, app_id).log_state is LogState.ARRIVED


def test_logs_that_bring_nothing_new_cost_no_call_and_those_that_do_cost_one() -> None:
    desk, fake, ids = ended(count=5)
    desk.pass_once()
    desk.pass_once()
    listening = Listening(desk.registry)
    desk.registry = listening  # type: ignore[assignment]
    desk.pass_once()
    assert listening.batches == []
    for app_id in ids:
        fake.write_log(desk.run_name(app_id), ERROR)
    desk.pass_once()
    assert listening.batches == [["log_looked_for"] * 5]
    assert {attempt_of(desk, app_id).log_state for app_id in ids} == {LogState.ARRIVED}
