"""One whole installation for all end-to-end tests: PostgreSQL, Airflow's processes apart, two triggerers, real logins, emrsim."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.airflow_api import AirflowApi
from demo.stack import Stack, StackSpec

HERE = Path(__file__).parent
PROFILES = """
targets:
  default:
    yarn_url: "{emr_url}/emrsim/yarn/{cluster}"
profiles:
  shared:
    log_uri: s3://platyspark/logs
  herd:
    log_uri: s3://platyspark/logs
    step_concurrency: 20
"""


@pytest.fixture(scope="session")
def record_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the jobs record their processes."""
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="session")
def stack(record_dir: Path) -> Iterator[Stack]:
    """The installation; tests that hurt a process bring it back.

    Its folder is not below pytest's own: every pytest session closes that one to other users, PostgreSQL's among them.
    """
    project = HERE.parents[1]
    spec = StackSpec(
        login="passwords",
        triggerers=2,
        dags=(HERE / "dags", HERE / "dags_bad", project / "dags"),
        emrsim={"log_delay_s": 0.5},
        profiles=PROFILES,
        config={
            ("platyspark", "poll_interval"): "2",
            ("platyspark", "lease"): "20",
            ("scheduler", "task_instance_heartbeat_timeout"): "25",
            ("core", "parallelism"): "8",
        },
        env={"E2E_DIR": str(record_dir)},
    )
    with tempfile.TemporaryDirectory(prefix="platyspark-e2e-", ignore_cleanup_errors=True) as home, Stack(Path(home), spec) as running:
        running.api.wait_for_dag("waits")
        yield running


@pytest.fixture(scope="session")
def api(stack: Stack) -> AirflowApi:
    """Airflow's REST API as the admin sees it."""
    return stack.api
