"""One suite for every store: keys, changes, what is read. Facts and claims: `test_store_records`, `test_store_claims`."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from platyspark_provider.core.app_state import AppState
from platyspark_provider.core.facts import ClusterObserved, SendEnded, SendIntended
from platyspark_provider.core.model import Condition, Event, Failure, Token
from platyspark_provider.core.records import Claim, Policy
from platyspark_provider.core.spec import request_hash
from platyspark_provider.core.states import AppPhase, FailureClass, LogState
from platyspark_provider.core.transitions import request_stop
from platyspark_provider.errors import InvalidRequest, NotFound, Superseded
from platyspark_provider.store.base import Known, Store, StoreFactory, Write
from tests.builders import make_attempt, make_cluster_spec, make_request, make_spec, make_target
from tests.store_steps import first, hold, move, on_cluster, record, started, submit

LATER = datetime(2099, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture
def store(open_store: StoreFactory) -> Iterator[Store]:
    """Yield a store that knows the default target."""
    with open_store() as opened:
        opened.ensure_target(make_target())
        yield opened


def again(known: Known | None, now: datetime) -> Write:
    """Decide to begin the next generation of a known key."""
    assert known is not None
    generation = known.newest.generation + 1
    app = replace(known.app, phase=AppPhase.NEW, generation=generation, wanted_generation=generation, updated_at=now)
    return Write(app=app, attempt=make_attempt(app_id=known.app.id, generation=generation, created_at=now))


def waiting_successor(known: Known | None, now: datetime) -> Write:
    """Decide to want another generation while the current one is being stopped."""
    assert known is not None
    wanted = make_attempt(app_id=known.app.id, generation=2, spec=make_spec(name="second"), created_at=now)
    return Write(
        app=replace(known.app, wanted_generation=2),
        attempt=wanted,
        current=replace(known.current, stop_requested_at=now, stop_reason="cleared"),
    )


def test_submit_app_new_key_round_trips_every_value(store: Store) -> None:
    request = make_request(args=("--date", "2026-11-25"), conf={"spark.x": "1"}, tags={"a": "b"}, max_runtime_s=60)
    conditions = (Condition(type="Waiting", reason="files", message="Waits.", since=LATER),)
    spec = make_spec(conf={"k": "v"}, uploads={"aa": "s3://b/aa"}, cluster=make_cluster_spec(configurations=({"Classification": "spark"},)))
    known = submit(store, request=request, conditions=conditions, spec=spec, deadline_at=LATER, next_reconcile_at=LATER)
    assert (known.app.request, known.app.request_hash) == (request, request_hash(request))
    assert (known.app.conditions, known.app.deadline_at, known.app.next_reconcile_at) == (conditions, LATER, LATER)
    assert known.current.spec == spec
    assert known.current == known.newest
    assert store.app_by_key("ads", "k") == known
    assert store.detail(known.app.id).attempt == known.current


def test_submit_app_times_are_aware_and_in_utc(store: Store) -> None:
    known = submit(store)
    assert known.app.created_at.utcoffset() == timedelta(0)
    assert abs(store.now() - known.app.created_at) < timedelta(minutes=1)


def test_submit_app_known_key_is_decided_with_its_row(store: Store) -> None:
    one = submit(store)
    seen: list[Known | None] = []

    def decide(known: Known | None, now: datetime) -> Write | None:
        seen.append(known)
        return None

    assert store.submit_app("ads", "k", decide) == one
    assert seen == [one]


def test_submit_app_same_key_other_scope_is_another_app(store: Store) -> None:
    assert submit(store).app.id != store.submit_app("other", "k", first()).app.id


def test_submit_app_decision_raises_writes_nothing(store: Store) -> None:
    def decide(known: Known | None, now: datetime) -> Write | None:
        raise InvalidRequest("no")

    with pytest.raises(InvalidRequest):
        store.submit_app("ads", "k", decide)
    assert store.app_by_key("ads", "k") is None
    assert store.events() == ()


def test_submit_app_nothing_to_write_for_unknown_key_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        store.submit_app("ads", "k", lambda known, now: None)


@pytest.mark.parametrize("key", ["", "k" * 1001])
def test_submit_app_key_of_wrong_length_is_refused(store: Store, key: str) -> None:
    with pytest.raises(InvalidRequest):
        submit(store, key)


def test_submit_app_longest_key_is_stored(store: Store) -> None:
    assert submit(store, "ключ" * 250).app.app_key == "ключ" * 250


def test_submit_app_next_generation_keeps_row_and_history(store: Store) -> None:
    one = submit(store, phase=AppPhase.SUCCEEDED)
    two = store.submit_app("ads", "k", again)
    assert two.app.id == one.app.id
    assert (two.app.generation, two.current.generation) == (2, 2)
    assert store.detail(one.app.id, 1).attempt == one.current


def test_submit_app_wanted_generation_is_newest_but_not_current(store: Store) -> None:
    submit(store, phase=AppPhase.RUNNING)
    known = store.submit_app("ads", "k", waiting_successor)
    assert (known.current.generation, known.newest.generation) == (1, 2)
    assert known.current.stop_reason == "cleared"
    assert store.app_by_key("ads", "k") == known


def test_submit_app_generation_not_begun_takes_the_newer_request(store: Store) -> None:
    submit(store, phase=AppPhase.RUNNING)
    store.submit_app("ads", "k", waiting_successor)

    def newer(known: Known | None, now: datetime) -> Write:
        assert known is not None
        return Write(app=known.app, attempt=replace(known.newest, spec=make_spec(name="third")))

    assert store.submit_app("ads", "k", newer).newest.spec.name == "third"


def test_submit_app_generation_that_was_sent_is_not_overwritten(store: Store) -> None:
    known = submit(store, phase=AppPhase.WAIT_CLUSTER)
    move(store, known.app.id, AppPhase.SENDING, sends=1)

    def newer(known: Known | None, now: datetime) -> Write:
        assert known is not None
        return Write(app=known.app, attempt=make_attempt(app_id=known.app.id, spec=make_spec(name="other")))

    with pytest.raises(Superseded):
        store.submit_app("ads", "k", newer)
    assert store.detail(known.app.id).attempt.spec.name == "job"


def test_submit_app_keeps_the_lease_that_an_executor_holds(store: Store) -> None:
    known = submit(store, phase=AppPhase.RUNNING)
    epoch = hold(store, "app", known.app.id)
    after = store.submit_app("ads", "k", waiting_successor)
    assert (after.app.lease.owner, after.app.lease.epoch) == ("me", epoch)


def test_submit_app_event_gets_the_id_of_its_app(store: Store) -> None:
    known = submit(store)
    (event,) = store.events(object_kind="app", object_id=known.app.id)
    assert (event.kind, event.object_id, event.generation) == ("app.new", known.app.id, 1)


def test_slot_is_smallest_free_among_live_apps_of_the_task(store: Store) -> None:
    one, two, three = (submit(store, key) for key in "abc")
    assert [k.app.slot for k in (one, two, three)] == [0, 1, 2]
    move(store, two.app.id, AppPhase.SUCCEEDED)
    assert submit(store, "d").app.slot == 1
    assert submit(store, "e", task_id="other").app.slot == 0


def test_slot_of_an_app_that_runs_again_is_not_the_one_taken_since(store: Store) -> None:
    old = submit(store, "a")
    move(store, old.app.id, AppPhase.FAILED)
    assert submit(store, "b").app.slot == 0
    assert store.submit_app("ads", "a", again).app.slot == 1


def test_slot_of_apps_without_a_task_is_zero(store: Store) -> None:
    assert [submit(store, key, dag_id=None, task_id=None).app.slot for key in "ab"] == [0, 0]


def test_change_app_writes_rows_and_events(store: Store) -> None:
    known = submit(store)

    def stop(state: AppState, now: datetime) -> AppState:
        return request_stop(state, reason="killed", actor="user:dana", now=now)

    done = store.change_app(known.app.id, 1, stop)
    detail = store.detail(known.app.id)
    assert (detail.app, detail.attempt) == (done.app, done.attempt)
    assert (detail.app.phase, detail.attempt.death_proof) == (AppPhase.STOPPED, "never sent")
    assert [e.kind for e in store.events()] == ["app.new", "app.stopped"]


def test_change_app_named_by_wanted_generation_sees_both(store: Store) -> None:
    known = submit(store, phase=AppPhase.RUNNING)
    store.submit_app("ads", "k", waiting_successor)
    seen: list[AppState] = []

    def ready(state: AppState, now: datetime) -> AppState:
        seen.append(state)
        assert state.wanted is not None
        return replace(state, wanted=replace(state.wanted, artifacts_ready=True))

    store.change_app(known.app.id, 2, ready)
    assert seen[0].attempt.generation == 1
    assert store.detail(known.app.id, 2).attempt.artifacts_ready
    assert not store.detail(known.app.id, 1).attempt.artifacts_ready


def test_change_app_keeps_failure_log_and_detail(store: Store) -> None:
    known = submit(store)
    failure = Failure(klass=FailureClass.USER, summary="boom", error_class="CAST_INVALID_INPUT", log_tail="ünï\n", is_complete=False)
    values = {
        "failure": failure,
        "failure_class": FailureClass.USER,
        "log_tail": "x" * 65536,
        "external_detail": {"cluster": "j-1", "n": 1},
    }
    done = move(store, known.app.id, AppPhase.FAILED, log_state=LogState.ARRIVED, ended_at=LATER, **values)
    assert store.detail(known.app.id).attempt == done.attempt


@pytest.mark.parametrize(("app_id", "generation"), [(999, 1), (None, 7)])
def test_change_app_unknown_row_is_not_found(store: Store, app_id: int | None, generation: int) -> None:
    known = submit(store)
    with pytest.raises(NotFound):
        store.change_app(app_id or known.app.id, generation, lambda state, now: state)


def test_detail_unknown_app_or_generation_is_not_found(store: Store) -> None:
    known = submit(store)
    with pytest.raises(NotFound):
        store.detail(999)
    with pytest.raises(NotFound, match="generation 2"):
        store.detail(known.app.id, 2)


def test_detail_without_the_target_it_names_is_not_found(store: Store) -> None:
    known = submit(store, spec=make_spec(cluster=make_cluster_spec(target="elsewhere")))
    with pytest.raises(NotFound, match="elsewhere"):
        store.detail(known.app.id)


def test_detail_holds_cluster_and_target(store: Store) -> None:
    known = submit(store)
    cluster = on_cluster(store, known.app.id, hold(store, "app", known.app.id))
    detail = store.detail(known.app.id)
    assert detail.cluster == cluster
    assert (detail.target.name, detail.target.id) == ("default", cluster.target_id)


def test_detail_of_an_older_generation_holds_its_own_cluster(store: Store) -> None:
    known = submit(store)
    epoch = hold(store, "app", known.app.id)
    cluster = on_cluster(store, known.app.id, epoch)
    started(store, cluster)
    intent = SendIntended(app_id=known.app.id, generation=1, epoch=epoch, nonce="n")
    record(store, intent, SendEnded(app_id=known.app.id, generation=1, epoch=epoch, result="rejected", message="bad"))

    def again_elsewhere(known: Known | None, now: datetime) -> Write:
        write = again(known, now)
        return replace(write, app=replace(write.app, cluster_id=None))

    store.submit_app("ads", "k", again_elsewhere)
    assert store.detail(known.app.id).cluster is None
    older = store.detail(known.app.id, 1).cluster
    assert older is not None
    assert older.id == cluster.id


def test_ensure_target_updates_by_name_and_keeps_the_id(store: Store) -> None:
    one = store.ensure_target(make_target(name="west", region="us-west-2"))
    two = store.ensure_target(make_target(name="west", region="eu-west-1", account_id="123456789012"))
    assert one.id == two.id
    assert (two.region, two.account_id) == ("eu-west-1", "123456789012")
    assert [t.name for t in store.due(policy=Policy()).targets] == ["default", "west"]


def test_installation_is_six_hex_digits_and_stays(store: Store) -> None:
    one = store.installation()
    assert len(bytes.fromhex(one.inst)) == 3
    assert store.installation() == one
    assert store.due(policy=Policy()).installation == one.inst


def test_due_holds_open_apps_with_their_current_attempt(store: Store) -> None:
    one, over = submit(store, "a"), submit(store, "b", phase=AppPhase.SUCCEEDED)
    store.submit_app("ads", "a", waiting_successor)
    due = store.due(policy=Policy(lease_s=7))
    assert [(w.app.id, w.attempt.generation) for w in due.apps] == [(one.app.id, 1)]
    assert due.policy.lease_s == 7
    assert over.app.id not in {w.app.id for w in due.apps}
    assert abs(store.now() - due.at) < timedelta(minutes=1)


def test_due_leaves_out_rows_that_somebody_holds(store: Store) -> None:
    known = submit(store)
    epoch = hold(store, "app", known.app.id)
    cluster = on_cluster(store, known.app.id, epoch)
    assert store.due(policy=Policy()).apps == ()
    assert [c.id for c in store.due(policy=Policy()).clusters] == [cluster.id]
    hold(store, "cluster", cluster.id)
    assert store.due(policy=Policy()).clusters == ()


def test_due_leaves_out_rows_whose_time_has_not_come_unless_asked_for(store: Store) -> None:
    now = store.now()
    waits = submit(store, "a", next_reconcile_at=now + timedelta(hours=1))
    passed = submit(store, "b", next_reconcile_at=now - timedelta(seconds=1))
    assert [w.app.id for w in store.due(policy=Policy()).apps] == [passed.app.id]
    assert [w.app.id for w in store.due(policy=Policy(), app_id=waits.app.id).apps] == [waits.app.id]


def test_due_of_one_app_holds_its_cluster_and_log_alone(store: Store) -> None:
    specs = [make_spec(cluster=make_cluster_spec(name=name)) for name in ("one", "two")]
    one, two = (submit(store, spec.cluster.name, spec=spec) for spec in specs)
    clusters = [on_cluster(store, k.app.id, hold(store, "app", k.app.id)) for k in (one, two)]
    for cluster in clusters:
        epoch = started(store, cluster, external_id=f"j-{cluster.id}")
        store.release([Claim(kind="cluster", id=cluster.id, epoch=epoch)])
    ended = submit(store, "ended", phase=AppPhase.FAILED)
    move(store, ended.app.id, AppPhase.FAILED, log_state=LogState.PENDING)
    due = store.due(policy=Policy(), app_id=one.app.id)
    assert ([c.id for c in due.clusters], due.log_pending) == ([clusters[0].id], ())
    due = store.due(policy=Policy(), app_id=ended.app.id)
    assert (due.clusters, [w.app.id for w in due.log_pending]) == ((), [ended.app.id])


def test_due_cluster_without_app_stays_while_the_backend_knows_it(store: Store) -> None:
    known = submit(store)
    cluster = on_cluster(store, known.app.id, hold(store, "app", known.app.id))
    move(store, known.app.id, AppPhase.STOPPED)
    assert store.due(policy=Policy()).clusters == ()
    epoch = started(store, cluster)
    store.release([Claim(kind="cluster", id=cluster.id, epoch=epoch)])
    assert [c.id for c in store.due(policy=Policy()).clusters] == [cluster.id]
    record(store, ClusterObserved(cluster_id=cluster.id, epoch=epoch, state="dead", raw_state="TERMINATED"))
    assert store.due(policy=Policy()).clusters == ()


def test_due_lists_logs_of_older_generations(store: Store) -> None:
    known = submit(store)
    move(store, known.app.id, AppPhase.FAILED, log_state=LogState.PENDING)
    store.submit_app("ads", "k", again)
    due = store.due(policy=Policy())
    assert [(w.app.id, w.attempt.generation) for w in due.log_pending] == [(known.app.id, 1)]
    assert [(w.app.id, w.attempt.generation) for w in due.apps] == [(known.app.id, 2)]


def test_due_limit_bounds_each_list(store: Store) -> None:
    for key in "abc":
        submit(store, key)
    assert len(store.due(policy=Policy(), limit=2).apps) == 2


def test_snapshot_holds_live_and_unacknowledged(store: Store) -> None:
    conditions = (Condition(type="Waiting", reason="cluster", message="No cluster yet.", since=LATER),)
    live = submit(store, "a", conditions=conditions)
    ended = submit(store, "b")
    just_now = store.now()
    move(store, ended.app.id, AppPhase.SUCCEEDED, ended_at=just_now, log_state=LogState.PENDING)
    taken = submit(store, "c")
    move(store, taken.app.id, AppPhase.SUCCEEDED, ended_at=just_now, acknowledged_at=just_now)
    forgotten = submit(store, "d")
    move(store, forgotten.app.id, AppPhase.SUCCEEDED, ended_at=just_now - timedelta(days=8))
    snapshot = store.snapshot()
    assert [(b.app_id, b.phase, b.note) for b in snapshot.apps] == [
        (live.app.id, AppPhase.WAIT_CLUSTER, "No cluster yet."),
        (ended.app.id, AppPhase.SUCCEEDED, ""),
    ]
    assert (snapshot.apps[1].ended_at, snapshot.apps[1].log_state) == (just_now, LogState.PENDING)
    assert abs(store.now() - snapshot.at) < timedelta(minutes=1)


def test_snapshot_shows_the_current_generation_once(store: Store) -> None:
    known = submit(store, phase=AppPhase.FAILED)
    store.submit_app("ads", "k", again)
    assert [(b.app_id, b.generation, b.phase) for b in store.snapshot().apps] == [(known.app.id, 2, AppPhase.NEW)]


def test_clusters_newest_first_and_live_only_by_default(store: Store) -> None:
    made = []
    for name in ("one", "two"):
        known = submit(store, name, spec=make_spec(cluster=make_cluster_spec(name=name)))
        made.append(on_cluster(store, known.app.id, hold(store, "app", known.app.id)))
    epoch = started(store, made[0])
    record(store, ClusterObserved(cluster_id=made[0].id, epoch=epoch, state="dead", raw_state="TERMINATED"))
    assert [c.name for c in store.clusters()] == ["two"]
    assert [c.name for c in store.clusters(live_only=False)] == ["two", "one"]


def test_events_are_filtered_and_paged_by_id(store: Store) -> None:
    for i in range(5):
        kind = "app" if i % 2 else "token"
        store.add_event(Event(object_kind=kind, object_id=i, kind="x", message=str(i), actor="cli", at=LATER, detail={"i": i}))
    page = store.events(limit=2)
    assert [e.message for e in page] == ["0", "1"]
    assert [e.message for e in store.events(after=page[-1].id or 0)] == ["2", "3", "4"]
    assert [e.detail for e in store.events(object_kind="app")] == [{"i": 1}, {"i": 3}]
    assert [e.message for e in store.events(object_kind="token", object_id=4)] == ["4"]


def make_token(**values: object) -> Token:
    base = {"id": 0, "name": "ci", "token_hash": "a" * 64, "scopes": ("worker",), "teams": (), "created_at": LATER, "created_by": "cli"}
    return Token(**{**base, **values})  # type: ignore[arg-type]


def test_token_round_trips_and_is_found_by_hash(store: Store) -> None:
    made = store.create_token(make_token(scopes=("worker", "reconciler"), teams=("ads",), expires_at=LATER))
    found = store.token_by_hash("a" * 64)
    assert found is not None
    assert replace(found, last_used_at=None) == made
    assert store.token_by_hash("b" * 64) is None


def test_token_use_is_marked_once_a_minute(store: Store) -> None:
    store.create_token(make_token())
    first_use = store.token_by_hash("a" * 64)
    assert first_use is not None
    assert first_use.last_used_at is not None
    assert store.token_by_hash("a" * 64) == first_use


def test_token_name_of_a_live_token_is_taken_until_it_is_revoked(store: Store) -> None:
    store.create_token(make_token())
    with pytest.raises(InvalidRequest, match="ci"):
        store.create_token(make_token(token_hash="b" * 64))
    revoked = store.revoke_token("ci")
    assert revoked.revoked_at is not None
    two = store.create_token(make_token(token_hash="b" * 64))
    assert [t.token_hash[0] for t in store.tokens()] == ["b", "a"]
    still = store.token_by_hash("a" * 64)
    assert still is not None
    assert still.revoked_at == revoked.revoked_at
    assert two.revoked_at is None


def test_token_name_of_an_expired_token_is_free(store: Store) -> None:
    store.create_token(make_token(expires_at=datetime(2020, 1, 1, tzinfo=UTC)))
    with pytest.raises(NotFound):
        store.revoke_token("ci")
    assert store.create_token(make_token(token_hash="b" * 64)).name == "ci"


def test_token_revoke_without_a_live_one_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound, match="ci"):
        store.revoke_token("ci")
