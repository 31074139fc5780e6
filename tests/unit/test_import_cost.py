"""What a DAG file imports stays light: in a fresh interpreter our names load nothing heavy over `airflow.sdk`."""

import json
import subprocess
import sys

import pytest

HEAVY = ("boto3", "botocore", "sqlalchemy", "fastapi", "httpx", "pydantic", "moto", "pyspark", "alembic")
PROBE = """
import sys
import airflow.sdk
from airflow.sdk import DAG, BaseOperator, BaseOperatorLink
before = set(sys.modules)
{statement}
import json
print(json.dumps(sorted({{m.partition('.')[0] for m in set(sys.modules) - before}})))
"""


def newly_loaded(statement: str) -> set[str]:
    """Return the packages that a statement loads after `airflow.sdk`."""
    code = PROBE.format(statement=statement)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "statement",
    [
        "import platyspark_provider",
        "from platyspark_provider import SparkAppOperator; SparkAppOperator(task_id='x', application='job.py')",
        "from platyspark_provider import SparkCluster, SparkClusterOperator; "
        "SparkClusterOperator(task_id='x', cluster=SparkCluster('etl', workers=(2, 4), idle_timeout='15m'))",
        "from platyspark_provider import PlatySparkHook",
        "from platyspark_provider.dags import watchdog_dag, observer_dag; watchdog_dag(); observer_dag()",
        "import platyspark_provider.operators.links",
    ],
)
def test_import_of_public_names_loads_nothing_heavy(statement: str) -> None:
    loaded = newly_loaded(statement)
    assert loaded.isdisjoint(HEAVY), loaded & set(HEAVY)


def test_import_probe_would_see_something_heavy() -> None:
    assert "boto3" in newly_loaded("import platyspark_provider, boto3")


def test_public_names_are_listed_and_unknown_ones_refused() -> None:
    import platyspark_provider

    listed = set(dir(platyspark_provider)) & set(platyspark_provider.__all__)
    assert {"SparkAppOperator", "SparkCluster", "SparkClusterOperator", "PlatySparkHook"} <= listed
    with pytest.raises(AttributeError, match="SparkNothing"):
        platyspark_provider.SparkNothing  # noqa: B018
