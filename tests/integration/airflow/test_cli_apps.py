"""`airflow platyspark apps ...` on Airflow's real database, with passes over a backend in memory."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from platyspark_provider.core.states import AppPhase
from platyspark_provider.emrsim.client import EmrSim
from tests.builders import make_request
from tests.integration.airflow.cli_world import JOB, Said, Site, open_site, run_cli
from tests.registry_world import make_task

STDERR = """Traceback (most recent call last):
  File "/mnt/daily_agg.py", line 3, in <module>
    raise ValueError("no rows for 2026-11-25")
ValueError: no rows for 2026-11-25
"""


@pytest.fixture
def site(airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Yield Airflow's database, and hands that do what the platform does meanwhile."""
    with open_site(monkeypatch) as built:
        yield built


def cli(*words: object) -> Said:
    return run_cli("apps", *map(str, words))


def test_submit_makes_an_application_that_a_pass_sends(site: Site) -> None:
    row = site.submit(
        "--team", "ads", "--conf", "spark.x=1", "--conf", "spark.secret.key=hidden", "--env", "P=hidden", "--args", "--date", "x y"
    )

    assert (row["name"], row["team"], row["status"]["state"], row["generation"]) == ("daily_agg", "ads", "wait_cluster", 1)
    assert row["spec"]["args"] == ["--date", "x y"]
    assert row["spec"]["conf"] == {"spark.x": "1", "spark.secret.key": "***"}
    assert (row["spec"]["env_vars"], row["sources"]["conf.spark.x"]) == ({"P": "***"}, "request")
    site.pass_once()
    site.pass_once()
    assert cli("get", row["id"], "-o", "json").json()["status"]["state"] == "running"
    (submitted, *_) = site.store.events(object_kind="app", object_id=row["id"])
    assert submitted.actor.startswith("cli:")


def test_submit_with_a_key_twice_is_one_application_and_another_request_exits_2(site: Site) -> None:
    key = f"nightly-{datetime.now(UTC).timestamp()}"
    first = site.submit("--key", key, "--args", "1")
    again = run_cli("apps", "submit", JOB, "--key", key, "-o", "json", "--args", "1")
    assert (again.json()["id"], "under this key before" in again.err) == (first["id"], True)
    other = run_cli("apps", "submit", JOB, "--key", key, "-o", "json", "--args", "2")
    assert (other.code, other.out, "args[0]" in other.err) == (2, "", True), other
    assert site.submit()["id"] != site.submit()["id"]


def test_submit_dry_run_prints_sources_and_submits_nothing(site: Site) -> None:
    before = cli("list", "-o", "json").json()
    said = cli("submit", JOB, "--conf", "spark.x=1", "--dry-run", "-o", "json")
    assert (said.code, said.json()["spec"]["conf"]) == (0, {"spark.x": "1"})
    assert said.json()["sources"]["conf.spark.x"] == "request"
    rows = cli("submit", JOB, "--dry-run", "-o", "plain").out.splitlines()
    assert any(row.split()[:2] == ["cluster.release_label", "emr-7.10.0"] and row.endswith("built-in") for row in rows)
    assert cli("list", "-o", "json").json() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("s3://code/job.txt",), "neither a .py nor a .jar"),
        (("jobs/none.py",), "A relative path starts at the current folder"),
        ((), "nothing to run"),
        ((JOB, "--conf", "spark.x"), "no KEY=VALUE"),
        ((JOB, "--conf", "spark.x=1", "--conf", "spark.x=2"), "twice"),
        ((JOB, "--conf", "x=1"), "Spark ignores"),
        ((JOB, "--cluster", "shred"), "Did you mean 'shared'"),
        ((JOB, "--max-runtime", "soon"), "no duration"),
        (("--sql", "none.sql"), "can't be read"),
        ((JOB, "--sql", "SELECT 1"), "sql is given as well"),
    ],
)
def test_submit_mistake_exits_2_with_what_to_write(site: Site, words: tuple[str, ...], message: str) -> None:
    said = cli("submit", *words)
    assert (said.code, said.out, message in said.err) == (2, "", True), said
    assert "Traceback" not in said.err


def test_submit_local_files_are_uploaded_by_content_once(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "job.py").write_text("print(1)\n")
    (tmp_path / "lib.zip").write_bytes(b"PK")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRFLOW__PLATYSPARK__ARTIFACTS", "s3://files/apps")
    with EmrSim.start(tmp_path / "sim") as sim:
        for name, value in sim.env().items():
            monkeypatch.setenv(name, value)
        s3 = sim.boto3("s3")
        s3.create_bucket(Bucket="files")
        words = ("submit", "job.py", "--py-files", "lib.zip", "--key", f"local-{datetime.now(UTC).timestamp()}", "-o", "json")
        said, again = cli(*words), cli(*words)
        objects = {one["Key"]: one["Size"] for one in s3.list_objects_v2(Bucket="files")["Contents"]}
    assert said.code == 0, said
    spec = said.json()["spec"]
    assert spec["application"].startswith("s3://files/apps/")
    assert {spec["application"], spec["py_files"][0]} == {f"s3://files/{key}" for key in objects}
    assert (said.err.count("Uploaded"), again.err.count("Uploaded"), again.json()["id"]) == (2, 0, said.json()["id"])
    assert site.store.detail(said.json()["id"]).attempt.artifacts_ready


def test_submit_local_file_without_a_prefix_exits_2(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "job.py").write_text("print(1)\n")
    monkeypatch.chdir(tmp_path)
    said = cli("submit", "job.py")
    assert (said.code, "[platyspark] artifacts" in said.err) == (2, True)


def test_submit_sql_from_a_file_reaches_the_spec(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "count.sql").write_text("SELECT count(*) FROM flights\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AIRFLOW__PLATYSPARK__ARTIFACTS", "s3://files/apps")
    said = cli("submit", "--sql", "count.sql", "--dry-run", "-o", "json")
    assert (said.code, said.json()["spec"]["sql"], said.json()["spec"]["name"]) == (0, "SELECT count(*) FROM flights\n", "sql")


def test_submit_wait_ends_with_the_application(site: Site) -> None:
    def finish() -> None:
        for brief in site.store.snapshot().apps:
            if brief.phase is AppPhase.RUNNING:
                site.finish(brief.app_id)

    with site.passing(finish):
        said = cli("submit", JOB, "--wait", "-o", "json")
    assert (said.code, said.json()["status"]["state"], said.json()["status"]["log_state"]) == (0, "succeeded", "arrived"), said
    assert "running" in said.err or "succeeded" in said.err


def test_submit_wait_of_one_that_fails_exits_1_with_the_card(site: Site) -> None:
    def fail() -> None:
        for brief in site.store.snapshot().apps:
            if brief.phase is AppPhase.RUNNING:
                site.finish(brief.app_id, "failed", stderr=STDERR)

    with site.passing(fail):
        said = cli("submit", JOB, "--wait", "-o", "json")
    assert (said.code, said.json()["status"]["state"]) == (1, "failed"), said
    assert "no rows for 2026-11-25" in said.err


def test_list_filters_and_says_when_there_is_more(site: Site) -> None:
    team = f"team{datetime.now(UTC).timestamp():.0f}".replace(".", "")
    ids = [site.submit("--team", team)["id"] for _ in range(3)]
    rows = cli("list", "--team", team, "-o", "json").json()
    assert [row["id"] for row in rows] == sorted(ids, reverse=True)
    some = cli("list", "--team", team, "--limit", "2", "-o", "json")
    assert ([row["id"] for row in some.json()], "2 of 3" in some.err) == (sorted(ids, reverse=True)[:2], True)
    assert cli("list", "--team", team, "--state", "succeeded,failed", "-o", "json").json() == []
    waiting = cli("list", "--team", team, "--state", "wait_cluster", "--kind", "batch", "-o", "plain").out.splitlines()
    assert (waiting[0].split()[0], len(waiting)) == ("id", 4)
    none = cli("list", "--team", "nobody")
    assert (none.code, none.out, "apps submit" in none.err) == (0, "", True)


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--state", "runing"), "Did you mean 'running'"), (("--limit", "0"), "from 1 to 100"), (("--kind", "stream"), "invalid choice")],
)
def test_list_mistake_exits_2(site: Site, words: tuple[str, ...], message: str) -> None:
    said = cli("list", *words)
    assert (said.code, message in said.err) == (2, True), said


@pytest.mark.parametrize("verb", ["get", "why", "logs", "cancel", "restart"])
def test_unknown_application_exits_3(site: Site, verb: str) -> None:
    said = cli(verb, 999_999)
    assert (said.code, said.out, "application 999999" in said.err) == (3, "", True), said


def test_cancel_is_carried_out_by_a_pass_and_names_who_and_why(site: Site) -> None:
    app_id = site.submit()["id"]
    for _ in range(2):
        site.pass_once()
    said = cli("cancel", app_id, "--reason", "wrong date", "-o", "json")
    assert (said.code, said.json()["status"]["state"], said.json()["status"]["stop"]["reason"]) == (0, "cancelling", "wrong date")
    waits = cli("why", app_id).out
    assert "is being stopped" in waits
    assert "note: stop asked for by cli:" in waits
    for _ in range(4):
        site.pass_once()
    assert cli("get", app_id, "-o", "json").json()["status"]["state"] == "stopped"
    assert "was stopped by cli:" in cli("why", app_id).out
    again = cli("cancel", app_id)
    assert (again.code, "has ended (stopped)" in again.err) == (2, True)


def test_restart_runs_the_same_request_as_the_next_generation(site: Site) -> None:
    app_id = site.submit("--args", "1")["id"]
    for _ in range(2):
        site.pass_once()
    site.finish(app_id)
    site.pass_once()
    said = cli("restart", app_id, "--reason", "late input", "-o", "json")
    assert (said.code, said.json()["generation"], said.json()["status"]["state"]) == (0, 2, "wait_cluster"), said
    assert (said.json()["spec"]["args"], "Generation 2" in said.err) == (["1"], True)
    assert cli("restart", app_id, "-o", "json").json()["generation"] == 2


def test_restart_of_what_a_task_waits_for_exits_2_naming_the_way(site: Site, airflow_run: Any) -> None:
    row = airflow_run.start("one")
    task = make_task(str(row.id), dag_id=row.dag_id, task_id="one", run_id=row.run_id)
    site.tasks.add(task)
    app_id = site.registry.submit(make_request(), ti_id=task.ti_id).app.id
    said = cli("restart", app_id)
    assert (said.code, "Clear the task" in said.err) == (2, True), said


def test_logs_prints_the_end_and_names_the_rest(site: Site) -> None:
    app_id = site.submit()["id"]
    early = cli("logs", app_id)
    assert (early.code, early.out, "arrives after its end" in early.err) == (3, "", True)
    for _ in range(2):
        site.pass_once()
    site.finish(app_id, stderr="one\ntwo\nthree\n")
    for _ in range(2):
        site.pass_once()
    said = cli("logs", app_id, "--tail", "2")
    assert (said.code, said.out.splitlines()[-2:], "fake://logs/" in said.err) == (0, ["two", "three"], True)
    assert "one" in cli("logs", app_id, "--tail", "0").out
    assert cli("logs", app_id, "--tail", "-1").code == 2
    assert cli("logs", app_id, "--generation", "7").code == 3


def test_logs_follow_tells_the_way_and_exits_1_on_a_failure(site: Site) -> None:
    app_id = site.submit()["id"]

    def fail() -> None:
        if site.store.detail(app_id).app.phase is AppPhase.RUNNING:
            site.finish(app_id, "failed", stderr=STDERR)

    with site.passing(fail):
        said = cli("logs", app_id, "-f")
    assert (said.code, "no rows for 2026-11-25" in said.out) == (1, True), said
    assert f"Application {app_id}, generation 1: failed" in said.err


def test_why_of_one_that_waits_and_of_one_that_failed(site: Site) -> None:
    app_id = site.submit()["id"]
    waits = cli("why", app_id)
    assert (waits.code, f"(application {app_id}, generation 1) waits for a cluster since" in waits.out) == (0, True)
    assert "app.submitted" in waits.out
    row = cli("why", app_id, "-o", "json").json()
    assert (row["phase"], row["next"] != "", row["card"]) == ("wait_cluster", True, "")
    for _ in range(2):
        site.pass_once()
    site.finish(app_id, "failed", stderr=STDERR)
    for _ in range(2):
        site.pass_once()
    failed = cli("why", app_id)
    assert (failed.code, "daily_agg failed: ValueError: no rows for 2026-11-25" in failed.out) == (0, True), failed
    assert "daily_agg.py:3" in failed.out


def test_get_for_people_shows_the_main_facts(site: Site) -> None:
    app_id = site.submit("--team", "ads")["id"]
    for _ in range(2):
        site.pass_once()
    facts = dict(line.split(maxsplit=1) for line in cli("get", app_id, "-o", "plain").out.splitlines())
    assert (facts["id"], facts["state"], facts["team"]) == (str(app_id), "running", "ads")
    assert facts["cluster"].startswith("shared (")


def test_commands_with_broken_profiles_name_the_line_and_exit_2(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "profiles.yaml"
    path.write_text("profiles:\n  shared:\n    realease_label: x\n")
    monkeypatch.setenv("AIRFLOW__PLATYSPARK__PROFILES_FILE", str(path))
    said = cli("submit", JOB)
    assert (said.code, said.out, "line 3" in said.err) == (2, "", True), said
    assert cli("list").code == 0  # reads need no profile


def test_commands_where_the_database_is_gone_exit_4(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlalchemy as sa
    from airflow import settings

    monkeypatch.setattr(settings, "engine", sa.create_engine("sqlite:////nowhere/at/all.db"))
    said = cli("list")
    assert (said.code, said.out, "metadata database can't be used" in said.err) == (4, "", True), said
