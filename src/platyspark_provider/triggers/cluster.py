"""`ClusterTrigger`: waits on the shared loop until a cluster is ready, or over."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import TriggerEvent

from platyspark_provider.core.cluster_polling import (
    ClusterEvent,
    ClusterLook,
    ClusterSeen,
    ClusterWaiting,
    Goal,
    cluster_line,
    wait_for_cluster,
)
from platyspark_provider.core.polling import WaitRule, answer_until_pause
from platyspark_provider.triggers.stream import Item, StreamTrigger, last_sighted


class ClusterTrigger(StreamTrigger):
    """Resumes its task with one `ClusterEvent`. A killed task leaves the cluster alone: its idle timeout ends it.

    :param cluster_id: what is waited for.
    :param goal: `ready` or `over`.
    :param max_blind_s: seconds without the api-server after which the wait ends; None waits for ever.
    :param memo: what the task has to know when it goes on; it comes back with the event. (`dag.test()` loses the keywords
        of a deferral.)
    """

    def __init__(
        self,
        *,
        cluster_id: int,
        goal: str = Goal.READY.value,
        conn_id: str,
        poll_s: float = 10.0,
        max_blind_s: float | None = None,
        memo: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(conn_id=conn_id, poll_s=poll_s)
        self.cluster_id = cluster_id
        self.goal = Goal(goal)
        self.max_blind_s = max_blind_s
        self.memo = dict(memo or {})
        self._told = ""

    def fields(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {"cluster_id": self.cluster_id, "goal": self.goal.value, "max_blind_s": self.max_blind_s, "memo": self.memo}
        return {**super().fields(), **own}

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Item]) -> AsyncIterator[TriggerEvent]:
        """Look at each snapshot for this cluster; return right after the event."""
        rule = WaitRule(poll_s=self.poll_s, max_blind_s=self.max_blind_s)
        steps = wait_for_cluster(self.cluster_id, self.goal, rule=rule)
        next(steps)
        cached = last_sighted(self.shared_stream_key())
        event = self._look(steps, cached.look_at_cluster(self.cluster_id)) if cached else None
        if event is None:
            async for item in shared_stream:
                event = self._look(steps, item.look_at_cluster(self.cluster_id))
                if event is not None:
                    break
        if event is not None:
            await self.outlast_deferral()
            yield TriggerEvent({**event.as_dict(), "memo": self.memo})  # type: ignore[no-untyped-call]

    def _look(self, steps: ClusterWaiting, look: ClusterLook) -> ClusterEvent | None:
        self._tell(look)
        return answer_until_pause(steps, look)

    def _tell(self, look: ClusterLook) -> None:
        """Write where the cluster is into the task's log, when that changed."""
        if isinstance(look, ClusterSeen):
            line = cluster_line(look.brief) if look.brief else ""
        else:
            line = f"The api-server can't be asked ({look.error}); this task waits."
        if line and line != self._told:
            self._told = line
            self.log.info("%s", line)
