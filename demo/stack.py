"""A real Airflow on loopback with emrsim beside it, in one folder: started, watched, hurt and stopped by process id."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import psutil

from demo.airflow_api import AirflowApi
from demo.airflow_config import (
    as_environment,
    aws_connection,
    base_environment,
    kept_secrets,
    options,
    platyspark_connection,
    save_secrets,
    schema_fingerprint,
)
from demo.database import Database, Postgres, Sqlite, postmaster
from demo.processes import Child, StackError, end, free_port, marked, wait_for
from platyspark_provider.emrsim.client import EmrSim

TOKEN_SCOPES = "worker,reconciler"
LOG_SERVER = "airflow.utils.serve_logs.log_server:get_app"


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSpec:
    """What a stack is made of.

    :param mode: "processes" starts each component apart; "standalone" runs `airflow standalone` on SQLite
    :param login: "open" makes everybody an admin; "passwords" knows `users` (name to role), their passwords are made at first start
    :param dags: one bundle for each folder
    :param port: Airflow's, :param emr_port: emrsim's; 0 picks a free one
    :param emrsim: knobs of emrsim, see `platyspark_provider.emrsim.config.SimConfig`
    :param bucket: made in emrsim's S3; local files of applications go to s3://<bucket>/artifacts
    :param profiles: text of profiles.yaml; `{emr_url}` in it becomes emrsim's address
    :param config: further Airflow options by section and name
    :param env: further variables of all processes
    :param after_servers: called with emrsim before Airflow starts, to put data in place
    :param serve_logs: start a log server, on loopback; without it the task log still shows, with a note that it was not there
    """

    mode: Literal["processes", "standalone"] = "processes"
    database: Literal["postgres", "sqlite"] = "postgres"
    login: Literal["open", "passwords"] = "open"
    users: Mapping[str, str] = field(default_factory=lambda: {"admin": "admin", "viewer": "viewer"})
    triggerers: int = 1
    dags: tuple[Path, ...] = ()
    port: int = 0
    emr_port: int = 0
    emrsim: Mapping[str, Any] = field(default_factory=dict)
    bucket: str = "platyspark"
    profiles: str | None = None
    config: Mapping[tuple[str, str], str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    after_servers: Callable[[EmrSim], object] = lambda _: None
    serve_logs: bool = True


class Stack:
    """An installation in a folder; a second one on the same folder goes on with its data.

    :param on_step: told what was done, for a person who waits
    """

    def __init__(self, home: Path, spec: StackSpec, *, on_step: Callable[[str], None] = lambda _: None) -> None:
        self.home, self.spec, self._on_step = home.resolve(), spec, on_step
        self.url = f"http://127.0.0.1:{spec.port or free_port()}"
        self.api = AirflowApi(self.url)
        self.env: dict[str, str] = {}
        self._children: dict[str, Child] = {}
        self._emr: EmrSim | None = None
        self._database: Database = _database(self.home, spec)

    @property
    def emr(self) -> EmrSim:
        """The running emrsim."""
        if self._emr is None:
            raise StackError("the stack is not running")
        return self._emr

    @property
    def children(self) -> Mapping[str, Child]:
        """The stack's own processes by name: api-server, scheduler, dag-processor, triggerer-1, ..., log-server; or standalone."""
        return self._children

    def start(self) -> Self:
        """Start everything and wait until it is healthy; what was started is stopped again when that fails."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            self._start_servers()
            self._make_children()
            for child in self._children.values():
                child.start()
            self.wait_healthy()
        except BaseException:
            with suppress(StackError):
                self.stop()
            raise
        return self

    def wait_healthy(self, seconds: float = 180) -> None:
        """Wait until every component reports that it is healthy.

        :raises StackError: one died (with the tail of its log) or is not healthy in time
        """
        wanted = {"metadatabase", "scheduler", "dag_processor"} | ({"triggerer"} if self.spec.triggerers else set())

        def healthy() -> bool:
            self.check()
            states = self.api.health()
            return all(states.get(name) == "healthy" for name in wanted)

        try:
            wait_for("a healthy Airflow", healthy, seconds=seconds, interval=0.5)
        except StackError as error:
            raise StackError(f"{error}; components: {self.api.health()}; logs: {self.home / 'logs'}") from error
        self._on_step(f"Airflow at {self.url}")
        if self.spec.login == "passwords" and self.api.is_anonymous:
            self.api.close()
            self.api = self.api_of(next(iter(self.spec.users)))

    def check(self) -> None:
        """Do nothing while all processes run.

        :raises StackError: one has ended; the message holds the tail of its log
        """
        for child in self._children.values():
            child.check()

    def stop(self) -> None:
        """End every process, by id; the data stay.

        :raises StackError: something still lives
        """
        self.api.close()
        for child in self._children.values():
            child.signal(signal.SIGCONT) if child.is_running else None
        with ThreadPoolExecutor(max_workers=max(1, len(self._children))) as pool:
            list(pool.map(Child.terminate, self._children.values()))
        if self._emr is not None:
            with suppress(OSError, RuntimeError):
                self._emr.stop()
            self._emr = None
        end_leftovers(self.home)
        self._database.stop()
        left = self.processes()
        if left:
            raise StackError(f"still alive after stop: {[(process.pid, process.name()) for process in left]}")

    def processes(self) -> list[psutil.Process]:
        """Return every living process of this stack: Airflow's, emrsim's, Spark's, PostgreSQL's."""
        return [*marked(self.home), *self._database.processes()]

    def restart(self, name: str) -> None:
        """Start a process again, ending it first if it runs; then wait until everything is healthy."""
        child = self._children[name]
        child.terminate()
        child.start()
        self.wait_healthy()

    def api_of(self, user: str) -> AirflowApi:
        """Return the API as a user with a password sees it."""
        passwords: dict[str, str] = json.loads((self.home / "passwords.json").read_text(encoding="utf-8"))
        return AirflowApi(self.url, (user, passwords[user]))

    def airflow(self, *args: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run an `airflow` command on this installation.

        :raises StackError: it failed, unless `check` is off
        """
        done = subprocess.run([_bin("airflow"), *args], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise StackError(f"airflow {' '.join(args)} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
        return done

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _start_servers(self) -> None:
        """Start database and emrsim, bring the tables up to date, make the token: all that Airflow needs before it starts."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            emr = pool.submit(EmrSim.start, self.home / "emrsim", self.spec.emr_port, **self.spec.emrsim)
            self._database.start()
            keys = kept_secrets(self.home / "secrets.json")
            self.env = self._environment(keys)
            self._migrate()
            self._on_step("database")
            self._emr = emr.result()
        self._on_step(f"local EMR endpoint {self._emr.url}")
        self._emr.boto3("s3").create_bucket(Bucket=self.spec.bucket)
        self.spec.after_servers(self._emr)
        if self.spec.profiles is not None:
            (self.home / "profiles.yaml").write_text(self.spec.profiles.replace("{emr_url}", self._emr.url), encoding="utf-8")
        token = keys.get("token") or self._make_token(keys)
        self.env |= {
            "AIRFLOW_CONN_AWS_DEFAULT": aws_connection(self._emr.url),
            "AIRFLOW_CONN_PLATYSPARK_DEFAULT": platyspark_connection(self.url, token),
        }

    def _migrate(self) -> None:
        """Bring the tables up to date, unless nothing that is installed has changed since the last time."""
        stamp, current = self.home / "migrated", schema_fingerprint()
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != current:
            self.airflow("db", "migrate")
            stamp.write_text(current, encoding="utf-8")

    def _environment(self, keys: Mapping[str, str]) -> dict[str, str]:
        spec = self.spec
        values = options(home=self.home, url=self.url, log_port=free_port(), keys=keys, dags=spec.dags)
        values |= {
            ("database", "sql_alchemy_conn"): self._database.url,
            ("core", "simple_auth_manager_all_admins"): str(spec.login == "open"),
            ("core", "simple_auth_manager_users"): ",".join(f"{name}:{role}" for name, role in spec.users.items()),
            ("platyspark", "artifacts"): f"s3://{spec.bucket}/artifacts",
            ("platyspark", "profiles_file"): str(self.home / "profiles.yaml") if spec.profiles is not None else "",
            **spec.config,
        }
        return base_environment(self.home) | as_environment(values) | dict(spec.env)

    def _make_token(self, keys: Mapping[str, str]) -> str:
        answer = self.airflow("platyspark", "tokens", "create", "stack", "--scopes", TOKEN_SCOPES, "--output", "json")
        found = re.search(r'"secret": "([^"]+)"', answer.stdout)
        if found is None:
            raise StackError(f"no token was made; the command says: {answer.stdout[-1000:]} {answer.stderr[-1000:]}")
        token = found[1]
        save_secrets(self.home / "secrets.json", {**keys, "token": token})
        self._on_step("token")
        return token

    def _make_children(self) -> None:
        if self.spec.mode == "standalone":
            shim = _loopback_shim(self.home)
            self._add("standalone", "standalone", env={"PATH": f"{shim}:{self.env['PATH']}"})
        else:
            self._add("api-server", "api-server", "--workers", "1")
            self._add("scheduler", "scheduler", "--skip-serve-logs")
            self._add("dag-processor", "dag-processor")
            for number in range(1, self.spec.triggerers + 1):
                self._add(f"triggerer-{number}", "triggerer", "--skip-serve-logs")
        if self.spec.serve_logs:
            port = self.env["AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT"]
            command = [sys.executable, "-m", "uvicorn", LOG_SERVER, "--factory", "--host", "127.0.0.1", "--port", port, "--no-access-log"]
            self._children["log-server"] = Child("log-server", command, env=self.env, log=self.home / "logs" / "log-server.log")

    def _add(self, name: str, *command: str, env: Mapping[str, str] | None = None) -> None:
        log = self.home / "logs" / f"{name}.log"
        self._children[name] = Child(name, [_bin("airflow"), *command], env={**self.env, **(env or {})}, log=log)


def _bin(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _database(home: Path, spec: StackSpec) -> Database:
    if spec.mode == "standalone" or spec.database == "sqlite":
        return Sqlite(home)
    return Postgres(home / "postgres")


def _loopback_shim(home: Path) -> Path:
    """Return a folder whose `airflow` starts components without their log servers: those listen on all addresses."""
    script = home / "bin" / "airflow"
    script.parent.mkdir(parents=True, exist_ok=True)
    quiet = 'case "$1" in scheduler|triggerer) set -- "$@" --skip-serve-logs;; esac'
    script.write_text(f'#!/bin/sh\n{quiet}\nexec {_bin("airflow")} "$@"\n', encoding="utf-8")
    script.chmod(0o755)
    return script.parent


def end_leftovers(home: Path, *, database: bool = False) -> int:
    """End what a stack on this folder left running, whoever started it; return how many processes that were.

    :param database: PostgreSQL too
    """
    found = [*marked(home), *(postmaster(home / "postgres") if database else [])]
    end(found)
    return len(found)
