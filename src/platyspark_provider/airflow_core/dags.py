"""What Airflow knows of the DAGs that run a kind of operator: is it there, is it paused, when did its tasks run last."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DagState:
    """A DAG as Airflow's tables show it.

    :param is_stale: its file is gone or was not parsed lately.
    :param last_start: of a task of the operator, in any run; None before the first.
    :param last_state: of that task.
    """

    dag_id: str
    is_paused: bool
    is_stale: bool
    last_start: datetime | None
    last_state: str | None


def dag_states(dag_id: str, operator: str) -> Sequence[DagState]:
    """Return the DAG of that id and all others whose tasks are of the operator (a site may name its own)."""
    from airflow.models.dag import DagModel
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import or_, select

    of_operator = select(TaskInstance.dag_id).where(TaskInstance.operator == operator)
    dags = select(DagModel.dag_id, DagModel.is_paused, DagModel.is_stale).where(
        or_(DagModel.dag_id == dag_id, DagModel.dag_id.in_(of_operator))
    )
    found = []
    with create_session(scoped=False) as session:
        for name, is_paused, is_stale in session.execute(dags.order_by(DagModel.dag_id)).all():
            last = (
                select(TaskInstance.start_date, TaskInstance.state)
                .where(TaskInstance.dag_id == name, TaskInstance.start_date.is_not(None))
                .order_by(TaskInstance.start_date.desc())
                .limit(1)
            )
            row = session.execute(last).first()
            start, state = (row[0], None if row[1] is None else str(row[1])) if row else (None, None)
            found.append(DagState(dag_id=name, is_paused=bool(is_paused), is_stale=bool(is_stale), last_start=start, last_state=state))
    return found
