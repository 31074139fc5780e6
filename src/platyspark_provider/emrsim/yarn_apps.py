"""The ResourceManager's knowledge of applications, read from their folders; and its kill. Shared by the runner and by `yarn` steps."""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platyspark_provider.emrsim.ports import YarnApplication
from platyspark_provider.emrsim.runner_process import signal_group, signal_session
from platyspark_provider.emrsim.runner_records import AppFolder, Site

APPLICATION_STATES = ("NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING", "FINISHED", "FAILED", "KILLED")
ENDED_STATES = frozenset({"FINISHED", "FAILED", "KILLED"})
_SUBMIT_WINDOW_S = 20.0


def list_applications(site: Site) -> Iterator[tuple[AppFolder, YarnApplication]]:
    """Yield every submitted application, oldest first."""
    for application_id in site.application_ids():
        application = view_application(site.app(application_id))
        if application is not None:
            yield site.app(application_id), application


def find_application(site: Site, application_id: str, cluster_id: str | None = None) -> YarnApplication | None:
    """Return one application; None if YARN (of that cluster) doesn't know it."""
    if "/" in application_id or not application_id.startswith("application_"):
        return None
    application = view_application(site.app(application_id))
    return application if application is not None and cluster_id in {None, application.cluster_id} else None


def view_application(app: AppFolder) -> YarnApplication | None:
    """Return YARN's view of one application; None before it was submitted.

    An application whose processes are gone without a record of its end is given one here.
    """
    described = app.describe()
    if described is None:
        return None
    alive_pid = _alive_pid(app)  # looked at before the record: a process that ends in between has written it
    ended = app.exit()
    if ended is None and alive_pid is None and not _is_starting(app, described):
        ended = _record_vanished(app)
    return YarnApplication(
        id=app.id,
        cluster_id=described["cluster_id"],
        step_id=described["step_id"],
        name=described["name"],
        state=ended["state"] if ended else ("RUNNING" if app.has("driver.json") else "ACCEPTED"),
        final_status=ended["final_status"] if ended else "UNDEFINED",
        tags=tuple(described["tags"]),
        started_ms=int(described["started_ms"]),
        finished_ms=int(ended["ended_at"] * 1000) if ended else 0,
        diagnostics=ended["diagnostics"] if ended else "",
        pid=None if ended else alive_pid,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationDetails:
    """What YARN shows of an application beyond `YarnApplication`."""

    queue: str
    container_id: str
    attempt: int
    ui_port: int | None
    log_folder: Path


def application_details(site: Site, application_id: str) -> ApplicationDetails | None:
    """Return more of one application; None if YARN doesn't know it."""
    app = site.app(application_id)
    described = app.describe()
    if described is None:
        return None
    return ApplicationDetails(
        queue=described["queue"],
        container_id=app.container_id(app.attempt),
        attempt=app.attempt,
        ui_port=described["ui_port"],
        log_folder=app.logs(app.attempt),
    )


def kill_application(app: AppFolder) -> None:
    """Ask for the kill: SIGTERM now; the process that runs the driver adds SIGKILL after YARN's grace."""
    if app.exit() is not None:
        return
    app.request_kill()
    driver = app.process("driver")
    if driver is not None:
        signal_group(driver, signal.SIGTERM)


def enforce_kill(app: AppFolder) -> bool:
    """Send SIGKILL to whatever is left of the driver; False when nothing was."""
    found = False
    driver = app.process("driver")
    if driver is not None and driver.is_alive:
        signal_group(driver, signal.SIGKILL)
        found = True
    container = app.process()
    described = app.describe() or {}
    if container is not None and described.get("deploy_mode") == "cluster":
        found = signal_session(container, signal.SIGKILL) or found
    return found


def _alive_pid(app: AppFolder) -> int | None:
    for name in ("driver", "process"):
        process = app.process(name)
        if process is not None and process.is_alive:
            return process.pid
    return None


def _is_starting(app: AppFolder, described: dict[str, Any]) -> bool:
    return app.process() is None and time.time() < described["started_ms"] / 1000 + _SUBMIT_WINDOW_S


def _record_vanished(app: AppFolder) -> dict[str, Any]:
    if app.kill_requested_at is not None:
        app.record_exit(
            state="KILLED", final_status="KILLED", diagnostics=f"Application {app.id} was killed by user hadoop at 127.0.0.1", code=137
        )
    else:
        text = f"AM Container for {app.attempt_id(app.attempt)} exited with  exitCode: -100\nContainer released on a *lost* node"
        app.record_exit(state="FAILED", final_status="FAILED", diagnostics=text, code=-100)
    return app.exit() or {}
