"""Reads Airflow's own rows about a task instance: the only module that knows these models. For api-server and CLI."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from airflow.models.dag import DagModel
from airflow.models.dagbag import DBDagBag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from airflow.utils.session import create_session
from sqlalchemy import select, tuple_
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from platyspark_provider.core.dag_facts import DagFacts
from platyspark_provider.core.records import PastTry, TaskFacts, TaskKey
from platyspark_provider.errors import StoreBusy

_TEAM_TAG = "team:"
_NO_OWNER = "airflow"
_KEYS_AT_ONCE = 200


class AirflowTasks:
    """The `TaskLookup` over Airflow's tables; one short session per question, so that no read blocks a write of ours on SQLite."""

    def __init__(self) -> None:
        self._dags = DBDagBag()

    def facts(self, ti_id: str) -> TaskFacts | None:
        """Return what Airflow knows of a task instance id, current or archived; about 9 ms."""
        try:
            key = UUID(ti_id)
        except ValueError:
            return None
        with _reading() as session:
            current = session.get(TaskInstance, key)
            row = current or session.get(TaskInstanceHistory, key)
            if row is None:
                return None
            return TaskFacts(
                ti_id=str(key),
                dag_id=row.dag_id,
                task_id=row.task_id,
                run_id=row.run_id,
                map_index=row.map_index,
                try_number=row.try_number,
                max_tries=-1 if row.max_tries is None else row.max_tries,
                state=None if row.state is None else str(row.state),
                is_current=current is not None,
                owner=self._owner(session, row),
                team=_team(session, row.dag_id),
            )

    def _owner(self, session: Session, row: TaskInstance | TaskInstanceHistory) -> str:
        """Return the task's own owner of the DAG version its run uses."""
        run = session.scalar(select(DagRun).where(DagRun.dag_id == row.dag_id, DagRun.run_id == row.run_id))
        dag = self._dags.get_dag_for_run(dag_run=run, session=session) if run is not None else None
        if dag is None or not dag.has_task(row.task_id):
            return _NO_OWNER
        return str(dag.get_task(row.task_id).owner)

    def past(self, dag_id: str, task_id: str, run_id: str, map_index: int, try_number: int) -> PastTry | None:
        """Return the archived row of a try; the newest where a clear archived the same number twice."""
        statement = (
            select(TaskInstanceHistory)
            .where(
                TaskInstanceHistory.dag_id == dag_id,
                TaskInstanceHistory.task_id == task_id,
                TaskInstanceHistory.run_id == run_id,
                TaskInstanceHistory.map_index == map_index,
                TaskInstanceHistory.try_number == try_number,
            )
            .order_by(TaskInstanceHistory.updated_at.desc())
        )
        with _reading() as session:
            row = session.scalars(statement).first()
            if row is None:
                return None
            state = None if row.state is None else str(row.state)
            # A clear leaves the old trigger_id in the row until a triggerer sweeps; next_method it resets. Both mean: deferred.
            was_deferred = row.trigger_id is not None and row.next_method is not None
            return PastTry(try_number=try_number, state=state, had_trigger=was_deferred)

    def states(self, tasks: Collection[TaskKey]) -> Mapping[TaskKey, str | None]:
        """Return the state of each task's current row; 200 tasks a statement, by the unique index of their place."""
        place = (TaskInstance.dag_id, TaskInstance.task_id, TaskInstance.run_id, TaskInstance.map_index)
        wanted = sorted((task.dag_id, task.task_id, task.run_id, task.map_index) for task in tasks)
        found: dict[TaskKey, str | None] = {}
        with _reading() as session:
            for start in range(0, len(wanted), _KEYS_AT_ONCE):
                some = tuple_(*place).in_(wanted[start : start + _KEYS_AT_ONCE])
                for dag_id, task_id, run_id, map_index, state in session.execute(select(*place, TaskInstance.state).where(some)):
                    key = TaskKey(dag_id=dag_id, task_id=task_id, run_id=run_id, map_index=map_index)
                    found[key] = None if state is None else str(state)
        return found

    def dag(self, dag_id: str) -> DagFacts | None:
        """Return what Airflow knows of a DAG; None for one that it does not know."""
        with _reading() as session:
            if session.get(DagModel, dag_id) is None:
                return None
            return DagFacts(dag_id=dag_id, team=_team(session, dag_id))


def _team(session: Session, dag_id: str) -> str | None:
    dag = session.get(DagModel, dag_id)
    names = sorted(tag.name for tag in dag.tags) if dag is not None else []
    return next((name.removeprefix(_TEAM_TAG).strip() for name in names if name.startswith(_TEAM_TAG)), None) or None


@contextmanager
def _reading() -> Iterator[Session]:
    try:
        with create_session(scoped=False) as session:
            yield session
    except OperationalError as busy:
        raise StoreBusy("Airflow's tables could not be read just now.", retry_after=1.0) from busy
