"""Runs command lines through Airflow's own parser, in this process, on Airflow's database; passes go over a backend in memory."""

import contextlib
import io
import json
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.reconciler.passes import run_pass
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.registry.service import RegistryService
from platyspark_provider.store.base import Store
from platyspark_provider.testing import FakeBackend, FakeClock
from tests.desks import OneBackend

JOB = "s3://code/jobs/daily_agg.py"
_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command line led to."""

    out: str
    err: str
    code: int

    def json(self) -> Any:
        """Return what it printed with `-o json`."""
        assert self.out, self
        return json.loads(self.out)


def run_cli(*words: str) -> Said:
    """Run `airflow platyspark <words>`."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with warnings.catch_warnings(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        warnings.simplefilter("ignore")
        from airflow.cli import cli_parser

        try:
            args = cli_parser.get_parser().parse_args(["platyspark", *words])
            args.func(args)
        except SystemExit as stopped:
            code = int(stopped.code or 0)
    return Said(out=out.getvalue(), err=err.getvalue(), code=code)


@dataclass
class Site:
    """Airflow's database, and hands that do what the platform does meanwhile."""

    store: Store
    registry: RegistryService
    tasks: ScriptedTasks
    backend: FakeBackend
    clock: FakeClock

    def pass_once(self) -> None:
        """Make a pass, some seconds after the last one."""
        self.clock.advance(5)
        run_pass(self.registry, OneBackend(self.backend), holder="observer", clock=self.clock)

    def submit(self, *words: str) -> dict[str, Any]:
        """Submit by command line and return what it printed."""
        said = run_cli("apps", "submit", JOB, "-o", "json", *words)
        assert said.code == 0, said
        row: dict[str, Any] = said.json()
        return row

    def run_name(self, app_id: int, generation: int = 1) -> str:
        return f"plsp-{self.store.installation().inst}-{app_id}-g{generation}"

    def finish(self, app_id: int, how: Any = "succeeded", *, stderr: str = "all done\n") -> None:
        """End a run and bring its log."""
        self.backend.finish(self.run_name(app_id), how)
        self.backend.write_log(self.run_name(app_id), stderr=stderr, stdout="")

    @contextmanager
    def passing(self, after: Callable[[], None] | None = None) -> Iterator[None]:
        """Make passes in a thread until the block ends."""
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                self.pass_once()
                if after is not None:
                    after()
                stop.wait(0.2)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@contextmanager
def open_site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Yield the site; its applications are asked to stop afterwards, so that they are nobody else's open work."""
    from platyspark_provider.airflow_core.db import airflow_engine
    from platyspark_provider.store.sql import sql_store_factory

    monkeypatch.setenv("AIRFLOW__PLATYSPARK__LOG_WAIT", "5")
    monkeypatch.setenv("AIRFLOW__PLATYSPARK__ENVIRONMENT", f"cli{next(_numbers)}")  # its own clusters: each test has its own backend
    clock, tasks = FakeClock(datetime.now(UTC)), ScriptedTasks()
    with sql_store_factory(airflow_engine)() as store:
        registry = RegistryService(store, tasks, ProfilesFile(None).current)
        built = Site(store=store, registry=registry, tasks=tasks, backend=FakeBackend(clock=clock), clock=clock)
        yield built
        for brief in store.snapshot().apps:
            run_cli("apps", "cancel", str(brief.app_id))
        for _ in range(3):
            clock.advance(120)
            built.pass_once()
