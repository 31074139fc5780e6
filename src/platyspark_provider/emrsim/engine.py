"""The imperative shell of the state machine: one lock, the clock, the runner and the state file around pure decisions."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from platyspark_provider.emrsim import records as r
from platyspark_provider.emrsim.clock import Clock, SimClock
from platyspark_provider.emrsim.config import SimConfig
from platyspark_provider.emrsim.launch_failures import LaunchFailures
from platyspark_provider.emrsim.lifecycle import Effect, Launch, Signal, StopCluster, advance, lose_cluster, next_due, record_exit
from platyspark_provider.emrsim.ports import StepLaunch, StepRunner
from platyspark_provider.emrsim.records import ClusterRecord, StateChange, StepRecord
from platyspark_provider.emrsim.state_file import StateFile
from platyspark_provider.emrsim.step_scripts import StepScripts

log = logging.getLogger(__name__)

APPLICATIONS_ASKED_EVERY_S = 1.0
STOP_POLL_S = 0.1
LIVE_APPLICATION_STATES = frozenset({"NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING"})


class Engine:
    """Hold all clusters of all regions and move them with time.

    Order of every change: decide, save, then act on processes. A crash after the save leaves an unfinished act, which
    `recover` repeats; the runner takes each launch once by its step id. News of changes lost in a crash stay lost.

    `on_changes` is given each commit's changes of state under the lock, so it must not wait.

    :param clock: None goes on where the clock of an earlier run on the same state would be
    """

    def __init__(
        self,
        *,
        state: StateFile,
        runner: StepRunner,
        config: SimConfig,
        clock: Clock | None = None,
        endpoint_url: str = "",
    ) -> None:
        self.lock = threading.RLock()
        self.config = config
        self.runner = runner
        self.clock = clock or SimClock(speed=config.clock_speed, anchor=state.load_setting("clock") or None)
        self.endpoint_url = endpoint_url
        self.launch_failures = LaunchFailures()
        self.scripts = StepScripts(state.load_setting("step_scripts").get("scripts"))
        self.on_changes: Callable[[Sequence[StateChange]], None] = lambda _changes: None
        self._state = state
        self._persistent_uis = state.load_setting("persistent_uis")
        self._clusters = state.load()
        self._steps = {step.id: (cluster, step) for cluster in self._clusters.values() for step in cluster.steps}
        self._live = {cluster.id: cluster for cluster in self._clusters.values() if not cluster.is_ended}
        self._asked_applications: dict[str, tuple[float, bool]] = {}
        self._knobs = config.values()
        self._ticked_at = self.clock()
        for cluster in self._live.values():
            cluster.due = min(next_due(cluster, config), self._ticked_at)
        self._ticker: threading.Thread | None = None
        self._stopping = threading.Event()
        self._save_clock()

    def clusters(self, region: str) -> list[ClusterRecord]:
        """Return the clusters of a region."""
        return [cluster for cluster in self._clusters.values() if cluster.region == region]

    def find_cluster(self, region: str, cluster_id: str) -> ClusterRecord | None:
        """Return a cluster of the region by its id."""
        cluster = self._clusters.get(cluster_id)
        return cluster if cluster is not None and cluster.region == region else None

    def find_step(self, cluster: ClusterRecord, step_id: str) -> StepRecord | None:
        """Return a step of the cluster by its id, if the API still shows it."""
        owner, step = self._steps.get(step_id, (None, None))
        return step if step is not None and owner is cluster and cluster.shows(step) else None

    def find_anywhere(self, cluster_id: str) -> ClusterRecord | None:
        """Return a cluster of any region by its id."""
        return self._clusters.get(cluster_id)

    def add_cluster(self, cluster: ClusterRecord) -> None:
        """Take a new cluster in."""
        self._clusters[cluster.id] = cluster
        self._live[cluster.id] = cluster

    def add_step(self, cluster: ClusterRecord, step: StepRecord) -> None:
        """Take a new step in."""
        cluster.add_step(step)
        cluster.move_step(step, r.PENDING, step.created)
        self._steps[step.id] = (cluster, step)

    def add_persistent_ui(self, ui: dict[str, Any]) -> None:
        """Store a persistent user interface under its id; it outlives its cluster."""
        self._persistent_uis[ui["id"]] = ui
        self._state.save_setting("persistent_uis", self._persistent_uis)

    def find_persistent_ui(self, region: str, ui_id: str) -> dict[str, Any] | None:
        """Return a persistent user interface of the region by its id."""
        ui: dict[str, Any] = self._persistent_uis.get(ui_id, {})
        return ui if ui.get("region") == region else None

    @contextmanager
    def transaction(self) -> Iterator[list[Effect]]:
        """Bring everything up to now, let the caller change records and collect effects, then save and act."""
        with self.lock:
            self.tick()
            effects: list[Effect] = []
            try:
                yield effects
            finally:
                for cluster in self._live.values():
                    if cluster.changed or cluster.changed_steps:
                        cluster.due = -math.inf
                self._commit(effects)

    def tick(self) -> None:
        """Move every live cluster to the present, through all that fell due since the last tick, and take over ended steps."""
        with self.lock:
            now = self.clock()
            if (knobs := self.config.values()) != self._knobs:
                self._knobs = knobs
                for cluster in self._live.values():
                    cluster.due = -math.inf
            effects: list[Effect] = []
            for cluster in self._live.values():
                effects += self._catch_up(cluster, now)
            self._ticked_at = now
            for exit_ in self.runner.poll():
                if found := self._steps.get(exit_.step_id):
                    effects += record_exit(*found, exit_, now)
                    found[0].due = -math.inf
                    effects += self._catch_up(found[0], now)
            self._commit(effects)

    def advance_clock(self, seconds: float) -> float:
        """Jump forward through all that falls due on the way, and return the new time."""
        with self.lock:
            self.tick()
            self.clock.advance(seconds)
            self._save_clock()
            self.tick()
            return self.clock()

    def configure(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Change knobs from now on, store and return all of them.

        :raises ConfigError: nothing was changed
        """
        with self.lock:
            self.tick()
            self.config.update(changes)
            if "clock_speed" in changes:
                self.clock.set_speed(self.config.clock_speed)
                self._save_clock()
            self.save_config()
            return self.config.as_dict()

    def strike(self, cluster_id: str, blow: Callable[[ClusterRecord, float], list[Effect]]) -> bool:
        """Let something happen to a live cluster that nobody called for; False if there is no such cluster."""
        with self.transaction() as effects:
            cluster = self._live.get(cluster_id)
            if cluster is not None:
                effects += blow(cluster, self.clock())
            return cluster is not None

    def fail_cluster(self, cluster_id: str, *, code: str, message: str, error_details: list[dict[str, object]]) -> bool:
        """End a live cluster as if its master were lost; False if there is no such cluster."""
        return self.strike(cluster_id, partial(lose_cluster, code=code, message=message, error_details=error_details))

    def recover(self) -> None:
        """Repeat what a crash may have left undone: launches, signals and the end of clusters on their way out."""
        with self.lock:
            for cluster in list(self._live.values()):
                if cluster.state == r.TERMINATING:
                    self.runner.stop_cluster(cluster.id)
                for step in cluster.open_steps:
                    if step.has_process:
                        self.runner.start(_launch(cluster, step))
                    if step.has_process and step.state == r.CANCEL_PENDING:
                        self.runner.signal_step(step.id, kill=step.cancel_kills)

    def run(self, every_s: float) -> None:
        """Start the thread that ticks until `close`."""
        self._ticker = threading.Thread(target=self._tick_until_closed, args=(every_s,), name="emrsim-engine", daemon=True)
        self._ticker.start()

    def close(self) -> None:
        """Stop ticking and close the file; processes go on."""
        self._stopping.set()
        if self._ticker is not None:
            self._ticker.join()
        with self.lock:
            self.runner.shutdown()
            self._state.close()

    def save_config(self) -> None:
        """Store the knobs for the next start."""
        with self.lock:
            self._state.save_setting("config", self.config.as_dict())

    def save_scripts(self) -> None:
        """Store the scripts of steps for the next start."""
        with self.lock:
            self._state.save_setting("step_scripts", {"scripts": self.scripts.describe()})

    def _save_clock(self) -> None:
        self._state.save_setting("clock", self.clock.anchor())

    def stop_all_processes(self, wait_s: float) -> bool:
        """End every process of every live cluster, clusters themselves unchanged; False if some are left after `wait_s`."""
        with self.lock:
            for cluster_id in list(self._live):
                self.runner.stop_cluster(cluster_id)
        deadline = time.monotonic() + wait_s
        while self._has_processes():
            if time.monotonic() >= deadline:
                return False
            self._stopping.wait(STOP_POLL_S)
        return True

    def _has_processes(self) -> bool:
        with self.lock:
            self.tick()
            steps = any(step.has_process for cluster in self._live.values() for step in cluster.open_steps)
            return steps or any(app.state in LIVE_APPLICATION_STATES for app in self.runner.applications())

    def _tick_until_closed(self, every_s: float) -> None:
        while not self._stopping.wait(every_s):
            try:
                self.tick()
            except Exception:
                log.exception("tick failed")

    def _catch_up(self, cluster: ClusterRecord, now: float) -> list[Effect]:
        """Advance the cluster at each time something falls due up to `now`, so that a late tick makes no late times."""
        watches_yarn = cluster.idle_timeout_s is not None and not cluster.open_steps
        if now < cluster.due and not watches_yarn:
            return []
        effects: list[Effect] = []
        live = self._has_live_applications(cluster, now)
        at = now if now < cluster.due else self._ticked_at if cluster.due == -math.inf else cluster.due
        while at <= now:
            known = len(cluster.news)
            effects += advance(cluster, at, self.config, has_live_applications=live, script_for=self.scripts.take)
            due = next_due(cluster, self.config)
            at = due if due > at or len(cluster.news) > known else math.nextafter(now, math.inf)
        cluster.due = at
        return effects

    def _commit(self, effects: Sequence[Effect]) -> None:
        self._state.save(self._live.values())
        self._carry_out(effects)
        if changes := [change for cluster in self._live.values() for change in cluster.news]:
            self.on_changes(sorted(changes, key=lambda change: change.at))
            for cluster in self._live.values():
                cluster.news.clear()
        for cluster in [cluster for cluster in self._live.values() if cluster.is_ended]:
            del self._live[cluster.id]
            self._asked_applications.pop(cluster.id, None)

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Launch(cluster=cluster, step=step):
                    self.runner.start(_launch(cluster, step))
                case Signal(step_id=step_id, kill=kill):
                    self.runner.signal_step(step_id, kill=kill)
                case StopCluster(cluster_id=cluster_id):
                    self.runner.stop_cluster(cluster_id)

    def _has_live_applications(self, cluster: ClusterRecord, now: float) -> bool:
        if cluster.idle_timeout_s is None or cluster.open_steps:
            return False
        asked_at, answer = self._asked_applications.get(cluster.id, (float("-inf"), False))
        if now - asked_at >= APPLICATIONS_ASKED_EVERY_S:
            answer = any(app.state in LIVE_APPLICATION_STATES for app in self.runner.applications(cluster.id))
            self._asked_applications[cluster.id] = (now, answer)
        return answer


def _launch(cluster: ClusterRecord, step: StepRecord) -> StepLaunch:
    return StepLaunch(
        cluster_id=cluster.id,
        step_id=step.id,
        name=step.name,
        jar=step.jar,
        args=tuple(step.args),
        log_uri=cluster.request.get("LogUri"),
        release_label=cluster.request.get("ReleaseLabel"),
    )
