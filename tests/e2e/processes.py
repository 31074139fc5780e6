"""What the recording jobs left behind, and whether their processes live."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One driver process as it recorded itself; `saw_alive` are earlier drivers of the name that still lived."""

    pid: int
    started_at: float
    saw_alive: tuple[int, ...]

    @property
    def is_alive(self) -> bool:
        """Tell whether the OS process exists and is no zombie."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except FileNotFoundError:
            return False


def runs_of(folder: Path, name: str) -> list[Run]:
    """Return the drivers that ran under a name, oldest first."""
    found = [json.loads(p.read_text()) for p in folder.glob(f"{name}.*.json")]
    runs = [Run(pid=r["pid"], started_at=r["at"], saw_alive=tuple(r["alive"])) for r in found]
    return sorted(runs, key=lambda r: r.started_at)


def until(what: str, probe: Callable[[], T | None], seconds: float = 90.0) -> T:
    """Return the first true answer of a probe; fail with `what` when none came in time."""
    end = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not seen within {seconds:.0f} s: {what} (last answer: {answer!r})")
        time.sleep(0.2)
