"""One suite for every store: who may act on a row, and for how long."""

from collections.abc import Iterator

import pytest

from platyspark_provider.core.facts import SendIntended
from platyspark_provider.core.records import Claim, ClaimRequest
from platyspark_provider.store.base import Store, StoreFactory
from tests.builders import make_target
from tests.store_steps import hold, on_cluster, record, submit


@pytest.fixture
def store(open_store: StoreFactory) -> Iterator[Store]:
    """Yield a store that knows the default target."""
    with open_store() as opened:
        opened.ensure_target(make_target())
        yield opened


def claim(store: Store, app_id: int, holder: str, seconds: float = 60) -> int | None:
    (answer,) = store.claim([ClaimRequest(kind="app", id=app_id)], holder=holder, seconds=seconds)
    return answer.epoch


def test_claim_held_row_is_given_to_nobody_else(store: Store) -> None:
    app_id = submit(store).app.id
    assert claim(store, app_id, "a") == 1
    assert claim(store, app_id, "b") is None
    assert store.detail(app_id).app.lease.owner == "a"


def test_claim_again_by_the_holder_keeps_the_epoch_and_moves_the_end(store: Store) -> None:
    app_id = submit(store).app.id
    claim(store, app_id, "a", seconds=60)
    before = store.detail(app_id).app.lease
    assert claim(store, app_id, "a", seconds=600) == before.epoch
    after = store.detail(app_id).app.lease
    assert before.until is not None
    assert after.until is not None
    assert after.until > before.until


def test_claim_over_is_taken_with_the_next_epoch_and_fences_the_former_holder(store: Store) -> None:
    app_id = submit(store).app.id
    old = claim(store, app_id, "a", seconds=0)
    assert old is not None
    assert claim(store, app_id, "b") == old + 1
    (answer,) = record(store, SendIntended(app_id=app_id, generation=1, epoch=old, nonce="n"))
    assert answer.refusal == "stale_epoch"
    (answer,) = record(store, SendIntended(app_id=app_id, generation=1, epoch=old + 1, nonce="n"))
    assert answer.accepted


def test_claim_answers_in_the_order_asked(store: Store) -> None:
    one, two = submit(store, "a").app.id, submit(store, "b").app.id
    cluster = on_cluster(store, one, hold(store, "app", one, holder="x"))
    asked = [("cluster", cluster.id), ("app", two), ("app", 999), ("app", one), ("cluster", 999), ("app", two)]
    answers = store.claim([ClaimRequest(kind=k, id=i) for k, i in asked], holder="me", seconds=60)  # type: ignore[arg-type]
    assert [(a.kind, a.id) for a in answers] == asked
    assert [a.epoch is not None for a in answers] == [True, True, False, False, False, True]


def test_release_frees_the_row_for_the_next_epoch(store: Store) -> None:
    app_id = submit(store).app.id
    epoch = claim(store, app_id, "a")
    store.release([Claim(kind="app", id=app_id, epoch=epoch)])
    assert claim(store, app_id, "b") == 2


def test_release_with_a_stale_epoch_is_ignored(store: Store) -> None:
    app_id = submit(store).app.id
    old = claim(store, app_id, "a", seconds=0)
    new = claim(store, app_id, "b")
    store.release([Claim(kind="app", id=app_id, epoch=old), Claim(kind="app", id=999, epoch=1), Claim(kind="app", id=app_id, epoch=None)])
    lease = store.detail(app_id).app.lease
    assert (lease.owner, lease.epoch) == ("b", new)


def test_release_of_a_cluster_frees_it(store: Store) -> None:
    app_id = submit(store).app.id
    cluster = on_cluster(store, app_id, hold(store, "app", app_id))
    epoch = hold(store, "cluster", cluster.id, holder="a")
    store.release([Claim(kind="cluster", id=cluster.id, epoch=epoch)])
    assert hold(store, "cluster", cluster.id, holder="b") == epoch + 1


def test_lease_is_held_renewed_and_taken_when_over(store: Store) -> None:
    assert store.lease("observer:default", holder="a", seconds=60)
    assert not store.lease("observer:default", holder="b", seconds=60)
    assert store.lease("observer:default", holder="a", seconds=0)
    assert store.lease("observer:default", holder="b", seconds=60)
    assert not store.lease("observer:default", holder="a", seconds=60)
    assert store.lease("observer:other", holder="a", seconds=60)
