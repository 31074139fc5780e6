"""Whether our tables fit the code: asked until they do, then never again in this process."""

import threading
from collections.abc import Callable

import sqlalchemy as sa

from platyspark_provider.errors import SchemaBehind


class SchemaGate:
    """Lets callers through once the tables have been seen to fit.

    :param state: returns `current`, `behind` or `missing`.
    """

    def __init__(self, state: Callable[[], str]) -> None:
        self._state = state
        self._is_open = False
        self._lock = threading.Lock()

    def require(self) -> None:
        """Raise `SchemaBehind` unless the tables fit the code."""
        if self._is_open:
            return
        with self._lock:
            state = self._state()
            if state != "current":
                message = f"The tables of PlatySpark are {state}."
                raise SchemaBehind(message, hint="Run `airflow db migrate`.", retry_after=30.0, schema=state)
            self._is_open = True


def schema_gate_of(engine: Callable[[], sa.Engine]) -> SchemaGate:
    """Return the gate of the database behind an engine."""
    from platyspark_provider.store.schema import schema_state

    def state() -> str:
        with engine().connect() as connection:
            return str(schema_state(connection))

    return SchemaGate(state)
