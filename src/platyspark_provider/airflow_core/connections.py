"""Airflow connections for the command line, which reads them as a server does: environment, secrets backend, database."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.sdk import Connection


def find_connection(conn_id: str) -> "Connection | None":
    """Return a connection as tasks see it; None where there is none of this id."""
    from airflow.models.connection import Connection as StoredConnection
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        stored = StoredConnection.get_connection_from_secrets(conn_id)
    except AirflowNotFoundException:
        return None
    names = ("conn_id", "conn_type", "description", "host", "schema", "login", "password", "port", "extra")
    return Connection(**{name: getattr(stored, name) for name in names})
