"""Machine tokens: a name opens one live token at a time (`live_name` is unique and empty after)."""

from datetime import timedelta

import sqlalchemy as sa

from platyspark_provider.core.model import Token
from platyspark_provider.errors import InvalidRequest, NotFound
from platyspark_provider.store.sql_engine import upsert
from platyspark_provider.store.sql_reads import database_now
from platyspark_provider.store.sql_rows import token_from_row, values_of
from platyspark_provider.store.tables import token


def insert_token(connection: sa.Connection, value: Token) -> Token:
    """Insert; raises InvalidRequest when a live token has the name."""
    over = sa.and_(token.c.live_name == value.name, token.c.expires_at <= database_now(connection))
    connection.execute(sa.update(token).where(over).values(live_name=None))
    statement = upsert(connection, token).values(**values_of(value), live_name=value.name)
    statement = statement.on_conflict_do_nothing(index_elements=["live_name"]).returning(token)
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise InvalidRequest(f"There is a live token named {value.name!r}.", hint="Revoke it first, or choose another name.")
    return token_from_row(row)


def read_token(connection: sa.Connection, token_hash: str) -> tuple[Token | None, bool]:
    """Return the token of a hash, and whether its last use is to be marked."""
    row = connection.execute(sa.select(token).where(token.c.token_hash == token_hash)).one_or_none()
    if row is None:
        return None, False
    found = token_from_row(row)
    is_stale = found.last_used_at is None or database_now(connection) - found.last_used_at >= timedelta(minutes=1)
    return found, is_stale


def mark_used(connection: sa.Connection, token_id: int) -> Token:
    """Write down that the token was used now."""
    statement = sa.update(token).where(token.c.id == token_id).values(last_used_at=database_now(connection)).returning(token)
    return token_from_row(connection.execute(statement).one())


def read_tokens(connection: sa.Connection) -> tuple[Token, ...]:
    """Return all tokens, newest first."""
    return tuple(token_from_row(row) for row in connection.execute(sa.select(token).order_by(token.c.id.desc())))


def revoke(connection: sa.Connection, name: str) -> Token:
    """Revoke the live token of a name; raises NotFound."""
    now = database_now(connection)
    is_live = sa.and_(token.c.live_name == name, sa.or_(token.c.expires_at.is_(None), token.c.expires_at > now))
    row = connection.execute(sa.update(token).where(is_live).values(revoked_at=now, live_name=None).returning(token)).one_or_none()
    if row is None:
        raise NotFound(f"There is no live token named {name!r}.")
    return token_from_row(row)
