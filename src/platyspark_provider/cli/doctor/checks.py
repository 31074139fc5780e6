"""What a check is, and how checks are run: one after the other, each with a deadline and by itself."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from platyspark_provider.cli.running import is_database_error
from platyspark_provider.errors import PlatySparkError

CHECK_DEADLINE_S = 20.0


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"  # works, but not for long, not for all or not as it should
    FAIL = "fail"


class Process(StrEnum):
    """Which process of Airflow a check speaks of."""

    WORKER = "worker"
    TRIGGERER = "triggerer"
    API_SERVER = "api-server"


EVERYWHERE = frozenset(Process)
CALLERS = frozenset({Process.WORKER, Process.TRIGGERER})
"""Those that call the api-server and AWS; the api-server calls neither."""
SERVER = frozenset({Process.API_SERVER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report.

    :param fix: a command, or a sentence where there is none; empty when all is well.
    """

    check: str
    status: Status
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question; its answer is one finding or several.

    :param processes: where it applies.
    """

    name: str
    processes: frozenset[Process]
    run: Callable[[], Iterable[Finding]]

    def ok(self, found: str) -> Finding:
        """Return that all is well."""
        return Finding(check=self.name, status=Status.OK, found=found)


def run_checks(checks: Sequence[Check], *, deadline_s: float = CHECK_DEADLINE_S) -> Iterator[Finding]:
    """Yield the findings of every check as it ends; one that raises or hangs is a finding, too."""
    for check in checks:
        yield from _run(check, deadline_s)


def _run(check: Check, deadline_s: float) -> Sequence[Finding]:
    found: list[Finding] = []

    def work() -> None:
        try:
            found.extend(check.run())
        except PlatySparkError as error:
            found.append(Finding(check=check.name, status=Status.FAIL, found=error.message, fix=error.hint))
        except Exception as error:  # noqa: BLE001 - one broken check must not hide what the others find
            found.append(_broken(check, error))

    thread = threading.Thread(target=work, name=f"doctor: {check.name}", daemon=True)
    thread.start()
    thread.join(deadline_s)
    if thread.is_alive():
        return [Finding(check=check.name, status=Status.FAIL, found=f"No answer within {deadline_s:g} s.", fix=_HANGS)]
    return found


_HANGS = "Look at the network between this machine and what the check asks; a firewall that drops packets looks like this."

_DATABASE = "airflow db check (and look at [database] sql_alchemy_conn)"


def _broken(check: Check, error: Exception) -> Finding:
    cause = str(getattr(error, "orig", None) or error).strip().splitlines() or [""]
    fix = _DATABASE if is_database_error(error) else "Read the message; if it does not help, report it with this line."
    return Finding(check=check.name, status=Status.FAIL, found=f"{type(error).__name__}: {cause[0]}", fix=fix)
