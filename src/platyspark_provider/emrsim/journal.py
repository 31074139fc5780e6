"""What was asked of emrsim and what it did: one JSON line a call, flushed before the reply, readable after a crash."""

import itertools
import json
import threading
from collections import Counter, defaultdict, deque
from pathlib import Path
from typing import Any

KEPT_IN_MEMORY = 100_000


class Journal:
    """Append entries and answer what came since a number.

    The newest 100,000 entries can be read back; counters cover all since the last clearing. A line cut off by a crash is ignored.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.Lock()
        self._entries: deque[dict[str, Any]] = deque(maxlen=KEPT_IN_MEMORY)
        self._counters: Counter[str] = Counter()
        self._callers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._seq = 0
        needs_newline = self._load()
        self._file = path.open("a", encoding="utf-8")
        if needs_newline:
            self._file.write("\n")

    def append(self, entry: dict[str, Any]) -> int:
        """Number an entry, write it down and return its number."""
        with self._lock:
            self._seq += 1
            entry = {"seq": self._seq, **entry}
            self._file.write(json.dumps(entry, separators=(",", ":")) + "\n")
            self._file.flush()
            self._remember(entry)
            return self._seq

    def since(self, seq: int, **wanted: str) -> list[dict[str, Any]]:
        """Return the entries with a higher number, oldest first.

        :param wanted: members and the values they must have, such as `service` or `access_key`
        """
        with self._lock:
            newer = list(itertools.takewhile(lambda entry: entry["seq"] > seq, reversed(self._entries)))
        return [entry for entry in reversed(newer) if all(entry.get(name) == value for name, value in wanted.items())]

    def counters(self) -> dict[str, int]:
        """Return calls by operation; those to other services than EMR count as `service:operation`, to S3 as `s3:METHOD`."""
        with self._lock:
            return dict(self._counters)

    def callers(self) -> dict[str, dict[str, int]]:
        """Return the same counters by access key; "" stands for unsigned calls."""
        with self._lock:
            return {key: dict(counters) for key, counters in self._callers.items()}

    def clear(self) -> None:
        """Forget everything; numbers go on where they were."""
        with self._lock:
            self._entries.clear()
            self._counters.clear()
            self._callers.clear()
            self._file.close()
            self._path.write_text(json.dumps({"seq": self._seq, "cleared": True}) + "\n", encoding="utf-8")
            self._file = self._path.open("a", encoding="utf-8")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _remember(self, entry: dict[str, Any]) -> None:
        self._entries.append(entry)
        name = entry["operation"] if entry.get("service") == "emr" else f"{entry.get('service')}:{entry.get('operation')}"
        self._counters[name] += 1
        self._callers[entry.get("access_key") or ""][name] += 1

    def _load(self) -> bool:
        if not self._path.exists():
            return False
        cut_off = False
        with self._path.open(encoding="utf-8") as lines:
            for line in lines:
                cut_off = not line.endswith("\n")
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                self._seq = entry["seq"]
                if not entry.get("cleared"):
                    self._remember(entry)
        return cut_off
