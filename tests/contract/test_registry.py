"""One suite for every registry: the service over each store, and its client over HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platyspark_provider.core.facts import ClusterAssigned, ClusterObserved, CreateEnded, CreateIntended, SendEnded, SendIntended, Waiting
from platyspark_provider.core.records import Claim, ClaimRequest, TaskFacts
from platyspark_provider.core.states import AppPhase, Reuse
from platyspark_provider.errors import (
    ArtifactsUnset,
    IdempotencyMismatch,
    NotAllowed,
    NotFound,
    PlatySparkError,
    PolicyViolated,
    ProfilesUnavailable,
    StaleTry,
    TemporaryError,
    UnknownProfile,
)
from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.store.base import StoreFactory
from tests.builders import make_request
from tests.registry_world import HOLDER, LOCAL_SHA, World, local_request, make_task, open_world

pytestmark = pytest.mark.parametrize(
    ("open_store", "over_http"),
    [("memory", False), ("sqlite", False), ("postgresql", False), ("sqlite", True)],
    ids=["service-memory", "service-sqlite", "service-postgresql", "http-sqlite"],
    indirect=["open_store"],
)


@pytest.fixture
def world(open_store: StoreFactory, over_http: bool) -> Iterator[World]:
    """Yield a world of each kind in turn."""
    with open_world(open_store, over_http=over_http) as opened:
        yield opened


# Submit


def test_submit_of_new_key_starts_generation_one_with_governed_spec(world: World) -> None:
    answer = world.submit(make_request(conf={"spark.executor.memory": "2g"}))
    assert (answer.outcome, answer.generation, answer.app.phase) == ("started", 1, AppPhase.WAIT_CLUSTER)
    assert (answer.app.dag_id, answer.app.task_id, answer.app.run_id, answer.app.owner) == ("sales", "daily", "run-1", "dana")
    assert answer.app.app_key == "sales/daily/-1/run-1"
    assert answer.attempt.provenance["conf.spark.executor.memory"] == "request"
    assert answer.attempt.spec.name == "daily"
    assert answer.target.backend == "emr"
    assert answer.target.id > 0
    assert answer.installation == world.store.installation().inst
    assert world.event_kinds(answer.app.id) == ["app.submitted"]


def test_submit_with_local_file_names_uploads_until_ready(world: World) -> None:
    answer = world.submit(local_request())
    assert answer.missing_uploads == {LOCAL_SHA: f"s3://artifacts/x/{LOCAL_SHA}/daily.py"}
    assert answer.app.phase is AppPhase.NEW
    world.registry.ready(answer.app.id, 1, ti_id="ti-1")
    again = world.submit(local_request())
    assert (again.outcome, dict(again.missing_uploads)) == ("attached", {})
    assert world.phase(answer.app.id) == "wait_cluster"


def test_submit_on_hold_waits_for_its_task_though_nothing_is_uploaded(world: World) -> None:
    answer = world.registry.submit(make_request(), ti_id="ti-1", hold=True)
    assert (answer.missing_uploads, world.phase(answer.app.id)) == ({}, "new")
    world.registry.ready(answer.app.id, 1, ti_id="ti-1")
    assert world.phase(answer.app.id) == "wait_cluster"


def test_submit_twice_by_one_try_attaches(world: World) -> None:
    first = world.submit()
    again = world.submit()
    assert (again.outcome, again.app.id, again.generation) == ("attached", first.app.id, 1)
    assert world.event_kinds(first.app.id) == ["app.submitted"]


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        ({"is_current": False, "state": "failed"}, StaleTry),
        ({"state": "success"}, StaleTry),
        ({"state": "failed"}, StaleTry),
        ({"state": None}, StaleTry),
        ({"state": "up_for_retry"}, StaleTry),
    ],
)
def test_submit_by_try_that_is_over_is_refused(world: World, facts: dict[str, Any], error: type[PlatySparkError]) -> None:
    world.tasks.add(make_task("ti-9", **facts))
    with pytest.raises(error):
        world.submit(ti_id="ti-9")
    assert world.registry.snapshot().apps == ()


def test_submit_by_unknown_task_instance_is_not_allowed(world: World) -> None:
    with pytest.raises(NotAllowed) as refused:
        world.submit(ti_id="nobody")
    assert refused.value.fields["reason"] == "task_unknown"


def test_submit_with_unknown_profile_says_which_there_are(world: World) -> None:
    with pytest.raises(UnknownProfile, match="Did you mean 'shared'"):
        world.submit(make_request(cluster="sharde"))
    assert world.store.app_by_key("task", "sales/daily/-1/run-1") is None


# What a retry, a clear and other tries lead to: each row was measured in Airflow (docs/decisions/0004)

FIRST = make_task()
RETRY = make_task("ti-2", try_number=2)
CLEARED = make_task("ti-2", try_number=2, max_tries=3)
RESUBMITTED = [
    ("first try again, live", "running", None, FIRST, {}, "attached", 1),
    ("retry after exception, live", "running", "ti-1", RETRY, {"state": "failed"}, "attached", 1),
    ("retry, ended and not handed out", "succeeded", "ti-1", RETRY, {"state": "failed"}, "result", 1),
    ("retry, failed and not handed out", "failed", "ti-1", RETRY, {"state": "failed"}, "result", 1),
    ("clear of succeeded", "succeeded", "ti-1", CLEARED, {"state": "success"}, "started", 2),
    ("clear of failed", "failed", "ti-1", CLEARED, {"state": "failed"}, "started", 2),
    ("clear of deferred, live", "running", "ti-1", CLEARED, {"state": "failed", "had_trigger": True}, "replacing", 2),
    ("clear of running, alone", "running", "ti-1", CLEARED, {"state": "failed"}, "replacing", 2),
    ("clear in up_for_retry", "running", "ti-1", CLEARED, {"state": "failed"}, "replacing", 2),
    ("clear, retries lowered, was deferred", "running", "ti-1", RETRY, {"state": "failed", "had_trigger": True}, "replacing", 2),
    ("clear, retries lowered, had succeeded", "succeeded", "ti-1", RETRY, {"state": "success"}, "started", 2),
    ("clear of skipped, retries lowered", "succeeded", "ti-1", RETRY, {"state": "skipped"}, "started", 2),
    ("clear of running in a batch, token unmoved, no on_kill", "running", "ti-1", RETRY, {"state": "failed"}, "attached", 1),
]


@pytest.mark.parametrize(("name", "phase", "old", "new", "past", "outcome", "generation"), RESUBMITTED, ids=[row[0] for row in RESUBMITTED])
def test_submit_again_follows_the_measured_table(
    world: World, name: str, phase: str, old: str | None, new: TaskFacts, past: dict[str, Any], outcome: str, generation: int
) -> None:
    app_id = world.submit().app.id
    world.bring_to(phase, app_id, 1)
    if old is not None:
        world.replace_try(old, new, **past)
    answer = world.submit(ti_id=new.ti_id)
    assert (answer.outcome, answer.generation, answer.app.id) == (outcome, generation, app_id)
    assert world.store.detail(app_id).app.owner_ti_id == new.ti_id


def test_submit_after_clear_of_running_with_unmoved_token_runs_anew_once_on_kill_spoke(world: World) -> None:
    app_id = world.submit().app.id
    world.bring_to("running", app_id, 1)
    world.replace_try("ti-1", RETRY)
    assert world.registry.kill(app_id, 1, ti_id="ti-1", reason="on_kill").granted
    assert world.submit(ti_id="ti-2").outcome == "replacing"


def test_submit_of_retry_after_result_was_acknowledged_runs_anew(world: World) -> None:
    app_id = world.submit().app.id
    world.bring_to("failed", app_id, 1)
    world.registry.acknowledge(app_id, 1, ti_id="ti-1")
    world.replace_try("ti-1", RETRY)
    answer = world.submit(ti_id="ti-2")
    assert (answer.outcome, answer.generation) == ("started", 2)


def test_submit_of_retry_with_changed_request_attaches_and_says_so(world: World) -> None:
    app_id = world.submit().app.id
    world.bring_to("running", app_id, 1)
    world.replace_try("ti-1", RETRY)
    answer = world.submit(make_request(args=("--new",)), ti_id="ti-2")
    assert (answer.outcome, answer.generation) == ("attached", 1)
    assert "args" in answer.warnings[0]
    assert world.event_kinds(app_id)[-1] == "app.request_changed"
    assert world.store.detail(app_id).app.request.args == ()


def test_submit_of_retry_whose_file_changed_before_upload_takes_the_new_file(world: World) -> None:
    app_id = world.submit(local_request()).app.id
    world.replace_try("ti-1", RETRY)
    answer = world.submit(local_request(sha256="cd" * 32), ti_id="ti-2")
    assert list(answer.missing_uploads) == ["cd" * 32]
    assert (answer.outcome, answer.generation) == ("started", 2)
    assert world.phase(app_id, 1) == "stopped"


def test_submit_with_never_reuse_runs_anew_for_each_try(world: World) -> None:
    request = make_request(reuse=Reuse.NEVER)
    app_id = world.submit(request).app.id
    world.bring_to("running", app_id, 1)
    world.replace_try("ti-1", RETRY)
    assert world.submit(request, ti_id="ti-2").outcome == "replacing"


def test_replacement_begins_only_when_the_old_run_is_proven_dead(world: World) -> None:
    app_id = world.submit().app.id
    world.bring_to("running", app_id, 1)
    world.replace_try("ti-1", CLEARED, state="failed", had_trigger=True)
    world.submit(ti_id="ti-2")
    app = world.store.detail(app_id).app
    assert (app.generation, app.wanted_generation, app.phase) == (1, 2, AppPhase.CANCELLING)
    world.end("cancelled", app_id, 1)
    app = world.store.detail(app_id).app
    assert (app.generation, app.phase) == (2, AppPhase.WAIT_CLUSTER)
    world.bring_to("succeeded", app_id, 2)
    assert world.phase(app_id, 2) == "succeeded"
    assert world.phase(app_id, 1) == "stopped"


def test_clear_of_a_waiting_replacement_takes_the_newest_request(world: World) -> None:
    app_id = world.submit().app.id
    world.bring_to("running", app_id, 1)
    world.replace_try("ti-1", CLEARED, had_trigger=True)
    world.submit(ti_id="ti-2")
    world.replace_try("ti-2", make_task("ti-3", try_number=3, max_tries=4))
    answer = world.submit(make_request(args=("--third",)), ti_id="ti-3")
    assert (answer.outcome, answer.generation) == ("replacing", 2)
    assert answer.attempt.spec.args == ("--third",)
    assert world.store.detail(app_id).app.request.args == ("--third",)


# Explicit keys


def test_explicit_key_with_another_request_names_what_differs(world: World) -> None:
    app_id = world.submit(make_request(app_key="mine")).app.id
    world.tasks.add(make_task("ti-b", run_id="run-2"))
    with pytest.raises(IdempotencyMismatch) as refused:
        world.submit(make_request(app_key="mine", args=("x",)), ti_id="ti-b")
    assert refused.value.fields["differing"] == ["args"]
    assert refused.value.fields["app_id"] == app_id


def test_explicit_key_shared_by_another_task_attaches_and_only_looks(world: World) -> None:
    app_id = world.submit(make_request(app_key="mine")).app.id
    world.tasks.add(make_task("ti-b", dag_id="other"))
    answer = world.submit(make_request(app_key="mine"), ti_id="ti-b")
    assert (answer.outcome, answer.app.id, answer.app.owner_ti_id) == ("attached", app_id, "ti-1")
    assert world.registry.detail(app_id, ti_id="ti-b").app.id == app_id
    due = world.registry.due(app_id=app_id, ti_id="ti-b")
    assert (due.apps, due.clusters) == ((), ())
    world.registry.ready(app_id, 1, ti_id="ti-b")
    world.bring_to("succeeded", app_id, 1)
    world.registry.acknowledge(app_id, 1, ti_id="ti-b")
    assert world.store.detail(app_id).attempt.acknowledged_at is None
    with pytest.raises(NotAllowed):
        world.claim(app_id, ti_id="ti-b")


def test_explicit_key_can_not_reach_another_tasks_default_key(world: World) -> None:
    app_id = world.submit().app.id
    world.tasks.add(make_task("ti-b", dag_id="other"))
    answer = world.submit(make_request(app_key="sales/daily/-1/run-1"), ti_id="ti-b")
    assert (answer.outcome, answer.app.id == app_id) == ("started", False)


def test_explicit_key_of_another_team_than_the_dags_tag_opens_nothing(world: World) -> None:
    world.submit(make_request(app_key="theirs", team="ads"))
    world.tasks.add(make_task("ti-b", dag_id="other", team="bi"))
    with pytest.raises(PolicyViolated, match="tag 'team:bi'"):
        world.submit(make_request(app_key="theirs", team="ads"), ti_id="ti-b")


def test_explicit_keys_of_two_teams_are_two_applications(world: World) -> None:
    one = world.submit(make_request(app_key="mine", team="ads")).app
    world.tasks.add(make_task("ti-b", dag_id="other"))
    two = world.submit(make_request(app_key="mine", team="bi"), ti_id="ti-b").app
    assert one.id != two.id
    assert (one.team, two.team) == ("ads", "bi")


def test_result_reuse_returns_a_success_to_another_run(world: World) -> None:
    request = make_request(app_key="mine", reuse=Reuse.RESULT)
    app_id = world.submit(request).app.id
    world.bring_to("succeeded", app_id, 1)
    world.registry.acknowledge(app_id, 1, ti_id="ti-1")
    world.tasks.add(make_task("ti-b", run_id="run-2"))
    answer = world.submit(request, ti_id="ti-b")
    assert (answer.outcome, answer.generation) == ("result", 1)


# Kill: what Airflow's rows showed when on_kill was called (docs/decisions/0004)

KILLS = [
    ("clear of running: history", "archive", "failed", True),
    ("trigger after clear: history", "archive", "failed", True),
    ("marked success", "state", "success", True),
    ("marked failed", "state", "failed", True),
    ("marked skipped", "state", "skipped", True),
    ("run deleted", "remove", "", True),
    ("trigger moved", "state", "deferred", False),
    ("resumed meanwhile", "state", "running", False),
    ("about to resume", "state", "scheduled", False),
    ("queued", "state", "queued", False),
    ("a retry follows", "state", "up_for_retry", False),
]


@pytest.mark.parametrize(("name", "change", "state", "granted"), KILLS, ids=[row[0] for row in KILLS])
def test_kill_follows_the_measured_table(world: World, name: str, change: str, state: str, granted: bool) -> None:
    app_id = world.submit().app.id
    world.bring_to("running", app_id, 1)
    match change:
        case "archive":
            world.tasks.archive("ti-1", state=state)
        case "remove":
            world.tasks.remove("ti-1")
        case _:
            world.set_state("ti-1", state)
    answer = world.registry.kill(app_id, 1, ti_id="ti-1", reason="on_kill")
    assert answer.granted is granted
    assert world.phase(app_id) == ("cancelling" if granted else "running")


def test_kill_by_a_try_that_a_newer_one_replaced_is_denied(world: World) -> None:
    app_id = world.submit().app.id
    world.bring_to("running", app_id, 1)
    world.replace_try("ti-1", RETRY)
    world.submit(ti_id="ti-2")
    assert not world.registry.kill(app_id, 1, ti_id="ti-1", reason="late on_kill").granted
    assert world.phase(app_id) == "running"


def test_kill_of_waiting_replacement_calls_it_off_and_the_old_run_goes_on_ending(world: World) -> None:
    app_id = world.submit().app.id
    world.bring_to("running", app_id, 1)
    world.replace_try("ti-1", CLEARED, had_trigger=True)
    world.submit(ti_id="ti-2")
    world.set_state("ti-2", "failed")
    assert world.registry.kill(app_id, 2, ti_id="ti-2", reason="marked").granted
    assert world.phase(app_id, 2) == "stopped"
    world.end("cancelled", app_id, 1)
    app = world.store.detail(app_id).app
    assert (app.generation, app.phase) == (1, AppPhase.STOPPED)


def test_kill_of_something_never_sent_stops_it_at_once(world: World) -> None:
    app_id = world.submit().app.id
    world.set_state("ti-1", "failed")
    assert world.registry.kill(app_id, 1, ti_id="ti-1", reason="").granted
    attempt = world.store.detail(app_id).attempt
    assert (attempt.phase, attempt.death_proof) == (AppPhase.STOPPED, "never sent")


def test_names_as_long_as_airflow_allows_fit_from_submit_to_kill(world: World) -> None:
    """250 characters each, and an owner without a limit; the actor of events and stops holds them all."""
    names = {"dag_id": "d" * 250, "task_id": "t" * 250, "run_id": "r" * 250, "map_index": 9999, "try_number": 12, "owner": "o" * 2000}
    task = world.tasks.add(make_task("ti-long", **names))
    app_id = world.submit(ti_id="ti-long").app.id
    world.bring_to("running", app_id, 1)
    world.set_state("ti-long", "failed")
    assert world.registry.kill(app_id, 1, ti_id="ti-long", reason="on_kill").granted
    detail = world.store.detail(app_id)
    assert detail.app.app_key == f"{task.dag_id}/{task.task_id}/9999/{task.run_id}"
    assert (detail.app.owner, detail.app.name) == (task.owner, task.task_id)
    who = f"task:{task.dag_id}/{task.task_id}[9999]/{task.run_id}#12"
    assert detail.attempt.stop_actor == who
    assert who in {event.actor for event in world.store.events(object_kind="app", object_id=app_id)}


def test_kill_twice_is_denied_the_second_time_and_of_an_old_generation_too(world: World) -> None:
    app_id = world.submit().app.id
    world.bring_to("succeeded", app_id, 1)
    world.replace_try("ti-1", CLEARED, state="success")
    world.submit(ti_id="ti-2")
    assert not world.registry.kill(app_id, 1, ti_id="ti-2", reason="").granted
    world.set_state("ti-2", "failed")
    assert world.registry.kill(app_id, 2, ti_id="ti-2", reason="").granted
    assert not world.registry.kill(app_id, 2, ti_id="ti-2", reason="").granted


def test_kill_by_a_foreign_task_is_not_allowed(world: World) -> None:
    app_id = world.submit().app.id
    world.tasks.add(make_task("ti-b", dag_id="other", state="failed"))
    with pytest.raises(NotAllowed):
        world.registry.kill(app_id, 1, ti_id="ti-b", reason="")
    with pytest.raises(NotFound):
        world.registry.kill(999, 1, ti_id="ti-1", reason="")


# A task acts on its own application alone


def test_every_verb_refuses_a_foreign_task(world: World) -> None:
    app_id = world.submit().app.id
    world.tasks.add(make_task("ti-b", dag_id="other"))
    stranger = world.registry
    for act in (
        lambda: stranger.ready(app_id, 1, ti_id="ti-b"),
        lambda: stranger.detail(app_id, ti_id="ti-b"),
        lambda: stranger.acknowledge(app_id, 1, ti_id="ti-b"),
        lambda: stranger.due(app_id=app_id, ti_id="ti-b"),
        lambda: stranger.due(ti_id="ti-b"),
        lambda: stranger.claim([ClaimRequest(kind="app", id=app_id)], holder="x", ti_id="ti-b"),
        lambda: stranger.release([Claim(kind="app", id=app_id, epoch=1)], ti_id="ti-b"),
        lambda: stranger.record([ClusterAssigned(app_id=app_id, generation=1, epoch=1)], ti_id="ti-b"),
    ):
        with pytest.raises(NotAllowed):
            act()  # type: ignore[no-untyped-call]


def test_record_about_another_application_is_refused_one_by_one(world: World) -> None:
    own = world.submit().app.id
    world.tasks.add(make_task("ti-b", run_id="run-2"))
    other = world.submit(ti_id="ti-b").app.id
    epoch = world.claim(own, ti_id="ti-1")
    other_epoch = world.claim(other)
    answers = world.registry.record(
        [
            ClusterAssigned(app_id=other, generation=1, epoch=other_epoch),
            ClusterAssigned(app_id=own, generation=1, epoch=epoch),
            CreateIntended(cluster_id=999, epoch=1, nonce="n"),
        ],
        ti_id="ti-1",
    )
    assert [answer.refusal for answer in answers] == ["not_yours", None, "not_yours"]


def test_claim_of_a_row_beside_the_own_one_is_not_allowed(world: World) -> None:
    own = world.submit().app.id
    world.tasks.add(make_task("ti-b", run_id="run-2"))
    other = world.submit(ti_id="ti-b").app.id
    with pytest.raises(NotAllowed, match=f"app {other} is not one of sales/daily"):
        world.registry.claim([ClaimRequest(kind="app", id=own), ClaimRequest(kind="app", id=other)], holder="x", ti_id="ti-1")
    assert world.claim(own) == 1


def test_worker_moves_its_own_application_and_its_cluster(world: World) -> None:
    app_id = world.submit().app.id
    epoch = world.claim(app_id, ti_id="ti-1")
    assigned = world.record(ClusterAssigned(app_id=app_id, generation=1, epoch=epoch), ti_id="ti-1")
    assert assigned.cluster is not None
    (claim,) = world.registry.claim([ClaimRequest(kind="cluster", id=assigned.cluster.id)], holder=HOLDER, ti_id="ti-1")
    assert claim.epoch is not None
    created = world.record(CreateIntended(cluster_id=assigned.cluster.id, epoch=claim.epoch, nonce="n"), ti_id="ti-1")
    assert created.cluster is not None
    assert created.cluster.phase.value == "creating"
    world.registry.release([claim, Claim(kind="app", id=app_id, epoch=epoch)], ti_id="ti-1")
    assert world.registry.claim([ClaimRequest(kind="app", id=app_id)], holder="somebody else")[0].epoch == epoch + 1


def test_worker_whose_application_has_left_a_cluster_still_gives_its_leases_back(world: World) -> None:
    app_id = world.submit().app.id
    epoch = world.claim(app_id, ti_id="ti-1")
    first = world.record(ClusterAssigned(app_id=app_id, generation=1, epoch=epoch), ti_id="ti-1").cluster
    assert first is not None
    (claim,) = world.registry.claim([ClaimRequest(kind="cluster", id=first.id)], holder=HOLDER, ti_id="ti-1")
    assert claim.epoch is not None
    world.record(CreateIntended(cluster_id=first.id, epoch=claim.epoch, nonce="n"), ti_id="ti-1")
    world.record(CreateEnded(cluster_id=first.id, epoch=claim.epoch, result="created", external_id="j-1"), ti_id="ti-1")
    world.record(ClusterObserved(cluster_id=first.id, epoch=claim.epoch, state="dead", raw_state="TERMINATED"))
    second = world.record(ClusterAssigned(app_id=app_id, generation=1, epoch=epoch), ti_id="ti-1").cluster
    assert second is not None
    assert second.id != first.id
    world.registry.release([Claim(kind="app", id=app_id, epoch=epoch), claim], ti_id="ti-1")
    assert world.registry.claim([ClaimRequest(kind="app", id=app_id)], holder="somebody else")[0].epoch == epoch + 1


def test_intent_of_a_try_that_was_cleared_is_refused_but_its_facts_are_taken(world: World) -> None:
    app_id = world.submit().app.id
    epoch = world.claim(app_id, ti_id="ti-1")
    named: dict[str, Any] = {"app_id": app_id, "generation": 1, "epoch": epoch}
    world.record(ClusterAssigned(**named), ti_id="ti-1")
    world.tasks.archive("ti-1")
    (refused, waited) = world.registry.record(
        [SendIntended(**named, nonce="n"), Waiting(**named, reason="r", message="still here")], ti_id="ti-1"
    )
    assert (refused.accepted, refused.refusal, waited.accepted) == (False, "stale_try", True)
    assert world.phase(app_id) == "wait_cluster"


def test_reply_that_comes_after_a_clear_is_kept(world: World) -> None:
    app_id = world.submit().app.id
    epoch = world.claim(app_id, ti_id="ti-1")
    named: dict[str, Any] = {"app_id": app_id, "generation": 1, "epoch": epoch}
    world.record(ClusterAssigned(**named), SendIntended(**named, nonce="n"), ti_id="ti-1")
    world.tasks.archive("ti-1")
    world.record(SendEnded(**named, result="sent", external_id="s-1"), ti_id="ti-1")
    assert world.store.detail(app_id).attempt.external_id == "s-1"


def test_claim_by_a_cleared_try_is_stale(world: World) -> None:
    app_id = world.submit().app.id
    world.tasks.archive("ti-1")
    with pytest.raises(StaleTry):
        world.claim(app_id, ti_id="ti-1")


def test_try_that_lost_its_application_can_not_say_ready_or_take_the_result(world: World) -> None:
    app_id = world.submit(local_request()).app.id
    world.tasks.add(make_task("ti-2", try_number=2))
    world.submit(local_request(), ti_id="ti-2")
    with pytest.raises(NotAllowed):
        world.registry.ready(app_id, 1, ti_id="ti-1")
    with pytest.raises(NotAllowed):
        world.registry.acknowledge(app_id, 1, ti_id="ti-1")


# Executors


def test_due_claim_and_release_hand_work_from_one_executor_to_the_next(world: World) -> None:
    app_id = world.submit().app.id
    due = world.registry.due()
    assert [work.app.id for work in due.apps] == [app_id]
    assert due.installation == world.store.installation().inst
    (mine,) = world.registry.claim([ClaimRequest(kind="app", id=app_id)], holder="one")
    (other,) = world.registry.claim([ClaimRequest(kind="app", id=app_id)], holder="two")
    assert (mine.epoch, other.epoch) == (1, None)
    assert world.registry.due().apps == ()
    world.registry.release([mine])
    assert world.registry.claim([ClaimRequest(kind="app", id=app_id)], holder="two")[0].epoch == 2


def test_record_with_a_stale_epoch_is_refused(world: World) -> None:
    app_id = world.submit().app.id
    world.claim(app_id)
    (answer,) = world.registry.record([ClusterAssigned(app_id=app_id, generation=1, epoch=99)])
    assert answer.refusal == "stale_epoch"


def test_lease_is_one_holders_at_a_time(world: World) -> None:
    assert world.registry.lease("observer:x", holder="one", seconds=60)
    assert not world.registry.lease("observer:x", holder="two", seconds=60)
    assert world.registry.lease("observer:x", holder="one", seconds=60)


def test_snapshot_holds_what_lives_or_was_not_taken(world: World) -> None:
    app_id = world.submit().app.id
    world.bring_to("failed", app_id, 1)
    (brief,) = world.registry.snapshot().apps
    assert (brief.app_id, brief.generation, brief.phase) == (app_id, 1, AppPhase.FAILED)
    world.registry.acknowledge(app_id, 1, ti_id="ti-1")
    assert world.registry.snapshot().apps == ()


def test_acknowledge_keeps_the_first_moment(world: World) -> None:
    app_id = world.submit().app.id
    world.bring_to("succeeded", app_id, 1)
    world.registry.acknowledge(app_id, 1, ti_id="ti-1")
    first = world.store.detail(app_id).attempt.acknowledged_at
    world.registry.acknowledge(app_id, 1, ti_id="ti-1")
    world.registry.acknowledge(app_id, 7, ti_id="ti-1")
    assert world.store.detail(app_id).attempt.acknowledged_at == first


def test_detail_returns_values_equal_to_the_stores(world: World) -> None:
    request = make_request(
        args=("--ä", "x y"), conf={"spark.app": "1"}, env_vars={"A": "b"}, tags={"k": "v"}, max_runtime_s=60, packages=("a:b:1",)
    )
    app_id = world.submit(request).app.id
    world.bring_to("running", app_id, 1)
    assert world.registry.detail(app_id) == world.store.detail(app_id)
    assert world.registry.detail(app_id, 1, ti_id="ti-1") == world.store.detail(app_id, 1)
    assert world.registry.detail(app_id).app.request == request


def test_detail_of_unknown_application_or_generation_is_not_found(world: World) -> None:
    app_id = world.submit().app.id
    with pytest.raises(NotFound):
        world.registry.detail(999)
    with pytest.raises(NotFound):
        world.registry.detail(app_id, 9)


# A profile edit never breaks a retry


def test_retry_attaches_while_profiles_are_broken_and_a_clear_is_refused(open_store: StoreFactory, over_http: bool, tmp_path: Path) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text("artifacts: s3://bucket/x\nprofiles: {big: {}}\n")
    with open_world(open_store, over_http=over_http, profiles=ProfilesFile(file)) as world:
        app_id = world.submit(local_request(cluster="big")).app.id
        file.write_text("profiles: {other: {}}\n# no artifacts, no profile big any more\n")
        world.replace_try("ti-1", RETRY)
        assert world.submit(local_request(cluster="big"), ti_id="ti-2").outcome == "attached"
        world.replace_try("ti-2", replace(CLEARED, ti_id="ti-3", try_number=3))
        with pytest.raises(UnknownProfile):
            world.submit(local_request(cluster="big"), ti_id="ti-3")
        with pytest.raises(ArtifactsUnset):
            world.submit(local_request(cluster="other"), ti_id="ti-3")
        assert world.phase(app_id) == "new"


def test_submit_before_profiles_were_ever_good_may_be_asked_again(open_store: StoreFactory, over_http: bool, tmp_path: Path) -> None:
    """The api-server restarted over a broken edit: the platform's mistake, so no task fails for good by it."""
    file = tmp_path / "profiles.yaml"
    file.write_text("profiles:\n  big:\n    nodes: 3\n")
    with open_world(open_store, over_http=over_http, profiles=ProfilesFile(file)) as world:
        with pytest.raises(ProfilesUnavailable, match=r"profiles\.yaml can't be used: line 3: profiles\.big\.nodes") as refused:
            world.submit(make_request(cluster="big"))
        assert isinstance(refused.value, TemporaryError)
        assert world.store.apps_of_task("sales", "daily", "run-1", -1) == ()
        file.write_text("profiles: {big: {}}\n")
        assert world.submit(make_request(cluster="big")).outcome == "started"
