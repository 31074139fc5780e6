"""What people may ask about applications, on each kind of store: one key one application, cancel, restart, rights."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from platyspark_provider import errors
from platyspark_provider.core.listing import AppFilter, EventFilter
from platyspark_provider.core.profiles import Profiles
from platyspark_provider.core.records import TaskFacts
from platyspark_provider.core.spec import AppRequest, Artifact
from platyspark_provider.core.states import AppKind, AppPhase
from platyspark_provider.registry.public import PublicService, Submitted
from platyspark_provider.registry.rights import Subject
from platyspark_provider.store.base import StoreFactory
from tests.builders import make_request
from tests.public_world import OPERATOR, People, SomeRights
from tests.registry_world import local_request, make_task


@pytest.fixture
def people(open_store: StoreFactory) -> Iterator[People]:
    with open_store() as store:
        yield People(store=store)


# Submit


def test_submit_makes_an_application_that_the_next_pass_finds(people: People) -> None:
    done = people.submit(make_request(name="daily", team="bi"))
    app, attempt = done.detail.app, done.detail.attempt
    assert done.is_new
    assert (app.name, app.team, app.owner, app.app_key, app.dag_id, app.owner_ti_id) == ("daily", "bi", "dana", "k", None, None)
    assert (app.phase, attempt.artifacts_ready) == (AppPhase.WAIT_CLUSTER, True)
    due = people.world.registry.due()
    assert [work.app.id for work in due.apps] == [app.id]
    assert people.world.phase(app.id) == "wait_cluster"  # the sweep of what no task comes back for left it alone


def test_submit_is_run_by_an_executor_to_its_end(people: People) -> None:
    app = people.submit().detail.app
    people.bring_to("succeeded", app.id, 1)
    assert people.service().app(app.id).attempt.phase is AppPhase.SUCCEEDED
    assert people.store.snapshot().apps == ()


def test_same_key_and_request_again_returns_the_current_state(people: People) -> None:
    first = people.submit()
    people.bring_to("running", first.detail.app.id, 1)
    again = people.submit()
    assert (again.is_new, again.detail.app.id, again.detail.attempt.phase) == (False, first.detail.app.id, AppPhase.RUNNING)
    assert people.service().apps(AppFilter()).total == 1


def test_same_key_again_needs_no_profile_any_more(people: People) -> None:
    people.document = {"profiles": {"big": {}}}
    first = people.submit(make_request(cluster="big"))
    people.document = None
    assert people.submit(make_request(cluster="big")).detail.app.id == first.detail.app.id


def test_same_key_with_another_request_names_the_places(people: People) -> None:
    old = make_request(args=("--date", "1"), conf={"spark.a": "1"}, env_vars={"PASSWORD": "hunter2"}, max_runtime_s=60)
    new = make_request(args=("--date", "2"), conf={"spark.b": "1"}, env_vars={"PASSWORD": "hunter3"}, max_runtime_s=90)
    first = people.submit(old)
    with pytest.raises(errors.IdempotencyMismatch) as refused:
        people.submit(new)
    assert refused.value.fields["existing_id"] == first.detail.app.id
    assert refused.value.fields["differing"] == ["args[1]", "conf.spark.a", "conf.spark.b", "env_vars.PASSWORD", "max_runtime"]
    assert "hunter" not in str(refused.value)


def test_without_a_key_each_submit_is_an_application(people: People) -> None:
    first, second = people.submit(key=None), people.submit(key=None)
    assert first.detail.app.id != second.detail.app.id


def test_one_key_stands_for_another_application_in_another_team_or_dag(people: People) -> None:
    people.tasks.add(make_task())
    asked: list[tuple[AppRequest, str | None]] = [
        (make_request(), None),
        (make_request(team="ads"), None),
        (make_request(), "sales"),
    ]
    ids = {people.submit(request, dag_id=dag_id).detail.app.id for request, dag_id in asked}
    assert len(ids) == 3


def test_two_first_submits_of_a_key_at_once_make_one_application(people: People, request: pytest.FixtureRequest) -> None:
    done: list[Submitted] = []
    start = threading.Barrier(4)

    def submit() -> None:
        start.wait()
        done.append(people.submit())

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.detail.app.id for one in done}) == 1
    assert sorted(one.is_new for one in done) == [False, False, False, True]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (make_request(kind=AppKind.STREAMING), "'streaming' can't be submitted yet"),
        (AppRequest(), "Either application or sql"),
        (make_request(sql="select 1"), "Either application or sql"),
        (AppRequest(sql="select 1", args=("x",)), "args"),
        (local_request(), "daily.py is a local file"),
        (make_request(jars=(Artifact(name="x.jar", sha256="ab" * 32),)), "x.jar is a local file"),
    ],
)
def test_submit_of_what_can_not_run_from_here_is_refused(people: People, request_: AppRequest, message: str) -> None:
    with pytest.raises(errors.InvalidRequest, match=message):
        people.submit(request_)
    assert people.service().apps(AppFilter()).total == 0


def test_submit_for_a_dag_takes_its_team_and_refuses_an_unknown_one(people: People) -> None:
    people.tasks.add(make_task(team="ads"))
    assert people.submit(dag_id="sales").detail.app.team == "ads"
    with pytest.raises(errors.PolicyViolated, match="team:ads"):
        people.submit(make_request(team="bi"), key="other", dag_id="sales")
    with pytest.raises(errors.InvalidRequest, match="knows no DAG 'nope'"):
        people.submit(key="third", dag_id="nope")


def test_task_with_the_same_explicit_key_reaches_no_application_of_a_person(people: People) -> None:
    app = people.submit().detail.app
    mine = people.world.submit(make_request(app_key="k"))
    assert mine.app.id != app.id
    with pytest.raises(errors.NotAllowed):
        people.world.registry.detail(app.id, ti_id="ti-1")


# Cancel


def test_cancel_before_it_was_sent_ends_it_at_once(people: People) -> None:
    app = people.submit().detail.app
    done = people.service(request_id="r-7").cancel(app.id, reason="wrong date", expected=1)
    assert (done.attempt.phase, done.attempt.stop_actor, done.attempt.stop_reason) == (AppPhase.STOPPED, "user:dana", "wrong date")
    event = people.store.events(object_kind="app", object_id=app.id)[-1]
    assert (event.actor, event.detail["reason"], event.detail["request_id"]) == ("user:dana", "wrong date", "r-7")


def test_cancel_of_a_run_is_an_intent_that_the_executor_ends(people: People) -> None:
    app = people.submit().detail.app
    people.bring_to("running", app.id, 1)
    for _ in range(2):
        assert people.service().cancel(app.id).attempt.phase is AppPhase.CANCELLING
    assert people.world.event_kinds(app.id).count("app.cancelling") == 1
    people.world.end("cancelled", app.id, 1)
    assert people.service().app(app.id).attempt.phase is AppPhase.STOPPED


def test_cancel_of_what_has_ended_is_refused(people: People) -> None:
    app = people.submit().detail.app
    people.bring_to("succeeded", app.id, 1)
    with pytest.raises(errors.AlreadyEnded, match="succeeded"):
        people.service().cancel(app.id)


def test_cancel_of_a_task_s_application_is_allowed_and_says_who(people: People) -> None:
    answer = people.world.submit()
    done = people.service().cancel(answer.app.id, reason="wrong")
    assert (done.attempt.phase, done.attempt.stop_actor) == (AppPhase.STOPPED, "user:dana")


def test_cancel_calls_off_the_restart_that_waits_for_the_old_run(people: People) -> None:
    app = people.submit().detail.app
    people.bring_to("running", app.id, 1)
    assert people.service().restart(app.id).app.wanted_generation == 2
    assert people.service().cancel(app.id).app.wanted_generation == 1
    people.world.end("cancelled", app.id, 1)
    assert [a.phase for a in people.service().attempts(app.id)] == [AppPhase.STOPPED, AppPhase.STOPPED]


# Restart


def test_restart_of_what_has_ended_begins_the_next_generation(people: People) -> None:
    app = people.submit().detail.app
    people.bring_to("failed", app.id, 1)
    done = people.service(request_id="r-1").restart(app.id, reason="data was late", expected=1)
    assert (done.app.generation, done.attempt.phase, done.app.cluster_id) == (2, AppPhase.WAIT_CLUSTER, None)
    people.bring_to("succeeded", app.id, 2)
    assert [a.phase.value for a in people.service().attempts(app.id)] == ["succeeded", "failed"]
    event = next(e for e in people.store.events(object_kind="app", object_id=app.id) if e.kind == "app.restarted")
    assert (event.actor, event.generation, event.detail) == ("user:dana", 2, {"reason": "data was late", "request_id": "r-1"})


def test_restart_of_a_run_waits_for_its_proven_end(people: People) -> None:
    app = people.submit().detail.app
    people.bring_to("running", app.id, 1)
    done = people.service().restart(app.id)
    assert (done.app.generation, done.app.wanted_generation, done.attempt.phase) == (1, 2, AppPhase.CANCELLING)
    people.world.end("cancelled", app.id, 1)
    people.bring_to("succeeded", app.id, 2)
    assert people.service().app(app.id).attempt.phase is AppPhase.SUCCEEDED


@pytest.mark.parametrize("phase", ["failed", "running"])
def test_restart_again_before_it_was_sent_changes_nothing(people: People, phase: str) -> None:
    app = people.submit().detail.app
    people.bring_to(phase, app.id, 1)
    first = people.service().restart(app.id)
    count = len(people.store.events())
    again = people.service().restart(app.id, expected=2)
    assert again.app == first.app
    assert len(people.store.events()) == count


def test_restart_takes_the_profile_as_it_is_now(people: People) -> None:
    people.document = {"profiles": {"big": {"release_label": "emr-7.5.0"}}}
    app = people.submit(make_request(cluster="big")).detail.app
    people.bring_to("failed", app.id, 1)
    people.document = {"profiles": {"big": {"release_label": "emr-7.6.0"}}}
    assert people.service().restart(app.id).attempt.spec.cluster.release_label == "emr-7.6.0"


def test_restart_while_a_task_waits_is_refused(people: People) -> None:
    answer = people.world.submit()
    people.bring_to("running", answer.app.id, 1)
    with pytest.raises(errors.OwnedByTask, match="sales/daily of run run-1") as refused:
        people.service().restart(answer.app.id)
    assert "Clear the task" in refused.value.hint
    people.world.end("failed", answer.app.id, 1)
    people.world.set_state("ti-1", "up_for_retry")
    with pytest.raises(errors.OwnedByTask):
        people.service().restart(answer.app.id)


def test_restart_while_a_retry_may_attach_is_refused_though_the_end_was_taken(people: People) -> None:
    answer = people.world.submit()
    people.bring_to("failed", answer.app.id, 1)
    people.world.registry.acknowledge(answer.app.id, 1, ti_id="ti-1")
    people.world.set_state("ti-1", "up_for_retry")
    with pytest.raises(errors.OwnedByTask):
        people.service().restart(answer.app.id)


def test_restart_without_airflow_s_rows_goes_by_who_took_the_end(people: People) -> None:
    answer = people.world.submit()
    people.bring_to("failed", answer.app.id, 1)
    blind = PublicService(people.store, people.profiles, subject=Subject(name="dana"))
    with pytest.raises(errors.OwnedByTask):
        blind.restart(answer.app.id)
    people.world.registry.acknowledge(answer.app.id, 1, ti_id="ti-1")
    assert blind.restart(answer.app.id).app.generation == 2


def test_restart_after_the_task_is_over_runs_it_again(people: People) -> None:
    answer = people.world.submit()
    people.bring_to("failed", answer.app.id, 1)
    people.world.set_state("ti-1", "failed")
    done = people.service().restart(answer.app.id)
    assert (done.app.generation, done.app.task_id) == (2, "daily")
    people.world.registry.due()  # the sweep of what no task comes back for leaves it alone
    assert people.world.phase(answer.app.id) == "wait_cluster"


def test_restart_of_local_files_needs_them_at_their_addresses(people: People) -> None:
    answer = people.world.submit(local_request())
    people.world.registry.ready(answer.app.id, 1, ti_id="ti-1")
    people.bring_to("failed", answer.app.id, 1)
    people.world.registry.acknowledge(answer.app.id, 1, ti_id="ti-1")
    people.world.set_state("ti-1", "failed")
    assert people.service().restart(answer.app.id).attempt.artifacts_ready
    people.bring_to("failed", answer.app.id, 2)
    people.document = {"artifacts": "s3://elsewhere/y"}
    with pytest.raises(errors.InvalidRequest, match="local files"):
        people.service().restart(answer.app.id)


@pytest.mark.parametrize("act", ["cancel", "restart"])
def test_stale_generation_is_refused_and_changes_nothing(people: People, act: str) -> None:
    app = people.submit().detail.app
    people.bring_to("running", app.id, 1)
    with pytest.raises(errors.StaleGeneration) as refused:
        getattr(people.service(), act)(app.id, expected=2)
    assert (refused.value.fields["generation"], refused.value.fields["expected"]) == (1, 2)
    assert people.world.phase(app.id) == "running"


# Rights

READER = SomeRights(reads=("sales",))
ACTOR = SomeRights(reads=("sales",), acts=("sales",))
ONLOOKER = SomeRights(shared=("GET",))


def test_application_of_a_dag_is_seen_and_moved_by_who_may_do_so_with_its_runs(people: People) -> None:
    app = people.submit(dag_id="sales").detail.app
    for service in (people.service(OPERATOR), people.service(ONLOOKER)):
        with pytest.raises(errors.NotFound):
            service.app(app.id)
        with pytest.raises(errors.NotFound):
            service.cancel(app.id)
    assert people.service(READER).app(app.id).app.id == app.id
    with pytest.raises(errors.NotAllowed, match="dana may not cancel"):
        people.service(READER).cancel(app.id)
    assert people.service(ACTOR).cancel(app.id).attempt.phase is AppPhase.STOPPED


def test_application_of_no_dag_is_seen_and_moved_by_who_may_use_shared_capacity(people: People) -> None:
    app = people.submit().detail.app
    with pytest.raises(errors.NotFound):
        people.service(ACTOR).app(app.id)
    assert people.service(ONLOOKER).app(app.id).app.id == app.id
    with pytest.raises(errors.NotAllowed, match="PUT on pools"):
        people.service(ONLOOKER).cancel(app.id)
    assert people.service(OPERATOR).cancel(app.id).attempt.phase is AppPhase.STOPPED


def test_submit_needs_the_right_to_make_runs_or_to_use_shared_capacity(people: People) -> None:
    with pytest.raises(errors.NotAllowed, match="POST on pools"):
        people.service(ACTOR).submit(make_request(), key="k")
    with pytest.raises(errors.NotAllowed, match="POST on runs of DAG 'sales'"):
        people.service(OPERATOR).submit(make_request(), key="k", dag_id="sales")
    assert people.service(ACTOR).submit(make_request(), key="k", dag_id="sales").is_new
    assert people.service(OPERATOR).submit(make_request(), key="k").is_new


@pytest.mark.parametrize(
    ("rights", "seen"),
    [
        (READER, ["of-dag"]),
        (ONLOOKER, ["of-none"]),
        (SomeRights(), []),
        (SomeRights(reads=("sales",), shared=("GET",)), ["of-dag", "of-none"]),
    ],
)
def test_list_shows_what_a_person_may_see(people: People, rights: SomeRights, seen: list[str]) -> None:
    people.submit(make_request(name="of-dag"), dag_id="sales")
    people.tasks.add(make_task("ti-2", dag_id="hidden"))
    people.submit(make_request(name="of-other"), dag_id="hidden")
    people.submit(make_request(name="of-none"))
    page = people.service(rights).apps(AppFilter())
    assert (sorted(work.app.name for work in page.items), page.total) == (seen, len(seen))
    assert people.service(rights).apps(AppFilter(dag_id="hidden")).total == 0


def test_events_of_hidden_applications_are_left_out(people: People) -> None:
    shown = people.submit(make_request(name="of-none")).detail.app
    hidden = people.submit(dag_id="sales").detail.app
    kinds = {(e.object_kind, e.object_id) for e in people.service(ONLOOKER).events(EventFilter())}
    assert ("app", shown.id) in kinds
    assert ("app", hidden.id) not in kinds
    with pytest.raises(errors.NotAllowed):
        people.service(READER).events(EventFilter())
    assert [e.kind for e in people.service(READER).app_events(hidden.id)] == ["app.submitted"]


# Lists


def test_list_filters_orders_and_pages(people: People) -> None:
    names = ("daily_a", "daily_b", "hourly_c")
    ids = {name: people.submit(make_request(name=name, team=f"t{i}"), key=name).detail.app.id for i, name in enumerate(names)}
    people.bring_to("running", ids["daily_b"], 1)
    running = people.store.detail(ids["daily_b"]).app
    service = people.service()

    def found(**values: Any) -> list[str]:
        return [work.app.name for work in service.apps(AppFilter(**values)).items]

    assert found(order_by="name", descending=False) == list(names)
    assert found(order_by="name", limit=1, offset=1, descending=True) == ["daily_b"]
    assert found(states=[AppPhase.RUNNING]) == ["daily_b"]
    assert found(teams=["t0", "t2"], order_by="id", descending=False) == ["daily_a", "hourly_c"]
    assert found(name_pattern="DAILY", order_by="name", descending=False) == ["daily_a", "daily_b"]
    assert found(name_pattern="d%_a|hour", order_by="name", descending=False) == ["daily_a", "hourly_c"]
    assert found(name_pattern="\\") == []
    assert len(found(name_pattern="~")) == 3
    assert found(cluster_id=running.cluster_id) == ["daily_b"]
    assert found(kinds=[AppKind.STREAMING]) == []
    assert found(submitted_from=running.created_at, submitted_to=running.created_at)[:1] != []
    assert service.apps(AppFilter(limit=1)).total == 3


def test_list_and_detail_show_the_current_generation_and_no_log_in_the_list(people: People) -> None:
    app = people.submit().detail.app
    people.bring_to("failed", app.id, 1)
    people.service().restart(app.id)
    (work,) = people.service().apps(AppFilter()).items
    assert (work.attempt.generation, work.attempt.log_tail) == (2, None)
    assert people.service().app(app.id, 1).attempt.phase is AppPhase.FAILED


def test_list_of_a_task_s_applications_by_its_place(people: People) -> None:
    people.world.submit()
    page = people.service().apps(AppFilter(dag_id="sales", task_id="daily", run_id="run-1"))
    assert [work.app.owner for work in page.items] == ["dana"]
    assert people.store.dag_ids() == {"sales"}


def test_dag_ids_are_each_found_once(people: People) -> None:
    for number in range(3):
        task: TaskFacts = people.tasks.add(make_task(f"t{number}", dag_id=f"d{number}"))
        for key in ("a", "b"):
            people.submit(key=key, dag_id=task.dag_id)
    people.submit()
    assert people.store.dag_ids() == {"d0", "d1", "d2"}


def test_restart_between_read_and_lock_asks_again(people: People) -> None:
    app = people.submit().detail.app
    people.bring_to("failed", app.id, 1)

    def meddle() -> Profiles:
        people.service().restart(app.id)
        return people.profiles()

    slow = PublicService(people.store, meddle, subject=Subject(name="lee"), tasks=people.tasks)
    with pytest.raises(errors.StoreBusy):
        slow.restart(app.id)
    assert people.service().app(app.id).app.generation == 2
