"""What the routes stand on: store, Airflow's rows, profiles, settings, and whether our tables fit the code."""

from dataclasses import dataclass
from typing import Protocol

from fastapi import Request

from platyspark_provider.core.records import Policy
from platyspark_provider.errors import NotAllowed
from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.registry.decided_by import policy_of, profiles_of
from platyspark_provider.registry.identity import TaskLookup
from platyspark_provider.registry.rights import Rights
from platyspark_provider.registry.schema_gate import SchemaGate, schema_gate_of
from platyspark_provider.settings import Settings, load_settings
from platyspark_provider.store.base import StoreFactory


class Login(Protocol):
    """A person who is logged in."""

    @property
    def name(self) -> str:
        """The user's name."""

    @property
    def rights(self) -> Rights:
        """What they may do."""


class LoginLookup(Protocol):
    """Finds out who sends a request."""

    async def __call__(self, request: Request) -> Login:
        """Return the person; raises `NotAllowed` (reason `login_missing` or `login_invalid`)."""


async def nobody(request: Request) -> Login:
    """Know nobody: where there is no Airflow to ask."""
    raise NotAllowed("There is nobody to log in with here.", reason="login_missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a request may need."""

    open_store: StoreFactory
    tasks: TaskLookup
    profiles: ProfilesFile
    settings: Settings
    schema: SchemaGate
    login: LoginLookup = nobody

    def policy(self) -> Policy:
        """Return the numbers that decisions use now."""
        return policy_of(self.settings, self.profiles)


def airflow_services() -> Services:
    """Return the services over Airflow's metadata database."""
    from platyspark_provider.airflow_core.db import airflow_engine
    from platyspark_provider.airflow_core.tasks import AirflowTasks
    from platyspark_provider.airflow_core.web import airflow_login
    from platyspark_provider.store.sql import sql_store_factory

    settings = load_settings()
    return Services(
        open_store=sql_store_factory(airflow_engine),
        tasks=AirflowTasks(),
        profiles=profiles_of(settings),
        settings=settings,
        schema=schema_gate_of(airflow_engine),
        login=airflow_login,
    )
