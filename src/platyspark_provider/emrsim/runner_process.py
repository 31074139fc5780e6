"""Operating system processes as emrsim remembers them: a pid with its birth, whole sessions, signals. No business rule here.

Every step and every container is the leader of its own session, so that what it starts can be found and ended after it is gone.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

MARKER = "EMRSIM_CLUSTER_MARKER"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessId:
    """A process for good: the pid and when that pid was born, so that a reused pid is not taken for it."""

    pid: int
    birth: str

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """Return the identity of a running process; None when there is none (a zombie counts as gone)."""
        birth = _birth(pid)
        return None if birth is None else cls(pid=pid, birth=birth)

    @property
    def is_alive(self) -> bool:
        """Tell whether this very process still runs."""
        return _birth(self.pid) == self.birth


def _birth(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return _birth_without_proc(pid) if not Path("/proc/self").exists() else None
    state, *fields = stat[stat.rindex(")") + 2 :].split()
    return None if state in {"Z", "X"} else fields[18]  # starttime in clock ticks since boot: unlike epoch times it never shifts


def _birth_without_proc(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.Error:
        return None


# children belong to the process, not to the object that started them: a new runner in the same process reaps those of the last one
_children: dict[int, subprocess.Popen[bytes]] = {}
_exit_codes: dict[int, int] = {}


def start_session(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdout: IO[bytes], stderr: IO[bytes]) -> int:
    """Start a command as the leader of its own session, without standard input; return its pid. Call `reap_children` now and then."""
    child = subprocess.Popen(argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True)
    _children[child.pid] = child
    return child.pid


def reap_children() -> None:
    """Collect children that ended, so that none stays a zombie."""
    for pid, child in list(_children.items()):
        code = child.poll()
        if code is not None:
            _exit_codes[pid] = code
            _children.pop(pid, None)


def take_exit_code(pid: int) -> int | None:
    """Return, once, how a child ended (negative: the signal); None if it runs or was not started here."""
    return _exit_codes.pop(pid, None)


def signal_process(process: ProcessId, number: signal.Signals) -> None:
    """Signal one process, if it is still that one."""
    if process.is_alive:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def signal_group(leader: ProcessId, number: signal.Signals) -> None:
    """Signal the process group of `leader`, also when the leader itself is gone."""
    if _is_reused(leader):
        return
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, number)


def signal_session(leader: ProcessId, number: signal.Signals, *, spare: frozenset[int] = frozenset()) -> bool:
    """Signal every process of the session of `leader` but the spared ones; False when none was left."""
    members = session_members(leader) - spare
    for pid in members:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return bool(members)


def session_members(leader: ProcessId) -> frozenset[int]:
    """Return the live processes of the session of `leader`."""
    if _is_reused(leader):
        return frozenset()
    return frozenset(pid for pid in psutil.pids() if _session_of(pid) == leader.pid and _birth(pid) is not None)


def marked_processes(mark: str) -> frozenset[int]:
    """Return the live processes that inherited `mark`, whatever session they moved to; never the calling one."""
    return frozenset(pid for pid in psutil.pids() if pid != os.getpid() and _mark_of(pid) == mark and _birth(pid) is not None)


def _is_reused(leader: ProcessId) -> bool:
    # the kernel gives a pid again only when no process has it as its group or session either
    birth = _birth(leader.pid)
    return birth is not None and birth != leader.birth


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None


def _mark_of(pid: int) -> str | None:
    try:
        mark: str | None = psutil.Process(pid).environ().get(MARKER)
    except (psutil.Error, OSError):
        return None
    return mark
