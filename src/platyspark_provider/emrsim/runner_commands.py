"""Write the commands that a step's process finds first on its PATH: `spark-submit`, `yarn`, `aws`, `hadoop`, `hdfs`.

Each hands over to `command_main`, so a script's `spark-submit` does what a step of its own would do.
"""

import os
import shlex
import sys
from pathlib import Path

import platyspark_provider
from platyspark_provider.emrsim.runner_records import bin_folder

COMMANDS = ("spark-submit", "yarn", "aws", "hadoop", "hdfs")
_ENTRY = """import sys
sys.path.insert(0, {root!r})
from platyspark_provider.emrsim.command_main import main
sys.exit(main(sys.argv[1:]))
"""


def package_root() -> str:
    """Return the folder that holds this package, for processes that may see another PYTHONPATH."""
    return str(Path(platyspark_provider.__file__).resolve().parents[1])


def write_commands(data_dir: Path) -> None:
    """Write the folder anew; commands that run meanwhile are not disturbed."""
    folder = bin_folder(data_dir)
    folder.mkdir(exist_ok=True)
    entry = folder / ".command.py"
    _replace(entry, _ENTRY.format(root=package_root()))
    # -E -P: neither the job's PYTHONPATH nor its working folder may decide what the command imports
    call = f"exec {shlex.quote(sys.executable)} -E -P {shlex.quote(str(entry))}"
    for name in COMMANDS:
        _replace(folder / name, f'#!/bin/sh\n{call} {name} "$@"\n')


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o755)
    fresh.replace(path)
