"""What the EMR state machine asks of whoever runs the steps; no process handling here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLaunch:
    """One step that EMR decided to start now."""

    cluster_id: str
    step_id: str
    name: str
    jar: str
    args: tuple[str, ...]
    log_uri: str | None
    release_label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepExit:
    """A step's process has ended; `signal` is set when it was killed, `message` is EMR's FailureDetails text."""

    step_id: str
    exit_code: int
    signal: int | None = None
    message: str | None = None
    log_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class YarnApplication:
    """One application as the ResourceManager lists it (state and finalStatus in YARN's words; times in epoch ms)."""

    id: str
    cluster_id: str
    step_id: str
    name: str
    state: str
    final_status: str
    tags: tuple[str, ...]
    started_ms: int
    finished_ms: int
    diagnostics: str
    pid: int | None


class StepRunner(Protocol):
    """Runs steps as OS processes that outlive a restart of emrsim; every method returns at once."""

    def start(self, launch: StepLaunch) -> None:
        """Start the step's process; a launch that cannot start shows up in `poll` as a failed exit.

        A step id that was started before is left alone, so a launch may be repeated after a crash.
        """

    def poll(self) -> Sequence[StepExit]:
        """Return the steps that ended since the last call, each once, also those that ended while emrsim was down.

        The caller has stored what it got before it calls again; after a crash in between the same ends are told again.
        """

    def signal_step(self, step_id: str, *, kill: bool) -> None:
        """Send SIGTERM (or SIGKILL) to the step's own process; a cluster-mode driver is not its child and lives on."""

    def stop_cluster(self, cluster_id: str) -> None:
        """End every process of the cluster, drivers included, as losing its instances does."""

    def applications(self, cluster_id: str | None = None) -> Sequence[YarnApplication]:
        """Return YARN's view of one cluster or of all."""

    def kill_application(self, application_id: str) -> bool:
        """Kill a driver as YARN does (SIGTERM, then SIGKILL); False if YARN doesn't know it."""

    def shutdown(self) -> None:
        """Stop helper threads; processes go on."""
