"""People with the rights of Airflow's simple roles, who log in with their role's name as bearer token."""

from collections.abc import Collection
from dataclasses import dataclass

from fastapi import Request

from platyspark_provider.errors import NotAllowed
from platyspark_provider.registry.rights import Method

_ORDER = ("viewer", "user", "op", "admin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who is logged in, with one role; is their own rights."""

    name: str

    @property
    def rights(self) -> "Person":
        return self

    def _is_at_least(self, role: str) -> bool:
        return _ORDER.index(self.name) >= _ORDER.index(role)

    def may_read_dag(self, dag_id: str) -> bool:
        return True

    def may_act_on_dag(self, method: Method, dag_id: str) -> bool:
        return self._is_at_least("user")

    def may_read_shared(self) -> bool:
        return True

    def may_write_shared(self, method: Method) -> bool:
        return self._is_at_least("op")

    def may_manage_tokens(self, method: Method) -> bool:
        return self._is_at_least("op")

    def readable_dags(self, dag_ids: Collection[str]) -> Collection[str]:
        return dag_ids


async def log_in(request: Request) -> Person:
    """Take the bearer token for the name of a role."""
    name = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if name not in _ORDER:
        raise NotAllowed("Nobody is logged in.", reason="login_missing")
    return Person(name=name)
