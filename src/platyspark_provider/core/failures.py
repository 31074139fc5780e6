"""Explains a failure from the driver's log and writes the error card that task, page, alert and CLI all show; pure."""

import re
from collections.abc import Mapping

from platyspark_provider.core.failure_hints import hint_for
from platyspark_provider.core.faults import Fault, find_fault
from platyspark_provider.core.model import Failure
from platyspark_provider.core.states import FailureClass

TAIL_LINES = 30

# What the platform, not the application, has to answer for; sought in the final error alone, because Spark gets over
# most lost executors. Texts of ExecutorLossReason.scala, YarnAllocator.scala, the AWS SDKs and Hadoop's NetUtils.
_PLATFORM: tuple[tuple[re.Pattern[str], FailureClass], ...] = (
    (re.compile(r"preempted|[Ii]nsufficient capacity"), FailureClass.CAPACITY),
    (re.compile(r"lost\* node|bad node|Slave lost|worker lost|heartbeat timed out|decommission"), FailureClass.INFRASTRUCTURE),
    (
        re.compile(r"Unable to execute HTTP request|Could not connect to the endpoint URL|NoHttpResponseException|Slow ?Down"),
        FailureClass.INFRASTRUCTURE,
    ),
    (
        re.compile(r"failed on connection exception|Connection refused|ConnectTimeoutException|UnknownHostException"),
        FailureClass.INFRASTRUCTURE,
    ),
    (re.compile(r"FetchFailedException|MetadataFetchFailed"), FailureClass.INFRASTRUCTURE),
)
# The log names the error and still not whose fault it is: memory can be the data's size or the node's, and a dead JVM
# or YARN's one-line summary hides the cause.
_UNDECIDED = re.compile(
    r"OutOfMemoryError|memory limits|Exit status: 1(?:37|43)|No space left on device|Py4JNetworkError|Answer from Java side"
    r"|finished with failed status|\[INTERNAL_ERROR|UNABLE_TO_ACQUIRE_MEMORY"
)
# SignalUtils logs it in every JVM that is told to end: whatever the log says before, somebody else ended the driver.
_SIGNALLED = re.compile(r"RECEIVED SIGNAL (?:TERM|INT|HUP)")


def failure_from_log(stderr: str, stdout: str, *, application_name: str, log_uri: str | None) -> Failure:
    """Explain why a driver failed.

    :param application_name: what the summary speaks of when the log names no error.
    :param log_uri: where the full log is.
    """
    fault = find_fault(stderr, stdout)
    tail = "\n".join(stderr.splitlines()[-TAIL_LINES:])
    if fault is None:
        summary = f"{application_name.rpartition('/')[2]} ended without naming an error; see its log"
        return Failure(klass=_class(None, stderr, stderr), summary=summary, hint=hint_for(None, stderr), log_tail=tail, log_uri=log_uri)
    return Failure(
        klass=_class(fault, fault.detail, stderr),
        summary=fault.title,
        error_class=fault.error_class,
        sql_state=fault.sql_state,
        user_line=fault.user_line,
        hint=hint_for(fault.error_class, f"{fault.title}\n{fault.detail}"),
        log_tail=tail,
        log_uri=log_uri,
    )


def _class(fault: Fault | None, text: str, stderr: str) -> FailureClass:
    for pattern, klass in _PLATFORM:
        if pattern.search(text):
            return klass
    if fault is None or _UNDECIDED.search(text) or _SIGNALLED.search(stderr):
        return FailureClass.UNKNOWN
    return FailureClass.USER if fault.is_users else FailureClass.UNKNOWN


def error_card(app_name: str, failure: Failure, *, links: Mapping[str, str] | None = None) -> str:
    """Return the text that explains a failure to its owner; the same everywhere.

    :param links: more links by label, `{"Spark UI": "https://..."}`; the full log's comes from the failure.
    """
    state = f" (SQLSTATE {failure.sql_state})" if failure.sql_state else ""
    lines = [f"{app_name} failed: {failure.summary}{state}"]
    if failure.user_line:
        lines.append(f"  at {failure.user_line}")
    facts = [f"hint: {failure.hint}"] if failure.hint else []
    if not failure.is_complete:
        facts.append(_log_to_come(failure.log_uri))
    elif failure.log_uri:
        facts.append(f"full log: {failure.log_uri}")
    facts += [f"{label}: {url}" for label, url in (links or {}).items()]
    if failure.log_tail:
        count = len(failure.log_tail.splitlines())
        facts.append("last stderr line below" if count == 1 else f"last {count} stderr lines below")
    if facts:
        lines.append(f"  {' · '.join(facts)}")
    return "\n".join([*lines, failure.log_tail] if failure.log_tail else lines)


def _log_to_come(log_uri: str | None) -> str:
    where = f"it will be at {log_uri}" if log_uri else "no log prefix is configured for its cluster"
    return f"the driver's log has not arrived yet: {where}"
