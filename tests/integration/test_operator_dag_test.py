"""`python dag.py` with `dag.test()`: the operator, its trigger and its resumed part in Airflow's own runner."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
DAG = """# airflow dag
from tests.integration import operator_world

dag = operator_world.{build}({arguments})

if __name__ == "__main__":
    dag.test()
"""


def run_script(home: Path, arguments: str = "", end_state: str = "succeeded", build: str = "build_dag") -> tuple[dict[str, Any], str]:
    """Run a DAG file as a script; return what came of it and all it printed."""
    folder = home / "dags"
    (folder / "jobs").mkdir(parents=True)
    (folder / "jobs" / "agg.py").write_text("print(1)")
    script = folder / "world.py"
    script.write_text(DAG.format(arguments=arguments, build=build))
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__PLATYSPARK__POLL_INTERVAL": "0.2",
        "PYTHONPATH": str(PROJECT),
    }
    command = [sys.executable, "-m", "tests.integration.operator_world", str(script), end_state]
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stdout + done.stderr


@pytest.mark.timeout(300)
@pytest.mark.parametrize("arguments", ["", "deferrable=False"], ids=["deferred", "in the worker"])
def test_operator_under_dag_test_runs_to_its_result(tmp_path: Path, arguments: str) -> None:
    seen, printed = run_script(tmp_path, arguments)
    assert seen["state"] == "success", printed
    result = seen["xcoms"]["return_value"]
    assert (result["app_id"], result["generation"]) == (1, 1)
    assert result["cluster_id"].startswith("c-")
    assert (seen["sends"], seen["uploads"]) == (1, 1)
    assert "console.aws.amazon.com" in seen["xcoms"]["_link_PlatySparkAppLink"]
    app = seen["app"]
    assert (app["owner"], app["team"], app["phase"]) == ("dana", "ads", "succeeded")
    run_id = app["app_key"].removeprefix("world/agg/-1/")
    assert app["args"] == ["--run", run_id]


@pytest.mark.timeout(300)
def test_operator_under_dag_test_own_fault_shows_the_card_and_is_not_retried(tmp_path: Path) -> None:
    seen, printed = run_script(tmp_path, "retries=3", end_state="failed")
    assert seen["state"] == "failed", printed
    assert seen["sends"] == 1
    assert "No module named 'shapely'" in printed
    assert "SparkAppFailed" in printed


@pytest.mark.timeout(300)
@pytest.mark.parametrize("arguments", ["", "deferrable=False"], ids=["deferred", "in the worker"])
def test_cluster_operator_under_dag_test_warms_one_cluster_and_lets_it_end(tmp_path: Path, arguments: str) -> None:
    seen, printed = run_script(tmp_path, arguments, build="build_cluster_dag")
    assert seen["state"] == "success", printed
    assert (seen["creates"], seen["sends"]) == (1, 1)
    warm, agg, cool = (seen["returned"][task] for task in ("warm", "agg", "cool"))
    assert (warm["name"], warm["outcome"], agg["cluster_id"]) == ("etl-world", "created", warm["external_id"])
    assert cool == {
        "name": "etl-world",
        "outcome": "ended",
        "clusters": [{"cluster_id": warm["cluster_id"], "generation": 1, "external_id": warm["external_id"]}],
    }
    (cluster,) = seen["clusters"]
    assert (cluster["phase"], cluster["by"].partition("/")[0]) == ("dead", "task:world")
