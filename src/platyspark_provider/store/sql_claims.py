"""Leases by guarded statements on the database's clock: of rows (with an epoch that fences writes) and by name."""

from collections.abc import Sequence

import sqlalchemy as sa

from platyspark_provider.core.records import Claim, ClaimRequest
from platyspark_provider.store import tables
from platyspark_provider.store.sql_engine import upsert
from platyspark_provider.store.sql_types import now_ms

_KINDS = {"app": tables.app, "cluster": tables.cluster}


def claim_rows(connection: sa.Connection, requests: Sequence[ClaimRequest], *, holder: str, seconds: float) -> tuple[Claim, ...]:
    """Take leases that are free, over or the holder's own; two statements a kind."""
    epochs: dict[tuple[str, int], int] = {}
    for kind, table in _KINDS.items():
        ids = sorted({r.id for r in requests if r.kind == kind})
        if ids:
            epochs.update({(kind, i): epoch for i, epoch in _take(connection, table, ids, holder, seconds).items()})
    return tuple(Claim(kind=r.kind, id=r.id, epoch=epochs.get((r.kind, r.id))) for r in requests)


def _take(connection: sa.Connection, table: sa.Table, ids: Sequence[int], holder: str, seconds: float) -> dict[int, int]:
    _lock_in_order(connection, table, ids)
    is_own = table.c.lease_owner == holder
    is_takeable = sa.or_(table.c.lease_owner.is_(None), is_own, table.c.lease_until_ms <= now_ms())
    statement = (
        sa.update(table)
        .where(table.c.id.in_(ids), is_takeable)
        .values(
            lease_owner=holder,
            epoch=table.c.epoch + sa.case((is_own, 0), else_=1),
            lease_until_ms=now_ms() + int(seconds * 1000),
        )
        .returning(table.c.id, table.c.epoch)
    )
    return {row.id: row.epoch for row in connection.execute(statement)}


def _lock_in_order(connection: sa.Connection, table: sa.Table, ids: Sequence[int]) -> None:
    """An UPDATE of many rows locks them in any order; two of them could wait for each other."""
    connection.execute(sa.select(table.c.id).where(table.c.id.in_(ids)).order_by(table.c.id).with_for_update(key_share=True))


def release_rows(connection: sa.Connection, claims: Sequence[Claim]) -> None:
    """End leases whose epoch is still the claim's; two statements a kind."""
    for kind, table in _KINDS.items():
        held = sorted({(c.id, c.epoch) for c in claims if c.kind == kind and c.epoch is not None})
        if held:
            _lock_in_order(connection, table, [i for i, _ in held])
            is_held = sa.tuple_(table.c.id, table.c.epoch).in_(held)
            connection.execute(sa.update(table).where(is_held).values(lease_owner=None, lease_until_ms=None))


def take_lease(connection: sa.Connection, name: str, *, holder: str, seconds: float) -> bool:
    """Take or renew a named lease in one statement."""
    lease = tables.lease
    until = now_ms() + int(seconds * 1000)
    statement = upsert(connection, lease).values(name=name, holder=holder, epoch=1, until_ms=until)
    is_own = lease.c.holder == statement.excluded.holder
    statement = statement.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "holder": statement.excluded.holder,
            "epoch": lease.c.epoch + sa.case((is_own, 0), else_=1),
            "until_ms": statement.excluded.until_ms,
        },
        where=sa.or_(is_own, lease.c.until_ms <= now_ms()),
    )
    return connection.execute(statement.returning(lease.c.epoch)).scalar_one_or_none() is not None
