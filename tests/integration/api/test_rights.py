"""Every route, every kind of caller, on Airflow's own app with its own users: who may do what is as the table says."""

import httpx
import pytest
from fastapi.routing import APIRoute

from platyspark_provider.client.wire import MOUNT, PREFIX
from platyspark_provider.plugin.api.app import OPENAPI_PATH, create_app
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.store.memory import InMemoryStore
from tests.api_server import make_services
from tests.integration.api.conftest import ApiServer
from tests.integration.api.rights_table import MACHINES, PEOPLE, TABLE, Row
from tests.integration.api.scenes import SCENES, Scene


def call(server: ApiServer, row: Row, who: str, scene: Scene) -> httpx.Response:
    body = scene.body if row.body is None else row.body
    return server.client.request(
        row.method,
        f"{MOUNT}{PREFIX}{row.path.format(**scene.path)}",
        headers={**server.headers(who), **scene.headers},
        params=dict(scene.params),
        json=body if row.method in {"POST", "PUT"} else None,
    )


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.id)
def test_route_answers_each_caller_as_the_table_says(api_server: ApiServer, row: Row) -> None:
    untouched = SCENES[row.scene](api_server)
    answers = {}
    for who, status in row.expected().items():
        scene = untouched if status in {401, 403} else SCENES[row.scene](api_server)
        answers[who] = call(api_server, row, who, scene)
    assert {who: answer.status_code for who, answer in answers.items()} == row.expected(), {w: a.text[:300] for w, a in answers.items()}
    for who, answer in answers.items():
        if answer.status_code in {401, 403}:
            check_refusal(row, who, answer)


def check_refusal(row: Row, who: str, answer: httpx.Response) -> None:
    """Every refusal says by a stable word why; a machine on a route for people is told so, and what to send."""
    detail = answer.json()["detail"]
    assert detail["code"] == "not_allowed", who
    assert detail["reason"], who
    if answer.status_code == 401:
        assert (detail["reason"] in {"login_missing", "token_missing"}, answer.headers["WWW-Authenticate"]) == (True, "Bearer")
    if who in MACHINES and not row.path.startswith(("/worker", "/health")):
        assert (detail["reason"], detail["hint"] != "") == ("token_not_user", True)


def test_table_has_every_route_of_the_app() -> None:
    app = create_app(make_services(InMemoryStore().open, ScriptedTasks()))
    routes = {(method, route.path.removeprefix(PREFIX)) for route in app.routes if isinstance(route, APIRoute) for method in route.methods}
    routes.add(("GET", OPENAPI_PATH.removeprefix(PREFIX)))
    assert {(row.method, row.path) for row in TABLE} == routes


def test_table_has_every_kind_of_caller(api_server: ApiServer) -> None:
    assert set(api_server.bearers) | {"anonymous"} == {*PEOPLE, *MACHINES}


def test_cookie_of_a_login_counts_and_a_bearer_token_wins_over_it(api_server: ApiServer) -> None:
    url = f"{api_server.url}{MOUNT}{PREFIX}/tokens"
    with httpx.Client(cookies={"_token": api_server.bearers["op"]}) as browser:
        assert browser.get(url).status_code == 200
        assert browser.get(url, headers=api_server.headers("viewer")).status_code == 403
        assert browser.get(url, headers=api_server.headers("worker")).json()["detail"]["reason"] == "token_not_user"


@pytest.mark.parametrize("header", ["Bearer eyJhbGciOiJIUzUxMiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl", "Bearer nonsense"])
def test_forged_login_is_refused(api_server: ApiServer, header: str) -> None:
    answer = api_server.client.get(f"{MOUNT}{PREFIX}/apps", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["detail"]["reason"]) == (403, "login_invalid")


def test_write_is_an_event_with_who_why_and_which_call(api_server: ApiServer) -> None:
    app_id = SCENES["dag_app"](api_server).path["app_id"]
    headers = {**api_server.headers("user"), "X-Request-ID": "call-77"}
    answer = api_server.client.post(f"{MOUNT}{PREFIX}/apps/{app_id}/cancel", headers=headers, json={"reason": "wrong date"})
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (202, "call-77")
    events = api_server.client.get(f"{MOUNT}{PREFIX}/apps/{app_id}/events", headers=api_server.headers("viewer")).json()["events"]
    assert (events[-1]["actor"], events[-1]["detail"]) == ("user:user-1", {"reason": "wrong date", "request_id": "call-77"})


def test_token_events_are_for_those_who_may_manage_tokens(api_server: ApiServer) -> None:
    def kinds(who: str) -> set[str]:
        answer = api_server.client.get(f"{MOUNT}{PREFIX}/events?object_kind=token", headers=api_server.headers(who))
        return {event["kind"] for event in answer.json()["events"]}

    assert "token.created" in kinds("op")
    assert kinds("user") == set()
