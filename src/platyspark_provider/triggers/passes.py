"""Passes beside the snapshots: `PassKeeper` runs `run_pass` in a thread, one at a time per process and connection.

Which process acts on a target is settled by the lease that the pass itself takes; the row claims fence the rest.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError as FutureCancelled

from airflow.sdk import Connection
from airflow.sdk.bases.hook import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from platyspark_provider.core.ports import Backends, Clock
from platyspark_provider.errors import BackendUnavailable, NotAllowed
from platyspark_provider.hooks.aws import EmrBackends
from platyspark_provider.hooks.clock import SystemClock
from platyspark_provider.hooks.platyspark import Endpoint, PlatySparkHook
from platyspark_provider.hooks.process import process_name
from platyspark_provider.reconciler.passes import Bidding, run_pass
from platyspark_provider.reconciler.workbench import PassReport
from platyspark_provider.triggers.quiet import QuietLog

log = logging.getLogger(__name__)

RESOLVE_TIMEOUT_S = 20.0
REFUSED_PAUSE_S = 300.0
FRESH_S = 600.0
"""Seconds after which connections are read and clients built anew: credentials of a connection may have changed."""

_under_way: dict[str, "asyncio.Task[PassReport]"] = {}
"""The running pass per connection. A thread can't be cancelled, so a pass outlives its loop and the next loop waits for it."""


def _read_outcome(task: "asyncio.Task[PassReport]") -> None:
    """Take the error of a pass that outlived its loop, so that asyncio doesn't complain of it."""
    if not task.cancelled():
        task.exception()


class ConnectionBook(Mapping[str, Connection]):
    """Airflow connections for a thread beside the event loop: unknown ones are read on the loop, which alone may ask
    the supervisor.

    :param loop: the triggerer's event loop; the reading thread waits for it, never the reverse.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[str, Connection] = {}

    def __getitem__(self, conn_id: str) -> Connection:
        """Return a connection, an empty one (boto3's own chain of credentials) where Airflow has none.

        :raises BackendUnavailable: it can't be read now.
        """
        if conn_id not in self._known:
            self._known[conn_id] = self._read(conn_id)
        return self._known[conn_id]

    def _read(self, conn_id: str) -> Connection:
        reading = BaseHook.aget_connection(conn_id)
        try:
            future = asyncio.run_coroutine_threadsafe(reading, self._loop)
        except RuntimeError as error:
            reading.close()
            raise BackendUnavailable(f"Connection '{conn_id}' can't be read: the event loop has ended.") from error
        try:
            return future.result(timeout=RESOLVE_TIMEOUT_S)
        except AirflowNotFoundException:
            return Connection(conn_id=conn_id, conn_type="aws")
        except (TimeoutError, FutureCancelled) as error:
            future.cancel()
            raise BackendUnavailable(f"Connection '{conn_id}' was not read within {RESOLVE_TIMEOUT_S:.0f} s.") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class PassKeeper:
    """Runs a pass per interval for as long as its loop lives.

    :param conn_id: connection of the api-server; a token without scope `reconciler` means that this loop only waits.
    :param backends_from: makes the backends from the connections that the loop reads.
    """

    def __init__(
        self,
        conn_id: str,
        poll_s: float,
        *,
        clock: Clock | None = None,
        backends_from: Callable[[ConnectionBook], Backends] = EmrBackends,
    ) -> None:
        self._conn_id = conn_id
        self._poll_s = poll_s
        self._clock = clock or SystemClock()
        self._backends_from = backends_from
        self._errors = QuietLog(log)
        self._tools: tuple[Endpoint, Backends] | None = None
        self._tools_until = 0.0
        self._bidding = Bidding()

    async def run(self) -> None:
        """Keep running passes; errors are logged and tried again, cancelling leaves a running pass to end by itself."""
        while True:
            pause = self._poll_s
            try:
                report = await asyncio.shield(self._pass_under_way())
            except NotAllowed as error:
                self._errors.info(f"Connection {self._conn_id} may not reconcile, so this loop only waits: {error}")
                pause = REFUSED_PAUSE_S
            except Exception as error:  # noqa: BLE001 - the keeper outlives any fault; the next pass tries again
                self._tools = None
                self._errors.warning(f"Pass failed: {type(error).__name__}: {error}")
            else:
                self._tell(report)
            await asyncio.sleep(pause)

    def _pass_under_way(self) -> "asyncio.Task[PassReport]":
        task = _under_way.get(self._conn_id)
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = asyncio.create_task(self._one_pass(), name=f"platyspark pass {self._conn_id}")
            task.add_done_callback(_read_outcome)
            _under_way[self._conn_id] = task
        return task

    async def _one_pass(self) -> PassReport:
        loop = asyncio.get_running_loop()
        if self._tools is None or loop.time() > self._tools_until:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                endpoint = await PlatySparkHook(self._conn_id).aendpoint()
            self._tools = endpoint, self._backends_from(ConnectionBook(loop))
            self._tools_until = loop.time() + FRESH_S
        endpoint, backends = self._tools
        return await asyncio.to_thread(self._in_thread, endpoint, backends)

    def _in_thread(self, endpoint: Endpoint, backends: Backends) -> PassReport:
        with endpoint.registry(actor="observer") as registry:
            return run_pass(registry, backends, holder=process_name(), clock=self._clock, bidding=self._bidding)

    def _tell(self, report: PassReport) -> None:
        """Log what a pass did; an idle pass is no news, and an old grievance is none every ten seconds."""
        grievances = [*(f"target {name} can't be reached: {why}" for name, why in report.silent().items()), *report.alarms]
        if grievances:
            self._errors.warning("; ".join(grievances))
        level = logging.INFO if report.done or report.errors else logging.DEBUG
        for line in report.lines():
            log.log(level, "%s", line)
