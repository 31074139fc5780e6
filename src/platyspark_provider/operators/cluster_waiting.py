"""The worker's part of a wait for a cluster: it looks, and where nobody else seems to move clusters it runs passes itself."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from platyspark_provider.core.cluster_polling import ClusterEvent, ClusterLook, ClusterSeen, Goal, cluster_line, wait_for_cluster
from platyspark_provider.core.polling import Blind, WaitRule, drive
from platyspark_provider.core.ports import Clock, Registry
from platyspark_provider.core.records import ClusterBrief
from platyspark_provider.errors import NotAllowed, TemporaryError
from platyspark_provider.operators.patience import Patience
from platyspark_provider.reconciler.workbench import PassReport

SILENT_LOOKS = 3
"""Looks in a row at an unchanged cluster after which this task acts: an observer would have moved or looked at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterCaller:
    """What a task talks to that asks for clusters, read once from the connection.

    :param act: runs a pass over all open work; it needs a token of scope `reconciler`.
    """

    registry: Registry
    ti_id: str
    clock: Clock
    patience: Patience
    log: logging.Logger
    act: Callable[[], PassReport]


def wait_in_worker(caller: ClusterCaller, cluster_id: int, goal: Goal, rule: WaitRule) -> ClusterEvent:
    """Look until the goal is reached or can't be, and act while nobody else does."""
    looker = _Looker(caller, cluster_id)
    return drive(wait_for_cluster(cluster_id, goal, rule=rule), describe=looker.look, sleep=caller.clock.sleep)


class _Looker:
    """One look after another at one cluster, each told when it says something new."""

    def __init__(self, caller: ClusterCaller, cluster_id: int) -> None:
        self._caller, self._cluster_id = caller, cluster_id
        self._seen: ClusterBrief | None = None
        self._quiet_looks = 0
        self._may_act = True

    def look(self) -> ClusterLook:
        """Say where the cluster is; the api-server being away is a look like any other."""
        try:
            brief = self._brief()
            if self._is_silent(brief) and self._may_act:
                self._act()
                brief = self._brief()
                self._seen = brief
        except TemporaryError as error:
            self._caller.log.warning("No answer (%s); this task waits.", error)
            return Blind(moment=time.monotonic(), error=str(error))
        return ClusterSeen(moment=time.monotonic(), brief=brief)

    def _brief(self) -> ClusterBrief | None:
        return next((one for one in self._caller.registry.snapshot().clusters if one.id == self._cluster_id), None)

    def _is_silent(self, brief: ClusterBrief | None) -> bool:
        """Take a look into account; once this task has acted, it goes on at each look that shows nothing new."""
        if brief != self._seen:
            self._quiet_looks = 0
            if brief is not None:
                self._caller.log.info("%s", cluster_line(brief))
        self._seen = brief
        self._quiet_looks += 1
        return self._quiet_looks > SILENT_LOOKS

    def _act(self) -> None:
        log = self._caller.log
        try:
            report = self._caller.act()
        except NotAllowed as error:
            self._may_act = False
            log.warning("Nothing moves the cluster, and this task may not do it itself: %s Is a triggerer or the watchdog alive?", error)
            return
        for line in report.done:
            log.info("%s", line)
        for line in report.skipped:
            log.info("Left to others: %s", line)
