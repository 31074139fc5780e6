"""Measure what a stack needs: the largest sum of its processes' proportional set sizes, looked at every few seconds."""

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil


class MemoryPeak:
    """Watch processes from a thread; `peak_mb` is the largest sum seen, `largest` what it was made of.

    :param processes: returns those to count; asked anew each time
    """

    def __init__(self, processes: Callable[[], list[psutil.Process]], *, interval_s: float = 2.0) -> None:
        self._processes, self._interval_s = processes, interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-peak", daemon=True)
        self.peak_mb = 0.0
        self.largest: list[tuple[str, float]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._interval_s):
            sizes = []
            for process in self._processes():
                with suppress(psutil.Error, OSError):
                    sizes.append((process.name(), process.memory_full_info().pss / 1e6))
            total = sum(size for _, size in sizes)
            if total > self.peak_mb:
                self.peak_mb, self.largest = total, sorted(sizes, key=lambda item: -item[1])[:5]
