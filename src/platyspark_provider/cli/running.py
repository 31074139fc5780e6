"""How a command runs: our errors as one sentence and an exit code, the store on Airflow's database, and who acts.

Exit codes: 0 done, 1 the application failed (or a check did), 2 usage, 3 not found, 4 backend or database.
"""

import getpass
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

from airflow.utils.providers_configuration_loader import providers_configuration_loaded

from platyspark_provider.errors import NotFound, PermanentError, PlatySparkError, SparkAppFailed, TemporaryError
from platyspark_provider.store.base import Store

FAILED, USAGE, NOT_FOUND, UNAVAILABLE = 1, 2, 3, 4
_INTERRUPTED = 130

Command = Callable[[Namespace], None]


def command(body: Command) -> Command:
    """Turn what a command raises into one sentence with its hint on stderr, and an exit code; never a traceback."""

    @providers_configuration_loaded
    @wraps(body)
    def run(args: Namespace) -> None:
        try:
            body(args)
            sys.stdout.flush()
        except PlatySparkError as error:
            raise _exit(_sentence(error), exit_code(error)) from error
        except BrokenPipeError as error:  # `... | head`: whoever read has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from error
        except KeyboardInterrupt as error:
            raise SystemExit(_INTERRUPTED) from error
        except Exception as error:
            if not is_database_error(error):
                raise
            raise _exit(_database_sentence(error), UNAVAILABLE) from error

    return run


def exit_code(error: PlatySparkError) -> int:
    """Return what an error means for the shell."""
    match error:
        case NotFound():
            return NOT_FOUND
        case SparkAppFailed():
            return FAILED
        case TemporaryError():
            return UNAVAILABLE
        case PermanentError():
            return USAGE
        case _:
            return FAILED


def say(text: str) -> None:
    """Write a message to stderr; stdout is for data alone."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a command line speaks


def actor() -> str:
    """Return who acts, as events name it: the operating-system user."""
    return f"cli:{getpass.getuser()}"


@contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Keep loggers silent: what they would say is said by the command itself."""
    before = {name: logging.getLogger(name).level for name in loggers}
    for name in loggers:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


@contextmanager
def open_store() -> Iterator[Store]:
    """Open the store on Airflow's metadata database, if its tables fit the code."""
    from platyspark_provider.airflow_core.db import airflow_engine
    from platyspark_provider.registry.schema_gate import schema_gate_of
    from platyspark_provider.store.sql import sql_store_factory

    schema_gate_of(airflow_engine).require()
    with sql_store_factory(airflow_engine)() as store:
        yield store


def _exit(sentence: str, code: int) -> SystemExit:
    say(f"Error: {sentence}")
    return SystemExit(code)


def _sentence(error: PlatySparkError) -> str:
    return f"{error.message}\nHint: {error.hint}" if error.hint else error.message


def is_database_error(error: Exception) -> bool:
    """Tell whether the metadata database is what failed."""
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(error, SQLAlchemyError)


def _database_sentence(error: Exception) -> str:
    cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    return f"The metadata database can't be used: {cause}\nHint: Check [database] sql_alchemy_conn, then run `airflow db check`."
