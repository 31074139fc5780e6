"""`airflow platyspark tokens create|list|revoke`: bodies of the commands. Exit codes: 0 done, 2 usage, 3 not found, 4 database."""

import getpass
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import wraps

from airflow.cli.simple_table import AirflowConsole
from airflow.utils.providers_configuration_loader import providers_configuration_loaded

from platyspark_provider.core.quantities import seconds_from_text
from platyspark_provider.errors import NotFound, PermanentError, PlatySparkError, TemporaryError
from platyspark_provider.registry.tokens import create_token, revoke_token, state_of
from platyspark_provider.store.base import Store

_CONNECTION = """
Store it in a connection, so that tasks and triggers find it:
  airflow connections add platyspark_default --conn-type platyspark --conn-password '{secret}'
The host is [api] base_url unless you give --conn-host http://api-server:8080.
The secret is not shown again; revoke it with: airflow platyspark tokens revoke {name}"""


def _exiting(command: Callable[[Namespace], None]) -> Callable[[Namespace], None]:
    """Turn our errors into one line on stderr and an exit code."""

    @wraps(command)
    def run(args: Namespace) -> None:
        try:
            command(args)
        except PlatySparkError as error:
            print(f"Error: {error}", file=sys.stderr)  # noqa: T201 - a command line speaks
            raise SystemExit(_exit_code(error)) from error

    return run


def _exit_code(error: PlatySparkError) -> int:
    match error:
        case NotFound():
            return 3
        case TemporaryError():
            return 4
        case PermanentError():
            return 2
        case _:
            return 1


@contextmanager
def open_store() -> Iterator[Store]:
    """Open the store on Airflow's metadata database, if its tables fit the code."""
    from platyspark_provider.airflow_core.db import airflow_engine
    from platyspark_provider.registry.schema_gate import schema_gate_of
    from platyspark_provider.store.sql import sql_store_factory

    schema_gate_of(airflow_engine).require()
    with sql_store_factory(airflow_engine)() as store:
        yield store


@providers_configuration_loaded
@_exiting
def create(args: Namespace) -> None:
    """Make a token and print its secret once, with what to do next."""
    lifetime = seconds_from_text(args.expires) if args.expires else None
    with open_store() as store:
        made = create_token(store, args.name, scopes=_words(args.scopes), teams=_words(args.teams), lifetime_s=lifetime, actor=_actor())
    token = made.token
    row = {
        "name": token.name,
        "scopes": ",".join(token.scopes),
        "teams": ",".join(token.teams) or "all",
        "expires": _moment(token.expires_at) or "never",
        "secret": made.secret,
    }
    AirflowConsole().print_as(data=[row], output=args.output)
    if args.output == "table":
        print(_CONNECTION.format(secret=made.secret, name=token.name))  # noqa: T201


@providers_configuration_loaded
@_exiting
def list_tokens(args: Namespace) -> None:
    """Print all tokens, newest first; never a secret."""
    with open_store() as store:
        tokens, now = store.tokens(), store.now()
    rows = [
        {
            "name": token.name,
            "state": state_of(token, now),
            "scopes": ",".join(token.scopes),
            "teams": ",".join(token.teams) or "all",
            "created": _moment(token.created_at),
            "created_by": token.created_by,
            "expires": _moment(token.expires_at) or "never",
            "last_used": _moment(token.last_used_at) or "never",
        }
        for token in tokens
    ]
    AirflowConsole().print_as(data=rows, output=args.output)


@providers_configuration_loaded
@_exiting
def revoke(args: Namespace) -> None:
    """Revoke the live token of a name."""
    with open_store() as store:
        revoke_token(store, args.name, actor=_actor())
    print(f"Token {args.name} is revoked.")  # noqa: T201


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def _actor() -> str:
    return f"user:{getpass.getuser()}"


def _moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"
