"""The API on a real port over PostgreSQL, with passes running beside it on a fake backend: what is submitted runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from platyspark_provider.client import wire
from platyspark_provider.reconciler.passes import run_pass
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.registry.service import RegistryService
from platyspark_provider.store.base import StoreFactory
from platyspark_provider.store.sql import sql_store_factory
from platyspark_provider.testing import FakeBackend, FakeClock
from tests.api_people import log_in
from tests.api_server import make_services, serve
from tests.desks import OneBackend

ENDLESS = "endless"
"""A run of this name ends only when it is stopped; any other succeeds at the pass after its start."""
_BREATH_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The served API.

    :param url: of the API, version included.
    """

    url: str
    open_store: StoreFactory
    backend: FakeBackend


@contextmanager
def live(engine: sa.Engine) -> Iterator[Live]:
    """Serve the API and run passes until left; a pass that fails fails the test."""
    open_store, tasks, clock = sql_store_factory(engine), ScriptedTasks(), FakeClock(datetime.now(UTC))
    services = make_services(open_store, tasks, login=log_in)
    backend, over, failures = FakeBackend(clock=clock), threading.Event(), list[BaseException]()

    def passes() -> None:
        try:
            with open_store() as store:
                registry = RegistryService(store, tasks, services.profiles.current, policy=services.policy())
                while not over.wait(_BREATH_S):
                    clock.advance(1.0)
                    run_pass(registry, OneBackend(backend), holder="observer", clock=clock)
                    _finish_what_runs(backend)
        except BaseException as failed:  # noqa: BLE001 - the test's thread raises it
            failures.append(failed)

    thread = threading.Thread(target=passes)
    with serve(services) as url:
        thread.start()
        try:
            yield Live(url=f"{url}{wire.MOUNT}{wire.PREFIX}", open_store=open_store, backend=backend)
        finally:
            over.set()
            thread.join(60)
    if failures:
        raise failures[0]


def _finish_what_runs(backend: FakeBackend) -> None:
    for run in list(backend.runs.values()):
        if run.state == "running" and run.spec.name != ENDLESS:
            backend.finish(run.name)
