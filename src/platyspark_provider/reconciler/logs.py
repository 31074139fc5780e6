"""Fetch the ended drivers' logs, keep their last 64 KB, explain failures from them and take the job's own result out of them."""

from dataclasses import replace
from datetime import timedelta

from platyspark_provider.core.facts import LogLookedFor
from platyspark_provider.core.failures import failure_from_log
from platyspark_provider.core.model import Attempt, Failure
from platyspark_provider.core.ports import LogTail
from platyspark_provider.core.records import AppWork
from platyspark_provider.core.results import result_from_log
from platyspark_provider.core.states import AppPhase
from platyspark_provider.reconciler.workbench import Workbench

KEEP_CHARS = 64 * 1024
RECORD_AT_ONCE = 20
NO_PREFIX_HINT = "Its cluster writes no log: set log_uri in its profile, or an artifacts prefix, and the next failure is explained."
# S3 tells whole seconds, and its clock is not the backend's.
_CLOCK_ALLOWANCE = timedelta(seconds=5)


def collect_logs(bench: Workbench) -> None:
    """Look for the log of every ended attempt that still lacks it; only what changes something is recorded, in few calls.

    A crash in here leaves logs pending; another executor reads them again.
    """
    facts = [fact for work in bench.due.log_pending if (fact := _look(bench, work)) is not None]
    for start in range(0, len(facts), RECORD_AT_ONCE):
        with bench.report.guard("recording logs"):
            bench.record(facts[start : start + RECORD_AT_ONCE])


def _look(bench: Workbench, work: AppWork) -> LogLookedFor | None:
    """Return what a look changes; past the deadline that is the log's end, also where it can't be read."""
    attempt, ref = work.attempt, bench.ref_of(work)
    deadline = (attempt.ended_at or attempt.created_at) + timedelta(seconds=bench.due.policy.log_deadline_s)
    is_over = bench.due.at >= deadline
    uri = attempt.log_uri
    with bench.report.guard(f"log of app {work.app.id}"):
        backend = bench.backend(bench.target_of(work))
        tail = backend.read_log(ref)
        if tail is not None and (is_over or not _is_stale(attempt, tail)):
            bench.report.done.append(f"log of app {work.app.id} generation {attempt.generation}: {tail.uri}")
            return _arrived(work, tail)
        uri = backend.log_uri(ref)
        if uri is None and ref.external_id is not None:
            return _given_up(work, None, _unexplained(attempt))
    if is_over:
        return _given_up(work, uri, None)
    if uri is None or uri == attempt.log_uri:
        return None
    return LogLookedFor(app_id=work.app.id, generation=attempt.generation, tail=None, log_uri=uri)


def _is_stale(attempt: Attempt, tail: LogTail) -> bool:
    """Tell whether the log was written while the run still went on: services push logs of living drivers, too."""
    if tail.written_at is None or attempt.ended_at is None:
        return False
    return tail.written_at < attempt.ended_at - _CLOCK_ALLOWANCE


def _arrived(work: AppWork, tail: LogTail) -> LogLookedFor:
    attempt, text = work.attempt, _storable(tail)
    failure = None
    if attempt.phase is AppPhase.FAILED and attempt.failure is not None and not attempt.failure.is_complete:
        name = attempt.spec.application_uri or attempt.spec.name
        failure = failure_from_log(text.stderr, text.stdout, application_name=name, log_uri=tail.uri)
    return LogLookedFor(
        app_id=work.app.id,
        generation=attempt.generation,
        tail=kept_tail(text),
        log_uri=tail.uri,
        failure=failure,
        result=result_from_log(f"{text.stderr}\n{text.stdout}"),
    )


def _given_up(work: AppWork, uri: str | None, failure: Failure | None) -> LogLookedFor:
    return LogLookedFor(app_id=work.app.id, generation=work.attempt.generation, tail=None, log_uri=uri, failure=failure, given_up=True)


def _unexplained(attempt: Attempt) -> Failure | None:
    """Return the failure as it stays where no log will ever come, with what to do about that."""
    failure = attempt.failure
    if failure is None or failure.is_complete:
        return None
    return replace(failure, is_complete=True, hint=f"{failure.hint} {NO_PREFIX_HINT}" if failure.hint else NO_PREFIX_HINT)


def _storable(tail: LogTail) -> LogTail:
    """Drop NUL, which a driver may print and PostgreSQL does not take."""
    return replace(tail, stderr=tail.stderr.replace("\x00", ""), stdout=tail.stdout.replace("\x00", ""))


def kept_tail(tail: LogTail) -> str:
    """Return the end of both streams, at most 64 KB: PySpark's traceback is in stdout, Spark's own lines are in stderr."""
    stdout = tail.stdout[-KEEP_CHARS // 2 :].strip()
    if not stdout:
        return tail.stderr[-KEEP_CHARS:]
    return f"{tail.stderr[-(KEEP_CHARS - len(stdout) - 64) :].rstrip()}\n--- stdout ---\n{stdout}\n"
