"""What the api-server learns from Airflow's real rows about who is asking, through retries and clears done by Airflow's own code."""

import uuid
import warnings
from typing import Any

import pytest

from platyspark_provider.core.profiles import profiles_from_mapping
from platyspark_provider.core.records import TaskKey
from platyspark_provider.errors import StaleTry, StoreBusy
from platyspark_provider.registry.service import RegistryService
from platyspark_provider.store.memory import InMemoryStore
from tests.builders import make_request


@pytest.fixture
def tasks(airflow_db: None) -> Any:
    """Return the look-up over Airflow's tables."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from platyspark_provider.airflow_core.tasks import AirflowTasks

        return AirflowTasks()


def clear(run: Any, row: Any) -> None:
    from airflow.models.taskinstance import clear_task_instances

    clear_task_instances([row], run.session)
    run.session.commit()


def retry(run: Any, row: Any) -> None:
    """Do what Airflow does after a failure with retries left."""
    row.state = "failed"
    row.prepare_db_for_next_try(run.session)
    run.session.commit()


def test_facts_of_running_task_come_from_its_row_run_and_dag(tasks: Any, airflow_run: Any) -> None:
    row = airflow_run.start("one")
    facts = tasks.facts(str(row.id))
    assert (facts.ti_id, facts.dag_id, facts.task_id, facts.run_id, facts.map_index) == (str(row.id), row.dag_id, "one", "run-1", -1)
    assert (facts.try_number, facts.max_tries, facts.state, facts.is_current) == (1, 2, "running", True)
    assert (facts.owner, facts.team) == ("dana", "ads")


def test_facts_of_task_without_owner_name_airflows_default(tasks: Any, airflow_run: Any) -> None:
    assert tasks.facts(str(airflow_run.start("two").id)).owner == "airflow"


@pytest.mark.parametrize("ti_id", ["", "ti-1", "x" * 500, "11111111-2222-7333-8444-555555555555"])
def test_facts_of_unknown_or_malformed_id_are_none(tasks: Any, ti_id: str) -> None:
    assert tasks.facts(ti_id) is None


def test_facts_after_a_clear_are_found_in_the_history_alone(tasks: Any, airflow_run: Any) -> None:
    row = airflow_run.start("one")
    old = str(row.id)
    row.state = "success"
    clear(airflow_run, row)
    gone = tasks.facts(old)
    assert (gone.is_current, gone.state, gone.try_number, gone.owner) == (False, "success", 1, "dana")
    fresh = airflow_run.start("one")
    now = tasks.facts(str(fresh.id))
    assert (now.is_current, now.try_number, now.max_tries) == (True, 2, 3)


def test_facts_after_a_retry_keep_max_tries(tasks: Any, airflow_run: Any) -> None:
    row = airflow_run.start("one")
    old = str(row.id)
    retry(airflow_run, row)
    fresh = airflow_run.start("one")
    now, gone = tasks.facts(str(fresh.id)), tasks.facts(old)
    assert (now.try_number, now.max_tries, now.is_current) == (2, 2, True)
    assert (gone.is_current, gone.state) == (False, "failed")


def test_past_of_a_try_says_how_it_ended_and_whether_it_was_deferred(tasks: Any, airflow_run: Any) -> None:
    from airflow.models.trigger import Trigger

    row = airflow_run.start("one")
    key = (row.dag_id, "one", "run-1", -1)
    assert tasks.past(*key, 1) is None
    trigger = Trigger(classpath="x.Y", kwargs={})
    airflow_run.session.add(trigger)
    airflow_run.session.flush()
    row.state, row.trigger_id, row.next_method = "deferred", trigger.id, "resume"
    clear(airflow_run, row)
    past = tasks.past(*key, 1)
    assert (past.try_number, past.had_trigger) == (1, True)
    fresh = airflow_run.start("one")
    assert fresh.trigger_id == trigger.id, "no triggerer has swept yet: the id is a leftover, not a deferral"
    retry(airflow_run, fresh)
    past = tasks.past(*key, 2)
    assert (past.state, past.had_trigger) == ("failed", False)


def test_registry_over_airflows_rows_attaches_a_retry_and_runs_a_clear_anew(tasks: Any, airflow_run: Any) -> None:
    registry = RegistryService(InMemoryStore(), tasks, lambda: profiles_from_mapping(None))
    row = airflow_run.start("one")
    first = str(row.id)
    assert registry.submit(make_request(), ti_id=first).app.team == "ads"
    retry(airflow_run, row)
    row = airflow_run.start("one")
    with pytest.raises(StaleTry):
        registry.submit(make_request(), ti_id=first)
    answer = registry.submit(make_request(), ti_id=str(row.id))
    assert (answer.outcome, answer.generation) == ("attached", 1)
    row.state = "deferred"
    clear(airflow_run, row)
    second = str(airflow_run.start("one").id)
    assert registry.submit(make_request(), ti_id=second).generation == 2


def test_facts_of_a_locked_database_are_busy(tasks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlalchemy as sa
    from airflow import settings

    broken = sa.create_engine("sqlite:////nowhere/at/all.db")
    monkeypatch.setattr(settings, "NonScopedSession", sa.orm.sessionmaker(bind=broken))
    with pytest.raises(StoreBusy):
        tasks.facts(str(uuid.uuid4()))
    broken.dispose()


def place(run: Any, task_id: str, **values: Any) -> TaskKey:
    return TaskKey(**{"dag_id": run.run.dag_id, "task_id": task_id, "run_id": "run-1", "map_index": -1, **values})


def test_states_are_those_of_the_current_rows_through_retry_and_clear(tasks: Any, airflow_run: Any) -> None:
    one, two, unknown = place(airflow_run, "one"), place(airflow_run, "two"), place(airflow_run, "one", map_index=7)
    row = airflow_run.start("one")
    assert tasks.states({one, two, unknown}) == {one: "running", two: None}
    retry(airflow_run, row)
    row.state = "up_for_retry"
    airflow_run.session.commit()
    assert tasks.states({one}) == {one: "up_for_retry"}
    row = airflow_run.start("one")
    clear(airflow_run, row)
    assert tasks.states({one}) == {one: airflow_run.task("one").state}
    assert tasks.states({one})[one] not in {"success", "failed"}
    row = airflow_run.task("one")
    row.state = "failed"
    airflow_run.session.commit()
    assert tasks.states({one}) == {one: "failed"}


def test_states_of_many_tasks_are_read_by_the_hundred(tasks: Any, airflow_run: Any) -> None:
    import sqlalchemy as sa
    from airflow import settings

    keys = {place(airflow_run, "none", map_index=n) for n in range(399)} | {place(airflow_run, "two")}
    seen: list[str] = []

    def note(_connection: object, _cursor: object, text: str, *_: object) -> None:
        seen.append(text)

    sa.event.listen(settings.engine, "before_cursor_execute", note)
    try:
        assert tasks.states(keys) == {place(airflow_run, "two"): None}
        assert tasks.states(set()) == {}
    finally:
        sa.event.remove(settings.engine, "before_cursor_execute", note)
    assert len([text for text in seen if text.startswith("SELECT")]) == 2
