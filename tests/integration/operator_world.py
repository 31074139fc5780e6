"""One process for `python dag.py`: Airflow's tables, the worker API over a store in memory, a fake backend that ends its runs.

Run as `python -m tests.integration.operator_world DAG_FILE END_STATE`; the last line is what came of it, as JSON.
"""

import json
import os
import runpy
import sys
import threading
import warnings
from pathlib import Path
from typing import Any, Literal, cast

from platyspark_provider.airflow_core.tasks import AirflowTasks
from platyspark_provider.core.ports import Registry
from platyspark_provider.errors import NotFound
from platyspark_provider.operators.cluster_waiting import ClusterCaller
from platyspark_provider.operators.clusters import SparkCluster
from platyspark_provider.operators.spark_app import SparkAppOperator
from platyspark_provider.operators.spark_cluster import SparkClusterOperator
from platyspark_provider.operators.submission import Caller
from tests.api_servers import add_token, connection_json, serve
from tests.desks import Desk

EndState = Literal["succeeded", "failed"]
LOG = """Traceback (most recent call last):
  File "/mnt/tmp/spark-1/agg.py", line 3, in <module>
    import shapely
ModuleNotFoundError: No module named 'shapely'
"""
desk = Desk()


class WorldOperator(SparkAppOperator):
    """The operator with this process's backend; all else is what users run."""

    def _caller(self, registry: Registry) -> Caller:
        from dataclasses import replace

        fakes = desk.caller(ti_id=self._ti_id, registry=registry)
        return replace(fakes, log=self.log)


def build_dag(**values: Any) -> Any:
    """Return a DAG from a factory that is not in the DAG's file, as users' libraries make them."""
    from airflow.sdk import DAG

    with DAG("world", schedule=None, tags=["team:ads"]) as dag:
        WorldOperator(task_id="agg", application="jobs/agg.py", args=["--run", "{{ run_id }}"], owner="dana", **values)
    return dag


class WorldClusterOperator(SparkClusterOperator):
    """The operator with this process's backend where it acts itself."""

    def _caller(self, registry: Registry) -> ClusterCaller:
        from dataclasses import replace

        return replace(super()._caller(registry), act=desk.pass_once)


def build_cluster_dag(**values: Any) -> Any:
    """Return a DAG that warms a cluster, runs an application on it, and lets it end."""
    from airflow.sdk import DAG

    cluster = SparkCluster("etl-{{ dag.dag_id }}", workers=(2, 4), idle_timeout="20m")
    with DAG("world", schedule=None, tags=["team:ads"]) as dag:
        warm = WorldClusterOperator(task_id="warm", cluster=cluster, **values)
        agg = WorldOperator(task_id="agg", application="jobs/agg.py", cluster=cluster, owner="dana", **values)
        cool = WorldClusterOperator(task_id="cool", cluster=cluster, action="drain", **values)
        warm >> agg >> cool
    return dag


def make_tables() -> None:
    """Do what `airflow db migrate` does."""
    from airflow import settings
    from airflow.utils.db import initdb

    settings.configure_orm()
    with settings.Session() as session:
        initdb(session=session)
        session.commit()


def observe(over: threading.Event, state: EndState) -> None:
    """Be the observer, and end each run that has started."""
    while not over.wait(0.2):
        desk.clock.advance(5)
        desk.pass_once()
        for run in list(desk.backend.runs.values()):
            if run.started_at is not None and run.ended_at is None:
                if state == "failed":
                    desk.backend.write_log(run.name, LOG)
                desk.backend.end_run(run, state)


def outcome() -> dict[str, Any]:
    """Return what a user would see."""
    from airflow import settings
    from airflow.models.xcom import XComModel
    from sqlalchemy import select, text

    with settings.Session() as session:
        state = session.execute(text("select state from task_instance where dag_id = 'world'")).scalar()
        rows = list(session.scalars(select(XComModel).where(XComModel.dag_id == "world")))
        xcoms = {row.key: XComModel.deserialize_value(row) for row in rows}
        returned = {row.task_id: XComModel.deserialize_value(row) for row in rows if row.key == "return_value"}
    try:
        app = desk.detail(1).app
        known = {"owner": app.owner, "team": app.team, "app_key": app.app_key, "args": app.request.args, "phase": app.phase.value}
    except NotFound:
        known = {}
    clusters = [{"name": c.name, "phase": c.phase.value, "by": c.ensured_by} for c in desk.store.clusters(live_only=False)]
    return {
        "state": state,
        "xcoms": xcoms,
        "returned": returned,
        "app": known,
        "sends": desk.backend.calls["submit"],
        "creates": desk.backend.calls["create_cluster"],
        "clusters": clusters,
        "uploads": len(desk.s3.objects),
    }


def main() -> None:
    """Run the DAG file as a script in this world."""
    warnings.simplefilter("ignore")
    dag_file, state = Path(sys.argv[1]), cast(EndState, sys.argv[2])
    sys.modules["tests.integration.operator_world"] = sys.modules["__main__"]
    make_tables()
    desk.registry._tasks = AirflowTasks()
    desk.tasks = AirflowTasks()  # type: ignore[assignment]
    add_token(desk, "secret", "worker")
    over = threading.Event()
    observer = threading.Thread(target=observe, args=(over, state))
    with serve(desk) as url:
        os.environ["AIRFLOW_CONN_PLATYSPARK_DEFAULT"] = connection_json(url, "secret")
        observer.start()
        try:
            runpy.run_path(str(dag_file), run_name="__main__")
        finally:
            over.set()
            observer.join()
    print(json.dumps(outcome()))


if __name__ == "__main__":
    main()
