"""Lists for people: applications, clusters and events by filter, order and page. Inside a caller's transaction."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from platyspark_provider.core.listing import AppFilter, ClusterFilter, EventFilter, Page, Visible, alternatives
from platyspark_provider.core.model import Attempt, Cluster, Event
from platyspark_provider.core.records import AppWork
from platyspark_provider.store.sql_reads import CLUSTER_LIVE
from platyspark_provider.store.sql_rows import app_from_row, attempt_from_row, cluster_from_row, event_from_row
from platyspark_provider.store.tables import app, attempt, cluster, event

_APP_ORDER: Mapping[str, sa.Column[Any]] = {
    "id": app.c.id,
    "submitted_at": app.c.created_at,
    "updated_at": app.c.updated_at,
    "name": app.c.name,
    "team": app.c.team,
    "state": app.c.phase,
}
_CLUSTER_ORDER: Mapping[str, sa.Column[Any]] = {
    "id": cluster.c.id,
    "created_at": cluster.c.created_at,
    "updated_at": cluster.c.updated_at,
    "name": cluster.c.name,
    "state": cluster.c.phase,
}
_BRIEF_ATTEMPT = [column for column in attempt.c if column is not attempt.c.log_tail]
"""A list of a hundred would carry 6 MB of logs."""


def read_apps(connection: sa.Connection, wanted: AppFilter) -> Page[AppWork]:
    """Return applications with their current generations (without logs), and how many there are."""
    where = _app_where(wanted)
    total = connection.execute(sa.select(sa.func.count()).select_from(app).where(where)).scalar_one()
    is_current = sa.and_(attempt.c.app_id == app.c.id, attempt.c.generation == app.c.generation)
    statement = sa.select(*app.c, *_BRIEF_ATTEMPT).join_from(app, attempt, is_current).where(where)
    column = _APP_ORDER[wanted.order_by]
    rows = connection.execute(_paged(statement, column, app.c.id, wanted))
    return Page(items=tuple(AppWork(app=app_from_row(row), attempt=_brief_attempt(row)) for row in rows), total=total)


def _app_where(wanted: AppFilter) -> sa.ColumnElement[bool]:
    conditions = [_visible(wanted.visible), _name_like(app.c.name, wanted.name_pattern)]
    several = ((app.c.phase, wanted.states), (app.c.kind, wanted.kinds), (app.c.team, wanted.teams))
    conditions += [column.in_(values) for column, values in several if values]
    single: tuple[tuple[sa.Column[Any], Any], ...] = (
        (app.c.dag_id, wanted.dag_id),
        (app.c.task_id, wanted.task_id),
        (app.c.run_id, wanted.run_id),
        (app.c.cluster_id, wanted.cluster_id),
    )
    conditions += [column == value for column, value in single if value is not None]
    if wanted.submitted_from is not None:
        conditions.append(app.c.created_at >= wanted.submitted_from)
    if wanted.submitted_to is not None:
        conditions.append(app.c.created_at <= wanted.submitted_to)
    return sa.and_(*conditions)


def _visible(visible: Visible) -> sa.ColumnElement[bool]:
    of_dag = app.c.dag_id.is_not(None) if visible.dag_ids is None else app.c.dag_id.in_(sorted(visible.dag_ids))
    if not visible.without_dag:
        return of_dag
    return sa.true() if visible.dag_ids is None else sa.or_(app.c.dag_id.is_(None), of_dag)


def _name_like(column: sa.Column[Any], pattern: str | None) -> sa.ColumnElement[bool]:
    likes = alternatives(pattern or "")
    escaped = (like.replace("\\", "\\\\") for like in likes)  # as it stands in a name: neither database's own escape counts
    return sa.or_(*(column.ilike(like, escape="\\") for like in escaped)) if likes else sa.true()


def _paged(statement: sa.Select[Any], column: sa.Column[Any], tie: sa.Column[Any], wanted: AppFilter | ClusterFilter) -> sa.Select[Any]:
    order = [column, tie] if column is not tie else [tie]
    return statement.order_by(*(c.desc() if wanted.descending else c for c in order)).limit(wanted.limit).offset(wanted.offset)


def _brief_attempt(row: sa.Row[Any]) -> Attempt:
    return Attempt(**{column.name: row._mapping[column] for column in _BRIEF_ATTEMPT})


def read_attempts_of(connection: sa.Connection, app_id: int) -> tuple[Attempt, ...]:
    """Return all generations of an application, newest first."""
    statement = sa.select(attempt).where(attempt.c.app_id == app_id).order_by(attempt.c.generation.desc())
    return tuple(attempt_from_row(row) for row in connection.execute(statement))


def read_cluster_page(connection: sa.Connection, wanted: ClusterFilter) -> Page[Cluster]:
    """Return clusters, and how many there are."""
    conditions = [_name_like(cluster.c.name, wanted.name_pattern)]
    if wanted.states:
        conditions.append(cluster.c.phase.in_(wanted.states))
    if wanted.live is not None:
        conditions.append(cluster.c.phase.in_(CLUSTER_LIVE) if wanted.live else cluster.c.phase.not_in(CLUSTER_LIVE))
    if wanted.name is not None:
        conditions.append(cluster.c.name == wanted.name)
    where = sa.and_(*conditions)
    total = connection.execute(sa.select(sa.func.count()).select_from(cluster).where(where)).scalar_one()
    statement = _paged(sa.select(cluster).where(where), _CLUSTER_ORDER[wanted.order_by], cluster.c.id, wanted)
    return Page(items=tuple(cluster_from_row(row) for row in connection.execute(statement)), total=total)


def read_event_page(connection: sa.Connection, wanted: EventFilter) -> tuple[Event, ...]:
    """Return events by ascending id."""
    statement = sa.select(event).where(event.c.id > wanted.after).order_by(event.c.id).limit(wanted.limit)
    single = ((event.c.object_kind, wanted.object_kind), (event.c.object_id, wanted.object_id), (event.c.kind, wanted.kind))
    for column, value in single:
        if value is not None:
            statement = statement.where(column == value)
    if wanted.hidden_kinds:
        statement = statement.where(event.c.object_kind.not_in(wanted.hidden_kinds))
    if not wanted.visible.is_everything:
        shown = sa.select(app.c.id).where(_visible(wanted.visible))
        statement = statement.where(sa.or_(event.c.object_kind != "app", event.c.object_id.in_(shown)))
    return tuple(event_from_row(row) for row in connection.execute(statement))


def read_dag_ids(connection: sa.Connection) -> frozenset[str]:
    """Return the DAGs that have applications, by one hop of the index for each, however many applications there are."""
    first = sa.select(sa.func.min(app.c.dag_id).label("dag_id")).cte("dags", recursive=True)
    following = sa.select(sa.func.min(app.c.dag_id)).where(app.c.dag_id > first.c.dag_id).scalar_subquery()
    dags = first.union_all(sa.select(following).where(first.c.dag_id.is_not(None)))
    return frozenset(connection.execute(sa.select(dags.c.dag_id).where(dags.c.dag_id.is_not(None))).scalars())
