"""One demo on a folder: a second one is told where the first is, a dead one holds nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo.lock import AlreadyRunning, Lock

HOLD = """
import sys
from pathlib import Path
from demo.lock import Lock
with Lock(Path(sys.argv[1])) as lock:
    lock.publish("http://127.0.0.1:8123")
    print("held", flush=True)
    input()
"""


def start_holder(folder: Path) -> "subprocess.Popen[bytes]":
    """Start a process that holds the folder until its input ends."""
    project = Path(__file__).parents[3]
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    return holder


def test_lock_held_by_another_process_names_its_pid_and_address(tmp_path: Path) -> None:
    with start_holder(tmp_path) as holder:
        with pytest.raises(AlreadyRunning, match=rf"process {holder.pid}\): http://127.0.0.1:8123"), Lock(tmp_path):
            pass
        holder.kill()


def test_lock_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    with start_holder(tmp_path) as holder:
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with Lock(tmp_path):
            pass


def test_lock_left_in_peace_can_be_taken_again(tmp_path: Path) -> None:
    with Lock(tmp_path / "new"):
        pass
    with Lock(tmp_path / "new"), pytest.raises(AlreadyRunning), Lock(tmp_path / "new"):
        pass
