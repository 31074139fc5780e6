"""Who a person is and what they may do: the port through which Airflow's auth manager is asked, and one that allows everything."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, Protocol

from platyspark_provider.core.listing import EVERYTHING_VISIBLE, Visible
from platyspark_provider.core.model import App
from platyspark_provider.errors import NotAllowed, NotFound

Method = Literal["GET", "POST", "PUT", "DELETE"]


class Rights(Protocol):
    """What one person may do; each question may read Airflow's database."""

    def may_read_dag(self, dag_id: str) -> bool:
        """Tell whether they may see the runs of a DAG."""

    def may_act_on_dag(self, method: Method, dag_id: str) -> bool:
        """Tell whether they may make (POST) or change (PUT) runs of a DAG."""

    def may_read_shared(self) -> bool:
        """Tell whether they may see clusters, profiles, and what belongs to no DAG."""

    def may_write_shared(self, method: Method) -> bool:
        """Tell whether they may use (POST), change (PUT) or end (DELETE) capacity that everybody shares."""

    def may_manage_tokens(self, method: Method) -> bool:
        """Tell whether they may list (GET), make (POST) or revoke (DELETE) machine tokens."""

    def readable_dags(self, dag_ids: Collection[str]) -> Collection[str]:
        """Return those of the DAGs whose runs they may see."""


class _AllRights:
    def may_read_dag(self, dag_id: str) -> bool:
        return True

    def may_act_on_dag(self, method: Method, dag_id: str) -> bool:
        return True

    def may_read_shared(self) -> bool:
        return True

    def may_write_shared(self, method: Method) -> bool:
        return True

    def may_manage_tokens(self, method: Method) -> bool:
        return True

    def readable_dags(self, dag_ids: Collection[str]) -> Collection[str]:
        return dag_ids


ALL_RIGHTS: Rights = _AllRights()
"""Of the command line: who has the database has everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A person who asks.

    :param name: the user's name, as Airflow or the operating system knows it.
    :param via: stands before the name in events: `user` (Airflow's login) or `cli`.
    :param request_id: of the call, for its events; empty without one.
    """

    name: str
    rights: Rights = field(default=ALL_RIGHTS, repr=False)
    via: str = "user"
    request_id: str = ""

    @property
    def actor(self) -> str:
        """The person as an event's actor."""
        return f"{self.via}:{self.name}"

    @property
    def audit(self) -> dict[str, str]:
        """What events of the call say beside the actor."""
        return {"request_id": self.request_id} if self.request_id else {}

    def require_shared(self, method: Method, what: str) -> None:
        """Raise `NotAllowed` unless they may do it to what everybody shares; GET asks for the right to see.

        :param what: for the message: "end clusters".
        """
        rights = self.rights
        if not (rights.may_read_shared() if method == "GET" else rights.may_write_shared(method)):
            need = "the view 'Jobs'" if method == "GET" else f"{method} on pools"
            raise _refused(self, what, f"It needs {need} in Airflow.")

    def require_tokens(self, method: Method, what: str) -> None:
        """Raise `NotAllowed` unless they may do it to machine tokens."""
        if not self.rights.may_manage_tokens(method):
            raise _refused(self, what, f"It needs {method} on connections in Airflow: a token is a connection's password.")

    def require_dag(self, method: Method, dag_id: str, what: str) -> None:
        """Raise `NotAllowed` unless they may do it to the runs of a DAG."""
        rights = self.rights
        if not (rights.may_read_dag(dag_id) if method == "GET" else rights.may_act_on_dag(method, dag_id)):
            raise _refused(self, what, f"It needs {method} on runs of DAG {dag_id!r} in Airflow.")

    def require_read(self, app: App) -> None:
        """Raise `NotFound` for an application that they may not see: its existence is not told."""
        may = self.rights.may_read_shared() if app.dag_id is None else self.rights.may_read_dag(app.dag_id)
        if not may:
            raise no_app(app.id)

    def require_act(self, method: Method, app: App, what: str) -> None:
        """Raise `NotFound` for an application they may not see, `NotAllowed` for one they may only see."""
        self.require_read(app)
        if app.dag_id is None:
            self.require_shared(method, what)
        else:
            self.require_dag(method, app.dag_id, what)

    def visible(self, dag_ids: Collection[str]) -> Visible:
        """Return what they may see of the applications of these DAGs and of no DAG."""
        if self.rights is ALL_RIGHTS:
            return EVERYTHING_VISIBLE
        return Visible(dag_ids=frozenset(self.rights.readable_dags(dag_ids)), without_dag=self.rights.may_read_shared())


def no_app(app_id: int) -> NotFound:
    """Return the error for an application that is not there, or not for this person."""
    return NotFound(f"There is no application {app_id}.")


def _refused(subject: Subject, what: str, need: str) -> NotAllowed:
    return NotAllowed(f"{subject.name} may not {what}.", hint=need, reason="right_missing")
