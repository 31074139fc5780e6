"""The public routes' edge: statuses, headers, bodies and their refusals; the rules run in the contract suite."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from platyspark_provider.client import wire
from platyspark_provider.core.facts import LogLookedFor
from platyspark_provider.core.records import Policy
from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.store.memory import InMemoryStore
from tests.api_people import log_in
from tests.api_server import make_services, mounted
from tests.public_world import People
from tests.registry_world import make_task

BASE = f"{wire.MOUNT}{wire.PREFIX}"
JOB = {"application": "s3://code/job.py", "name": "daily"}


@pytest.fixture
def people() -> People:
    return People(store=InMemoryStore(), tasks=ScriptedTasks([make_task()]))


@pytest.fixture
async def api(people: People) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(people) as client:
        yield client


@asynccontextmanager
async def client_of(people: People, *, role: str = "op", profiles: ProfilesFile | None = None) -> AsyncIterator[httpx.AsyncClient]:
    assert isinstance(people.store, InMemoryStore)
    app = mounted(make_services(people.store.open, people.tasks, login=log_in, profiles=profiles))
    headers = {"Authorization": f"Bearer {role}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://api{BASE}", headers=headers) as client:
        yield client


def detail(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()["detail"]
    return body


# Submit


async def test_submit_answers_201_then_200_then_409(api: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "daily/2026-11-24"}
    first = await api.post("/apps", json=JOB, headers=key)
    again = await api.post("/apps", json=JOB, headers=key)
    other = await api.post("/apps", json={**JOB, "args": ["x"]}, headers=key)
    assert (first.status_code, first.headers["Location"], first.headers["ETag"]) == (201, f"{BASE}/apps/1", '"1"')
    assert "Idempotency-Replayed" not in first.headers
    assert (again.status_code, again.headers["Idempotency-Replayed"], again.json()["id"]) == (200, "true", 1)
    assert (other.status_code, detail(other)["code"], detail(other)["existing_id"]) == (409, "idempotency_mismatch", 1)
    assert detail(other)["differing"] == ["args[0]"]


async def test_submit_says_where_the_application_is_and_what_it_waits_for(api: httpx.AsyncClient) -> None:
    body = (await api.post("/apps", json={**JOB, "team": "bi"})).json()
    assert (body["name"], body["team"], body["owner"], body["desired_state"], body["generation"]) == ("daily", "bi", "op", "completed", 1)
    assert (body["status"]["state"], body["status"]["attempt"]) == ("wait_cluster", 1)
    scheduled = body["status"]["conditions"][0]
    assert (scheduled["type"], scheduled["status"]) == ("Scheduled", "False")
    assert scheduled["message"]
    assert body["links"] == {
        "self": f"{BASE}/apps/1",
        "events": f"{BASE}/apps/1/events",
        "logs": f"{BASE}/apps/1/logs",
        "apps": None,
        "ui": None,
    }


async def test_waiting_application_shows_its_place_in_the_queue(api: httpx.AsyncClient, people: People) -> None:
    wish = {"name": "etl", "workers": 2}
    ids = [(await api.post("/apps", json={**JOB, "cluster": wish})).json()["id"] for _ in range(12)]
    for app_id in ids[:10]:
        people.bring_to("running", app_id, 1)
    body = (await api.get(f"/apps/{ids[-1]}")).json()
    listed = {one["id"]: one for one in (await api.get("/apps", params={"state": "wait_cluster"})).json()["apps"]}
    for one in (body, listed[ids[-1]]):
        condition = one["status"]["conditions"][0]
        assert (condition["reason"], condition["message"]) == ("cluster_full", "2nd of 2: cluster etl has 10 of 10 steps running")


async def test_submit_takes_every_field_of_the_body(api: httpx.AsyncClient, people: People) -> None:
    body = {
        "application": "s3://code/app.jar",
        "main_class": "com.acme.Main",
        "args": ["--x"],
        "conf": {"spark.a": True, "spark.b": 2, "spark.c": "d"},
        "env_vars": {"N": 1},
        "jars": ["s3://code/lib.jar"],
        "archives": ["s3://code/env.tar.gz#env"],
        "packages": ["org.x:y:1.0"],
        "cluster": {"name": "etl", "profile": "shared", "workers": [2, 6], "spot": 0.5, "idle_timeout": "30m"},
        "max_runtime": "PT4H",
        "on_limit": "alert",
        "tags": {"cost_center": "42"},
        "dag_id": "sales",
    }
    made = await api.post("/apps", json=body)
    assert made.status_code == 201, made.text
    request = people.store.detail(made.json()["id"]).app.request
    assert dict(request.conf) == {"spark.a": "true", "spark.b": "2", "spark.c": "d"}
    assert (request.max_runtime_s, request.main_class, request.archives[0].uri) == (14_400, "com.acme.Main", "s3://code/env.tar.gz#env")
    assert not isinstance(request.cluster, str)
    assert (request.cluster.workers, request.cluster.spot, request.cluster.idle_timeout_s) == ((2, 6), 0.5, 1800)
    assert (made.json()["dag_id"], made.json()["spec"]["on_limit"], made.json()["spec"]["env_vars"]) == ("sales", "alert", {"N": "***"})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "Either application or sql"),
        ({"application": "jobs/a.py"}, "local files can't come through here"),
        ({"application": "s3://code/a.txt"}, "neither a .py nor a .jar"),
        ({"application": "s3://code/a.jar"}, "main_class"),
        ({"application": "s3://code/a.py", "main_class": "x.Y"}, "Python file"),
        ({"sql": "select 1", "args": ["x"]}, "args"),
        ({**JOB, "kind": "streaming"}, "'streaming' can't be submitted yet"),
        ({**JOB, "kind": "nightly"}, "body.kind"),
        ({**JOB, "cluster": "nope"}, "no profile 'nope'"),
        ({**JOB, "cluster": {"workers": 3}}, "needs a name"),
        ({**JOB, "cluster": {"name": "etl", "workers": [5, 2]}}, "workers"),
        ({**JOB, "max_runtime": "soon"}, "max_runtime"),
        ({**JOB, "max_runtime": 10**9 * 3}, "max_runtime"),
        ({**JOB, "nodes": 3}, "body.nodes"),
        ({**JOB, "args": ["a\u0000b"]}, "body.args.0"),
        ({**JOB, "dag_id": "nope"}, "knows no DAG 'nope'"),
    ],
)
async def test_submit_of_bad_input_names_it(api: httpx.AsyncClient, body: dict[str, Any], said: str) -> None:
    response = await api.post("/apps", json=body)
    assert response.status_code == 422, response.text
    assert said in f"{detail(response)['message']} {detail(response)['hint']}"
    assert (await api.get("/apps")).json()["total_entries"] == 0


async def test_submit_without_good_profiles_is_503_with_retry_after(people: People, tmp_path: Any) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text("profiles: [")
    async with client_of(people, profiles=ProfilesFile(file)) as api:
        response = await api.post("/apps", json=JOB)
    assert (response.status_code, detail(response)["code"], response.headers["Retry-After"]) == (503, "profiles_unavailable", "30")


async def test_body_that_is_no_json_is_422(api: httpx.AsyncClient) -> None:
    for content in (b"{", b"\xff\xfe"):
        response = await api.post("/apps", content=content, headers={"Content-Type": "application/json"})
        assert (response.status_code, detail(response)["code"]) == (422, "invalid_request")


async def test_body_of_another_content_type_is_refused(api: httpx.AsyncClient) -> None:
    """A form of another site can send no JSON: the cookie alone moves nothing."""
    response = await api.post("/apps", content=json.dumps(JOB), headers={"Content-Type": "text/plain"})
    assert response.status_code == 422


# Cancel and restart


async def test_cancel_and_restart_hold_if_match_against_the_generation(api: httpx.AsyncClient, people: People) -> None:
    await api.post("/apps", json=JOB)
    people.bring_to("running", 1, 1)
    stale = await api.post("/apps/1/cancel", json={}, headers={"If-Match": '"2"'})
    assert (stale.status_code, detail(stale)["code"], detail(stale)["generation"]) == (409, "stale_generation", 1)
    taken = await api.post("/apps/1/restart", json={"reason": "again"}, headers={"If-Match": 'W/"1"'})
    assert (taken.status_code, taken.headers["ETag"], taken.json()["generation"], taken.json()["status"]["attempt"]) == (202, '"2"', 2, 1)
    assert {c["type"]: c["reason"] for c in taken.json()["status"]["conditions"]}["Replacing"] == "restart"
    asked = await api.post("/apps/1/cancel", json={"reason": "no more"}, headers={"If-Match": "*"})
    assert (asked.status_code, asked.json()["desired_state"], asked.json()["status"]["state"]) == (202, "stopped", "cancelling")
    people.world.end("cancelled", 1, 1)
    over = await api.post("/apps/1/cancel", json={})
    assert (over.status_code, detail(over)["code"], detail(over)["state"]) == (409, "already_ended", "stopped")


async def test_restart_of_a_task_s_application_says_clear_the_task(api: httpx.AsyncClient, people: People) -> None:
    answer = people.world.submit()
    response = await api.post(f"/apps/{answer.app.id}/restart", json={})
    assert (response.status_code, detail(response)["code"], detail(response)["task_id"]) == (409, "owned_by_task", "daily")
    assert "Clear the task" in detail(response)["hint"]
    links = (await api.get(f"/apps/{answer.app.id}")).json()["links"]
    assert links["ui"] == "/dags/sales/runs/run-1/tasks/daily"


@pytest.mark.parametrize("value", ["x", '"one"', "1.5", ""])
async def test_if_match_that_is_no_generation_is_422(api: httpx.AsyncClient, value: str) -> None:
    await api.post("/apps", json=JOB)
    assert (await api.post("/apps/1/cancel", json={}, headers={"If-Match": value})).status_code == 422


# Lists and reads


async def test_list_takes_filters_and_caps_its_limit(api: httpx.AsyncClient, people: People) -> None:
    for number in range(3):
        await api.post("/apps", json={**JOB, "name": f"app{number}", "team": f"t{number}"})
    people.bring_to("running", 2, 1)

    async def names(**params: Any) -> list[str]:
        body = (await api.get("/apps", params=params)).json()
        return [one["name"] for one in body["apps"]]

    assert await names() == ["app2", "app1", "app0"]
    assert await names(order_by="name") == ["app0", "app1", "app2"]
    assert await names(state=["running", "failed"]) == ["app1"]
    assert await names(team=["t0", "t2"], limit=1, offset=1) == ["app0"]
    assert await names(name_pattern="app1|app2", order_by="name") == ["app1", "app2"]
    assert await names(submitted_at_gte="2000-01-01T00:00:00", submitted_at_lte="2000-01-02T00:00:00Z") == []
    page = (await api.get("/apps", params={"limit": 5000})).json()
    assert (len(page["apps"]), page["total_entries"]) == (3, 3)


@pytest.mark.parametrize(("path", "order"), [("/apps", "bogus"), ("/clusters", "-bogus")])
async def test_order_by_an_unknown_field_is_400(api: httpx.AsyncClient, path: str, order: str) -> None:
    response = await api.get(path, params={"order_by": order})
    assert (response.status_code, detail(response)["code"]) == (400, "order_disallowed")
    assert "'bogus' is disallowed" in detail(response)["message"]


@pytest.mark.parametrize(
    "path", ["/apps/0", "/apps/99999999999", "/apps/x", "/apps?state=idle", "/apps?limit=0", "/events?after=-1", "/apps?name_pattern=%00"]
)
async def test_parameter_that_can_not_be_is_422(api: httpx.AsyncClient, path: str) -> None:
    assert (await api.get(path)).status_code == 422


@pytest.mark.parametrize("path", ["/apps/7", "/apps/7/attempts", "/apps/7/events", "/apps/7/logs", "/clusters/7"])
async def test_what_is_not_there_is_404(api: httpx.AsyncClient, path: str) -> None:
    response = await api.get(path)
    assert (response.status_code, detail(response)["code"]) == (404, "not_found")


async def test_unknown_path_and_wrong_method_are_problems_too(api: httpx.AsyncClient) -> None:
    missing, wrong = await api.get("/nothing"), await api.delete("/events")
    assert (missing.status_code, detail(missing)["code"]) == (404, "not_found")
    assert (wrong.status_code, detail(wrong)["code"], "GET" in wrong.headers["Allow"]) == (405, "method_not_allowed", True)


async def test_attempts_show_each_generation_with_the_source_of_its_values(api: httpx.AsyncClient, people: People) -> None:
    await api.post("/apps", json={**JOB, "conf": {"spark.db.password": "hunter2"}, "env_vars": {"TOKEN": "hunter2"}})
    people.bring_to("failed", 1, 1)
    await api.post("/apps/1/restart", json={})
    body = (await api.get("/apps/1/attempts")).json()
    assert ([one["generation"] for one in body["attempts"]], body["total_entries"]) == ([2, 1], 2)
    assert (body["attempts"][1]["status"]["state"], body["attempts"][1]["sources"]["name"]) == ("failed", "request")
    old = (await api.get("/apps/1", params={"generation": 1})).json()
    assert (old["status"]["state"], old["generation"]) == ("failed", 2)
    assert "hunter2" not in json.dumps(body) + json.dumps(old)


async def test_log_is_told_line_by_line_with_where_the_rest_is(api: httpx.AsyncClient, people: People) -> None:
    await api.post("/apps", json=JOB)
    early = await api.get("/apps/1/logs")
    assert (early.headers["Content-Type"], len(early.text.splitlines())) == ("application/x-ndjson", 1)
    assert "no log" in json.loads(early.text)["event"]
    people.bring_to("failed", 1, 1)
    fact = LogLookedFor(app_id=1, generation=1, tail="one\ntwo\nthree\u00e9\n", log_uri="s3://logs/x/stderr.gz")
    people.store.record([fact], policy=Policy(), actor="observer")
    lines = [json.loads(line) for line in (await api.get("/apps/1/logs", params={"tail": 2})).text.splitlines()]
    assert [line["event"] for line in lines[1:]] == ["two", "three\u00e9"]
    assert (lines[0]["log_state"], lines[0]["log_uri"], lines[0]["generation"]) == ("arrived", "s3://logs/x/stderr.gz", 1)
    assert "s3://logs/x/stderr.gz" in lines[0]["event"]


async def test_events_are_read_by_a_cursor(api: httpx.AsyncClient) -> None:
    for _ in range(3):
        await api.post("/apps", json=JOB)
    first = (await api.get("/events", params={"limit": 2, "object_kind": "app"})).json()
    second = (await api.get("/events", params={"limit": 2, "object_kind": "app", "after": first["next_after"]})).json()
    assert [event["object_id"] for event in (*first["events"], *second["events"])] == [1, 2, 3]
    assert second["next_after"] is None
    assert {event["actor"] for event in first["events"]} == {"user:op"}


async def test_profiles_show_values_and_sources_and_no_secret(people: People, tmp_path: Any) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text(
        "environment: prod\nprofiles:\n  big:\n    conf: {spark.x.password: hunter2, spark.y: '1'}\n    env_vars: {KEY: hunter2}\n"
        "    configurations: [{Classification: core-site, Properties: {fs.s3a.secret.key: hunter2}}]\n"
    )
    async with client_of(people, role="viewer", profiles=ProfilesFile(file)) as api:
        response = await api.get("/profiles")
    body = response.json()
    assert ([one["name"] for one in body["profiles"]], body["environment"], body["error"]) == (["big", "shared"], "prod", None)
    big = body["profiles"][0]
    assert (big["values"]["conf"]["spark.y"], big["values"]["conf"]["spark.x.password"]) == ("1", "***")
    assert (big["sources"]["conf.spark.y"], big["sources"]["release_label"]) == ("profile big", "built-in")
    assert "hunter2" not in response.text


async def test_token_is_made_shown_once_and_revoked(api: httpx.AsyncClient) -> None:
    made = await api.post("/tokens", json={"name": "ci", "scopes": ["worker"], "teams": ["ads"], "expires": "90d"})
    assert made.status_code == 201
    secret = made.json()["secret"]
    listed = await api.get("/tokens")
    assert secret not in listed.text
    assert [(one["name"], one["state"], one["created_by"]) for one in listed.json()["tokens"]] == [("ci", "live", "user:op")]
    assert (await api.get("/worker/snapshot", headers={"Authorization": f"Bearer {secret}"})).status_code == 200
    assert (await api.delete("/tokens/ci")).status_code == 204
    assert (await api.get("/worker/snapshot", headers={"Authorization": f"Bearer {secret}"})).status_code == 403
    assert (await api.delete("/tokens/ci")).status_code == 404
    again = await api.post("/tokens", json={"name": "ci", "scopes": ["admin"]})
    assert (again.status_code, "There is no scope 'admin'" in detail(again)["message"]) == (422, True)


# Clusters


async def test_cluster_is_ensured_found_refused_and_replaced(api: httpx.AsyncClient) -> None:
    made = await api.put("/clusters/etl", json={"workers": 2})
    found = await api.put("/clusters/etl", json={"workers": 2})
    refused = await api.put("/clusters/etl", json={"workers": 4})
    assert (made.status_code, made.headers["Location"], made.json()["outcome"]) == (201, f"{BASE}/clusters/1", "created")
    assert (found.status_code, found.json()["id"], found.json()["outcome"]) == (200, 1, "reused")
    assert (refused.status_code, detail(refused)["code"], detail(refused)["cluster_id"]) == (409, "cluster_conflict", 1)
    assert detail(refused)["differing"]
    beside = await api.put("/clusters/etl?alongside=true", json={"workers": 4})
    assert (beside.status_code, beside.json()["siblings"]) == (201, [1])
    both = await api.put("/clusters/etl?alongside=true&replace=true", json={"workers": 4})
    assert both.status_code == 422
    instead = await api.put("/clusters/etl?replace=true", json={"workers": 4})
    assert (instead.status_code, instead.json()["drained"]) == (200, [1])
    listed = (await api.get("/clusters", params={"live": True})).json()
    assert ([one["id"] for one in listed["clusters"]], listed["total_entries"]) == ([2], 1)


async def test_cluster_in_use_is_terminated_by_force_alone(api: httpx.AsyncClient, people: People) -> None:
    await api.post("/apps", json=JOB)
    people.bring_to("running", 1, 1)
    shown = await api.get("/clusters/1")
    assert (shown.json()["status"]["active_apps"], shown.headers["ETag"]) == (1, '"1"')
    refused = await api.delete("/clusters/1")
    assert (refused.status_code, detail(refused)["code"], detail(refused)["apps"]) == (409, "cluster_in_use", [1])
    drained = await api.post("/clusters/1/drain", json={"reason": "old"}, headers={"If-Match": '"1"'})
    assert (drained.status_code, drained.json()["status"]["takes_apps"]) == (202, False)
    assert (await api.delete("/clusters/1", headers={"If-Match": '"9"'})).status_code == 409
    ended = await api.delete("/clusters/1", params={"force": True, "reason": "too dear"})
    assert (ended.status_code, ended.json()["desired_state"]) == (202, "down")
    assert (await api.get("/apps/1")).json()["desired_state"] == "stopped"


# Imports

_EXERCISE = """
import asyncio, json, sys
import httpx
from platyspark_provider.plugin.api.app import create_app
from tests.api_people import log_in
from tests.api_server import add_token, make_services
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.store.memory import InMemoryStore
from tests.registry_world import make_task

async def main():
    store = InMemoryStore()
    add_token(store.open)
    app = create_app(make_services(store.open, ScriptedTasks([make_task()]), login=log_in))
    statuses = {}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        op = {"Authorization": "Bearer op"}
        for number in range(2):
            await client.post("/api/v1/apps", json={"application": "s3://c/j.py"}, headers=op)
        await client.put("/api/v1/clusters/etl", json={}, headers=op)
        for path, item in sorted(app.openapi()["paths"].items()):
            for method in sorted(item):
                token = "plsp_test-secret" if "/worker/" in path else "op"
                url = path.format(app_id=1, cluster="etl" if method == "put" else 1, cluster_id=1, name="test")
                headers = {"Authorization": f"Bearer {token}", "X-PlatySpark-TI": "ti-1"}
                answer = await client.request(method, url, json={} if method in {"post", "put"} else None, headers=headers)
                statuses[f"{method} {path}"] = answer.status_code
    aws = sorted(m for m in sys.modules if m.split(".")[0] in {"boto3", "botocore", "aiobotocore", "moto"})
    print(json.dumps([statuses, aws]))

asyncio.run(main())
"""


def test_no_route_loads_an_aws_client() -> None:
    done = subprocess.run([sys.executable, "-c", _EXERCISE], capture_output=True, text=True, timeout=110, check=True)
    statuses, aws = json.loads(done.stdout.splitlines()[-1])
    assert aws == []
    assert len(statuses) >= 30
    assert max(statuses.values()) < 500
    assert {200, 201, 202, 204} <= set(statuses.values())
    assert 401 not in statuses.values()
