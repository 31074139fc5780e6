"""When passes were made: the leases that the watchdog and the observers hold while they work."""

from datetime import UTC, datetime

WATCHDOG = "watchdog"
OBSERVER = "observer:"


def pass_ends() -> dict[str, datetime]:
    """Return when each of them let go of its lease, or will; a target without open work has none."""
    from platyspark_provider.airflow_core.db import airflow_engine
    from platyspark_provider.store.tables import lease

    with airflow_engine().connect() as connection:
        rows = connection.execute(lease.select().order_by(lease.c.name)).all()
    names = {row.name: datetime.fromtimestamp(row.until_ms / 1000, tz=UTC) for row in rows}
    return {name: end for name, end in names.items() if name == WATCHDOG or name.startswith(OBSERVER)}
