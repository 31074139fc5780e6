"""`AppTrigger`: waits on the shared loop until one generation of an application is over for its task."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import TriggerEvent

from platyspark_provider.core.polling import (
    AppEvent,
    Look,
    Seen,
    Waiting,
    WaitRule,
    answer_until_pause,
    progress_line,
    wait_for_app,
)
from platyspark_provider.hooks.platyspark import PlatySparkHook
from platyspark_provider.triggers.stream import Item, StreamTrigger, last_sighted

KILL_TIMEOUT_S = 10.0


class AppTrigger(StreamTrigger):
    """Resumes its task with one `AppEvent`.

    :param app_id: with `generation`, what is waited for.
    :param log_wait_s: seconds after a failure during which its driver's log is waited for.
    :param max_blind_s: seconds without the api-server after which the wait ends; None waits for ever.
    :param log_on_success: the log of a run that succeeded is waited for as well: the job's result is in it.
    """

    def __init__(
        self,
        *,
        app_id: int,
        generation: int,
        conn_id: str,
        poll_s: float = 10.0,
        log_wait_s: float = 120.0,
        max_blind_s: float | None = None,
        log_on_success: bool = False,
    ) -> None:
        super().__init__(conn_id=conn_id, poll_s=poll_s)
        self.app_id = app_id
        self.generation = generation
        self.log_wait_s = log_wait_s
        self.max_blind_s = max_blind_s
        self.log_on_success = log_on_success
        self._told = ""

    def fields(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {name: getattr(self, name) for name in ("app_id", "generation", "log_wait_s", "max_blind_s", "log_on_success")}
        return {**super().fields(), **own}

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Item]) -> AsyncIterator[TriggerEvent]:
        """Look at each snapshot for this application; return right after the event (else Airflow calls `on_kill`)."""
        rule = WaitRule(poll_s=self.poll_s, log_wait_s=self.log_wait_s, max_blind_s=self.max_blind_s, log_on_success=self.log_on_success)
        steps = wait_for_app(self.app_id, self.generation, rule=rule)
        next(steps)
        cached = last_sighted(self.shared_stream_key())
        event = self._look(steps, cached.look_at(self.app_id)) if cached else None
        if event is None:
            async for item in shared_stream:
                event = self._look(steps, item.look_at(self.app_id))
                if event is not None:
                    break
        if event is not None:
            await self.outlast_deferral()
            yield TriggerEvent(event.as_dict())  # type: ignore[no-untyped-call]

    def _look(self, steps: Waiting, look: Look) -> AppEvent | None:
        self._tell(look)
        return answer_until_pause(steps, look)

    def _tell(self, look: Look) -> None:
        """Write where the application is into the task's log, when that changed."""
        if isinstance(look, Seen):
            line = progress_line(look.brief) if look.brief else ""
        else:
            line = f"The api-server can't be asked ({look.error}); the application runs on, this task waits."
        if line and line != self._told:
            self._told = line
            self.log.info("%s", line)

    async def on_kill(self) -> None:
        """Write the intent to stop; the api-server asks Airflow's rows whether this try is really over."""
        instance = self.task_instance
        if instance is None:
            return
        client = await PlatySparkHook(self.conn_id).async_registry(timeout_s=KILL_TIMEOUT_S)
        async with contextlib.aclosing(client):
            reason = f"task {instance.dag_id}/{instance.task_id} was killed while deferred"
            answer = await client.kill(self.app_id, self.generation, ti_id=str(instance.id), reason=reason)
        word = "will be stopped" if answer.granted else "is left alone"
        self.log.info("Application %s generation %s %s: %s", self.app_id, self.generation, word, answer.reason)
