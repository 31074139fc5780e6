"""Between rows and values, both ways, for every table; no statements here."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa

from platyspark_provider.core.model import App, Attempt, Cluster, Event, Installation, Lease, Target, Token
from platyspark_provider.store import tables
from platyspark_provider.store.sql_types import datetime_from_ms

Row = App | Attempt | Cluster

_STORE_OWNED = frozenset({"id", "lease"})
"""Columns that no decision writes: ids are given once, leases change by claims alone."""


def _columns(row: sa.Row[Any], table: sa.Table) -> dict[str, Any]:
    mapping = row._mapping
    return {column.name: mapping[column] for column in table.c}


def _with_lease(values: dict[str, Any]) -> dict[str, Any]:
    owner, epoch, until_ms = values.pop("lease_owner"), values.pop("epoch"), values.pop("lease_until_ms")
    until = None if until_ms is None else datetime_from_ms(until_ms)
    return {**values, "lease": Lease(owner=owner, epoch=epoch, until=until)}


def app_from_row(row: sa.Row[Any]) -> App:
    """Return the application in a row that selected the whole table."""
    return App(**_with_lease(_columns(row, tables.app)))


def attempt_from_row(row: sa.Row[Any]) -> Attempt:
    """Return the attempt in a row that selected the whole table."""
    return Attempt(**_columns(row, tables.attempt))


def cluster_from_row(row: sa.Row[Any]) -> Cluster:
    """Return the cluster in a row that selected the whole table."""
    return Cluster(**_with_lease(_columns(row, tables.cluster)))


def target_from_row(row: sa.Row[Any]) -> Target:
    """Return the target in a row."""
    return Target(**_columns(row, tables.target))


def event_from_row(row: sa.Row[Any]) -> Event:
    """Return the event in a row."""
    return Event(**_columns(row, tables.event))


def token_from_row(row: sa.Row[Any]) -> Token:
    """Return the token in a row."""
    values = _columns(row, tables.token)
    del values["live_name"]
    return Token(**values)


def installation_from_row(row: sa.Row[Any]) -> Installation:
    """Return the identity in a row."""
    return Installation(inst=row._mapping["inst"], created_at=row._mapping["created_at"])


def values_of(value: App | Attempt | Cluster | Target | Event | Token) -> dict[str, Any]:
    """Return what an insert writes."""
    return {f.name: getattr(value, f.name) for f in fields(value) if f.name not in _STORE_OWNED}


def changes_between(old: Row, new: Row) -> dict[str, Any]:
    """Return what an update writes; empty when nothing changed."""
    before = values_of(old)
    return {name: value for name, value in values_of(new).items() if before[name] != value}


def event_values(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return what an insert of events writes, in order."""
    return [values_of(e) for e in events]
