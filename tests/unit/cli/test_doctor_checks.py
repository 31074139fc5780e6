"""How checks are run and what they make of what they see; the rest of the doctor runs against real pieces."""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platyspark_provider.airflow_core.dags import DagState
from platyspark_provider.cli.doctor.checks import EVERYWHERE, Check, Finding, Status, run_checks
from platyspark_provider.cli.doctor.database_checks import (
    judge_airflow,
    judge_dags,
    judge_database,
    judge_passes,
    skew_finding,
)
from platyspark_provider.cli.words import age
from platyspark_provider.errors import NotAllowed

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def check(name: str, run: Callable[[], Iterable[Finding]]) -> Check:
    return Check(name=name, processes=EVERYWHERE, run=run)


def fine(name: str) -> Check:
    return check(name, lambda: [Finding(check=name, status=Status.OK, found="well")])


def test_run_checks_one_that_raises_leaves_the_others_their_turn() -> None:
    def refused() -> Iterable[Finding]:
        raise NotAllowed("No.", hint="Ask.")

    def broken() -> Iterable[Finding]:
        raise ZeroDivisionError("by zero")

    found = list(run_checks([check("refused", refused), check("broken", broken), fine("last")]))

    assert [(one.check, one.status.value, one.found, one.fix) for one in found[::2]] == [
        ("refused", "fail", "No.", "Ask."),
        ("last", "ok", "well", ""),
    ]
    assert (found[1].status, found[1].found) == (Status.FAIL, "ZeroDivisionError: by zero")


def test_run_checks_one_that_hangs_ends_at_its_deadline() -> None:
    never = threading.Event()

    def hang() -> Iterable[Finding]:
        never.wait(60)
        return []

    found = list(run_checks([check("silent", hang), fine("last")], deadline_s=0.05))
    never.set()

    assert [(one.check, one.status) for one in found] == [("silent", Status.FAIL), ("last", Status.OK)]
    assert "No answer within 0.05 s" in found[0].found


@pytest.mark.parametrize(
    ("version", "status"),
    [("3.3.2", "ok"), ("3.3.0rc1", "ok"), ("3.4.0", "warn"), ("3.2.1", "fail"), ("2.11.0", "fail"), ("4.0.0", "fail")],
)
def test_judge_airflow_by_minor(version: str, status: str) -> None:
    found = judge_airflow(version)
    assert (found.status.value, version in found.found) == (status, True)
    assert (found.fix != "") is (status != "ok")


@pytest.mark.parametrize(
    ("dialect", "version", "status", "said"),
    [
        ("postgresql", (16, 2), "ok", "PostgreSQL 16.2"),
        ("postgresql", (13, 9), "fail", "too old"),
        ("sqlite", (3, 40, 1), "warn", "one person"),
        ("mysql", (8, 0), "fail", "MySQL 8.0 is not supported"),
    ],
)
def test_judge_database_by_kind_and_version(dialect: str, version: tuple[int, ...], status: str, said: str) -> None:
    found = judge_database(dialect, version)
    assert (found.status.value, said in found.found) == (status, True)


@pytest.mark.parametrize(("seconds", "status"), [(0.0, "ok"), (-4.0, "ok"), (9.0, "warn"), (-9.0, "warn"), (90.0, "fail"), (-90.0, "fail")])
def test_skew_finding_in_both_directions(seconds: float, status: str) -> None:
    found = skew_finding("clock", NOW + timedelta(seconds=seconds), NOW, NOW, "database")
    assert (found.status.value, f"{abs(seconds):.1f} s" in found.found) == (status, True)


def test_skew_finding_slow_answer_is_no_skew() -> None:
    asked, answered = NOW, NOW + timedelta(seconds=8)
    assert skew_finding("clock", NOW + timedelta(seconds=3), asked, answered, "database").status is Status.OK


def dag(**values: object) -> DagState:
    base = {"dag_id": "watch", "is_paused": False, "is_stale": False, "last_start": NOW - timedelta(minutes=4), "last_state": "success"}
    return DagState(**{**base, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dags", "status", "fix"),
    [
        ([], "fail", "platyspark_watchdog.py"),
        ([dag(is_stale=True)], "fail", "platyspark_watchdog.py"),
        ([dag(is_paused=True)], "fail", "airflow dags unpause watch"),
        ([dag(last_start=None, last_state=None)], "warn", "airflow scheduler"),
        ([dag(last_start=NOW - timedelta(hours=2))], "fail", "airflow dags list-runs watch"),
        ([dag(last_state="failed")], "warn", "read the task's log"),
        ([dag()], "ok", ""),
        ([dag(dag_id="old", last_start=None), dag(dag_id="idle", is_paused=True), dag()], "ok", ""),
    ],
)
def test_judge_dags_best_of_them_counts(dags: list[DagState], status: str, fix: str) -> None:
    found = judge_dags("watchdog", "watch", dags, NOW)
    assert (found.status.value, fix in found.fix) == (status, True), found


def test_judge_passes_by_the_ends_of_leases() -> None:
    ends = {
        "watchdog": NOW - timedelta(minutes=20),
        "observer:eu": NOW + timedelta(seconds=30),
        "observer:us": NOW - timedelta(hours=3),
    }
    found = [(one.status.value, one.found) for one in judge_passes(ends, NOW)]
    assert found == [
        ("fail", "The watchdog made its last pass 20 min ago."),
        ("ok", "The observer of target eu is at work."),
        ("ok", "The observer of target us was at work until 3 h ago."),
    ]
    (never,) = judge_passes({}, NOW)
    assert (never.status.value, never.found) == ("warn", "The watchdog has made no pass yet.")


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (700, "12 min"), (7300, "2 h"), (200_000, "2 days"), (-5, "0 s")])
def test_age_for_people(seconds: int, text: str) -> None:
    assert age(timedelta(seconds=seconds)) == text


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that puts a `java` of a version into JAVA_HOME."""

    def install(line: str) -> None:
        (tmp_path / "bin").mkdir()
        script = tmp_path / "bin" / "java"
        script.write_text(f"#!/bin/sh\necho '{line}' >&2\n")
        script.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    return install


@pytest.fixture
def local_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let AWS be on this machine."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


def look_at_java() -> Finding:
    from platyspark_provider.cli.doctor.aws_site import sites_of
    from platyspark_provider.cli.doctor.machine_checks import check_java
    from platyspark_provider.core.profiles import profiles_from_mapping

    (found,) = check_java(list(sites_of(profiles_from_mapping(None)).values()))
    return found


@pytest.mark.usefixtures("local_target")
@pytest.mark.parametrize(
    ("line", "status"),
    [
        ('openjdk version "17.0.9" 2023-10-17', "ok"),
        ('openjdk version "21" 2023-09-19', "ok"),
        ('java version "1.8.0_392"', "fail"),
        ("Segmentation fault", "fail"),
    ],
)
def test_java_by_what_it_says_of_itself(java: Callable[[str], None], line: str, status: str) -> None:
    java(line)
    assert look_at_java().status.value == status


@pytest.mark.usefixtures("local_target")
def test_java_missing_where_spark_runs_here_fails_with_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = look_at_java()
    assert (found.status.value, "openjdk-17" in found.fix) == ("fail", True)


def test_java_is_not_asked_for_where_spark_runs_at_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert look_at_java().status is Status.OK
