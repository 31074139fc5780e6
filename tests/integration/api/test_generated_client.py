"""A client generated from docs/openapi.json submits, waits and cancels while passes run the work."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.integration.api.live import live

ROOT = Path(__file__).parents[3]
GENERATOR = Path(sys.executable).parent / "openapi-python-client"
CONFIG = "post_hooks: []\ncontent_type_overrides:\n  application/x-ndjson: text/plain\n"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate the package `spark_client` and return the folder that it is in; nothing of the description may be left out."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "config.yaml").write_text(CONFIG)
    arguments = ["--path", ROOT / "docs" / "openapi.json", "--output-path", folder / "spark_client", "--meta", "none"]
    command = [GENERATOR, "generate", *arguments, "--config", folder / "config.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert (done.returncode, "WARNING" in done.stdout) == (0, False), done.stdout
    return folder


def test_generated_client_submits_waits_and_cancels(generated: Path, postgres_engine: sa.Engine) -> None:
    script = Path(__file__).parent / "use_generated_client.py"
    with live(postgres_engine) as site:
        base = site.url.removesuffix("/api/v1")  # the paths of the description hold the version
        done = subprocess.run(
            [sys.executable, script, base, "op"],
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
            env={"PYTHONPATH": str(generated), "PATH": ""},
        )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    first_id = said["first"][1]
    assert said["first"] == [201, first_id, "succeeded"]
    assert said["again"] == [200, first_id, "true"]
    assert said["other"] == [409, "idempotency_mismatch", ["application", "args[0]", "args[1]", "name"]]
    assert said["cancelled"] == [202, "stopped", "user:op", "no longer needed"]
    assert said["listed"] == 2
    assert site.backend.calls["create_cluster"] == 1
