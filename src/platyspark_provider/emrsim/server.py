"""emrsim's HTTP server: one address for every AWS client, on loopback only."""

import ipaddress
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from platyspark_provider.emrsim import control
from platyspark_provider.emrsim.aws_services import AwsServices
from platyspark_provider.emrsim.config import SimConfig
from platyspark_provider.emrsim.control import Control
from platyspark_provider.emrsim.emr_endpoint import EmrEndpoint, pause
from platyspark_provider.emrsim.engine import Engine
from platyspark_provider.emrsim.event_sender import EventSender
from platyspark_provider.emrsim.faults import ConnectionDropped, FaultPlan
from platyspark_provider.emrsim.history_pages import HISTORY_PREFIX, HistoryPages
from platyspark_provider.emrsim.journal import Journal
from platyspark_provider.emrsim.ports import StepRunner
from platyspark_provider.emrsim.records import READY_CLUSTER
from platyspark_provider.emrsim.state_file import StateFile
from platyspark_provider.emrsim.throttle import Throttle
from platyspark_provider.emrsim.wire import TARGET_PREFIX, operation_names

log = logging.getLogger(__name__)

TICK_S = 0.1
YARN_PREFIX = "/ws/v1/cluster"
ONE_CLUSTER_PREFIX = "/emrsim/yarn/"

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
MakeParts = Callable[[Path, str, SimConfig], tuple[StepRunner, WsgiApp]]


class NotLoopback(ValueError):
    """emrsim runs whatever it is sent, so it listens on loopback addresses only."""


class EmrSimServer:
    """A bound server with all its parts; `serve_forever` answers until `shutdown`, `close` lets everything go.

    :param make_parts: makes the runner and YARN's REST handler from the data folder, this server's address and the knobs
    :param port: 0 picks a free one
    :param settings: knobs that win over the ones stored in `data_dir`
    :raises NotLoopback: `host` is not a loopback address
    :raises StateInUse: another emrsim uses `data_dir`
    """

    def __init__(
        self,
        *,
        data_dir: Path,
        make_parts: MakeParts,
        host: str = "127.0.0.1",
        port: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        _require_loopback(host)
        state = StateFile(data_dir / "state.sqlite")
        self._http: BaseWSGIServer = make_server(host, port, _not_ready, threaded=True, request_handler=_Handler)
        self.url = f"http://{host}:{self._http.server_port}"
        config = SimConfig()
        config.update({**state.load_setting("config"), **(settings or {})})
        runner, yarn = make_parts(data_dir, self.url, config)
        self.engine = Engine(state=state, runner=runner, config=config, endpoint_url=self.url)
        self.engine.save_config()
        self._events = EventSender(config, self.engine.clock)
        self.engine.on_changes = self._events.take
        self._journal = Journal(data_dir / "journal.jsonl")
        self._faults = FaultPlan(operation_names())
        throttle = Throttle(self.engine.clock)
        self._http.app = _Router(
            engine=self.engine,
            emr=EmrEndpoint(self.engine, self._journal, self._faults, throttle),
            control_route=Control(self.engine, self._journal, self._faults, throttle, self._events),
            yarn=yarn,
            history=HistoryPages(runner),
            services=AwsServices(data_dir / "s3", self._journal, self.engine.clock, before_call=lambda: pause(config.services_latency_s)),
        )

    def serve_forever(self) -> None:
        """Finish what a crash left undone, then answer requests until `shutdown`."""
        self.engine.recover()
        self.engine.run(every_s=TICK_S)
        self._events.start()
        self._http.serve_forever(poll_interval=0.05)

    def shutdown(self) -> None:
        """Make `serve_forever` return; call it from another thread."""
        self._events.close()
        self._http.shutdown()

    def close(self) -> None:
        """Release held calls, stop the clock and close the files; the steps' processes go on."""
        self._faults.remove()
        self._http.server_close()
        self.engine.close()
        self._journal.close()


def _not_ready(_environ: dict[str, Any], _start_response: Callable[..., Any]) -> Iterable[bytes]:
    raise ConnectionDropped("emrsim is still starting")


def _require_loopback(host: str) -> None:
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise NotLoopback(f"emrsim runs any command it is sent and listens on loopback only, not on {host!r}; use 127.0.0.1")


class _Router:
    """Send a request to the part that serves it."""

    def __init__(self, *, engine: Engine, emr: WsgiApp, control_route: WsgiApp, yarn: WsgiApp, history: WsgiApp, services: WsgiApp) -> None:
        self._engine = engine
        self._emr = emr
        self._control = control_route
        self._yarn = yarn
        self._history = history
        self._services = services

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith(f"{control.PREFIX}/"):
            return self._control(environ, start_response)
        if environ.get("HTTP_X_AMZ_TARGET", "").startswith(TARGET_PREFIX):
            return self._emr(environ, start_response)
        if "HTTP_AUTHORIZATION" not in environ and path.startswith((YARN_PREFIX, ONE_CLUSTER_PREFIX)):
            self._require_master(path)
            return self._yarn(environ, start_response)
        if "HTTP_AUTHORIZATION" not in environ and path.startswith(HISTORY_PREFIX):
            return self._history(environ, start_response)
        return self._services(environ, start_response)

    def _require_master(self, path: str) -> None:
        """Answer nothing for a cluster without a running master, as nothing listens there."""
        if path.startswith(ONE_CLUSTER_PREFIX):
            cluster_id = path.removeprefix(ONE_CLUSTER_PREFIX).partition("/")[0]
            cluster = self._engine.find_anywhere(cluster_id)
            if cluster is None or cluster.state not in READY_CLUSTER:
                raise ConnectionDropped(f"cluster {cluster_id} has no ResourceManager")


class _Handler(WSGIRequestHandler):
    """Say nothing of ordinary requests, and close the connection when no answer is wanted."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        log.debug("%s %s", self.requestline, code)

    def connection_dropped(self, error: BaseException, environ: dict[str, Any] | None = None) -> None:
        log.debug("no answer to %s: %s", self.requestline, error)
        self.close_connection = True
