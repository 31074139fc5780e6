"""YARN's ResourceManager over HTTP: the part of `/ws/v1/cluster` that finds, watches and kills applications. A WSGI handler.

Shapes follow Hadoop's "ResourceManager REST API's" page. Below `/emrsim/yarn/<cluster id>` only that cluster exists; else all of them.
"""

import json
import re
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qs

from platyspark_provider.emrsim.ports import StepRunner, YarnApplication
from platyspark_provider.emrsim.yarn_apps import APPLICATION_STATES, ENDED_STATES, ApplicationDetails

_PATH = re.compile(r"^(?:/emrsim/yarn/(?P<cluster>j-[A-Z0-9]+))?/ws/v1/cluster(?P<rest>/.*)?$")
_STATUSES = ("UNDEFINED", "SUCCEEDED", "FAILED", "KILLED", "ENDED")

StartResponse = Callable[[str, list[tuple[str, str]]], Any]


class YarnSource(StepRunner, Protocol):
    """A runner that also knows what only YARN's pages show."""

    def application_details(self, application_id: str) -> ApplicationDetails | None:
        """Return more of one application; None if unknown."""


class RemoteError(Exception):
    """Hadoop's RemoteException: an HTTP status with a Java class name."""

    def __init__(self, status: HTTPStatus, exception: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.exception = exception

    def body(self) -> dict[str, Any]:
        """Return the reply's JSON."""
        java_class = f"org.apache.hadoop.yarn.webapp.{self.exception}"
        return {"RemoteException": {"exception": self.exception, "message": str(self), "javaClassName": java_class}}


def _not_found(message: str) -> RemoteError:
    return RemoteError(HTTPStatus.NOT_FOUND, "NotFoundException", message)


def _bad_request(message: str) -> RemoteError:
    return RemoteError(HTTPStatus.BAD_REQUEST, "BadRequestException", message)


class YarnRest:
    """The handler; mount it for paths that begin with `/ws/v1/cluster` and `/emrsim/yarn/`.

    :param is_reachable: looked at per request; False raises ConnectionAbortedError, and the server closes the connection unanswered
    """

    def __init__(self, runner: YarnSource, is_reachable: Callable[[], bool]) -> None:
        self._runner = runner
        self._is_reachable = is_reachable

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request.

        :raises ConnectionAbortedError: YARN is set to be unreachable
        """
        if not self._is_reachable():
            raise ConnectionAbortedError("YARN is set to be unreachable")
        try:
            status, body, headers = self._answer(environ)
        except RemoteError as error:
            status, body, headers = error.status, error.body(), []
        text = json.dumps(body).encode()
        standard = [("Content-Type", "application/json;charset=utf-8"), ("Content-Length", str(len(text)))]
        start_response(f"{status.value} {status.phrase}", [*standard, *headers])
        return [text]

    def _answer(self, environ: dict[str, Any]) -> tuple[HTTPStatus, dict[str, Any], list[tuple[str, str]]]:
        method, match = environ["REQUEST_METHOD"], _PATH.match(environ.get("SCRIPT_NAME", "") + environ["PATH_INFO"])
        if match is None:
            raise _not_found(f"no such resource: {environ['PATH_INFO']}")
        cluster_id = match["cluster"]
        parts = [part for part in (match["rest"] or "").split("/") if part]
        query = {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        match method, parts:
            case "GET", [] | ["info"]:
                return HTTPStatus.OK, {"clusterInfo": _info(cluster_id)}, []
            case "GET", ["metrics"]:
                return HTTPStatus.OK, {"clusterMetrics": _metrics(self._runner.applications(cluster_id))}, []
            case "GET", ["apps"]:
                return HTTPStatus.OK, {"apps": self._apps(cluster_id, query)}, []
            case "GET", ["apps", application_id]:
                return HTTPStatus.OK, {"app": self._app(self._known(cluster_id, application_id))}, []
            case "GET", ["apps", application_id, "state"]:
                return HTTPStatus.OK, {"state": self._known(cluster_id, application_id).state}, []
            case "PUT", ["apps", application_id, "state"]:
                return self._put_state(environ, self._known(cluster_id, application_id))
            case _:
                raise _not_found(f"no such resource: {method} {environ['PATH_INFO']}")

    def _apps(self, cluster_id: str | None, query: dict[str, str]) -> dict[str, Any] | None:
        wanted = _filters(query)
        chosen = [app for app in self._runner.applications(cluster_id) if all(accepts(app) for accepts in wanted)]
        chosen = chosen[: _number(query, "limit")] if "limit" in query else chosen
        return {"app": [self._app(app) for app in chosen]} if chosen else None

    def _known(self, cluster_id: str | None, application_id: str) -> YarnApplication:
        if not re.fullmatch(r"application_\d+_\d+", application_id):
            raise _bad_request(f"Invalid ApplicationId: {application_id}")
        for app in self._runner.applications(cluster_id):
            if app.id == application_id:
                return app
        raise _not_found(f"app with id: {application_id} not found")

    def _put_state(self, environ: dict[str, Any], app: YarnApplication) -> tuple[HTTPStatus, dict[str, Any], list[tuple[str, str]]]:
        wanted = _wanted_state(environ)
        if wanted not in APPLICATION_STATES:
            raise _bad_request(f"{wanted} is not a valid application state")
        if app.state in ENDED_STATES:
            return HTTPStatus.OK, {"state": app.state}, []
        if wanted != "KILLED":
            raise _bad_request("Only 'KILLED' is allowed as a target state.")
        self._runner.kill_application(app.id)
        return HTTPStatus.ACCEPTED, {"state": app.state}, [("Location", f"{_base_url(environ)}{environ['PATH_INFO']}")]

    def _app(self, app: YarnApplication) -> dict[str, Any]:
        details = self._runner.application_details(app.id)
        has_ended = app.state in ENDED_STATES
        now_ms = int(time.time() * 1000)
        shown = {
            "id": app.id,
            "user": "hadoop",
            "name": app.name,
            "queue": details.queue if details else "default",
            "state": app.state,
            "finalStatus": app.final_status,
            "progress": 100.0 if has_ended else (10.0 if app.state == "RUNNING" else 0.0),
            "trackingUI": "History" if has_ended else ("ApplicationMaster" if app.state == "RUNNING" else "UNASSIGNED"),
            "diagnostics": app.diagnostics,
            "clusterId": int(app.id.split("_")[1]),
            "applicationType": "SPARK",
            "applicationTags": ",".join(app.tags),
            "priority": 0,
            "startedTime": app.started_ms,
            "launchTime": app.started_ms,
            "finishedTime": app.finished_ms,
            "elapsedTime": (app.finished_ms or now_ms) - app.started_ms,
            "allocatedMB": -1 if has_ended else 1024,
            "allocatedVCores": -1 if has_ended else 2,
            "runningContainers": -1 if has_ended else 1,
            "unmanagedApplication": False,
        }
        if details is None or app.state != "RUNNING":
            return shown
        return {**shown, **_where(details)}


def _where(details: ApplicationDetails) -> dict[str, Any]:
    host = {"amHostHttpAddress": "127.0.0.1:8042", "amContainerLogs": details.log_folder.as_uri()}
    return {**host, "trackingUrl": f"http://127.0.0.1:{details.ui_port}/"} if details.ui_port else host


def _info(cluster_id: str | None) -> dict[str, Any]:
    return {
        "id": cluster_id or "emrsim",
        "state": "STARTED",
        "haState": "ACTIVE",
        "resourceManagerVersion": "3.4.2",
        "hadoopVersion": "3.4.2",
    }


def _metrics(applications: Iterable[YarnApplication]) -> dict[str, int]:
    states = [app.state for app in applications]
    running = states.count("RUNNING")
    return {
        "appsSubmitted": len(states),
        "appsCompleted": states.count("FINISHED"),
        "appsPending": states.count("ACCEPTED"),
        "appsRunning": running,
        "appsFailed": states.count("FAILED"),
        "appsKilled": states.count("KILLED"),
        "containersAllocated": running,
        "containersReserved": 0,
        "containersPending": states.count("ACCEPTED"),
        "activeNodes": 1,
        "lostNodes": 0,
        "unhealthyNodes": 0,
        "totalNodes": 1,
    }


def _filters(query: dict[str, str]) -> list[Callable[[YarnApplication], bool]]:
    """Return one test per filter of the query; YARN compares tags in lower case and takes a match of any."""
    wanted: list[Callable[[YarnApplication], bool]] = []
    states = _names(query.get("states") or query.get("state"), APPLICATION_STATES)
    statuses = _names(query.get("finalStatus"), _STATUSES)
    tags = {tag.strip().lower() for tag in query.get("applicationTags", "").split(",") if tag.strip()}
    types = {kind.strip().upper() for kind in query.get("applicationTypes", "").split(",") if kind.strip()}
    if states:
        wanted.append(lambda app: app.state in states)
    if statuses:
        wanted.append(lambda app: app.final_status in statuses)
    if tags:
        wanted.append(lambda app: not tags.isdisjoint(app.tags))
    if types:
        wanted.append(lambda _app: "SPARK" in types)
    if "user" in query:
        wanted.append(lambda _app: query["user"] == "hadoop")
    if "name" in query:
        wanted.append(lambda app: app.name == query["name"])
    return [*wanted, *_time_filters(query)]


def _time_filters(query: dict[str, str]) -> list[Callable[[YarnApplication], bool]]:
    started_from, started_to = _number(query, "startedTimeBegin"), _number(query, "startedTimeEnd")
    finished_from, finished_to = _number(query, "finishedTimeBegin"), _number(query, "finishedTimeEnd")
    wanted: list[Callable[[YarnApplication], bool]] = []
    if started_from is not None:
        wanted.append(lambda app: app.started_ms >= started_from)
    if started_to is not None:
        wanted.append(lambda app: app.started_ms <= started_to)
    if finished_from is not None:
        wanted.append(lambda app: app.finished_ms >= finished_from)
    if finished_to is not None:
        wanted.append(lambda app: app.finished_ms <= finished_to)
    return wanted


def _names(value: str | None, known: tuple[str, ...]) -> frozenset[str]:
    names = frozenset(name.strip().upper() for name in (value or "").split(",") if name.strip())
    for name in names - set(known):
        raise _bad_request(f"Invalid application-state {name.lower()} specified. It should be one of {', '.join(known)}")
    return names


def _number(query: dict[str, str], name: str) -> int | None:
    if name not in query:
        return None
    if not query[name].isdecimal():
        raise _bad_request(f"{name} must be a number, greater than or equal to 0")
    return int(query[name])


def _wanted_state(environ: dict[str, Any]) -> str:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    try:
        return str(json.loads(environ["wsgi.input"].read(length))["state"]).upper()
    except (ValueError, KeyError, TypeError) as error:
        raise _bad_request('The body must be {"state": "KILLED"}') from error


def _base_url(environ: dict[str, Any]) -> str:
    host = environ.get("HTTP_HOST") or f"{environ.get('SERVER_NAME', '127.0.0.1')}:{environ.get('SERVER_PORT', '80')}"
    return f"{environ.get('wsgi.url_scheme', 'http')}://{host}{environ.get('SCRIPT_NAME', '')}"
