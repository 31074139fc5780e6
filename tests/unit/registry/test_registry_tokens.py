"""Making and revoking tokens: what is stored, what is told, what stays secret."""

from datetime import timedelta

import pytest

from platyspark_provider.core.tokens import hash_of_secret
from platyspark_provider.errors import InvalidRequest, NotAllowed, NotFound
from platyspark_provider.registry.identity import EVERYTHING, Caller
from platyspark_provider.registry.tokens import create_token, revoke_token, state_of
from platyspark_provider.store.memory import InMemoryStore


def test_create_token_stores_the_hash_and_an_event_without_the_secret() -> None:
    store = InMemoryStore()
    made = create_token(store, "w", scopes=["worker", "worker"], teams=["ads"], lifetime_s=60, actor="user:dana")
    (stored,) = store.tokens()
    assert (stored.token_hash, stored.scopes, stored.teams, stored.created_by) == (
        hash_of_secret(made.secret),
        ("worker",),
        ("ads",),
        "user:dana",
    )
    assert stored.expires_at == stored.created_at + timedelta(seconds=60)
    (event,) = store.events(object_kind="token")
    assert (event.kind, event.actor) == ("token.created", "user:dana")
    assert "for ads" in event.message
    assert made.secret not in f"{event} {made!r} {stored}"


def test_create_token_gives_a_new_secret_each_time() -> None:
    store = InMemoryStore()
    secrets = {create_token(store, f"t{n}", scopes=["worker"], actor="user:dana").secret for n in range(20)}
    assert len(secrets) == 20
    assert all(len(secret) > 40 for secret in secrets)


@pytest.mark.parametrize("lifetime", [0, -1])
def test_create_token_that_would_never_live_is_refused(lifetime: float) -> None:
    store = InMemoryStore()
    with pytest.raises(InvalidRequest, match="must live"):
        create_token(store, "x", scopes=["worker"], lifetime_s=lifetime, actor="user:dana")
    assert store.tokens() == ()


def test_revoke_token_frees_the_name_and_leaves_an_event() -> None:
    store = InMemoryStore()
    first = create_token(store, "w", scopes=["worker"], actor="user:dana")
    revoke_token(store, "w", actor="user:kim")
    second = create_token(store, "w", scopes=["worker"], actor="user:dana")
    assert first.secret != second.secret
    assert [state_of(token, store.now()) for token in store.tokens()] == ["live", "revoked"]
    assert [(e.kind, e.actor) for e in store.events(object_kind="token")][1] == ("token.revoked", "user:kim")
    with pytest.raises(NotFound):
        revoke_token(store, "other", actor="user:kim")


def test_state_of_a_token_past_its_time_is_expired() -> None:
    store = InMemoryStore()
    token = create_token(store, "w", scopes=["worker"], lifetime_s=60, actor="user:dana").token
    assert state_of(token, store.now()) == "live"
    assert state_of(token, store.now() + timedelta(seconds=61)) == "expired"


def test_caller_says_what_it_lacks_and_how_to_get_it() -> None:
    caller = Caller(actor="token:x", scopes=("worker",), teams=("ads",))
    caller.require("worker")
    caller.require_team("ads")
    with pytest.raises(NotAllowed, match="lacks the scope 'reconciler' \\(it has worker\\)"):
        caller.require("reconciler")
    with pytest.raises(NotAllowed, match="team 'bi' \\(only ads\\)"):
        caller.require_team("bi")
    EVERYTHING.require("ingest")
    EVERYTHING.require_team("anything")
