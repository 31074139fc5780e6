"""What the api-server gives a plugin's app: its auth manager, and who is logged in with which rights.

Everything of Airflow's core API is imported where it is used: the api-server has loaded it anyway, others never need it.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fastapi import FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials

from platyspark_provider.errors import NotAllowed

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.base_auth_manager import BaseAuthManager

Method = Literal["GET", "POST", "PUT", "DELETE"]
_HINT = "Log in to Airflow, or send a token of POST /auth/token (Authorization: Bearer ...)."


@asynccontextmanager
async def with_auth_manager(app: FastAPI) -> AsyncIterator[None]:
    """Set `app.state.auth_manager`, which Airflow's own auth dependencies read; a mounted app is made before it exists."""
    from airflow.api_fastapi.app import get_auth_manager

    app.state.auth_manager = get_auth_manager()
    yield


class AirflowRights:
    """What one of Airflow's users may do, as its auth manager says; each question is asked anew."""

    def __init__(self, manager: "BaseAuthManager[Any]", user: Any) -> None:
        self._manager, self._user = manager, user

    def may_read_dag(self, dag_id: str) -> bool:
        """Ask for GET on runs of the DAG."""
        return self._may_dag("GET", dag_id)

    def may_act_on_dag(self, method: Method, dag_id: str) -> bool:
        """Ask for the method on runs of the DAG."""
        return self._may_dag(method, dag_id)

    def _may_dag(self, method: Method, dag_id: str | None, team: str | None = None) -> bool:
        from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
        from airflow.models.dag import DagModel

        team = DagModel.get_team_name(dag_id) if dag_id is not None else team
        details = DagDetails(id=dag_id, team_name=team)
        return bool(self._manager.is_authorized_dag(method=method, access_entity=DagAccessEntity.RUN, details=details, user=self._user))

    def may_read_shared(self) -> bool:
        """Ask for the view of jobs."""
        from airflow.api_fastapi.auth.managers.models.resource_details import AccessView

        return bool(self._manager.is_authorized_view(access_view=AccessView.JOBS, user=self._user))

    def may_write_shared(self, method: Method) -> bool:
        """Ask for the method on pools: like a cluster, a pool is capacity that everybody shares."""
        return bool(self._manager.is_authorized_pool(method=method, user=self._user))

    def may_manage_tokens(self, method: Method) -> bool:
        """Ask for the method on connections: a token is made to be the password of one."""
        return bool(self._manager.is_authorized_connection(method=method, user=self._user))

    def readable_dags(self, dag_ids: Collection[str]) -> Collection[str]:
        """Return those of the DAGs whose runs may be seen, as Airflow's own lists of runs are filtered."""
        from airflow.models.dag import DagModel

        if not dag_ids or not self._may_dag("GET", None):
            return ()
        teams = DagModel.get_dag_id_to_team_name_mapping(list(dag_ids))
        readable: set[str] = set()
        for team in {teams.get(dag_id) for dag_id in dag_ids}:
            of_team = {dag_id for dag_id in dag_ids if teams.get(dag_id) == team}
            readable |= self._manager.filter_authorized_dag_ids(dag_ids=of_team, user=self._user, method="GET", team_name=team)
        return readable


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One of Airflow's users who is logged in."""

    name: str
    rights: AirflowRights


async def airflow_login(request: Request) -> Login:
    """Return who sends a request, by Airflow's own rules: a bearer token wins over the session's cookie.

    :raises NotAllowed: without a login, or with one that is over or forged.
    """
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.core_api.security import get_user

    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    bearer = (
        HTTPAuthorizationCredentials(scheme=scheme, credentials=value.strip()) if scheme.lower() == "bearer" and value.strip() else None
    )
    try:
        user = await get_user(request, None, bearer)
    except HTTPException as refused:
        reason = "login_missing" if refused.status_code == 401 else "login_invalid"
        raise NotAllowed(f"Airflow does not know who asks: {refused.detail}.", hint=_HINT, reason=reason) from refused
    return Login(name=user.get_name(), rights=AirflowRights(get_auth_manager(), user))
