"""The worker's part of a submit, against a registry in memory: files first, one send, and no second one."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from platyspark_provider.core.spec import AppRequest
from platyspark_provider.core.states import AppPhase, FailureClass
from platyspark_provider.errors import ArtifactMissing, BackendUnavailable, RegistryUnavailable
from platyspark_provider.operators.files import DagFiles
from platyspark_provider.operators.request import Arguments, request_from_arguments
from platyspark_provider.operators.submission import Caller, Held, advance_now, place_files, submit
from platyspark_provider.testing import Fault
from tests.desks import TI, Desk, FakeS3


def made(tmp_path: Path, **values: Any) -> tuple[AppRequest, DagFiles]:
    """Return a request for a job beside its DAG file, and where its files are."""
    job = tmp_path / "job.py"
    if not job.exists():
        job.write_text("print(1)")
    files = DagFiles(str(tmp_path / "dag.py"), is_parsed_by_airflow=True)
    return request_from_arguments(Arguments(**{"application": "job.py", **values}), files), files


def submitted(caller: Caller, tmp_path: Path, **values: Any) -> Held:
    request, files = made(tmp_path, **values)
    answer = submit(caller, request)
    held = Held(app_id=answer.app.id, generation=answer.generation)
    place_files(caller, answer, files)
    advance_now(caller, held)
    return held


def test_submit_local_file_is_uploaded_by_content_and_sent_once(tmp_path: Path) -> None:
    desk = Desk()
    held = submitted(desk.caller(), tmp_path)
    digest = hashlib.sha256(b"print(1)").hexdigest()
    assert desk.s3.objects == {("artifacts", f"files/{digest}/job.py"): b"print(1)"}
    assert desk.backend.calls["submit"] == 1
    sent = desk.backend.run_named(desk.run_name(held.app_id))
    assert sent.spec.application_uri == f"s3://artifacts/files/{digest}/job.py"


def test_submit_second_try_attaches_and_sends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    first = submitted(desk.caller(), tmp_path)
    desk.tasks.archive(TI, state="failed")
    desk.add_task("ti-2", try_number=2)
    with caplog.at_level("INFO"):
        second = submitted(desk.caller(ti_id="ti-2"), tmp_path)
    assert second == first
    assert desk.backend.calls["submit"] == 1
    assert f"Reattached to application {first.app_id} generation 1 (pending), not resubmitted." in caplog.text


def test_submit_address_that_exists_is_looked_at_and_not_uploaded(tmp_path: Path) -> None:
    desk = Desk(s3=FakeS3("s3://code/job.py"))
    held = submitted(desk.caller(), tmp_path, application="s3://code/job.py")
    assert desk.s3.heads == ["s3://code/job.py"]
    assert desk.detail(held.app_id).attempt.phase is AppPhase.PENDING


def test_place_files_missing_address_ends_the_generation_unsent(tmp_path: Path) -> None:
    desk = Desk()
    with pytest.raises(ArtifactMissing, match=r"s3://code/none\.py"):
        submitted(desk.caller(), tmp_path, application="s3://code/none.py")
    (brief,) = desk.store.snapshot().apps or (None,)
    assert brief is None
    ended = desk.detail(1).attempt
    assert (ended.phase, ended.failure_class, ended.sends) == (AppPhase.FAILED, FailureClass.USER, 0)
    assert desk.pass_once().done == []
    assert desk.backend.calls["submit"] == 0


def test_place_files_missing_address_is_not_sent_by_an_observer_that_is_faster(tmp_path: Path) -> None:
    desk = Desk()
    request, files = made(tmp_path, application="s3://code/none.py")
    answer = submit(desk.caller(), request)
    for _ in range(3):
        desk.pass_once()
        desk.clock.advance(60)
    with pytest.raises(ArtifactMissing, match=r"s3://code/none\.py"):
        place_files(desk.caller(), answer, files)
    assert desk.backend.calls["submit"] == 0
    assert desk.detail(answer.app.id).attempt.failure_class is FailureClass.USER


def test_place_files_missing_address_of_a_retry_begins_a_new_generation_once_it_is_there(tmp_path: Path) -> None:
    desk = Desk()
    with pytest.raises(ArtifactMissing):
        submitted(desk.caller(), tmp_path, application="s3://code/late.py")
    desk.s3.objects["code", "late.py"] = b"x"
    desk.tasks.archive(TI, state="failed")
    desk.add_task("ti-2", try_number=2)
    held = submitted(desk.caller(ti_id="ti-2"), tmp_path, application="s3://code/late.py")
    assert held.generation == 2
    assert desk.detail(held.app_id).attempt.phase is AppPhase.PENDING


def test_place_files_s3_down_is_waited_out(tmp_path: Path) -> None:
    class Flaky(FakeS3):
        failures = 3

        def head_object(self, **values: Any) -> dict[str, Any]:
            if self.failures:
                self.failures -= 1
                raise BackendUnavailable("S3 can't be reached.")
            return super().head_object(**values)

    desk = Desk(s3=Flaky())
    held = submitted(desk.caller(), tmp_path)
    assert desk.detail(held.app_id).attempt.phase is AppPhase.PENDING


def test_advance_now_backend_away_leaves_the_send_to_the_observer(tmp_path: Path) -> None:
    desk = Desk()
    desk.backend.fail("create_cluster", Fault.UNAVAILABLE)
    held = submitted(desk.caller(), tmp_path)
    assert desk.detail(held.app_id).attempt.phase is AppPhase.WAIT_CLUSTER
    desk.clock.advance(60)
    desk.pass_once()
    assert desk.detail(held.app_id).attempt.phase is AppPhase.PENDING
    assert desk.backend.calls["submit"] == 1


def test_submit_api_server_away_is_waited_out_and_registers_once(tmp_path: Path) -> None:
    desk = Desk()
    registry = desk.registry

    class Away:
        refusals = 4

        def __getattr__(self, name: str) -> Any:
            if self.refusals:
                self.refusals -= 1
                raise RegistryUnavailable("No answer from the api-server.")
            return getattr(registry, name)

    held = submitted(desk.caller(registry=Away()), tmp_path)  # type: ignore[arg-type]
    assert held.generation == 1
    assert len(desk.store.snapshot().apps) == 1


def test_submit_cleared_task_begins_a_new_generation_after_the_old_is_dead(tmp_path: Path) -> None:
    desk = Desk()
    first = submitted(desk.caller(), tmp_path)
    desk.pass_once()
    desk.tasks.archive(TI, state="failed")
    desk.add_task("ti-2", try_number=2, max_tries=3)
    second = submitted(desk.caller(ti_id="ti-2"), tmp_path)
    assert (second.app_id, second.generation) == (first.app_id, 2)
    for _ in range(6):
        desk.clock.advance(30)
        desk.pass_once()
    assert desk.detail(first.app_id, 1).attempt.phase is AppPhase.STOPPED
    assert desk.detail(first.app_id).attempt.phase is AppPhase.RUNNING
