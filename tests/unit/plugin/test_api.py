"""The API's edge: who is let in, which versions, what errors look like; the verbs themselves run in the contract suite."""

import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from platyspark_provider.client import wire
from platyspark_provider.errors import StoreBusy
from platyspark_provider.plugin.api.app import ANONYMOUS_PATHS, create_app
from platyspark_provider.plugin.api.auth import check_client_version, optional_caller, require_caller, require_subject
from platyspark_provider.plugin.api.problems import install_problems
from platyspark_provider.plugin.api.services import Services
from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.registry.schema_gate import SchemaGate
from platyspark_provider.registry.tokens import create_token, revoke_token
from platyspark_provider.store.base import Store
from platyspark_provider.store.memory import InMemoryStore
from tests.api_server import SECRET, add_token, make_services, mounted
from tests.builders import make_request
from tests.registry_world import make_task

API = f"http://api{wire.MOUNT}{wire.PREFIX}"
BEARER = {"Authorization": f"Bearer {SECRET}"}


@pytest.fixture
def store() -> InMemoryStore:
    """Return a store that knows one token."""
    store = InMemoryStore()
    add_token(store.open)
    return store


@pytest.fixture
def services(store: InMemoryStore) -> Services:
    """Return services with one running task instance."""
    return make_services(store.open, ScriptedTasks([make_task()]))


@pytest.fixture
async def api(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the mounted app, in process."""
    async with client_of(mounted(services)) as client:
        yield client


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=API)


def detail(response: httpx.Response) -> dict[str, Any]:
    body: dict[str, Any] = response.json()["detail"]
    return body


def body_of(**values: Any) -> Any:
    return wire.REQUEST.dump_python(make_request(**values), mode="json")


# Every route is guarded


def routes() -> list[APIRoute]:
    app = create_app(make_services(InMemoryStore().open, ScriptedTasks()))
    return [route for route in app.routes if isinstance(route, APIRoute)]


def guards(route: APIRoute) -> set[Any]:
    found, todo = set(), [route.dependant]
    while todo:
        dependant = todo.pop()
        found.add(dependant.call)
        todo.extend(dependant.dependencies)
    return found & {require_caller, optional_caller, require_subject}


def test_every_route_but_the_named_ones_requires_a_token() -> None:
    found = routes()
    assert len(found) >= 12
    assert {route.path for route in found if not guards(route) & {require_caller, require_subject}} <= ANONYMOUS_PATHS
    assert all(guards(route) for route in found)


def test_app_has_no_unguarded_route_of_another_kind() -> None:
    app = create_app(make_services(InMemoryStore().open, ScriptedTasks()))
    others = {getattr(route, "path", "?") for route in app.routes if not isinstance(route, APIRoute)}
    assert others <= ANONYMOUS_PATHS


@pytest.mark.parametrize("route", routes(), ids=lambda route: route.path)
async def test_route_without_token_answers_401_unless_named(api: httpx.AsyncClient, route: APIRoute) -> None:
    path = route.path.removeprefix(wire.PREFIX).replace("{app_id}", "1")
    (method,) = route.methods
    response = await api.request(method, path)
    assert response.status_code == (200 if route.path in ANONYMOUS_PATHS else 401)


async def test_openapi_is_public_and_complete(api: httpx.AsyncClient) -> None:
    response = await api.get("/openapi.json")
    assert response.status_code == 200
    assert set(response.json()["paths"]) == {route.path for route in routes()}


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
async def test_default_documentation_pages_are_off(services: Services, path: str) -> None:
    async with client_of(mounted(services)) as client:
        assert (await client.get(f"http://api{wire.MOUNT}{path}")).status_code == 404


# Tokens


async def test_missing_token_is_401_with_a_challenge(api: httpx.AsyncClient) -> None:
    response = await api.get("/worker/snapshot")
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert (detail(response)["code"], detail(response)["reason"]) == ("not_allowed", "token_missing")
    assert "airflow platyspark tokens create" in detail(response)["hint"]


@pytest.mark.parametrize("header", ["Basic abc", "Bearer", "Bearer  ", SECRET])
async def test_header_without_a_bearer_token_is_401(api: httpx.AsyncClient, header: str) -> None:
    assert (await api.get("/worker/snapshot", headers={"Authorization": header})).status_code == 401


async def test_unknown_token_is_403(api: httpx.AsyncClient) -> None:
    response = await api.get("/worker/snapshot", headers={"Authorization": "Bearer nope"})
    assert (response.status_code, detail(response)["reason"]) == (403, "token_unknown")
    assert "nope" not in response.text


async def test_token_hash_opens_nothing(api: httpx.AsyncClient, store: InMemoryStore) -> None:
    stored = store.tokens()[0].token_hash
    response = await api.get("/worker/snapshot", headers={"Authorization": f"Bearer {stored}"})
    assert detail(response)["reason"] == "token_unknown"


async def test_revoked_token_is_403_from_the_next_call_on(api: httpx.AsyncClient, store: InMemoryStore) -> None:
    assert (await api.get("/worker/snapshot", headers=BEARER)).status_code == 200
    revoke_token(store, "test", actor="user:dana")
    response = await api.get("/worker/snapshot", headers=BEARER)
    assert (response.status_code, detail(response)["reason"]) == (403, "token_revoked")


async def test_expired_token_is_403(api: httpx.AsyncClient, store: InMemoryStore) -> None:
    add_token(store.open, "old", name="old", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    response = await api.get("/worker/snapshot", headers={"Authorization": "Bearer old"})
    assert (response.status_code, detail(response)["reason"]) == (403, "token_expired")


async def test_created_token_opens_what_its_scopes_say(api: httpx.AsyncClient, store: InMemoryStore) -> None:
    made = create_token(store, "workers", scopes=["worker"], actor="user:dana")
    headers = {"Authorization": f"Bearer {made.secret}"}
    assert (await api.get("/worker/snapshot", headers=headers)).status_code == 200
    lease = {"name": "x", "holder": "h", "seconds": 5}
    for refused in (await api.get("/worker/due", headers=headers), await api.post("/worker/lease", headers=headers, json=lease)):
        assert (refused.status_code, detail(refused)["reason"]) == (403, "scope_missing")
        assert "--scopes worker,reconciler" in detail(refused)["hint"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/worker/due", None),
        ("GET", "/worker/apps/1/detail", None),
        ("POST", "/worker/claim", {"requests": [], "holder": "h"}),
        ("POST", "/worker/release", {"claims": []}),
        ("POST", "/worker/record", {"records": []}),
        ("POST", "/worker/lease", {"name": "x", "holder": "h", "seconds": 5}),
    ],
)
async def test_call_without_a_task_needs_the_reconciler_scope(
    api: httpx.AsyncClient, store: InMemoryStore, method: str, path: str, body: Any
) -> None:
    made = create_token(store, "workers", scopes=["worker"], actor="user:dana")
    response = await api.request(method, path, json=body, headers={"Authorization": f"Bearer {made.secret}"})
    assert detail(response)["reason"] == "scope_missing"


async def test_call_for_a_task_needs_the_worker_scope(api: httpx.AsyncClient, store: InMemoryStore) -> None:
    made = create_token(store, "scraper", scopes=["scrape"], actor="user:dana")
    headers = {"Authorization": f"Bearer {made.secret}", wire.TI_HEADER: "ti-1"}
    response = await api.post("/worker/apps", json=body_of(), headers=headers)
    assert detail(response)["reason"] == "scope_missing"


async def test_token_of_a_team_submits_for_that_team_alone(api: httpx.AsyncClient, store: InMemoryStore) -> None:
    made = create_token(store, "ads", scopes=["worker"], teams=["ads"], actor="user:dana")
    headers = {"Authorization": f"Bearer {made.secret}", wire.TI_HEADER: "ti-1"}
    refused = await api.post("/worker/apps", json=body_of(team="bi"), headers=headers)
    assert (refused.status_code, detail(refused)["reason"]) == (403, "team_not_covered")
    taken = await api.post("/worker/apps", json=body_of(team="ads"), headers=headers)
    assert taken.status_code == 201
    again = await api.post("/worker/apps", json=body_of(team="ads"), headers=headers)
    assert again.status_code == 200


@pytest.mark.parametrize(("scopes", "actor"), [(("worker", "reconciler"), "watchdog"), (("worker",), "task:sales/daily/run-1#1")])
async def test_actor_of_an_event_is_the_claimed_one_only_for_reconcilers(
    api: httpx.AsyncClient, store: InMemoryStore, scopes: tuple[str, ...], actor: str
) -> None:
    made = create_token(store, "x", scopes=scopes, actor="user:dana")
    headers = {"Authorization": f"Bearer {made.secret}", wire.ACTOR_HEADER: "watchdog"}
    task = {wire.TI_HEADER: "ti-1"}
    await api.post("/worker/apps", json=body_of(), headers={**headers, **task})
    ours = {} if "reconciler" in scopes else task
    claims = await api.post("/worker/claim", json={"requests": [{"kind": "app", "id": 1}], "holder": "h"}, headers={**headers, **ours})
    fact = {"kind": "cluster_assigned", "app_id": 1, "generation": 1, "epoch": claims.json()[0]["epoch"]}
    answers = await api.post("/worker/record", json={"records": [fact]}, headers={**headers, **ours})
    assert answers.json()[0]["accepted"]
    assert store.events(object_kind="cluster")[-1].actor == actor


# Versions


@pytest.mark.parametrize(("spoken", "status"), [(wire.API_VERSION, 200), (wire.API_VERSION - 1, 200), (wire.API_VERSION + 1, 503)])
async def test_client_version_is_accepted_for_this_and_the_last_api(api: httpx.AsyncClient, spoken: int, status: int) -> None:
    response = await api.get("/worker/snapshot", headers={**BEARER, wire.CLIENT_HEADER: f"9.9/{spoken}"})
    assert response.status_code == status
    if status == 503:
        assert (detail(response)["code"], response.headers["Retry-After"]) == ("client_too_new", "30")


async def test_client_of_an_old_api_is_answered_426(services: Services) -> None:
    app = FastAPI()

    @app.get("/old")
    def old() -> None:
        check_client_version("0.1/3", served=5)

    install_problems(app)
    async with client_of(app) as client:
        response = await client.get("http://api/old")
    assert (response.status_code, detail(response)["code"]) == (426, "client_too_old")
    assert "the client (0.1) speaks 3" in detail(response)["message"]


@pytest.mark.parametrize("spoken", [4, 5])
def test_client_version_of_this_or_the_last_api_passes(spoken: int) -> None:
    check_client_version(f"0.1/{spoken}", served=5)


async def test_client_header_that_is_none_is_refused(api: httpx.AsyncClient) -> None:
    assert (await api.get("/worker/snapshot", headers={**BEARER, wire.CLIENT_HEADER: "curl"})).status_code == 422


# Errors


async def test_body_that_can_not_be_read_names_the_place_and_echoes_nothing(api: httpx.AsyncClient) -> None:
    body = {"application": {"name": "x", "uri": "s3://b/x"}, "env_vars": {"PASSWORD": ["hunter2"]}, "reuse": "often"}
    response = await api.post("/worker/apps", json=body, headers={**BEARER, wire.TI_HEADER: "ti-1"})
    assert (response.status_code, detail(response)["code"]) == (422, "invalid_request")
    assert {"body.env_vars.PASSWORD", "body.reuse"} <= {one["place"] for one in detail(response)["errors"]}
    assert "hunter2" not in response.text


async def test_record_of_unknown_kind_is_refused(api: httpx.AsyncClient) -> None:
    response = await api.post("/worker/record", json={"records": [{"kind": "app_hacked"}]}, headers=BEARER)
    assert response.status_code == 422


async def test_call_that_needs_a_task_says_which_header(api: httpx.AsyncClient) -> None:
    response = await api.post("/worker/apps", json=body_of(), headers=BEARER)
    assert response.status_code == 422
    assert wire.TI_HEADER in detail(response)["message"]


async def test_busy_store_is_503_with_retry_after(services: Services) -> None:
    @contextmanager
    def locked() -> Iterator[Store]:
        raise StoreBusy("The database is locked.", retry_after=1.2)
        yield  # pragma: no cover - makes it a generator

    busy = Services(open_store=locked, tasks=services.tasks, profiles=services.profiles, settings=services.settings, schema=services.schema)
    async with client_of(mounted(busy)) as client:
        response = await client.get("/worker/snapshot", headers=BEARER)
    assert (response.status_code, response.headers["Retry-After"], detail(response)["code"]) == (503, "2", "store_busy")


# Tables behind the code, and health


@pytest.mark.parametrize("state", ["behind", "missing"])
async def test_tables_behind_answer_503_naming_the_command(store: InMemoryStore, state: str) -> None:
    async with client_of(mounted(make_services(store.open, ScriptedTasks(), schema=state))) as client:
        response = await client.get("/worker/snapshot", headers=BEARER)
        health = await client.get("/health")
    assert (response.status_code, detail(response)["code"], detail(response)["schema"]) == (503, "schema_behind", state)
    assert "airflow db migrate" in detail(response)["hint"]
    assert (health.status_code, health.json()) == (503, {"status": "unhealthy"})


def test_schema_gate_asks_until_the_tables_fit_and_then_never_again() -> None:
    answers = ["missing", "behind", "current"]
    gate = SchemaGate(lambda: answers.pop(0))
    for _ in range(2):
        with pytest.raises(Exception, match="airflow db migrate"):
            gate.require()
    threads = [threading.Thread(target=gate.require) for _ in range(4)]
    gate.require()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == []


async def test_health_tells_anyone_one_word(api: httpx.AsyncClient) -> None:
    response = await api.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "healthy"})


async def test_health_tells_a_token_the_details(api: httpx.AsyncClient, store: InMemoryStore) -> None:
    body = (await api.get("/health", headers=BEARER)).json()
    assert (body["status"], body["installation"], body["worker_api"]) == ("healthy", store.installation().inst, wire.API_VERSION)
    assert body["profiles"] == {"file": None, "error": None}


async def test_health_with_a_wrong_token_is_refused(api: httpx.AsyncClient) -> None:
    assert (await api.get("/health", headers={"Authorization": "Bearer nope"})).status_code == 403


async def test_airflow_login_is_no_token_of_ours(api: httpx.AsyncClient) -> None:
    """Where everybody is admin, Airflow itself adds a login to each request: a health probe must not be refused for it."""
    login = {"Authorization": "Bearer eyJhbGciOiJIUzUxMiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl"}
    health = await api.get("/health", headers=login)
    assert (health.status_code, health.json()) == (200, {"status": "healthy"})
    refused = await api.get("/worker/snapshot", headers=login)
    assert (refused.status_code, detail(refused)["reason"]) == (401, "token_missing")


async def test_health_shows_a_broken_profiles_file(store: InMemoryStore, tmp_path: Path) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text("profiles: {}\n")
    profiles = ProfilesFile(file)
    profiles.current()
    file.write_text("profiles: {big: {nodes: 3}}\n")
    async with client_of(mounted(make_services(store.open, ScriptedTasks(), profiles=profiles))) as client:
        assert (await client.get("/health")).json() == {"status": "degraded"}
        body = (await client.get("/health", headers=BEARER)).json()
    assert "line 1: profiles.big.nodes: unknown key" in body["profiles"]["error"]


# Imports


def _fresh(code: str) -> Any:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=110, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_app_imports_no_aws_client() -> None:
    code = (
        "import json, sys\n"
        "from platyspark_provider.plugin.api.app import create_app\n"
        "from platyspark_provider.plugin.api.services import airflow_services\n"
        "import platyspark_provider.store.sql, platyspark_provider.registry.service\n"
        "print(json.dumps([m for m in sys.modules if m.split('.')[0] in {'boto3', 'botocore', 'aiobotocore', 'moto'}]))\n"
    )
    assert _fresh(code) == []


def test_plugin_module_imports_nothing_heavy_and_makes_the_app_once() -> None:
    code = (
        "import airflow.sdk.plugins_manager, json, sys\n"
        "before = set(sys.modules)\n"
        "from platyspark_provider.plugin.plugin import PlatySparkPlugin\n"
        "added = sorted({m.split('.')[0] for m in set(sys.modules) - before})\n"
        "print(json.dumps([added, PlatySparkPlugin.name]))\n"
    )
    assert _fresh(code) == [["platyspark_provider"], "platyspark"]


def test_plugin_gives_airflow_the_app_over_airflows_database() -> None:
    code = (
        "import json\n"
        "from platyspark_provider.plugin.plugin import PlatySparkPlugin\n"
        "(one,) = PlatySparkPlugin.fastapi_apps\n"
        "(same,) = PlatySparkPlugin.fastapi_apps\n"
        "routes = [getattr(route, 'path', '') for route in one['app'].routes]\n"
        "print(json.dumps([one['url_prefix'], one['name'], one is same, '/api/v1/worker/apps' in routes]))\n"
    )
    assert _fresh(code) == ["/platyspark", "PlatySpark", True, True]


def test_plugin_lists_are_made_when_read_and_only_once() -> None:
    from platyspark_provider.plugin.plugin import _Lazy

    made: list[int] = []

    class Holder:
        apps = _Lazy(lambda: made.append(1) or [object()])

    assert made == []
    assert Holder.apps is Holder().apps
    assert made == [1]
