"""Records its own process, then works until it is let go: `record.py DIR NAME SECONDS`.

Writes DIR/NAME.<pid>.json with the pids of earlier runs of NAME that are still alive; ends well when DIR/NAME.go exists or
after SECONDS. No SparkSession: the driver's process is what counts here, and it starts in half the time.
"""

import json
import os
import sys
import time
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Tell whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


folder, name, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
folder.mkdir(parents=True, exist_ok=True)
earlier = [int(p.suffixes[-2][1:]) for p in folder.glob(f"{name}.*.json")]
mine = folder / f"{name}.{os.getpid()}.json"
mine.with_suffix(".tmp").write_text(
    json.dumps({"pid": os.getpid(), "at": time.time(), "alive": [p for p in earlier if is_alive(p)], "argv": sys.argv[4:]})
)
mine.with_suffix(".tmp").rename(mine)
until = time.monotonic() + seconds
while time.monotonic() < until and not (folder / f"{name}.go").exists():
    time.sleep(0.1)
print(f"recorded {mine.name}")
