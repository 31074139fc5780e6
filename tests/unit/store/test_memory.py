"""What only the store in memory can show: time under a fake clock."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from platyspark_provider.core.facts import LogLookedFor, SendIntended, SendLookedFor
from platyspark_provider.core.model import Token
from platyspark_provider.core.records import ClaimRequest, Policy
from platyspark_provider.core.states import AppPhase
from platyspark_provider.errors import NotFound
from platyspark_provider.store.memory import InMemoryStore
from tests.builders import make_target
from tests.store_steps import hold, move, record, submit


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 25, 12, 0, 0, 123999, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def pass_by(self, **span: float) -> None:
        self.time += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Iterator[InMemoryStore]:
    """Yield a store under the clock, as a factory opens it."""
    made = InMemoryStore(clock)
    with made.open() as opened:
        opened.ensure_target(make_target())
        yield opened


def test_now_has_milliseconds_as_the_databases_have(store: InMemoryStore) -> None:
    assert store.now().microsecond == 123000


def test_claim_holds_for_its_seconds_and_not_one_more(store: InMemoryStore, clock: Clock) -> None:
    app_id = submit(store).app.id
    ask = [ClaimRequest(kind="app", id=app_id)]
    store.claim(ask, holder="a", seconds=120)
    clock.pass_by(seconds=119.9)
    assert store.due(policy=Policy()).apps == ()
    assert store.claim(ask, holder="b", seconds=120)[0].epoch is None
    clock.pass_by(seconds=0.2)
    assert [w.app.id for w in store.due(policy=Policy()).apps] == [app_id]
    assert store.claim(ask, holder="b", seconds=120)[0].epoch == 2


def test_lease_holds_for_its_seconds(store: InMemoryStore, clock: Clock) -> None:
    assert store.lease("watchdog", holder="a", seconds=45)
    clock.pass_by(seconds=44)
    assert not store.lease("watchdog", holder="b", seconds=45)
    clock.pass_by(seconds=2)
    assert store.lease("watchdog", holder="b", seconds=45)


def test_lost_send_settles_after_the_window_and_two_listings(store: InMemoryStore, clock: Clock) -> None:
    app_id = submit(store).app.id
    epoch = hold(store, "app", app_id)
    record(store, SendIntended(app_id=app_id, generation=1, epoch=epoch, nonce="n"))
    looked = SendLookedFor(app_id=app_id, generation=1, epoch=epoch, external_id=None)
    phases = []
    for seconds in (10, 100, 250):
        clock.pass_by(seconds=seconds)
        record(store, looked)
        phases.append(store.detail(app_id).app.phase)
    assert phases == [AppPhase.AMBIGUOUS, AppPhase.AMBIGUOUS, AppPhase.WAIT_CLUSTER]


def test_due_comes_when_its_time_does(store: InMemoryStore, clock: Clock) -> None:
    submit(store, next_reconcile_at=clock.time + timedelta(seconds=30))
    assert store.due(policy=Policy()).apps == ()
    clock.pass_by(seconds=31)
    assert len(store.due(policy=Policy()).apps) == 1


def test_token_use_is_marked_again_after_a_minute_and_expiry_frees_the_name(store: InMemoryStore, clock: Clock) -> None:
    expires = clock.time + timedelta(minutes=5)
    values = {"scopes": ("worker",), "teams": (), "created_at": clock.time, "created_by": "cli", "expires_at": expires}
    store.create_token(Token(id=0, name="ci", token_hash="a" * 64, **values))  # type: ignore[arg-type]
    used = []
    for seconds in (0, 59, 2):
        clock.pass_by(seconds=seconds)
        found = store.token_by_hash("a" * 64)
        assert found is not None
        used.append(found.last_used_at)
    assert used[0] == used[1] != used[2]
    clock.pass_by(minutes=5)
    with pytest.raises(NotFound):
        store.revoke_token("ci")


def test_log_looked_for_needs_no_claim(store: InMemoryStore) -> None:
    app_id = submit(store).app.id
    move(store, app_id, AppPhase.FAILED)
    (answer,) = record(store, LogLookedFor(app_id=app_id, generation=1, tail="x", log_uri=None))
    assert answer.refusal == "log_settled"


def test_memory_store_needs_no_database_library() -> None:
    """Users' own tests import it: neither SQLAlchemy nor Airflow may come with it."""
    code = "import sys, platyspark_provider.store.memory; sys.exit(bool({'sqlalchemy', 'airflow', 'alembic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
