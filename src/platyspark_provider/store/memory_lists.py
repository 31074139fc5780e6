"""Lists for people in memory: the same filters, orders and pages as `sql_lists`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from platyspark_provider.core.listing import AppFilter, ClusterFilter, EventFilter, Page, fits_pattern
from platyspark_provider.core.model import App, Attempt, Cluster, Event
from platyspark_provider.core.records import AppWork
from platyspark_provider.store.memory_tables import MemoryTables

T = TypeVar("T", App, Cluster)


class ListVerbs(MemoryTables):
    """What lists ask for."""

    def apps(self, wanted: AppFilter) -> Page[AppWork]:
        """Return applications with their current generations, without logs."""
        with self._lock:
            found = [one for one in self._apps.values() if _is_wanted_app(one, wanted)]
            page = _paged(found, wanted, "created_at" if wanted.order_by == "submitted_at" else wanted.order_by)
            works = (AppWork(app=one, attempt=replace(self._attempts[one.id, one.generation], log_tail=None)) for one in page)
            return Page(items=tuple(works), total=len(found))

    def attempts(self, app_id: int) -> tuple[Attempt, ...]:
        """Return all generations of an application, newest first."""
        with self._lock:
            mine = [a for (owner, _), a in self._attempts.items() if owner == app_id]
            return tuple(sorted(mine, key=lambda a: a.generation, reverse=True))

    def clusters_page(self, wanted: ClusterFilter) -> Page[Cluster]:
        """Return clusters."""
        with self._lock:
            found = [one for one in self._clusters.values() if _is_wanted_cluster(one, wanted)]
            return Page(items=_paged(found, wanted, wanted.order_by), total=len(found))

    def events_page(self, wanted: EventFilter) -> tuple[Event, ...]:
        """Return events by ascending id."""
        with self._lock:
            return tuple(e for e in self._events if wanted.wants(e) and self._shows(wanted, e))[: wanted.limit]

    def _shows(self, wanted: EventFilter, event: Event) -> bool:
        if event.object_kind != "app" or wanted.visible.is_everything:
            return True
        owner = self._apps.get(event.object_id)
        return owner is not None and wanted.visible.shows(owner.dag_id)

    def dag_ids(self) -> frozenset[str]:
        """Return the DAGs that have applications."""
        with self._lock:
            return frozenset(one.dag_id for one in self._apps.values() if one.dag_id is not None)


def _is_wanted_app(one: App, wanted: AppFilter) -> bool:
    several: tuple[tuple[Any, Any], ...] = ((one.phase, wanted.states), (one.kind, wanted.kinds), (one.team, wanted.teams))
    single: tuple[tuple[Any, Any], ...] = (
        (one.dag_id, wanted.dag_id),
        (one.task_id, wanted.task_id),
        (one.run_id, wanted.run_id),
        (one.cluster_id, wanted.cluster_id),
    )
    return (
        wanted.visible.shows(one.dag_id)
        and all(not values or value in values for value, values in several)
        and all(asked in {None, value} for value, asked in single)
        and fits_pattern(wanted.name_pattern or "", one.name)
        and (wanted.submitted_from is None or one.created_at >= wanted.submitted_from)
        and (wanted.submitted_to is None or one.created_at <= wanted.submitted_to)
    )


def _is_wanted_cluster(one: Cluster, wanted: ClusterFilter) -> bool:
    return (
        (not wanted.states or one.phase in wanted.states)
        and wanted.live in {None, not one.phase.is_terminal}
        and wanted.name in {None, one.name}
        and fits_pattern(wanted.name_pattern or "", one.name)
    )


def _paged(found: Sequence[T], wanted: AppFilter | ClusterFilter, order: str) -> tuple[T, ...]:
    name = {"state": "phase"}.get(order, order)
    ordered = sorted(found, key=lambda one: (getattr(one, name), one.id), reverse=wanted.descending)
    return tuple(ordered[wanted.offset : wanted.offset + wanted.limit])
