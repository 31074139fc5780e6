"""Start, mark, find and end processes: each in a session of its own, known by pid, all of one folder marked in their environment.

The mark finds what a runner that was killed left behind; nothing is ever ended by its name.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

MARK = "PLATYSPARK_STACK"
EMRSIM_MARK = "EMRSIM_CLUSTER_MARKER"
TAIL_LINES = 40
T = TypeVar("T")


class StackError(RuntimeError):
    """Something of the stack did not start, died, or did not get where it should in time."""


class Child:
    """One process of a stack with its output in a file; it can be ended, killed, suspended and started again."""

    def __init__(self, name: str, command: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
        self.name, self.log = name, log
        self._command, self._env = list(command), dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id.

        :raises StackError: it was never started
        """
        if self._process is None:
            raise StackError(f"{self.name} was not started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Tell whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; its output is appended to the log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=self._env, start_new_session=True
            )

    def signal(self, number: signal.Signals, *, children: bool = True) -> None:
        """Send a signal to the process and, unless told otherwise, to all its descendants."""
        for process in [*(self.descendants() if children else []), psutil.Process(self.pid)]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self, *, children: bool = True) -> None:
        """End it with SIGKILL and wait until it is gone."""
        self.signal(signal.SIGKILL, children=children)
        self._reap()

    def terminate(self, grace_s: float = 20.0) -> None:
        """Ask it to end; whatever of it lives after the grace time is killed."""
        if not self.is_running:
            return
        family = [psutil.Process(self.pid), *self.descendants()]
        self.signal(signal.SIGTERM, children=False)
        _, alive = psutil.wait_procs(family, timeout=grace_s)
        end(alive, grace_s=0)
        self._reap()

    def descendants(self) -> list[psutil.Process]:
        """Return the children, their children and so on."""
        try:
            return list(psutil.Process(self.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return []

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Return the last lines of its output."""
        with suppress(FileNotFoundError):
            return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        return ""

    def check(self) -> None:
        """Do nothing while it runs.

        :raises StackError: it has ended; the message holds the tail of its log
        """
        if self._process is not None and not self.is_running:
            raise StackError(f"{self.name} ended with code {self._process.returncode}; the end of {self.log}:\n{self.tail()}")

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait(10)


def marked(folder: Path) -> list[psutil.Process]:
    """Return the living processes that belong to a folder's stack, Spark's too, whoever started them."""
    home = folder.resolve()
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _belongs(process, home)]


def _belongs(process: psutil.Process, home: Path) -> bool:
    """Tell by the environment; emrsim keeps its own mark on its steps and has only its command line itself."""
    emrsim = str(home / "emrsim")
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        environment = process.environ()
        is_step = environment.get(EMRSIM_MARK, "").startswith(f"{emrsim}:")
        return is_step or environment.get(MARK) == str(home) or emrsim in process.cmdline()
    except (psutil.Error, OSError):
        return False


def end(processes: Iterable[psutil.Process], grace_s: float = 10.0) -> list[psutil.Process]:
    """SIGTERM, wait, SIGKILL, wait; return what still lives."""
    alive = list(processes)
    for number, patience in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
        if patience > 0:
            for process in alive:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            _, alive = psutil.wait_procs(alive, timeout=patience)
    return alive


def wait_for(what: str, probe: Callable[[], T | None], *, seconds: float, interval: float = 0.3) -> T:
    """Return the first true answer of a probe.

    :raises StackError: there was none in time; the message says what was awaited and the last answer
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise StackError(f"not seen within {seconds:.0f} s: {what} (last answer: {answer!r})")
        time.sleep(interval)


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Tell whether a server could listen on a loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
