"""`airflow platyspark clusters ...` on Airflow's real database, with passes over a backend in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from platyspark_provider.core.states import ClusterPhase
from tests.integration.airflow.cli_world import Said, Site, open_site, run_cli


@pytest.fixture
def site(airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Yield Airflow's database, and hands that do what the platform does meanwhile."""
    with open_site(monkeypatch) as built:
        yield built
        for cluster in built.store.clusters():
            run_cli("clusters", "terminate", str(cluster.id), "--force")


def cli(*words: object) -> Said:
    return run_cli("clusters", *map(str, words))


def ensured(*words: str) -> int:
    said = cli("ensure", *words, "-o", "json")
    assert said.code == 0, said
    return int(said.json()["id"])


def test_ensure_twice_is_one_cluster_and_a_pass_creates_it(site: Site) -> None:
    first, second = cli("ensure", "etl", "-o", "json"), cli("ensure", "etl", "-o", "json")
    assert (first.json()["id"], "is created by the next pass" in first.err) == (second.json()["id"], True)
    assert "lives already" in second.err
    assert (first.json()["status"]["state"], first.json()["ensured_by"].startswith("cli:")) == ("intent", True)
    for _ in range(2):
        site.pass_once()
    got = cli("get", first.json()["id"], "-o", "json").json()
    assert (got["status"]["state"], got["status"]["external_id"], got["apps"]) == ("ready", "c-1", [])
    assert site.backend.calls["create_cluster"] == 1


def test_submit_onto_a_named_cluster_joins_the_one_that_was_ensured(site: Site) -> None:
    cluster_id = ensured("joined", "--profile", "shared", "--workers", "3")
    row = site.submit("--cluster", "joined", "--profile", "shared", "--workers", "3")
    for _ in range(3):
        site.pass_once()
    assert site.store.detail(row["id"]).app.cluster_id == cluster_id
    assert site.backend.calls["create_cluster"] == 1


def test_ensure_values_reach_the_spec(site: Site) -> None:
    said = cli("ensure", "big", "--size", "large", "--workers", "2-10", "--spot", "0.5", "--idle-timeout", "15m", "-o", "json")
    spec = said.json()["spec"]
    assert (spec["max_workers"], spec["idle_timeout_s"]) == (10, 900)
    assert {group["market"] for group in spec["instance_groups"]} == {"ON_DEMAND", "SPOT"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("etl", "--workers", "many"), "Write --workers 4"),
        (("etl", "--workers", "2-x"), "Write --workers 4"),
        (("etl", "--size", "hugee"), "large, medium, small"),
        (("etl", "--spot", "7"), "cluster.spot"),
        (("etl", "--idle-timeout", "soon"), "no duration"),
        (("etl", "--profile", "shred"), "Did you mean 'shared'"),
        (("etl", "--dedicated"), "is dedicated"),
        (("etl", "--alongside", "--replace"), "contradict"),
    ],
)
def test_ensure_mistake_exits_2_and_asks_for_nothing(site: Site, words: tuple[str, ...], message: str) -> None:
    before = cli("list", "--name", "etl", "-o", "json").json()
    said = cli("ensure", *words)
    assert (said.code, said.out, message in said.err) == (2, "", True), said
    assert cli("list", "--name", "etl", "-o", "json").json() == before


def test_ensure_other_spec_under_the_name_is_refused_or_stands_beside_or_replaces(site: Site) -> None:
    first = ensured("nightly", "--workers", "2")
    refused = cli("ensure", "nightly", "--workers", "4")
    assert (refused.code, "instance_groups differ" in refused.err) == (2, True), refused
    beside = cli("ensure", "nightly", "--workers", "4", "--alongside", "-o", "json")
    assert (beside.code, f"({first}) lives beside it" in beside.err) == (0, True), beside
    instead = cli("ensure", "nightly", "--workers", "6", "--replace", "-o", "json")
    assert (instead.code, f"({first}) takes no more applications" in instead.err) == (0, True), instead
    assert cli("get", first, "-o", "json").json()["status"]["state"] == "dead"  # it was never created


def test_ensure_wait_tells_the_way_and_ends_when_it_is_ready(site: Site) -> None:
    with site.passing():
        said = cli("ensure", "fast", "--wait", "-o", "json")
    assert (said.code, said.json()["status"]["state"]) == (0, "ready"), said
    assert "fast" in said.err.splitlines()[0]


def test_ensure_wait_of_one_that_can_not_start_exits_1_with_the_reason(site: Site) -> None:
    def end() -> None:
        for cluster in site.store.clusters(name="weak"):
            if cluster.phase is ClusterPhase.STARTING and cluster.external_id:
                site.backend.end_cluster(cluster.external_id, reason_code="BOOTSTRAP_FAILURE", failure_class="user")

    site.backend.ready_after_s = 3600
    with site.passing(end):
        said = cli("ensure", "weak", "--wait", "-o", "json")
    assert (said.code, said.json()["status"]["ended_at"] is not None) == (1, True), said
    assert "Error: Cluster weak" in said.err


def test_list_shows_living_ones_unless_all_are_asked_for(site: Site) -> None:
    one = ensured("ends")
    assert [row["id"] for row in cli("list", "--name", "ends", "-o", "json").json()] == [one]
    ended = cli("terminate", one, "--reason", "test", "-o", "json")
    assert (ended.code, ended.json()["desired_state"]) == (0, "down")
    assert cli("list", "--name", "ends", "-o", "json").json() == []
    assert [row["id"] for row in cli("list", "--all", "--name", "ends", "-o", "json").json()] == [one]
    none = cli("list", "--name", "ends")
    assert (none.code, none.out, "clusters ensure" in none.err) == (0, "", True)
    assert cli("list", "--limit", "0").code == 2


def test_terminate_with_applications_on_it_needs_force(site: Site) -> None:
    app_id = site.submit("--cluster", "shared")["id"]
    for _ in range(3):
        site.pass_once()
    cluster_id = site.store.detail(app_id).app.cluster_id
    assert cluster_id is not None
    on_it = cli("get", cluster_id, "-o", "plain").out
    assert f"{app_id} daily_agg (running)" in on_it
    refused = cli("terminate", cluster_id)
    assert (refused.code, str(app_id) in refused.err, "force" in refused.err) == (2, True, True), refused
    assert cli("terminate", cluster_id, "--force", "--reason", "runaway").code == 0
    for _ in range(6):
        site.pass_once()
    assert cli("get", cluster_id, "-o", "json").json()["status"]["ended_at"] is not None
    assert site.store.detail(app_id).attempt.stop_actor is not None
    actors = [event.actor for event in site.store.events(object_kind="cluster", object_id=cluster_id) if "runaway" in event.message]
    assert actors
    assert all(actor.startswith("cli:") for actor in actors)


def test_drain_lets_the_last_application_end_first(site: Site) -> None:
    app_id = site.submit("--cluster", "shared")["id"]
    for _ in range(3):
        site.pass_once()
    cluster_id = site.store.detail(app_id).app.cluster_id
    assert cli("drain", cluster_id, "--reason", "new release", "-o", "json").json()["status"]["takes_apps"] is False
    for _ in range(2):
        site.pass_once()
    assert cli("get", cluster_id, "-o", "json").json()["status"]["state"] == "draining"
    site.finish(app_id)
    for _ in range(4):
        site.pass_once()
    assert cli("get", cluster_id, "-o", "json").json()["status"]["ended_at"] is not None


@pytest.mark.parametrize("verb", ["get", "drain", "terminate"])
def test_unknown_cluster_exits_3(site: Site, verb: str) -> None:
    said = cli(verb, 999_999)
    assert (said.code, said.out, "999999" in said.err) == (3, "", True), said


def test_ensure_where_the_target_is_full_exits_4(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "profiles.yaml"
    path.write_text("targets:\n  tiny: {max_clusters: 1}\nprofiles:\n  small: {target: tiny}\n")
    monkeypatch.setenv("AIRFLOW__PLATYSPARK__PROFILES_FILE", str(path))
    ensured("a", "--profile", "small")
    full = cli("ensure", "b", "--profile", "small")
    assert (full.code, "has 1 of 1 clusters" in full.err) == (4, True), full
