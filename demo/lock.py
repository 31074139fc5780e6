"""One demo at a time on a folder: a file with the runner's pid, locked as long as it lives, so that a dead runner's lock is free."""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Self


class AlreadyRunning(RuntimeError):
    """Another runner holds the folder."""

    def __init__(self, pid: int, url: str) -> None:
        super().__init__(f"The demo is running already (process {pid}): {url or 'it is just starting'}")
        self.pid, self.url = pid, url


class Lock:
    """Hold a folder. The system releases it when the process ends, however it ends.

    :raises AlreadyRunning: on entering, when another process holds it
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._file: IO[str] | None = None

    def publish(self, url: str) -> None:
        """Tell those who come later where this demo is."""
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()
            json.dump({"pid": os.getpid(), "url": url}, self._file)
            self._file.flush()

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = json.loads(self._file.read() or "{}")
            self._file.close()
            raise AlreadyRunning(int(holder.get("pid", 0)), str(holder.get("url", ""))) from None
        self.publish("")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
