"""What a newcomer sees: seven lines run, a broken job says why, and everyone on one cluster."""

from contextlib import closing

import httpx
import pytest

from demo.airflow_api import AirflowApi
from demo.processes import wait_for
from demo.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_seven_lines_with_own_file_succeed_and_say_what_ran(stack: Stack, api: AirflowApi):
    run = api.trigger("seven_lines")
    assert api.wait_for_run("seven_lines", run) == "success"
    result = api.xcom("seven_lines", run, "count")
    assert result["generation"] == 1
    assert result["cluster_id"].startswith("j-")
    assert result["external_id"].startswith("s-")
    assert result["duration_s"] > 0


def test_twenty_tasks_deferred_at_once_share_one_new_cluster(stack: Stack, api: AirflowApi):
    """No driver runs for them: what counts is who created what, and twenty drivers would not fit on the machine.

    The cluster stays in STARTING until all are deferred. The simulated clock is left alone: other tests share it.
    """
    script = stack.emr.script_steps(cluster=r".*/herd/.*", duration_s=20)
    before = stack.emr.configure()["starting_s"]
    stack.emr.configure(starting_s=3600)
    try:
        run = api.trigger("herd")
        wait_for("20 deferred tasks", lambda: sum(task["state"] == "deferred" for task in api.tasks("herd", run)) == 20, seconds=180)
        stack.emr.configure(starting_s=before)
        state = api.wait_for_run("herd", run)
        failed = next((task["map_index"] for task in api.tasks("herd", run) if task["state"] == "failed"), 0)
        assert state == "success", api.log("herd", run, "run", map_index=failed)
    finally:
        stack.emr.configure(starting_s=before)
        stack.emr.run_steps_for_real(script)
    created = [call for call in stack.emr.journal(operation="RunJobFlow") if "/herd/" in call["request"]["Name"]]
    assert len(created) == 1
    results = [api.xcom("herd", run, "run", map_index=index) for index in range(20)]
    assert len({result["cluster_id"] for result in results}) == 1
    assert len({result["external_id"] for result in results}) == 20


def test_user_error_fails_once_with_the_card(stack: Stack, api: AirflowApi):
    run = api.trigger("user_error")
    assert api.wait_for_run("user_error", run) == "failed"
    task = api.task("user_error", run, "broken")
    assert task["try_number"] == 1, "the user's own error is not retried"
    log = api.log("user_error", run, "broken")
    assert "[CAST_INVALID_INPUT]" in log
    assert "SQLSTATE 22018" in log
    assert "broken.py:7" in log
    assert "hint:" in log


def test_viewer_can_log_in_but_holds_no_machine_token(stack: Stack):
    with closing(stack.api_of("viewer")) as viewer:
        assert "seven_lines" in viewer.dags()
    snapshot = f"{stack.url}/platyspark/api/v1/worker/snapshot"
    assert httpx.get(snapshot, trust_env=False).status_code == 401
    refused = httpx.get(snapshot, headers={"Authorization": "Bearer wrong"}, trust_env=False)
    assert refused.status_code == 403
    assert "airflow platyspark tokens create" in refused.json()["detail"]["hint"]
