"""`airflow platyspark tokens ...` on Airflow's real database, through Airflow's own parser."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from platyspark_provider.core.tokens import hash_of_secret
from tests.integration.airflow.cli_world import run_cli


@pytest.fixture
def run(airflow_db: None) -> Callable[..., tuple[str, str, int]]:
    """Return a function that runs a command line and returns what it printed and its exit code."""

    def run_command(*words: str) -> tuple[str, str, int]:
        said = run_cli("tokens", *words)
        return said.out, said.err, said.code

    return run_command


@pytest.fixture
def clean(airflow_db: None) -> Iterator[None]:
    """Leave no live token of the test behind; those of other tests on these tables live on."""
    from platyspark_provider.cli.running import open_store

    with open_store() as store:
        before = {token.id for token in store.tokens()}
        yield
        for token in store.tokens():
            if token.revoked_at is None and token.id not in before:
                store.revoke_token(token.name)


@pytest.mark.usefixtures("clean")
def test_create_shows_the_secret_once_and_stores_its_hash(run: Any) -> None:
    out, _, code = run("create", "workers", "--expires", "90d", "-o", "json")
    assert code == 0
    (made,) = json.loads(out)
    assert made["scopes"] == "worker,reconciler"
    assert made["secret"].startswith("plsp_")
    from platyspark_provider.cli.running import open_store

    with open_store() as store:
        stored = store.token_by_hash(hash_of_secret(made["secret"]))
        events = store.events(object_kind="token", object_id=stored.id if stored else None)
    assert stored is not None
    assert (stored.name, stored.expires_at is not None) == ("workers", True)
    assert [event.kind for event in events] == ["token.created"]
    assert events[0].actor.startswith("cli:")
    listed, _, _ = run("list", "-o", "json")
    assert made["secret"] not in listed
    row = next(row for row in json.loads(listed) if row["state"] == "live")
    assert row["name"] == "workers"


@pytest.mark.usefixtures("clean")
def test_create_in_a_table_says_how_to_store_it(run: Any) -> None:
    out, err, _ = run("create", "people", "--scopes", "worker", "--teams", "ads, bi")
    assert "airflow connections add platyspark_default --conn-type platyspark" in err
    assert "airflow platyspark tokens revoke people" in err
    assert ("ads,bi" in out, "plsp_" in out, "plsp_" in err) == (True, True, False)


@pytest.mark.usefixtures("clean")
def test_create_twice_under_one_name_exits_2(run: Any) -> None:
    run("create", "twice", "-o", "json")
    out, err, code = run("create", "twice", "-o", "json")
    assert (out, code) == ("", 2)
    assert "live token named 'twice'" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", "x", "--scopes", "wroker"), "Did you mean 'worker'"),
        (("create", "x", "--scopes", "reconciler", "--teams", "ads"), "all teams"),
        (("create", "x", "--expires", "soon"), "no duration"),
        (("create", "x", "--expires", "0h"), "must live for some time"),
        (("create", "a b"), "no token name"),
    ],
)
def test_create_with_a_mistake_exits_2_and_makes_nothing(run: Any, words: tuple[str, ...], message: str) -> None:
    before = run("list", "-o", "json")[0]
    _, err, code = run(*words)
    assert (code, message in err) == (2, True), err
    assert run("list", "-o", "json")[0] == before


def test_revoke_closes_the_token_and_a_second_time_exits_3(run: Any) -> None:
    run("create", "gone", "-o", "json")
    out, err, code = run("revoke", "gone")
    assert (out, "is revoked" in err, code) == ("", True, 0)
    _, err, code = run("revoke", "gone")
    assert (code, "no live token named 'gone'" in err) == (3, True)


def test_command_on_tables_behind_exits_4_naming_the_command(run: Any) -> None:
    import sqlalchemy as sa

    from platyspark_provider.airflow_core.db import airflow_engine

    with airflow_engine().begin() as connection:
        connection.execute(sa.text("ALTER TABLE alembic_version_platyspark RENAME TO hidden"))
    try:
        _, err, code = run("list")
    finally:
        with airflow_engine().begin() as connection:
            connection.execute(sa.text("ALTER TABLE hidden RENAME TO alembic_version_platyspark"))
    assert (code, "airflow db migrate" in err) == (4, True)
