"""boto3 clients and EMR backends from a target's Airflow connection, through the amazon provider's own hook.

boto3 and the provider are imported when the first client is built: operators import this module at parse time.
"""

import threading
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from platyspark_provider.core.model import Target
from platyspark_provider.errors import BackendUnavailable, InvalidRequest

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from types_boto3_s3 import S3Client

    from platyspark_provider.backends.emr_api import EmrClients
    from platyspark_provider.core.ports import Backend

# One call, one effect: RunJobFlow and AddJobFlowSteps have no idempotency token. The lease of a claim (120 s) outlasts
# connect and read together.
_MUTATING = {"retries": {"total_max_attempts": 1, "mode": "standard"}, "connect_timeout": 5, "read_timeout": 60}
_READING = {"retries": {"total_max_attempts": 3, "mode": "standard"}, "connect_timeout": 5, "read_timeout": 60}


def connection_hook(aws_conn_id: str | None, region: str | None, connection: "Connection | None" = None) -> Any:
    """Return the amazon provider's hook for a connection.

    :param connection: the connection itself where asking for it is impossible (in a thread of the triggerer); None: the
        hook asks Airflow, and falls back to boto3's own chain of credentials when there is none of this id.
    """
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook

    if connection is None:
        return AwsGenericHook(aws_conn_id=aws_conn_id, region_name=region)
    known = connection

    class KnownConnectionHook(AwsGenericHook):  # type: ignore[misc]
        """The provider's hook around a connection that is at hand."""

        @classmethod
        def get_connection(cls, conn_id: str) -> "Connection":
            return known

    return KnownConnectionHook(aws_conn_id=connection.conn_id, region_name=region)


def _client(hook: Any, session: Any, service: str, options: Mapping[str, Any]) -> Any:
    """Build a client whose retries and timeouts no connection can override; the rest of its config counts."""
    from botocore.config import Config

    return session.client(
        service,
        endpoint_url=hook.conn_config.get_service_endpoint_url(service_name=service),
        config=hook.config.merge(Config(**options)),
        verify=hook.verify,
    )


def clients_of(target: Target, connection: "Connection | None" = None) -> "EmrClients":
    """Build the boto3 clients of a target; about 60 ms.

    :raises BackendUnavailable: the connection can't be used: no credentials, no region, a role that can't be assumed.
    """
    from airflow.sdk.exceptions import AirflowException

    from platyspark_provider.aws_errors import aws_errors
    from platyspark_provider.backends.emr_api import EmrClients

    try:
        with aws_errors(f"signing in for target {target.name!r}", mutates=False):
            hook = connection_hook(target.aws_conn_id, target.region, connection)
            session = hook.get_session(region_name=hook.region_name)
            if session.get_credentials() is None:
                raise BackendUnavailable(f"Connection {target.aws_conn_id!r} gives no AWS credentials.", hint=_hint(target))
            return EmrClients(
                mutating=_client(hook, session, "emr", _MUTATING),
                reading=_client(hook, session, "emr", _READING),
                s3=_client(hook, session, "s3", _READING),
            )
    except (AirflowException, NotImplementedError, ValueError) as error:
        raise BackendUnavailable(f"Connection {target.aws_conn_id!r} can't be used: {error}", hint=_hint(target)) from error


def _hint(target: Target) -> str:
    return f"Set up the Airflow connection {target.aws_conn_id!r} of target {target.name!r}, or give the process AWS credentials."


class EmrBackends:
    """Backends by target, each built once; may be asked from several threads.

    :param connections: AWS connections by id, resolved beforehand; None: Airflow is asked for them.
    """

    def __init__(self, connections: Mapping[str, "Connection"] | None = None) -> None:
        self._connections = {} if connections is None else connections  # an empty book may fill while it is asked
        self._clients: dict[Target, EmrClients] = {}
        self._backends: dict[Target, Backend] = {}
        self._lock = threading.RLock()

    def of(self, target: Target) -> "Backend":
        """Return the target's backend.

        :raises BackendUnavailable: its connection gives no credentials. :raises InvalidRequest: an unknown backend.
        """
        if target.backend != "emr":
            raise InvalidRequest(f"Target {target.name!r} names backend {target.backend!r}; known is 'emr'.")
        with self._lock:
            if target not in self._backends:
                from platyspark_provider.backends.emr import EmrBackend
                from platyspark_provider.packaging.artifacts import put_missing

                clients = self._clients_of(target)
                self._backends[target] = EmrBackend(clients, target, put=partial(put_missing, clients.s3))
            return self._backends[target]

    def s3_of(self, target: Target) -> "S3Client":
        """Return the S3 client of the target's connection, for artifacts and logs."""
        with self._lock:
            return self._clients_of(target).s3

    def _clients_of(self, target: Target) -> "EmrClients":
        if target not in self._clients:
            self._clients[target] = clients_of(target, self._connections.get(target.aws_conn_id))
        return self._clients[target]
