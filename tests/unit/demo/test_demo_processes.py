"""Processes of a stack: nothing survives its end, nothing else is touched, and a death is told with its reason."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from demo.processes import MARK, Child, StackError, end, marked, wait_for

SPAWN = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"],
    stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
print(child.pid, flush=True)
{then}
"""


def make_child(folder: Path, then: str) -> Child:
    """A process with a child in a session of its own, marked as of `folder`."""
    env = {**os.environ, MARK: str(folder.resolve())}
    return Child("parent", [sys.executable, "-c", SPAWN.format(then=then)], env=env, log=folder / "parent.log")


def grandchild_of(child: Child) -> psutil.Process:
    """Wait until the process has told its child's pid."""
    return psutil.Process(int(wait_for("the child's pid", child.tail, seconds=30)))


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path) -> Iterator[None]:
    yield
    end(marked(tmp_path), grace_s=0)


def test_terminate_with_a_child_in_another_session_ends_both(tmp_path: Path) -> None:
    child = make_child(tmp_path, "import time; time.sleep(600)")
    child.start()
    grandchild = grandchild_of(child)
    child.terminate(grace_s=1)
    assert not child.is_running
    assert not grandchild.is_running()


def test_terminate_of_a_process_that_ignores_sigterm_kills_it(tmp_path: Path) -> None:
    child = make_child(
        tmp_path, "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    child.start()
    wait_for("a deaf process", lambda: "deaf" in child.tail(), seconds=30)
    child.terminate(grace_s=0.5)
    assert not child.is_running


def test_marked_after_the_parent_died_finds_the_orphan_alone(tmp_path: Path) -> None:
    child = make_child(tmp_path, "")
    child.start()
    grandchild = grandchild_of(child)
    wait_for("the parent's end", lambda: not child.is_running, seconds=30)
    assert [process.pid for process in marked(tmp_path)] == [grandchild.pid]
    other = tmp_path / "other"
    other.mkdir()
    assert marked(other) == []
    assert end(marked(tmp_path), grace_s=5) == []
    assert marked(tmp_path) == []


def test_marked_with_a_step_of_the_folders_emrsim_finds_it(tmp_path: Path) -> None:
    env = {**os.environ, "EMRSIM_CLUSTER_MARKER": f"{tmp_path.resolve()}/emrsim:j-1:0"}
    with subprocess.Popen(
        [sys.executable, "-c", "print('up', flush=True); input()"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as step:
        assert step.stdout is not None
        step.stdout.readline()
        assert [process.pid for process in marked(tmp_path)] == [step.pid]
        step.kill()


def test_check_of_a_process_that_died_tells_its_last_words(tmp_path: Path) -> None:
    child = Child("api-server", [sys.executable, "-c", "import sys; sys.exit('no port left')"], env=dict(os.environ), log=tmp_path / "log")
    child.start()
    wait_for("its end", lambda: not child.is_running, seconds=30)
    with pytest.raises(StackError, match=r"api-server ended with code 1(.|\n)*no port left"):
        child.check()


def test_signal_stop_and_continue_reaches_the_children(tmp_path: Path) -> None:
    child = make_child(tmp_path, "import time; time.sleep(600)")
    child.start()
    grandchild = grandchild_of(child)
    child.signal(signal.SIGSTOP)
    wait_for("a stopped child", lambda: grandchild.status() == psutil.STATUS_STOPPED, seconds=10)
    child.signal(signal.SIGCONT)
    wait_for("a running child", lambda: grandchild.status() != psutil.STATUS_STOPPED, seconds=10)
    child.kill()
    assert not child.is_running


def test_wait_for_without_a_true_answer_names_what_and_the_last_one() -> None:
    with pytest.raises(StackError, match=r"not seen within 0 s: a miracle \(last answer: ''\)"):
        wait_for("a miracle", lambda: "", seconds=0, interval=0.01)
