"""What a list is asked for and what it answers: filters, order, a page; who may see what comes in as `Visible`."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Literal, TypeVar

from platyspark_provider.core.model import Event
from platyspark_provider.core.states import AppKind, AppPhase, ClusterPhase

T = TypeVar("T")

DEFAULT_LIMIT, MAX_LIMIT = 50, 100
"""As Airflow's own lists: more is silently taken for the most."""

AppOrder = Literal["id", "submitted_at", "updated_at", "name", "team", "state"]
ClusterOrder = Literal["id", "created_at", "updated_at", "name", "state"]
APP_ORDERS: tuple[AppOrder, ...] = ("id", "submitted_at", "updated_at", "name", "team", "state")
CLUSTER_ORDERS: tuple[ClusterOrder, ...] = ("id", "created_at", "updated_at", "name", "state")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some of what was found, and how many there are in all."""

    items: tuple[T, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """The applications that a caller may see.

    :param dag_ids: those of these DAGs; None: of all.
    :param without_dag: those of no DAG.
    """

    dag_ids: frozenset[str] | None = None
    without_dag: bool = True

    @property
    def is_everything(self) -> bool:
        """Tell whether nothing is hidden."""
        return self.dag_ids is None and self.without_dag

    def shows(self, dag_id: str | None) -> bool:
        """Tell whether the applications of a DAG (None: of none) are among them."""
        if dag_id is None:
            return self.without_dag
        return self.dag_ids is None or dag_id in self.dag_ids


EVERYTHING_VISIBLE = Visible()


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFilter:
    """Which applications; what is empty or None does not count.

    :param name_pattern: as Airflow's patterns: part of the name in any case, `%` and `_` as in SQL, `|` for "or", `~` for all.
    :param submitted_from: earliest moment of the first submit; :param submitted_to: latest; both included.
    """

    states: Collection[AppPhase] = ()
    kinds: Collection[AppKind] = ()
    teams: Collection[str] = ()
    dag_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    cluster_id: int | None = None
    name_pattern: str | None = None
    submitted_from: datetime | None = None
    submitted_to: datetime | None = None
    order_by: AppOrder = "submitted_at"
    descending: bool = True
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    visible: Visible = EVERYTHING_VISIBLE


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFilter:
    """Which clusters; what is empty or None does not count.

    :param live: only those that have not ended (True) or that have (False).
    """

    states: Collection[ClusterPhase] = ()
    live: bool | None = None
    name: str | None = None
    name_pattern: str | None = None
    order_by: ClusterOrder = "id"
    descending: bool = True
    limit: int = DEFAULT_LIMIT
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events after an id, by ascending id.

    :param visible: hides events of other applications.
    :param hidden_kinds: kinds of objects whose events are left out.
    """

    after: int = 0
    object_kind: str | None = None
    object_id: int | None = None
    kind: str | None = None
    limit: int = DEFAULT_LIMIT
    visible: Visible = EVERYTHING_VISIBLE
    hidden_kinds: Collection[str] = ()

    def wants(self, event: Event) -> bool:
        """Tell whether an event is asked for, whoever asks."""
        return (
            (event.id or 0) > self.after
            and self.object_kind in {None, event.object_kind}
            and self.object_id in {None, event.object_id}
            and self.kind in {None, event.kind}
            and event.object_kind not in self.hidden_kinds
        )


def alternatives(pattern: str) -> tuple[str, ...]:
    """Return the SQL LIKE patterns of a name pattern, any of which may fit; empty for one that fits all."""
    if pattern.strip() in {"", "~"}:
        return ()
    return tuple(f"%{part}%" for part in pattern.split("|") if part)


def fits_pattern(pattern: str, text: str) -> bool:
    """Tell whether a name fits a pattern, as the database would."""
    likes = alternatives(pattern)
    return not likes or any(_regex(like).fullmatch(text) for like in likes)


def _regex(like: str) -> re.Pattern[str]:
    signs = {"%": ".*", "_": "."}
    return re.compile("".join(signs.get(sign, re.escape(sign)) for sign in like), re.IGNORECASE | re.DOTALL)
