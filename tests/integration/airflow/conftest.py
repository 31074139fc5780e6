"""Airflow's real tables, made once a session by what `airflow db migrate` calls; our own come with them."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy.orm import Session

_numbers = count(1)


@pytest.fixture(scope="session")
def airflow_db() -> Iterator[None]:
    """Make the tables."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from airflow import settings
        from airflow.utils.db import initdb, synchronize_log_template

        settings.configure_orm()
        with settings.Session() as session:
            initdb(session=session)
            synchronize_log_template(session=session)
            session.commit()
    yield
    settings.dispose_orm()


@dataclass(frozen=True, slots=True, kw_only=True)
class AirflowRun:
    """A DAG run in Airflow's tables, its tasks not started."""

    session: "Session"
    run: "DagRun"

    def task(self, task_id: str) -> "TaskInstance":
        """Return a task's row."""
        found = self.run.get_task_instance(task_id, session=self.session)
        assert found is not None
        return found

    def start(self, task_id: str) -> "TaskInstance":
        """Do to the row what scheduler and worker do when a try starts."""
        row = self.task(task_id)
        row.state, row.try_number, row.start_date = "running", row.try_number + 1, datetime.now(UTC)
        self.session.commit()
        return row


@pytest.fixture
def airflow_run(airflow_db: None) -> Iterator[AirflowRun]:
    """Yield a run of a DAG of two tasks with owners and two retries, tagged with a team."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from airflow import settings
        from airflow.models.dagbundle import DagBundleModel
        from airflow.models.serialized_dag import SerializedDagModel
        from airflow.providers.standard.operators.empty import EmptyOperator
        from airflow.sdk import DAG
        from airflow.serialization.definitions.dag import SerializedDAG
        from airflow.serialization.serialized_objects import LazyDeserializedDAG
        from airflow.utils.state import DagRunState
        from airflow.utils.types import DagRunTriggeredByType, DagRunType

        with DAG(f"sales_{next(_numbers)}", schedule=None, tags=["nightly", "team:ads"], default_args={"retries": 2}) as dag:
            EmptyOperator(task_id="one", owner="dana")
            EmptyOperator(task_id="two")
        now = datetime.now(UTC)
        lazy = LazyDeserializedDAG.from_dag(dag)
        with settings.Session() as session:
            session.merge(DagBundleModel(name="tests"))
            session.commit()
            SerializedDAG.bulk_write_to_db("tests", None, [lazy], session=session)
            SerializedDagModel.write_dag(lazy, bundle_name="tests", session=session)
            session.commit()
            run = SerializedDagModel.get(dag.dag_id, session=session).dag.create_dagrun(
                run_id="run-1",
                run_after=now - timedelta(seconds=1),
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.TEST,
                state=DagRunState.RUNNING,
                session=session,
            )
            session.commit()
            yield AirflowRun(session=session, run=run)
