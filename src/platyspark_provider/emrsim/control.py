"""emrsim's own control route `/_emrsim/`: journal, counters, knobs, time, and everything a test plants."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from platyspark_provider.emrsim.engine import Engine
from platyspark_provider.emrsim.event_sender import EventSender
from platyspark_provider.emrsim.faults import FaultPlan
from platyspark_provider.emrsim.instances import is_highly_available
from platyspark_provider.emrsim.journal import Journal
from platyspark_provider.emrsim.lifecycle import fail_over
from platyspark_provider.emrsim.planted import checked_number
from platyspark_provider.emrsim.throttle import Throttle
from platyspark_provider.emrsim.wire import enum_values

PREFIX = "/_emrsim"
STOP_WAIT_S = 5.0
_JOURNAL_FILTERS = ("service", "operation", "access_key", "region", "bucket", "key")
Answer = tuple[int, Any]


class Control:
    """Serve the control route to WSGI; it needs no credentials, as the server listens on loopback only."""

    def __init__(self, engine: Engine, journal: Journal, faults: FaultPlan, throttle: Throttle, events: EventSender) -> None:
        self._engine = engine
        self._journal = journal
        self._faults = faults
        self._throttle = throttle
        self._events = events
        self._routes: dict[tuple[str, str], Callable[[dict[str, Any], str], Answer]] = {
            ("GET", "health"): self._health,
            ("GET", "journal"): self._read_journal,
            ("DELETE", "journal"): self._clear_journal,
            ("GET", "counters"): self._counters,
            ("GET", "callers"): self._callers,
            ("GET", "events"): self._read_events,
            ("GET", "clock"): self._read_clock,
            ("POST", "clock"): self._advance_clock,
            ("GET", "config"): self._read_config,
            ("PUT", "config"): self._change_config,
            ("GET", "faults"): self._read_faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._remove_faults,
            ("GET", "launch-failures"): self._read_launch_failures,
            ("POST", "launch-failures"): self._add_launch_failure,
            ("DELETE", "launch-failures"): self._remove_launch_failures,
            ("GET", "step-scripts"): self._read_scripts,
            ("POST", "step-scripts"): self._add_script,
            ("DELETE", "step-scripts"): self._remove_scripts,
            ("GET", "applications"): self._applications,
            ("POST", "clusters"): self._strike_cluster,
            ("POST", "stop-processes"): self._stop_processes,
        }

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        name, _, rest = environ["PATH_INFO"].removeprefix(f"{PREFIX}/").partition("/")
        route = self._routes.get((environ["REQUEST_METHOD"], name))
        if route is None:
            status, answer = 404, {"error": f"no route {environ['REQUEST_METHOD']} {environ['PATH_INFO']}"}
        else:
            status, answer = self._call(route, environ, rest)
        body = json.dumps(answer).encode()
        start_response(f"{status} {HTTPStatus(status).phrase}", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def _call(self, route: Callable[[dict[str, Any], str], Answer], environ: dict[str, Any], rest: str) -> Answer:
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            given = json.loads(raw) if raw else {}
            query = {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
            return route({**query, **given}, rest)
        except (ValueError, TypeError) as error:
            return 400, {"error": str(error)}

    def _health(self, _given: dict[str, Any], _rest: str) -> Answer:
        return 200, {"status": "ok", "pid": os.getpid()}

    def _read_journal(self, given: dict[str, Any], _rest: str) -> Answer:
        wanted = {name: str(given[name]) for name in _JOURNAL_FILTERS if name in given}
        return 200, self._journal.since(int(given.get("since", 0)), **wanted)

    def _clear_journal(self, _given: dict[str, Any], _rest: str) -> Answer:
        self._journal.clear()
        return 200, {}

    def _counters(self, _given: dict[str, Any], _rest: str) -> Answer:
        return 200, self._journal.counters()

    def _callers(self, _given: dict[str, Any], _rest: str) -> Answer:
        return 200, self._journal.callers()

    def _read_events(self, _given: dict[str, Any], _rest: str) -> Answer:
        return 200, self._events.counters()

    def _read_clock(self, _given: dict[str, Any], _rest: str) -> Answer:
        return 200, {"now": self._engine.clock(), "speed": self._engine.config.clock_speed}

    def _advance_clock(self, given: dict[str, Any], rest: str) -> Answer:
        if rest != "advance":
            return 400, {"error": 'POST clock/advance with {"seconds": N}'}
        return 200, {"now": self._engine.advance_clock(checked_number("seconds", given.get("seconds")))}

    def _read_config(self, _given: dict[str, Any], _rest: str) -> Answer:
        return 200, self._engine.config.as_dict()

    def _change_config(self, given: dict[str, Any], _rest: str) -> Answer:
        with self._engine.lock:
            knobs = self._engine.configure(given)
            if "throttle" in given:
                self._throttle.reset()
            return 200, knobs

    def _read_faults(self, _given: dict[str, Any], _rest: str) -> Answer:
        return 200, self._faults.describe()

    def _add_fault(self, given: dict[str, Any], _rest: str) -> Answer:
        return 201, {"id": self._faults.add(given).id}

    def _remove_faults(self, _given: dict[str, Any], rest: str) -> Answer:
        return 200, {"removed": self._faults.remove(rest or None)}

    def _read_launch_failures(self, _given: dict[str, Any], _rest: str) -> Answer:
        return 200, self._engine.launch_failures.describe()

    def _add_launch_failure(self, given: dict[str, Any], _rest: str) -> Answer:
        return 201, {"id": self._engine.launch_failures.add(given).id}

    def _remove_launch_failures(self, _given: dict[str, Any], rest: str) -> Answer:
        return 200, {"removed": self._engine.launch_failures.remove(rest or None)}

    def _read_scripts(self, _given: dict[str, Any], _rest: str) -> Answer:
        with self._engine.lock:
            return 200, self._engine.scripts.describe()

    def _add_script(self, given: dict[str, Any], _rest: str) -> Answer:
        with self._engine.lock:
            script_id = self._engine.scripts.add(given).id
            self._engine.save_scripts()
            return 201, {"id": script_id}

    def _remove_scripts(self, _given: dict[str, Any], rest: str) -> Answer:
        with self._engine.lock:
            removed = self._engine.scripts.remove(rest or None)
            self._engine.save_scripts()
            return 200, {"removed": removed}

    def _applications(self, _given: dict[str, Any], _rest: str) -> Answer:
        return 200, [asdict(application) for application in self._engine.runner.applications()]

    def _strike_cluster(self, given: dict[str, Any], rest: str) -> Answer:
        cluster_id, _, verb = rest.partition("/")
        match verb:
            case "fail":
                struck = self._fail_cluster(cluster_id, given)
            case "fail-over":
                struck = self._fail_over(cluster_id)
            case _:
                return 400, {"error": "POST clusters/ID/fail or clusters/ID/fail-over"}
        return (200, {"id": cluster_id}) if struck else (404, {"error": f"no live cluster {cluster_id}"})

    def _fail_cluster(self, cluster_id: str, given: dict[str, Any]) -> bool:
        code, known = given.get("code", "INSTANCE_FAILURE"), enum_values("ClusterStateChangeReasonCode")
        if code not in known:
            raise ValueError(f"code is one of {', '.join(known)}, not {code!r}")
        message, details = given.get("message", "The master node was terminated. "), given.get("error_details", [])
        return self._engine.fail_cluster(cluster_id, code=code, message=message, error_details=details)

    def _fail_over(self, cluster_id: str) -> bool:
        cluster = self._engine.find_anywhere(cluster_id)
        if cluster is not None and not is_highly_available(cluster.instance_sets):
            raise ValueError(f"{cluster_id} has one master; lose it with clusters/{cluster_id}/fail")
        return self._engine.strike(cluster_id, fail_over)

    def _stop_processes(self, _given: dict[str, Any], _rest: str) -> Answer:
        return 200, {"stopped": self._engine.stop_all_processes(wait_s=STOP_WAIT_S)}
