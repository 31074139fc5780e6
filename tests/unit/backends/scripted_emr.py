"""EmrBackend with real boto3 clients against a server that a test scripts by operation, and YARN beside it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from platyspark_provider.backends.base import AttemptRef, Launch
from platyspark_provider.backends.emr import EmrBackend
from platyspark_provider.backends.emr_api import EmrClients
from platyspark_provider.packaging.artifacts import put_missing
from tests.builders import make_spec, make_target
from tests.unit.backends.aws_server import Answer, Server, client, free_port, serve

Handlers = dict[str, Callable[[Any], Answer]]
CLUSTER_NAME = "plsp/test/shared/0123456789ab/iabcdef/g1/s1"


@contextmanager
def backend(handlers: Handlers, *, yarn_url: str | None = None) -> Iterator[tuple[EmrBackend, Server]]:
    """Serve operations by handler; one without a handler is a mistake of the test."""
    with serve(lambda _method, operation, body: handlers[operation](body)) as server:
        emr = client("emr", server.url, read_timeout=1.0)
        target = make_target(yarn_url=yarn_url or f"http://127.0.0.1:{free_port()}")
        s3 = client("s3", server.url)
        yield EmrBackend(EmrClients(mutating=emr, reading=emr, s3=s3), target, put=partial(put_missing, s3)), server


def operations(server: Server) -> list[str]:
    return [operation for _, operation, _ in server.seen]


def answer(**body: Any) -> Callable[[Any], Answer]:
    return lambda _: Answer(200, body)


def cluster(id_: str = "j-1", state: str = "WAITING", name: str = CLUSTER_NAME, **more: Any) -> dict[str, Any]:
    return {"Id": id_, "Name": name, "Status": {"State": state, "Timeline": {"CreationDateTime": 1.0}}, **more}


def step(id_: str, state: str = "RUNNING", name: str = "run", **timeline: float) -> dict[str, Any]:
    return {"Id": id_, "Name": name, "Status": {"State": state, "Timeline": {"StartDateTime": 2.0} | timeline}}


def launches(count: int) -> list[Launch]:
    return [Launch(name=f"plsp-abcdef-{n}-g1", yarn_tag=f"plsp:abcdef:{n}:1", spec=make_spec(), token="t") for n in range(count)]


def ref(id_: str = "s-1", **values: Any) -> AttemptRef:
    base: dict[str, Any] = {
        "app_id": 1,
        "generation": 1,
        "name": "run",
        "yarn_tag": "plsp:abcdef:1:1",
        "cluster": "j-1",
        "external_id": id_,
        "spec": make_spec(),
    }
    return AttemptRef(**{**base, **values})


@contextmanager
def resource_manager(*applications: dict[str, Any]) -> Iterator[Server]:
    """Serve YARN's list of applications; a kill changes nothing but is seen."""
    body = {"apps": {"app": list(applications)} if applications else None}
    with serve(lambda method, _path, _body: Answer(200, body) if method == "GET" else Answer(202, {"state": "KILLED"})) as server:
        yield server


def application(state: str, id_: str = "application_1_0001", tags: str = "plsp:abcdef:1:1", **more: str) -> dict[str, Any]:
    return {"id": id_, "state": state, "finalStatus": "UNDEFINED", "applicationTags": tags, "trackingUrl": "http://rm/proxy"} | more
