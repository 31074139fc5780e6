"""A scripted runner, a clock set by hand and an EMR without HTTP, for tests of the state machine."""

import io
import json
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from moto.s3.models import s3_backends

from platyspark_provider.emrsim.clock import SimClock
from platyspark_provider.emrsim.config import SimConfig
from platyspark_provider.emrsim.emr_endpoint import EmrEndpoint
from platyspark_provider.emrsim.engine import Engine
from platyspark_provider.emrsim.faults import FaultPlan
from platyspark_provider.emrsim.journal import Journal
from platyspark_provider.emrsim.ports import StepExit, StepLaunch, YarnApplication
from platyspark_provider.emrsim.server import EmrSimServer
from platyspark_provider.emrsim.state_file import StateFile
from platyspark_provider.emrsim.throttle import Throttle
from platyspark_provider.emrsim.wire import operation_names

REGION = "eu-central-1"


class FakeRunner:
    """A runner whose steps end when the test says so; it starts each step id once, as the real one."""

    def __init__(self) -> None:
        self.started: list[StepLaunch] = []
        self.signals: list[tuple[str, bool]] = []
        self.stopped_clusters: list[str] = []
        self.live_applications: list[YarnApplication] = []
        self._exits: list[StepExit] = []

    def finish(self, step_id: str, exit_code: int = 0, **details: Any) -> None:
        self._exits.append(StepExit(step_id=step_id, exit_code=exit_code, **details))

    def start(self, launch: StepLaunch) -> None:
        if launch.step_id not in self.started_ids:
            self.started.append(launch)

    @property
    def started_ids(self) -> list[str]:
        return [launch.step_id for launch in self.started]

    def poll(self) -> Sequence[StepExit]:
        exits, self._exits = self._exits, []
        return exits

    def signal_step(self, step_id: str, *, kill: bool) -> None:
        self.signals.append((step_id, kill))

    def stop_cluster(self, cluster_id: str) -> None:
        self.stopped_clusters.append(cluster_id)

    def applications(self, cluster_id: str | None = None) -> Sequence[YarnApplication]:
        return [app for app in self.live_applications if cluster_id in {None, app.cluster_id}]

    def kill_application(self, application_id: str) -> bool:
        return any(app.id == application_id for app in self.live_applications)

    def shutdown(self) -> None:
        pass


class ManualClock(SimClock):
    """Epoch seconds that move only by hand."""

    def __init__(self) -> None:
        super().__init__(speed=0, anchor={"virtual": 1_700_000_000.0, "real": 0.0, "speed": 0.0})

    @property
    def now(self) -> float:
        return self()


class Refused(Exception):
    """EMR answered with an error."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(body.get("message") or body.get("Message"))
        self.status = status
        self.code = body["__type"]


class Emr:
    """EMR's endpoint called in process, with virtual time."""

    def __init__(self, folder: Path, runner: FakeRunner, clock: ManualClock) -> None:
        self._folder = folder
        self.runner = runner
        self.clock = clock
        self.config = SimConfig(starting_s=10, bootstrapping_s=20, terminating_s=5, step_start_s=1, cancel_s=1)
        self._open()

    def _open(self) -> None:
        self.engine = Engine(state=StateFile(self._folder / "state.sqlite"), runner=self.runner, config=self.config, clock=self.clock)
        self.journal = Journal(self._folder / "journal.jsonl")
        self.faults = FaultPlan(operation_names())
        self.throttle = Throttle(self.clock)
        self._endpoint = EmrEndpoint(self.engine, self.journal, self.faults, self.throttle)

    def reopen(self) -> None:
        """Go on with what is on disk, as after a crash."""
        self.close()
        self._open()
        self.engine.recover()

    def close(self) -> None:
        self.engine.close()
        self.journal.close()

    def post(self, operation: str, body: bytes, *, region: str = REGION, signed: bool = True) -> tuple[int, dict[str, Any]]:
        scope = f"AWS4-HMAC-SHA256 Credential=AKID/20260101/{region}/elasticmapreduce/aws4_request, SignedHeaders=host, Signature=0"
        environ = {
            "HTTP_X_AMZ_TARGET": f"ElasticMapReduce.{operation}",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            **({"HTTP_AUTHORIZATION": scope} if signed else {}),
        }
        statuses: list[str] = []
        answer = b"".join(self._endpoint(environ, lambda status, _headers: statuses.append(status)))
        return int(statuses[0].split()[0]), json.loads(answer)

    def call(self, operation: str, *, region: str = REGION, **request: Any) -> dict[str, Any]:
        status, answer = self.post(operation, json.dumps(request).encode(), region=region)
        if status != 200:
            raise Refused(status, answer)
        return answer

    def after(self, seconds: float) -> None:
        """Let time pass in steps of a second, as the ticker sees it."""
        while seconds > 0:
            step = min(1.0, seconds)
            self.clock.advance(step)
            self.engine.tick()
            seconds -= step

    def create(self, *, ready: bool = True, keep_alive: bool = True, instances: dict[str, Any] | None = None, **request: Any) -> str:
        layout = {"InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": keep_alive, **(instances or {})}
        cluster_id: str = self.call("RunJobFlow", **{"Name": "etl", "Instances": layout, **request})["JobFlowId"]
        if ready:
            self.after(31)
        return cluster_id

    def add(self, cluster_id: str, *names: str, action: str = "CONTINUE", **request: Any) -> list[str]:
        steps = [step(name, action=action) for name in names]
        return list(self.call("AddJobFlowSteps", JobFlowId=cluster_id, Steps=steps, **request)["StepIds"])

    def cluster(self, cluster_id: str) -> dict[str, Any]:
        return dict(self.call("DescribeCluster", ClusterId=cluster_id)["Cluster"])

    def state(self, cluster_id: str) -> str:
        return str(self.cluster(cluster_id)["Status"]["State"])

    def step(self, cluster_id: str, step_id: str) -> dict[str, Any]:
        return dict(self.call("DescribeStep", ClusterId=cluster_id, StepId=step_id)["Step"])

    def step_state(self, cluster_id: str, step_id: str) -> str:
        return str(self.step(cluster_id, step_id)["Status"]["State"])


def step(name: str, *, action: str = "CONTINUE", args: Sequence[str] = ("true",)) -> dict[str, Any]:
    return {"Name": name, "ActionOnFailure": action, "HadoopJarStep": {"Jar": "command-runner.jar", "Args": list(args)}}


@pytest.fixture
def emr(tmp_path: Path) -> Iterator[Emr]:
    opened = Emr(tmp_path, FakeRunner(), ManualClock())
    yield opened
    opened.close()


@pytest.fixture
def live_application() -> Any:
    def make(cluster_id: str) -> YarnApplication:
        return YarnApplication(
            id="application_1_0001",
            cluster_id=cluster_id,
            step_id="s-00000000000000000000",
            name="job",
            state="RUNNING",
            final_status="UNDEFINED",
            tags=(),
            started_ms=1,
            finished_ms=0,
            diagnostics="",
            pid=None,
        )

    return make


Serve = Callable[..., AbstractContextManager[EmrSimServer]]


def echo(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer with the path, in YARN's place."""
    body = environ["PATH_INFO"].encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Run the server in a thread, with a runner that does nothing."""

    @contextmanager
    def run(**settings: Any) -> Iterator[EmrSimServer]:
        server = EmrSimServer(data_dir=tmp_path / "sim", make_parts=lambda *_: (FakeRunner(), echo), settings=settings)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
            server.close()

    yield run
    for account in s3_backends.values():
        for backend in account.values():
            backend.reset()


@pytest.fixture
def read_json() -> Callable[[EmrSimServer, str], Any]:
    """Read the server's control route."""

    def read(server: EmrSimServer, path: str) -> Any:
        with urllib.request.urlopen(f"{server.url}/_emrsim/{path}") as answer:
            return json.loads(answer.read())

    return read
