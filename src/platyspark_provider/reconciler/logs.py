"""Fetch the ended drivers' logs, keep their last 64 KB and explain failures from them."""

from datetime import timedelta

from platyspark_provider.core.failures import failure_from_log
from platyspark_provider.core.ports import LogTail
from platyspark_provider.core.records import AppWork, LogLookedFor
from platyspark_provider.core.states import AppPhase
from platyspark_provider.reconciler.workbench import Workbench

KEEP_CHARS = 64 * 1024


def collect_logs(bench: Workbench) -> None:
    """Look for the log of every ended attempt that still lacks it.

    A crash in here leaves the log pending; another executor reads it again.
    """
    for work in bench.due.log_pending:
        with bench.report.guard(f"log of app {work.app.id}"):
            bench.record([_look(bench, work)])


def _look(bench: Workbench, work: AppWork) -> LogLookedFor:
    attempt = work.attempt
    backend = bench.backend(bench.target_of(work))
    ref = bench.ref_of(work)
    tail = backend.read_log(ref)
    if tail is None:
        since = attempt.ended_at or attempt.created_at
        over = bench.due.at >= since + timedelta(seconds=bench.due.policy.log_deadline_s)
        return LogLookedFor(app_id=work.app.id, generation=attempt.generation, tail=None, log_uri=backend.log_uri(ref), given_up=over)
    failure = None
    if attempt.phase is AppPhase.FAILED and attempt.failure is not None and not attempt.failure.is_complete:
        failure = failure_from_log(tail.stderr, tail.stdout, application_name=attempt.spec.application_uri, log_uri=tail.uri)
    bench.report.done.append(f"log of app {work.app.id} generation {attempt.generation}: {tail.uri}")
    return LogLookedFor(app_id=work.app.id, generation=attempt.generation, tail=kept_tail(tail), log_uri=tail.uri, failure=failure)


def kept_tail(tail: LogTail) -> str:
    """Return the end of both streams, at most 64 KB: PySpark's traceback is in stdout, Spark's own lines are in stderr."""
    stdout = tail.stdout[-KEEP_CHARS // 2 :].strip()
    if not stdout:
        return tail.stderr[-KEEP_CHARS:]
    return f"{tail.stderr[-(KEEP_CHARS - len(stdout) - 64) :].rstrip()}\n--- stdout ---\n{stdout}\n"
