"""What is so on a real database alone: busy writers, engines, statement counts, plans of the frequent reads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from platyspark_provider.core.facts import ClusterAssigned, Waiting
from platyspark_provider.core.model import Event, Token
from platyspark_provider.core.records import ClaimRequest, Policy
from platyspark_provider.core.states import AppPhase
from platyspark_provider.errors import StoreBusy
from platyspark_provider.store import sql_engine
from platyspark_provider.store.base import Known, Store, Write
from platyspark_provider.store.sql import SqlStore, sql_store_factory
from platyspark_provider.store.sql_engine import Database
from platyspark_provider.store.sql_writes import LostRace
from platyspark_provider.store.tables import app, attempt
from tests.builders import make_cluster_spec, make_spec, make_target
from tests.store_steps import first, hold, move, on_cluster, started, submit

Statement = tuple[str, Any]
LINE = Event(object_kind="token", object_id=1, kind="x", message="m", actor="cli", at=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def store(store_engine: sa.Engine) -> Iterator[Store]:
    """Yield a store on each database that knows the default target."""
    with sql_store_factory(store_engine)() as opened:
        opened.ensure_target(make_target())
        yield opened


@contextmanager
def statements(store: Store) -> Iterator[list[Statement]]:
    """Collect the statements that the store executes, transaction control aside."""
    assert isinstance(store, SqlStore)
    seen: list[Statement] = []

    def note(_connection: object, _cursor: object, text: str, values: Any, *_: object) -> None:
        if not text.startswith("BEGIN"):
            seen.append((text, values))

    writer = store._db._writer
    engine = getattr(writer, "_proxied", writer)  # the engine that writer and reader are options of
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def populate(store: Store, count: int, prefix: str) -> list[int]:
    ids = []
    for n in range(count):
        spec = make_spec(cluster=make_cluster_spec(name=f"{prefix}{n % 3}"))
        app_id = submit(store, f"{prefix}-{n}", spec=spec).app.id
        (claim,) = store.claim([ClaimRequest(kind="app", id=app_id)], holder="setup", seconds=60)
        on_cluster(store, app_id, claim.epoch or 0)
        store.release([claim])
        ids.append(app_id)
    return ids


def test_reads_of_a_pass_are_as_many_statements_for_one_row_as_for_many(store: Store) -> None:
    counts = []
    for size, prefix in ((1, "a"), (20, "b")):
        populate(store, size, prefix)
        with statements(store) as due:
            store.due(policy=Policy())
        with statements(store) as snapshot:
            store.snapshot()
        with statements(store) as awaited:
            store.awaited()
        counts.append((len(due), len(snapshot), len(awaited)))
    assert counts[0] == counts[1] == (7, 4, 1)


def test_whole_queue_is_placed_in_as_many_statements_as_a_few(store: Store) -> None:
    """The clusters are made, most wait, all that join one cluster change alike."""
    counts = []
    for size, name in ((6, "a"), (60, "b")):
        spec = make_spec(cluster=make_cluster_spec(name=name, step_concurrency=4))
        ids = [submit(store, f"{name}-{n}", spec=spec).app.id for n in range(size)]
        claims = store.claim([ClaimRequest(kind="app", id=i) for i in ids], holder="me", seconds=60)
        facts = [ClusterAssigned(app_id=c.id, generation=1, epoch=c.epoch or 0) for c in claims]
        with statements(store) as first_batch:
            answers = store.record(facts, policy=Policy(), actor="observer")
        with statements(store) as second_batch:
            store.record(facts, policy=Policy(), actor="observer")
        with statements(store) as read:
            store.queue_places()
        assert sum(a.cluster is not None for a in answers) == 4
        assert [s for s, _ in second_batch if not s.startswith("SELECT")] == []
        counts.append((len(first_batch), len(second_batch), len(read)))
    assert counts[0] == counts[1]
    assert all(have <= most for have, most in zip(counts[0], (15, 11, 7), strict=True)), counts


def test_claims_of_many_rows_are_as_many_statements_as_of_one(store: Store) -> None:
    ids = populate(store, 20, "a")
    counts = []
    for some in (ids[:1], ids):
        with statements(store) as seen:
            claims = store.claim([ClaimRequest(kind="app", id=i) for i in some], holder="me", seconds=60)
            store.release(claims)
        counts.append(len(seen))
    assert counts[0] == counts[1] == 4


def test_record_reads_a_batch_at_once_and_writes_only_what_changed(store: Store) -> None:
    ids = populate(store, 10, "a")
    epochs = {c.id: c.epoch or 0 for c in store.claim([ClaimRequest(kind="app", id=i) for i in ids], holder="me", seconds=60)}
    with statements(store) as unchanged:
        answers = store.record([ClusterAssigned(app_id=i, generation=1, epoch=epochs[i]) for i in ids], policy=Policy(), actor="observer")
    assert all(a.accepted for a in answers)
    assert [s for s, _ in unchanged if not s.startswith("SELECT")] == []
    facts = [Waiting(app_id=i, generation=1, epoch=epochs[i], reason="r", message="m") for i in ids]
    with statements(store) as changed:
        store.record(facts, policy=Policy(), actor="observer")
    assert len([s for s, _ in changed if s.startswith("SELECT")]) <= 6
    assert len([s for s, _ in changed if not s.startswith("SELECT")]) == 1, "all change alike"


def test_ensure_target_that_is_stored_already_writes_nothing(store: Store) -> None:
    with statements(store) as seen:
        store.ensure_target(make_target())
    assert [s.split()[0] for s, _ in seen] == ["SELECT"]


def test_rows_survive_the_process_that_wrote_them(store_engine: sa.Engine, store: Store) -> None:
    known = submit(store)
    epoch = hold(store, "app", known.app.id)
    started(store, on_cluster(store, known.app.id, epoch))
    with sql_store_factory(store_engine)() as other:
        assert other.detail(known.app.id) == store.detail(known.app.id)
        assert other.installation() == store.installation()


def test_factory_on_a_function_asks_it_for_the_engine_when_opened(store_engine: sa.Engine) -> None:
    asked: list[int] = []

    def engine() -> sa.Engine:
        asked.append(1)
        return store_engine

    factory = sql_store_factory(engine)
    assert asked == []
    with factory() as store:
        store.now()
    assert asked == [1]


def test_postgresql_first_submit_that_loses_is_asked_again_with_the_winners_row(postgres_engine: sa.Engine) -> None:
    with sql_store_factory(postgres_engine)() as loser, sql_store_factory(postgres_engine)() as winner:
        asked: list[Known | None] = []

        def decide(known: Known | None, now: datetime) -> Write | None:
            asked.append(known)
            if known is None:
                submit(winner)
            return first()(known, now)

        known = loser.submit_app("ads", "k", decide)
        assert asked == [None, known]
        assert [e.kind for e in winner.events()] == ["app.new"]


def test_writer_that_loses_every_race_is_busy_in_the_end(store: Store) -> None:
    assert isinstance(store, SqlStore)
    tries: list[int] = []

    def lose(_connection: sa.Connection) -> None:
        tries.append(1)
        raise LostRace

    with pytest.raises(StoreBusy):
        store._until_won(lose)
    assert len(tries) > 1


def test_sqlite_locked_is_busy_for_writers_and_nothing_for_readers(sqlite_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_engine, "BUSY_TIMEOUT_S", 0.05)
    with sql_store_factory(sqlite_engine)() as store:
        store.ensure_target(make_target())
        token = Token(id=0, name="ci", token_hash="a" * 64, scopes=("worker",), teams=(), created_at=LINE.at, created_by="cli")
        store.create_token(token)
        with sqlite_engine.connect() as other:
            other.exec_driver_sql("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusy) as busy:
                store.add_event(LINE)
            assert busy.value.retry_after == 1.0
            assert store.snapshot().apps == ()
            assert store.ensure_target(make_target()).name == "default"
            found = store.token_by_hash("a" * 64)
            assert found is not None
            assert found.last_used_at is None
            other.rollback()
        store.add_event(LINE)
        assert len(store.events()) == 1


def test_sqlite_writer_holds_the_lock_from_its_first_statement_and_a_reader_does_not(sqlite_engine: sa.Engine) -> None:
    database = Database(sqlite_engine)
    with database.read() as one, database.read() as two, database.write() as writer:
        for connection in (one, two, writer):
            assert connection.execute(sa.select(sa.func.count()).select_from(app)).scalar_one() == 0
        assert writer.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1


def test_sqlite_engine_of_airflow_keeps_its_own_settings(sqlite_engine: sa.Engine) -> None:
    with Database(sqlite_engine).write():
        pass
    with sqlite_engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 0
        assert connection.connection.dbapi_connection is not None
        assert connection.connection.dbapi_connection.isolation_level == ""


def test_postgresql_lock_that_is_not_given_is_busy(postgres_engine: sa.Engine) -> None:
    with sql_store_factory(postgres_engine)() as store:
        store.ensure_target(make_target())
        app_id = submit(store).app.id
    lock = sa.select(app.c.id).where(app.c.id == app_id).with_for_update(nowait=True)
    database = Database(postgres_engine)
    with database.write() as holder:
        holder.execute(lock)
        with pytest.raises(StoreBusy), database.write() as other:
            other.execute(lock)


def test_postgresql_deadlock_of_strangers_is_busy_for_one_of_them(postgres_engine: sa.Engine) -> None:
    with sql_store_factory(postgres_engine)() as store:
        store.ensure_target(make_target())
        ids = [submit(store, key).app.id for key in "ab"]
    database, met, outcomes = Database(postgres_engine), threading.Barrier(2), []

    def lock_both(order: list[int]) -> None:
        try:
            with database.write() as connection:
                for n, app_id in enumerate(order):
                    connection.execute(sa.select(app.c.id).where(app.c.id == app_id).with_for_update())
                    if n == 0:
                        met.wait(timeout=30)
            outcomes.append("done")
        except StoreBusy:
            outcomes.append("busy")

    threads = [threading.Thread(target=lock_both, args=(order,)) for order in (ids, ids[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(outcomes) == ["busy", "done"]


def test_other_errors_of_the_database_stay_what_they_are(store_engine: sa.Engine) -> None:
    with pytest.raises(sa.exc.DBAPIError), Database(store_engine).write() as connection:
        connection.exec_driver_sql("SELECT * FROM no_such_table")


def test_row_that_names_a_cluster_that_is_not_there_is_refused(store_engine: sa.Engine, store: Store) -> None:
    submit(store)
    with pytest.raises(sa.exc.IntegrityError), Database(store_engine).write() as connection:
        connection.execute(sa.update(app).values(cluster_id=999))


def test_snapshot_among_5000_ended_apps_goes_through_indexes(postgres_engine: sa.Engine) -> None:
    with sql_store_factory(postgres_engine)() as store:
        store.ensure_target(make_target())
        ended = submit(store, "ended").app.id
        move(store, ended, AppPhase.SUCCEEDED, acknowledged_at=LINE.at)
        copy_app(postgres_engine, ended, 5000)
        live = submit(store, "live").app.id
        with statements(store) as seen:
            assert [b.app_id for b in store.snapshot().apps] == [live]
    plans = explained(postgres_engine, seen)
    assert "Seq Scan on platyspark_a" not in plans, plans


def test_due_among_5000_ended_apps_goes_through_indexes(postgres_engine: sa.Engine) -> None:
    with sql_store_factory(postgres_engine)() as store:
        store.ensure_target(make_target())
        ended = submit(store, "ended").app.id
        move(store, ended, AppPhase.SUCCEEDED, acknowledged_at=LINE.at)
        copy_app(postgres_engine, ended, 5000)
        live = submit(store, "live").app.id
        with statements(store) as seen:
            assert [w.app.id for w in store.due(policy=Policy()).apps] == [live]
            assert [one.app_id for one in store.awaited()] == [live]
    plans = explained(postgres_engine, seen)
    assert "Seq Scan on platyspark_a" not in plans, plans


def copy_app(engine: sa.Engine, app_id: int, count: int) -> None:
    """Make copies of an application and its attempt, under other keys."""
    columns = {t.name: ", ".join(c.name for c in t.c if c.name not in {"id", "app_key", "app_id"}) for t in (app, attempt)}
    copied = sa.text(
        f"INSERT INTO platyspark_app (app_key, {columns[app.name]}) "
        f"SELECT 'copy' || n, {columns[app.name]} FROM platyspark_app, generate_series(1, :count) n WHERE id = :id"
    )
    attempts = sa.text(
        f"INSERT INTO platyspark_attempt (app_id, {columns[attempt.name]}) SELECT copy.id, "
        f"{', '.join('platyspark_attempt.' + name for name in columns[attempt.name].split(', '))} "
        "FROM platyspark_attempt, platyspark_app copy WHERE app_id = :id AND copy.app_key LIKE 'copy%'"
    )
    with engine.begin() as connection:
        connection.execute(copied, {"count": count, "id": app_id})
        connection.execute(attempts, {"id": app_id})
        connection.execute(sa.text("ANALYZE platyspark_app, platyspark_attempt"))


def explained(engine: sa.Engine, seen: list[Statement]) -> str:
    """Return the plans of statements."""
    with engine.connect() as connection:
        return "\n".join(line for text, values in seen for line in connection.exec_driver_sql(f"EXPLAIN {text}", values).scalars())
