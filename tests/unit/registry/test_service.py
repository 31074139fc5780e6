"""Corners of the service that the contract suite can't reach from outside."""

import pytest

from platyspark_provider.core.profiles import profiles_from_mapping
from platyspark_provider.core.records import PastTry
from platyspark_provider.core.spec import AppRequest
from platyspark_provider.core.states import AppKind, AppPhase
from platyspark_provider.errors import NotAllowed, NotFound, StoreBusy
from platyspark_provider.reconciler.advance import advance
from platyspark_provider.reconciler.workbench import PassReport
from platyspark_provider.registry.identity import ScriptedTasks, actor_of
from platyspark_provider.registry.service import RegistryService
from platyspark_provider.store.memory import InMemoryStore
from tests.builders import make_request
from tests.desks import TI, Desk
from tests.registry_world import local_request, make_task, open_world


class RestlessTasks(ScriptedTasks):
    """Rows among which another try takes the application over each time the history is read."""

    def __init__(self, store: InMemoryStore, rivals: int) -> None:
        super().__init__([make_task(f"ti-{n}", try_number=n) for n in range(1, rivals + 2)])
        self.store, self.rivals = store, list(range(2, rivals + 2))

    def past(self, dag_id: str, task_id: str, run_id: str, map_index: int, try_number: int) -> PastTry | None:
        """Let the next rival submit first."""
        if self.rivals:
            rival = self.rivals.pop(0)
            calm = ScriptedTasks([make_task(f"ti-{rival}", try_number=rival)])
            RegistryService(self.store, calm, lambda: profiles_from_mapping(None)).submit(make_request(), ti_id=f"ti-{rival}")
        return None


@pytest.mark.parametrize(("rivals", "error"), [(2, None), (6, StoreBusy)])
def test_submit_reads_again_when_another_try_takes_over_in_between(rivals: int, error: type[Exception] | None) -> None:
    store = InMemoryStore()
    first = ScriptedTasks([make_task()])
    RegistryService(store, first, lambda: profiles_from_mapping(None)).submit(make_request(), ti_id="ti-1")
    service = RegistryService(store, RestlessTasks(store, rivals), lambda: profiles_from_mapping(None))
    if error is not None:
        with pytest.raises(error):
            service.submit(make_request(), ti_id="ti-1")
        return
    assert service.submit(make_request(), ti_id="ti-1").outcome == "attached"


def test_streaming_key_is_one_for_all_runs() -> None:
    with open_world(InMemoryStore().open) as world:
        request: AppRequest = make_request(kind=AppKind.STREAMING)
        first = world.submit(request)
        world.tasks.add(make_task("ti-b", run_id="run-2"))
        second = world.submit(request, ti_id="ti-b")
        assert (first.app.app_key, second.app.id, second.outcome) == ("sales/daily/-1", first.app.id, "attached")
        assert first.app.desired.value == "running"


def test_ready_marks_the_replacement_that_still_waits() -> None:
    with open_world(InMemoryStore().open) as world:
        app_id = world.submit().app.id
        world.bring_to("running", app_id, 1)
        world.replace_try("ti-1", make_task("ti-2", try_number=2, max_tries=3))
        answer = world.submit(local_request(), ti_id="ti-2")
        assert answer.missing_uploads
        world.registry.ready(app_id, 2, ti_id="ti-2")
        world.end("cancelled", app_id, 1)
        assert world.phase(app_id) == "wait_cluster"


def test_acknowledge_of_the_waiting_replacement_is_its_own() -> None:
    """A task with wait=False says so before its generation begins."""
    with open_world(InMemoryStore().open) as world:
        app_id = world.submit().app.id
        world.bring_to("running", app_id, 1)
        world.replace_try("ti-1", make_task("ti-2", try_number=2, max_tries=3))
        world.submit(ti_id="ti-2")
        world.registry.acknowledge(app_id, 2, ti_id="ti-2")
        assert world.store.detail(app_id, 1).attempt.acknowledged_at is None
        assert world.store.detail(app_id, 2).attempt.acknowledged_at is not None


def test_ready_of_an_unknown_generation_is_not_found() -> None:
    with open_world(InMemoryStore().open) as world:
        app_id = world.submit().app.id
        with pytest.raises(NotFound):
            world.registry.ready(app_id, 5, ti_id="ti-1")


def test_submit_of_broken_profiles_attaches_a_retry_of_a_team_token_only_in_its_team() -> None:
    from platyspark_provider.registry.identity import Caller

    store, tasks = InMemoryStore(), ScriptedTasks([make_task(team="ads")])
    service = RegistryService(store, tasks, lambda: profiles_from_mapping(None))
    service.submit(make_request(), ti_id="ti-1")
    stranger = Caller(actor="token:bi", scopes=("worker",), teams=("bi",))
    limited = RegistryService(store, tasks, lambda: profiles_from_mapping(None), caller=stranger)
    with pytest.raises(NotAllowed):
        limited.submit(make_request(), ti_id="ti-1")
    with pytest.raises(NotAllowed):
        limited.detail(1, ti_id="ti-1")


def test_actor_of_a_mapped_task_names_its_index() -> None:
    assert actor_of(make_task(map_index=3, try_number=2)) == "task:sales/daily[3]/run-1#2"


@pytest.mark.parametrize(("state", "sent"), [("running", True), ("up_for_retry", True), ("deferred", True), ("failed", False)])
def test_observer_sends_nothing_for_a_task_that_is_over(state: str, sent: bool) -> None:
    """The task died in its submit: it never learned the app's id, so its `on_kill` could not stop it."""
    desk = Desk()
    answer = desk.registry.submit(make_request(), ti_id=TI)
    desk.registry.ready(answer.app.id, 1, ti_id=TI)
    desk.add_task(state=state)
    desk.pass_once()
    assert bool(desk.backend.runs) is sent
    if not sent:
        assert desk.detail(answer.app.id).app.phase is AppPhase.STOPPED


def test_observer_sends_for_a_task_that_did_not_wait() -> None:
    desk = Desk()
    answer = desk.registry.submit(make_request(), ti_id=TI)
    desk.registry.ready(answer.app.id, 1, ti_id=TI)
    desk.registry.acknowledge(answer.app.id, 1, ti_id=TI)
    desk.add_task(state="success")
    desk.pass_once()
    assert len(desk.backend.runs) == 1


def test_task_leaves_the_end_of_a_shared_cluster_to_the_observer() -> None:
    desk = Desk()
    app_id = desk.registry.submit(make_request(), ti_id=TI).app.id
    desk.registry.ready(app_id, 1, ti_id=TI)

    def step() -> PassReport:
        return advance(desk.registry, desk.backends, app_id=app_id, ti_id=TI, holder="worker", clock=desk.clock)[1]

    step()
    (cluster,) = desk.store.clusters()
    step()
    assert desk.detail(app_id).attempt.external_id is not None
    desk.backend.end_cluster(str(desk.store.clusters()[0].external_id))
    report = step()
    assert [line for line in report.skipped if "is shared" in line]
    assert [c.id for c in desk.store.clusters()] == [cluster.id]
    assert desk.detail(app_id).attempt.phase.is_terminal
    desk.pass_once()
    assert desk.store.clusters() == ()
