"""Print deploy/example.env with fresh secrets: `python3 deploy/new_env.py > .env`. Standard library only."""

import base64
import secrets
import sys
from pathlib import Path

EXAMPLE = Path(__file__).with_name("example.env")


def fresh(name: str) -> str:
    """Return a new secret; a fernet key has a form of its own (32 bytes, URL-safe base64)."""
    if name == "AIRFLOW_FERNET_KEY":
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(16 if name == "AIRFLOW_ADMIN_PASSWORD" else 48)


def filled(text: str) -> str:
    """Return the settings with a value after every `NAME=` that has none."""
    lines = [line + fresh(line[:-1]) if line.endswith("=") and not line.startswith("#") else line for line in text.splitlines()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(filled(EXAMPLE.read_text(encoding="utf-8")))
