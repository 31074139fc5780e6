"""`ObserverOperator`: a deferred task that keeps the shared loop of its triggerer alive until its successor has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from platyspark_provider.hooks.platyspark import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from airflow.sdk import Context

DEFER_MARGIN = timedelta(seconds=30)
"""The scheduler ends the deferral this much after the hard stop: where no triggerer lives, nothing else would."""


def next_due(run_after: datetime, period: timedelta, now: datetime) -> datetime:
    """Return when the successor is due: one period after the run, moved forward while that lies in the past."""
    missed = max(0, (now - run_after) // period)
    return run_after + (missed + 1) * period


class ObserverOperator(BaseOperator):
    """Defer at once, without a worker slot, and end when the successor has subscribed or at the hard stop.

    :param period: time between runs of the DAG.
    :param overlap: how long after the successor's due time the hard stop lies.
    :param platyspark_conn_id: connection of the loop; the default is the one that waiting tasks use, so that they share it.
    """

    def __init__(
        self,
        *,
        period: timedelta,
        overlap: timedelta,
        platyspark_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.period = period
        self.overlap = overlap
        self.platyspark_conn_id = platyspark_conn_id

    def execute(self, context: Context) -> None:
        """Defer until the hard stop."""
        from platyspark_provider.hooks.clock import SystemClock
        from platyspark_provider.settings import load_settings
        from platyspark_provider.triggers.observer import ObserverTrigger

        now = SystemClock().now()
        due = next_due(_run_after(context), self.period, now)
        until = due + self.overlap
        trigger = ObserverTrigger(
            conn_id=self.platyspark_conn_id,
            due=due.timestamp(),
            until=until.timestamp(),
            poll_s=load_settings().poll_interval,
        )
        self.log.info("Observing until a newer observer takes over, at the latest until %s.", until.isoformat(timespec="seconds"))
        self.defer(trigger=trigger, method_name="resume", timeout=until - now + DEFER_MARGIN)

    def resume(self, context: Context, event: dict[str, Any]) -> None:
        """End the task; why the observation ended is in its log."""
        self.log.info("Observation ended: %s.", event["reason"])


def _run_after(context: Context) -> datetime:
    run_after = context["dag_run"].run_after
    return run_after if run_after.tzinfo else run_after.replace(tzinfo=UTC)
