"""Generated calls of every operation, by people and machines: no server error, no answer that the description does not have."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import schemathesis
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from platyspark_provider.client import wire
from platyspark_provider.plugin.api.app import create_app
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.store.sql import sql_store_factory
from tests.api_people import log_in
from tests.api_server import add_token, make_services, serve_app
from tests.integration.api.conftest import TOKENS
from tests.public_world import People
from tests.registry_world import make_task

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PEOPLE = ("viewer", "user", "op")
EXAMPLES, EXAMPLES_SHUT_OUT = 5, 1
"""Of each kind (good and bad values), for each caller and operation."""
BODIES = {
    "POST /api/v1/apps": {"application": "s3://code/job.py", "args": ["1"], "conf": {"spark.a": 1}},
    "POST /api/v1/tokens": {"name": "made", "scopes": ["scrape"], "expires": "1h"},
    "PUT /api/v1/clusters/{cluster}": {"workers": [2, 4]},
    "POST /api/v1/worker/apps": {"application": {"name": "job.py", "uri": "s3://code/job.py"}},
    "POST /api/v1/worker/clusters": {"cluster": {"name": "etl"}},
}
"""Bodies that make something: no generated text is an address, a name or a profile."""


@dataclass(kw_only=True)
class Target:
    """The served app, its description, and what it answered."""

    url: str
    operations: dict[str, Any]
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def target(postgres_server: sa.URL) -> Iterator[Target]:
    """Serve the app over PostgreSQL, where a value that a column can't hold shows, with an application in each state."""
    from platyspark_provider.store.tables import metadata

    admin = sa.create_engine(postgres_server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE conformance")
    engine = sa.create_engine(postgres_server.set(database="conformance"), pool_size=20)
    metadata.create_all(engine)
    open_store = sql_store_factory(engine)
    tasks = ScriptedTasks([make_task()])
    with open_store() as store:
        people = People(store=store, tasks=tasks)
        ids = [people.submit(key=f"k{number}", dag_id=dag_id).detail.app.id for number, dag_id in enumerate((None, "sales", None))]
        people.bring_to("failed", ids[1], 1)
        people.bring_to("running", ids[2], 1)
    for kind in TOKENS:
        add_token(open_store, f"plsp_{kind}", name=kind, scopes=(kind,))
    services = make_services(open_store, tasks, login=log_in)
    schema = schemathesis.openapi.from_dict(create_app(services).openapi())
    operations = {found.ok().label: found.ok() for found in schema.get_all_operations()}
    with serve_app(create_app(services)) as url:
        yield Target(url=url, operations=operations)
    engine.dispose()


LABELS = sorted(
    f"{method.upper()} {path}"
    for path, item in create_app(make_services(lambda: None, ScriptedTasks())).openapi()["paths"].items()  # type: ignore[arg-type,return-value]
    for method in item
)


def credentials(who: str, label: str) -> dict[str, str]:
    if who in PEOPLE:
        return {"Authorization": f"Bearer {who}"}
    task = {wire.TI_HEADER: "ti-1"} if who == "worker" and "/worker/" in label else {}
    return {"Authorization": f"Bearer plsp_{who}", **task}


def is_let_in(who: str, label: str) -> bool:
    is_machine = who in {"worker", "reconciler"}
    return is_machine if "/worker/" in label else not is_machine and who in PEOPLE


@pytest.mark.parametrize("label", LABELS)
def test_operation_answers_as_described(target: Target, label: str) -> None:
    operation = target.operations[label]
    seen: set[int] = set()
    for who in (*PEOPLE, *TOKENS):
        headers = credentials(who, label)
        count = EXAMPLES if is_let_in(who, label) else EXAMPLES_SHUT_OUT
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            for case in _cases(operation, mode, count):
                case.headers.pop("Authorization", None)
                response = case.call(base_url=target.url, headers=headers)
                case.validate_response(response, checks=CHECKS)
                seen.add(response.status_code)
    assert seen & {401, 403} or label.endswith(("/health",))
    assert any(status < 300 for status in seen) or "{" in label, seen


def _cases(operation: Any, mode: GenerationMode, count: int) -> list[Any]:
    """Return generated calls, the same at each run; half of those with an id in the path name an object that is there."""
    made = {"body": BODIES[operation.label]} if operation.label in BODIES else {}
    names = [parameter.name for parameter in operation.path_parameters]
    ids = {name: 2 for name in names if name.endswith("_id") or name == "cluster"}
    strategies = [operation.as_strategy(mode)]
    if ids and len(ids) == len(names):
        strategies.append(operation.as_strategy(mode, path_parameters=ids))
    if made:
        strategies.append(operation.as_strategy(GenerationMode.POSITIVE, **made))
    found: list[Any] = []

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(case=st.one_of(strategies))
    def collect(case: Any) -> None:
        found.append(case)

    collect()
    return found
