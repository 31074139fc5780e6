"""Making and revoking machine tokens, each with an event that says who did it; the secret is returned once and never stored."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from platyspark_provider.core.model import Event, Token
from platyspark_provider.core.tokens import SECRET_PREFIX, check_token, hash_of_secret
from platyspark_provider.errors import InvalidRequest
from platyspark_provider.store.base import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token and, this once, its secret."""

    token: Token
    secret: str = field(repr=False)


def create_token(
    store: Store,
    name: str,
    *,
    scopes: Sequence[str],
    teams: Sequence[str] = (),
    lifetime_s: float | None = None,
    actor: str,
    detail: Mapping[str, str] | None = None,
) -> NewToken:
    """Make a token of 256 random bits.

    :param lifetime_s: None for one that opens until it is revoked.
    :param actor: `user:...`, for the audit; :param detail: what its event says beside.
    """
    check_token(name, scopes, teams)
    if lifetime_s is not None and lifetime_s <= 0:
        raise InvalidRequest("A token must live for some time.", hint='Write "90d" or "12h".')
    now = store.now()
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    made = store.create_token(
        Token(
            id=0,
            name=name,
            token_hash=hash_of_secret(secret),
            scopes=tuple(dict.fromkeys(scopes)),
            teams=tuple(dict.fromkeys(teams)),
            created_at=now,
            created_by=actor,
            expires_at=None if lifetime_s is None else now + timedelta(seconds=lifetime_s),
        )
    )
    teams_said = f" for {', '.join(made.teams)}" if made.teams else ""
    store.add_event(_event(made, "token.created", f"Token {name} ({', '.join(made.scopes)}){teams_said} created.", actor, now, detail))
    return NewToken(token=made, secret=secret)


def revoke_token(store: Store, name: str, *, actor: str, detail: Mapping[str, str] | None = None) -> Token:
    """Revoke the live token of that name; it opens nothing from the next call on. Raises `NotFound` without one."""
    gone = store.revoke_token(name)
    store.add_event(_event(gone, "token.revoked", f"Token {name} revoked.", actor, store.now(), detail))
    return gone


def state_of(token: Token, now: datetime) -> str:
    """Return `live`, `revoked` or `expired`."""
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at is not None and token.expires_at <= now else "live"


def _event(token: Token, kind: str, message: str, actor: str, now: datetime, detail: Mapping[str, str] | None) -> Event:
    return Event(object_kind="token", object_id=token.id, kind=kind, message=message, actor=actor, at=now, detail=detail or {})
