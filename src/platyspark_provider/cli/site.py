"""What commands stand on besides the store: the profiles that the settings name, and the rules that routes and commands share."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from platyspark_provider.cli.running import open_store, quiet
from platyspark_provider.core.listing import MAX_LIMIT
from platyspark_provider.core.profiles import Profiles
from platyspark_provider.errors import InvalidRequest
from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.registry.clusters import ClusterDesk
from platyspark_provider.registry.decided_by import policy_of, profiles_of
from platyspark_provider.registry.public import PublicService
from platyspark_provider.registry.rights import Subject
from platyspark_provider.settings import Settings, load_settings
from platyspark_provider.store.base import Store

PROFILES_LOG = "platyspark_provider.profiles_file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a command asks.

    :param public: the rules of people's submits, cancels and restarts; :param desk: those over clusters. Both with all
        rights: who has the database has everything.
    """

    store: Store
    settings: Settings
    public: PublicService
    desk: ClusterDesk


@contextmanager
def open_site() -> Iterator[Site]:
    """Open the store on Airflow's database and the rules over it."""
    from platyspark_provider.airflow_core.tasks import AirflowTasks

    settings = load_settings()
    file = profiles_of(settings)

    def profiles() -> Profiles:
        return content_of(file)

    with quiet(PROFILES_LOG):  # a broken file hinders no read
        policy = policy_of(settings, file)
    subject = Subject(name=getpass.getuser(), via="cli")
    with open_store() as store:
        public = PublicService(store, profiles, policy=policy, subject=subject, tasks=AirflowTasks())
        yield Site(store=store, settings=settings, public=public, desk=ClusterDesk(store, profiles, policy))


def content_of(file: ProfilesFile) -> Profiles:
    """Return what a file says; raises ProfilesInvalid, naming the line."""
    with quiet(PROFILES_LOG):
        error = file.error
    if error is not None:
        raise error
    return file.current()


def page_limit(limit: int) -> int:
    """Return how many entries a list gives."""
    if limit < 1:
        raise InvalidRequest(f"--limit is {limit}.", hint=f"Give a number from 1 to {MAX_LIMIT}.")
    return min(limit, MAX_LIMIT)
