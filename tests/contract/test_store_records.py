"""One suite for every store: facts are fenced, owned, applied in order, and clusters are made once."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from platyspark_provider.core.facts import (
    AppObserved,
    ClusterAssigned,
    ClusterObserved,
    CreateIntended,
    LogLookedFor,
    SendEnded,
    SendIntended,
    Waiting,
)
from platyspark_provider.core.model import Failure
from platyspark_provider.core.records import Policy
from platyspark_provider.core.states import AppPhase, ClusterPhase, FailureClass, LogState
from platyspark_provider.store.base import Known, Store, StoreFactory, Write
from tests.builders import make_attempt, make_cluster_spec, make_spec, make_target
from tests.store_steps import hold, move, on_cluster, record, started, submit


@pytest.fixture
def store(open_store: StoreFactory) -> Iterator[Store]:
    """Yield a store that knows the default target."""
    with open_store() as opened:
        opened.ensure_target(make_target())
        yield opened


def test_record_walks_an_app_from_waiting_to_its_end(store: Store) -> None:
    app_id = submit(store).app.id
    epoch = hold(store, "app", app_id)
    cluster = on_cluster(store, app_id, epoch)
    cluster_epoch = started(store, cluster)
    answers = record(
        store,
        ClusterObserved(cluster_id=cluster.id, epoch=cluster_epoch, state="ready", raw_state="WAITING"),
        SendIntended(app_id=app_id, generation=1, epoch=epoch, nonce="n"),
        SendEnded(app_id=app_id, generation=1, epoch=epoch, result="sent", external_id="s-1", external_detail={"cluster": "j-1"}),
        AppObserved(app_id=app_id, generation=1, epoch=epoch, state="running"),
        AppObserved(app_id=app_id, generation=1, epoch=epoch, state="succeeded"),
    )
    assert [a.refusal for a in answers] == [None] * 5
    detail = store.detail(app_id)
    assert answers[-1].work is not None
    assert (answers[-1].work.app, answers[-1].work.attempt) == (detail.app, detail.attempt)
    assert (detail.app.phase, detail.attempt.external_id, detail.attempt.cluster_id) == (AppPhase.SUCCEEDED, "s-1", cluster.id)
    assert detail.cluster is not None
    assert detail.cluster.phase is ClusterPhase.READY
    kinds = [e.kind for e in store.events(object_kind="app", object_id=app_id)]
    assert kinds == ["app.new", "app.cluster_assigned", "app.sending", "app.pending", "app.running", "app.succeeded"]
    kinds = [e.kind for e in store.events(object_kind="cluster", object_id=cluster.id)]
    assert kinds == ["cluster.intent", "cluster.creating", "cluster.starting", "cluster.ready"]


def test_record_stale_epoch_writes_nothing(store: Store) -> None:
    app_id = submit(store).app.id
    epoch = hold(store, "app", app_id)
    before = store.detail(app_id)
    (answer,) = record(store, SendIntended(app_id=app_id, generation=1, epoch=epoch - 1, nonce="n"))
    assert (answer.accepted, answer.refusal) == (False, "stale_epoch")
    assert store.detail(app_id) == before
    assert len(store.events()) == 1


def test_record_stale_epoch_of_a_cluster_is_refused(store: Store) -> None:
    app_id = submit(store).app.id
    cluster = on_cluster(store, app_id, hold(store, "app", app_id))
    epoch = hold(store, "cluster", cluster.id)
    (answer,) = record(store, CreateIntended(cluster_id=cluster.id, epoch=epoch + 1, nonce="n"))
    assert answer.refusal == "stale_epoch"
    assert answer.cluster is not None
    assert answer.cluster.phase is ClusterPhase.INTENT


def test_record_refused_fact_does_not_hold_up_the_next(store: Store) -> None:
    app_id = submit(store).app.id
    epoch = hold(store, "app", app_id)
    answers = record(
        store,
        AppObserved(app_id=app_id, generation=1, epoch=epoch, state="running"),
        Waiting(app_id=app_id, generation=1, epoch=epoch, reason="cluster", message="No cluster."),
        SendIntended(app_id=app_id, generation=3, epoch=epoch, nonce="n"),
    )
    assert [a.refusal for a in answers] == ["not_sent", None, "other_generation"]
    assert store.detail(app_id).app.conditions[0].message == "No cluster."


def test_record_unknown_rows_are_not_found(store: Store) -> None:
    app_id = submit(store).app.id
    answers = record(
        store,
        SendIntended(app_id=999, generation=1, epoch=0, nonce="n"),
        CreateIntended(cluster_id=999, epoch=0, nonce="n"),
        LogLookedFor(app_id=app_id, generation=9, tail=None, log_uri=None),
        ClusterAssigned(app_id=999, generation=1, epoch=0),
    )
    assert [a.refusal for a in answers] == ["not_found"] * 4


def test_record_nothing_answers_nothing(store: Store) -> None:
    assert record(store) == ()


def test_record_for_one_app_refuses_facts_of_others(store: Store) -> None:
    mine, other = submit(store, "a").app.id, submit(store, "b", spec=make_spec(cluster=make_cluster_spec(name="other"))).app.id
    epoch, other_epoch = hold(store, "app", mine), hold(store, "app", other)
    cluster = on_cluster(store, other, other_epoch)
    cluster_epoch = hold(store, "cluster", cluster.id)
    answers = record(
        store,
        Waiting(app_id=other, generation=1, epoch=other_epoch, reason="x", message="x"),
        LogLookedFor(app_id=other, generation=1, tail="x", log_uri=None),
        CreateIntended(cluster_id=cluster.id, epoch=cluster_epoch, nonce="n"),
        ClusterAssigned(app_id=mine, generation=1, epoch=epoch),
        only_app=mine,
    )
    assert [a.refusal for a in answers] == ["not_yours", "not_yours", "not_yours", None]


def test_record_for_one_app_takes_facts_of_its_own_cluster(store: Store) -> None:
    app_id = submit(store).app.id
    cluster = on_cluster(store, app_id, hold(store, "app", app_id))
    epoch = hold(store, "cluster", cluster.id)
    (answer,) = record(store, CreateIntended(cluster_id=cluster.id, epoch=epoch, nonce="n"), only_app=app_id)
    assert answer.accepted


def test_cluster_assigned_inserts_an_intent_with_the_spec(store: Store) -> None:
    spec = make_cluster_spec(tags={"a": "b"}, step_concurrency=3)
    app_id = submit(store, spec=make_spec(cluster=spec)).app.id
    cluster = on_cluster(store, app_id, hold(store, "app", app_id))
    assert (cluster.spec, cluster.phase, cluster.generation, cluster.live_key) == (spec, ClusterPhase.INTENT, 1, cluster.cluster_key)
    assert store.detail(app_id).app.cluster_id == cluster.id
    assert store.clusters() == (cluster,)


def test_cluster_assigned_same_spec_joins_the_live_cluster(store: Store) -> None:
    ids = [submit(store, key).app.id for key in "abc"]
    epochs = {i: hold(store, "app", i) for i in ids}
    answers = record(store, *(ClusterAssigned(app_id=i, generation=1, epoch=epochs[i]) for i in ids))
    assert len({a.cluster.id for a in answers if a.cluster is not None}) == 1
    assert len(store.clusters(live_only=False)) == 1


def test_cluster_assigned_other_spec_is_another_cluster(store: Store) -> None:
    specs = [make_spec(cluster=make_cluster_spec(release_label=label)) for label in ("emr-7.5.0", "emr-7.6.0")]
    ids = [submit(store, spec.cluster.release_label, spec=spec).app.id for spec in specs]
    answers = record(store, *(ClusterAssigned(app_id=i, generation=1, epoch=hold(store, "app", i)) for i in ids))
    assert len({a.cluster.id for a in answers if a.cluster is not None}) == 2


def test_cluster_assigned_dedicated_spec_is_shared_with_nobody(store: Store) -> None:
    spec = make_spec(cluster=make_cluster_spec(dedicated=True))
    ids = [submit(store, key, spec=spec).app.id for key in "ab"]
    clusters = [on_cluster(store, i, hold(store, "app", i)) for i in ids]
    assert clusters[0].id != clusters[1].id
    assert clusters[0].cluster_key != clusters[1].cluster_key


def test_cluster_assigned_twice_changes_nothing(store: Store) -> None:
    app_id = submit(store).app.id
    epoch = hold(store, "app", app_id)
    one, two = on_cluster(store, app_id, epoch), on_cluster(store, app_id, epoch)
    assert one == two
    assert [e.kind for e in store.events(object_kind="app")].count("app.cluster_assigned") == 1


def test_cluster_assigned_after_the_end_of_a_cluster_makes_the_next_generation(store: Store) -> None:
    app_id = submit(store).app.id
    epoch = hold(store, "app", app_id)
    old = on_cluster(store, app_id, epoch)
    cluster_epoch = started(store, old)
    answers = record(
        store,
        ClusterObserved(cluster_id=old.id, epoch=cluster_epoch, state="terminating", raw_state="TERMINATING"),
        ClusterAssigned(app_id=app_id, generation=1, epoch=epoch),
    )
    assert [a.refusal for a in answers] == [None, "cluster_ending"]
    new = on_cluster(store, app_id, epoch)
    assert (new.cluster_key, new.generation, new.phase) == (old.cluster_key, 2, ClusterPhase.INTENT)
    assert store.detail(app_id).app.cluster_id == new.id


@pytest.mark.parametrize(
    ("phase", "stop", "generation", "code"),
    [
        (AppPhase.RUNNING, False, 1, "not_waiting"),
        (AppPhase.WAIT_CLUSTER, True, 1, "stop_requested"),
        (AppPhase.WAIT_CLUSTER, False, 2, "other_generation"),
    ],
)
def test_cluster_assigned_to_an_app_that_waits_for_none_is_refused(
    store: Store, phase: AppPhase, stop: bool, generation: int, code: str
) -> None:
    app_id = submit(store).app.id
    epoch = hold(store, "app", app_id)
    move(store, app_id, phase, stop_requested_at=store.now() if stop else None)
    (answer,) = record(store, ClusterAssigned(app_id=app_id, generation=generation, epoch=epoch))
    assert answer.refusal == code
    assert store.clusters(live_only=False) == ()


def test_cluster_assigned_to_a_target_that_is_gone_is_refused(store: Store) -> None:
    app_id = submit(store, spec=make_spec(cluster=make_cluster_spec(target="gone"))).app.id
    (answer,) = record(store, ClusterAssigned(app_id=app_id, generation=1, epoch=hold(store, "app", app_id)))
    assert answer.refusal == "no_target"


def test_record_cluster_end_is_seen_by_the_next_fact_of_the_batch(store: Store) -> None:
    app_id = submit(store).app.id
    epoch = hold(store, "app", app_id)
    cluster = on_cluster(store, app_id, epoch)
    cluster_epoch = started(store, cluster)
    sent = SendEnded(app_id=app_id, generation=1, epoch=epoch, result="sent", external_id="s-1")
    record(store, SendIntended(app_id=app_id, generation=1, epoch=epoch, nonce="n"), sent)
    record(
        store,
        ClusterObserved(cluster_id=cluster.id, epoch=cluster_epoch, state="dead", raw_state="TERMINATED"),
        AppObserved(app_id=app_id, generation=1, epoch=epoch, state="cancelled"),
    )
    detail = store.detail(app_id)
    assert (detail.app.phase, detail.app.cluster_id, detail.attempt.external_id) == (AppPhase.WAIT_CLUSTER, None, None)


def test_record_end_of_the_old_run_begins_the_wanted_one(store: Store) -> None:
    app_id = submit(store).app.id
    epoch = hold(store, "app", app_id)
    move(store, app_id, AppPhase.CANCELLING, stop_requested_at=store.now(), started_at=store.now())

    def want(known: Known | None, now: datetime) -> Write:
        assert known is not None
        return Write(
            app=replace(known.app, wanted_generation=2),
            attempt=make_attempt(app_id=app_id, generation=2, artifacts_ready=True, created_at=now),
        )

    store.submit_app("ads", "k", want)
    (answer,) = record(store, AppObserved(app_id=app_id, generation=1, epoch=epoch, state="cancelled", driver="dead", proof="yarn"))
    assert answer.work is not None
    assert (answer.work.app.generation, answer.work.attempt.generation, answer.work.attempt.phase) == (2, 2, AppPhase.WAIT_CLUSTER)
    assert store.detail(app_id, 1).attempt.death_proof == "yarn"
    on_second = record(store, ClusterAssigned(app_id=app_id, generation=2, epoch=epoch))
    assert on_second[0].cluster is not None


def test_record_log_of_an_older_generation_leaves_the_current_one_alone(store: Store) -> None:
    app_id = submit(store).app.id
    failure = Failure(klass=FailureClass.UNKNOWN, summary="The backend reports a failure.", is_complete=False)
    move(store, app_id, AppPhase.FAILED, log_state=LogState.PENDING, failure=failure)

    def again(known: Known | None, now: datetime) -> Write:
        assert known is not None
        app = replace(known.app, phase=AppPhase.NEW, generation=2, wanted_generation=2)
        return Write(app=app, attempt=make_attempt(app_id=app_id, generation=2, created_at=now))

    second = store.submit_app("ads", "k", again)
    explained = Failure(klass=FailureClass.USER, summary="ValueError: x")
    looked = LogLookedFor(
        app_id=app_id, generation=1, tail="trace", log_uri="s3://l", failure=explained, result={"rows": 3, "days": ["a", None]}
    )
    (answer,) = record(store, looked, only_app=app_id)
    assert answer.accepted
    assert answer.work is not None
    assert answer.work.attempt.generation == 2
    old = store.detail(app_id, 1).attempt
    assert (old.log_state, old.log_tail, old.failure, old.failure_class) == (LogState.ARRIVED, "trace", explained, FailureClass.USER)
    assert old.result == {"rows": 3, "days": ["a", None]}
    assert store.detail(app_id).attempt == second.current


def test_record_times_come_from_the_database(store: Store) -> None:
    app_id = submit(store).app.id
    epoch = hold(store, "app", app_id)
    (answer,) = record(store, SendIntended(app_id=app_id, generation=1, epoch=epoch, nonce="n"), policy=Policy(settle_s=1))
    assert answer.work is not None
    assert answer.work.attempt.sent_at is not None
    assert abs(answer.work.attempt.sent_at - store.now()) < timedelta(minutes=1)


def test_record_cluster_after_one_that_never_became_ready_waits_longer_each_time(store: Store) -> None:
    app_id = submit(store).app.id
    epoch = hold(store, "app", app_id)
    counts = []
    for number in range(1, 4):
        cluster = on_cluster(store, app_id, epoch)
        counts.append((cluster.generation, cluster.restart_count, cluster.next_reconcile_at is not None))
        dead = ClusterObserved(
            cluster_id=cluster.id,
            epoch=started(store, cluster, f"j-{number}"),
            state="dead",
            raw_state="TERMINATED_WITH_ERRORS",
            reason="bootstrap action 1 failed",
            failure_class="infrastructure",
        )
        assert record(store, dead)[0].accepted
    assert counts == [(1, 0, False), (2, 1, True), (3, 2, True)]
    (answer,) = record(store, ClusterAssigned(app_id=app_id, generation=1, epoch=epoch))
    assert (answer.accepted, answer.cluster) == (True, None)
    ended = store.detail(app_id).attempt
    assert (ended.phase, ended.failure_class) == (AppPhase.FAILED, FailureClass.THRASH)
    assert ended.failure is not None
    assert "bootstrap action 1 failed" in ended.failure.summary
    assert len(store.clusters(live_only=False)) == 3
