"""Airflow's own api-server app in this process, with our plugin mounted, users of each role and machine tokens of each kind."""

import secrets
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.api_server import serve_app
from tests.integration.airflow.conftest import airflow_db

if TYPE_CHECKING:
    from platyspark_provider.store.base import Store

__all__ = ["airflow_db"]

ROLES = ("viewer", "user", "op", "admin")
TOKENS = ("worker", "reconciler", "scrape", "ingest")
DAG = "sales_api"
_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServer:
    """The running app.

    :param bearers: by role and kind of token (and `revoked`), what stands behind `Bearer`.
    """

    url: str
    client: httpx.Client
    store: "Store"
    bearers: Mapping[str, str]

    def headers(self, who: str) -> dict[str, str]:
        """Return what one caller sends along; nothing for `anonymous`."""
        return {} if who == "anonymous" else {"Authorization": f"Bearer {self.bearers[who]}"}

    def login(self) -> tuple[str, str]:
        """Return name and password of the user with the role `op`."""
        from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

        return "op-1", SimpleAuthManager.get_passwords()["op-1"]

    def new_task(self) -> str:
        """Return the id of a running task instance in a DAG run of its own."""
        from airflow import settings
        from airflow.models.serialized_dag import SerializedDagModel
        from airflow.utils.state import DagRunState
        from airflow.utils.types import DagRunTriggeredByType, DagRunType

        with settings.Session() as session:
            run = SerializedDagModel.get(DAG, session=session).dag.create_dagrun(
                run_id=f"run-{next(_numbers)}",
                run_after=datetime.now(UTC) - timedelta(seconds=1),
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.TEST,
                state=DagRunState.RUNNING,
                session=session,
            )
            session.commit()
            row = run.get_task_instance("daily", session=session)
            row.state, row.try_number, row.start_date = "running", 1, datetime.now(UTC)
            session.commit()
            return str(row.id)


@pytest.fixture(scope="session")
def api_server(airflow_db: None) -> Iterator[ApiServer]:
    """Start the app as `airflow api-server` makes it; everybody's rights are those of their role."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as lasting, pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        lasting.setenv("AIRFLOW__API_AUTH__JWT_SECRET", secrets.token_hex(32))  # both are read at each login
        lasting.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", ",".join(f"{role}-1:{role}" for role in ROLES))
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "False")
        patch.setenv("AIRFLOW__PLATYSPARK__ARTIFACTS", "s3://artifacts/x")
        from airflow.api_fastapi.app import create_app, get_auth_manager, purge_cached_app
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

        from platyspark_provider.airflow_core.db import airflow_engine
        from platyspark_provider.registry.tokens import create_token, revoke_token
        from platyspark_provider.store.sql import sql_store_factory

        _add_dag()
        app = create_app(apps="core")
        patch.undo()
        users = {role: SimpleAuthManagerUser(username=f"{role}-1", role=role.upper(), teams=[]) for role in ROLES}
        bearers = {role: get_auth_manager().generate_jwt(user) for role, user in users.items()}
        with (
            sql_store_factory(airflow_engine)() as store,
            serve_app(app, lifespan="on") as url,
            httpx.Client(base_url=url, timeout=60) as client,
        ):
            for kind in (*TOKENS, "revoked"):
                scopes = ["worker", "reconciler"] if kind == "revoked" else [kind]
                name = f"{kind}-{secrets.token_hex(3)}"
                bearers[kind] = create_token(store, name, scopes=scopes, actor="test").secret
                if kind == "revoked":
                    revoke_token(store, name, actor="test")
            yield ApiServer(url=url, client=client, store=store, bearers=bearers)
        purge_cached_app()


def _add_dag() -> None:
    """Let Airflow know a DAG, as its parser does."""
    from airflow import settings
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.sdk import DAG as Dag
    from airflow.serialization.definitions.dag import SerializedDAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    with Dag(DAG, schedule=None) as dag:
        EmptyOperator(task_id="daily")
    with settings.Session() as session:
        session.merge(DagBundleModel(name="tests"))
        session.commit()
        lazy = LazyDeserializedDAG.from_dag(dag)
        SerializedDAG.bulk_write_to_db("tests", None, [lazy], session=session)
        SerializedDagModel.write_dag(lazy, bundle_name="tests", session=session)
        session.commit()
