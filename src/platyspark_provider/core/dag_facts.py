"""What Airflow's own rows say about a DAG, as `records.TaskFacts` is for a task instance."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DagFacts:
    """A DAG that Airflow knows.

    :param team: of a tag `team:...`; None without one.
    """

    dag_id: str
    team: str | None = None
