"""The examples of docs/api.md run as they stand, one after the other, against Airflow's own app; each answers as the page says."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.integration.api.conftest import ApiServer

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
EXAMPLE = re.compile(r"```bash\n(?P<command>.*?)```\n```http\n(?P<answer>.*?)```", re.DOTALL)
MARK = "=== the next example ==="


def test_each_example_answers_as_the_page_says(api_server: ApiServer) -> None:
    text = PAGE.read_text()
    examples = EXAMPLE.findall(text)
    assert len(examples) == text.count("```bash") >= 12
    script = f"\necho; echo '{MARK}'\n".join(command for command, _ in examples)
    user, password = api_server.login()
    environment = {"PATH": os.environ["PATH"], "AIRFLOW": api_server.url, "AIRFLOW_USER": user, "AIRFLOW_PASSWORD": password}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=110, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    outputs = done.stdout.replace("\r", "").split(f"{MARK}\n")
    for output, (command, expected) in zip(outputs, examples, strict=True):
        check(output, expected, command)


def check(output: str, expected: str, command: str) -> None:
    """Hold an answer to its example: the status, every header that is shown, every field that is shown."""
    head, _, body = output.partition("\n\n")
    wanted_head, _, wanted_body = expected.partition("\n\n")
    assert set(wanted_head.splitlines()) <= set(head.splitlines()), (command, output)
    if wanted_body.strip():
        got = json.loads(body.splitlines()[0])
        assert got == {**got, **filled(json.loads(wanted_body), got)}, (command, output)


def filled(wanted: Any, got: Any) -> Any:
    """Return what is wanted, with the fields that the example leaves out as they are."""
    if isinstance(wanted, Mapping) and isinstance(got, Mapping):
        return {**got, **{key: filled(value, got.get(key)) for key, value in wanted.items()}}
    return wanted
