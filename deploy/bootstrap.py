"""What must be there before Airflow starts: tables, the administrator's password, the machine token in its connection.

Runs in the image as the one-shot service `migrate`; safe to repeat and after a crash at any line: what is there stays.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CONNECTION = "platyspark_default"
MACHINE = "platyspark-compose"
SCOPES = "worker,reconciler"


def main() -> int:
    """Do what is missing and say so."""
    airflow("db", "migrate")
    passwords = os.environ.get("BOOTSTRAP_PASSWORDS_FILE")
    if passwords:
        write_passwords(Path(passwords), os.environ["BOOTSTRAP_ADMIN_PASSWORD"])
    if has_connection():
        say(f"connection {CONNECTION} is there")
    else:
        store_connection(os.environ["BOOTSTRAP_API_SERVER"], new_token())
        say(f"connection {CONNECTION} made, with token {MACHINE}")
    return 0


def write_passwords(path: Path, password: str) -> None:
    """Give the simple auth manager the administrator's password, in a file that its owner alone reads."""
    path.touch(mode=0o600)
    known = json.loads(path.read_text(encoding="utf-8") or "{}")
    path.write_text(json.dumps({**known, "admin": password}), encoding="utf-8")


def has_connection() -> bool:
    """Tell whether the connection can be read: one of another fernet key counts as missing, and so does its token."""
    return airflow("connections", "get", CONNECTION, check=False).returncode == 0


def new_token() -> str:
    """Make the token; one of the same name was made by a run that could not store it, and its secret is lost."""
    airflow("platyspark", "tokens", "revoke", MACHINE, check=False)
    answer = airflow("platyspark", "tokens", "create", MACHINE, "--scopes", SCOPES, "--output", "json").stdout
    return str(rows_of(answer)[0]["secret"])


def rows_of(output: str) -> list[dict[str, Any]]:
    """Return the JSON list of a command's output; log lines may stand around it and begin with a bracket, too."""
    for found in re.finditer(r"^\[\s*\{", output, re.MULTILINE):
        rows, _ = json.JSONDecoder().raw_decode(output, found.start())
        return list(rows)
    sys.exit(f"no JSON in this output:\n{output[-2000:]}")


def store_connection(api_server: str, secret: str) -> None:
    """Store the connection through a file: a command line can be read by every process."""
    connection: dict[str, Any] = {CONNECTION: {"conn_type": "platyspark", "host": api_server, "password": secret}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "connections.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(connection), encoding="utf-8")
        airflow("connections", "import", "--overwrite", str(path))


def airflow(*args: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run an `airflow` command; its output is shown when it fails, unless failing is an answer."""
    done = subprocess.run(["airflow", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        sys.exit(f"airflow {' '.join(args[:3])} ended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done


def say(text: str) -> None:
    """Tell what was done."""
    sys.stdout.write(f"bootstrap: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
