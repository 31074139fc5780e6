"""`HttpRegistry`: the `Registry` port over the worker API, sync and (for triggers) async, over one flow of requests and pauses."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, Self, TypeVar

import httpx

from platyspark_provider import __version__
from platyspark_provider.client import wire
from platyspark_provider.client.exchange import SNAPSHOT_CALL, Call, Outcome, Pause, Send, exchange, generation_body, kill_call, post_call
from platyspark_provider.core.facts import Record
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.records import AppDetail, Claim, ClaimRequest, Due, Ensured, KillAnswer, RecordAnswer, Snapshot, SubmitAnswer
from platyspark_provider.core.spec import AppRequest, ClusterRequest
from platyspark_provider.errors import InvalidRequest

T = TypeVar("T")


class _Address:
    """Where the api-server is and what every request carries; its repr holds no secret."""

    def __init__(self, base_url: str, token: str, actor: str | None) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise InvalidRequest(f"{base_url!r} is no address of an api-server.", hint="Write http://host:8080 or https://host.")
        self.where = base_url.rstrip("/")
        self.url = f"{self.where}{wire.MOUNT}{wire.PREFIX}"
        self.headers = {"Authorization": f"Bearer {token}", wire.CLIENT_HEADER: f"{__version__}/{wire.API_VERSION}"}
        if actor is not None:
            self.headers[wire.ACTOR_HEADER] = actor


class HttpRegistry:
    """The `Registry` port over HTTP; one client, safe to share between threads.

    :param base_url: of the api-server, `http://host:8080`.
    :param token: of `airflow platyspark tokens create`.
    :param timeout_s: for an answer; :param connect_timeout_s: for a connection.
    :param busy_patience_s: how long a locked database (SQLite) is asked again.
    :param actor: who records in events when no task does (`observer`, `watchdog`).
    :param transport: for tests: an in-process application.
    """

    def __init__(
        self,
        *,
        base_url: str,
        token: str,
        timeout_s: float = 30.0,
        connect_timeout_s: float = 5.0,
        verify: bool | str = True,
        busy_patience_s: float = 60.0,
        actor: str | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = _Address(base_url, token, actor)
        self._patience_s, self._sleep, self._clock = busy_patience_s, sleep, clock
        timeout = httpx.Timeout(timeout_s, connect=min(connect_timeout_s, timeout_s))
        self._client = httpx.Client(headers=self._address.headers, timeout=timeout, verify=verify, transport=transport)

    def __repr__(self) -> str:
        return f"HttpRegistry({self._address.where!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def submit(self, request: AppRequest, *, ti_id: str, hold: bool = False) -> SubmitAnswer:
        """Find or make the app of this task; see `Registry`."""
        call = post_call("/worker/apps", wire.SUBMIT_ANSWER, wire.REQUEST.dump_json(request), ti_id)
        return self._ask(replace(call, params={"hold": "true"}) if hold else call)

    def ready(self, app_id: int, generation: int, *, ti_id: str) -> None:
        """Say that all files are at their addresses; see `Registry`."""
        self._ask(post_call(f"/worker/apps/{app_id}/ready", None, generation_body(generation), ti_id))

    def detail(self, app_id: int, generation: int | None = None, *, ti_id: str | None = None) -> AppDetail:
        """Return one application; see `Registry`."""
        params: dict[str, str | int] = {} if generation is None else {"generation": generation}
        return self._ask(Call(method="GET", path=f"/worker/apps/{app_id}/detail", answer=wire.DETAIL, params=params, ti_id=ti_id))

    def acknowledge(self, app_id: int, generation: int, *, ti_id: str) -> None:
        """Say that the task has taken the end; see `Registry`."""
        self._ask(post_call(f"/worker/apps/{app_id}/acknowledge", None, generation_body(generation), ti_id))

    def kill(self, app_id: int, generation: int, *, ti_id: str, reason: str) -> KillAnswer:
        """Ask for a stop on behalf of a killed task; see `Registry`."""
        return self._ask(kill_call(app_id, generation, ti_id, reason))

    def snapshot(self) -> Snapshot:
        """Return all live and unacknowledged applications."""
        return self._ask(SNAPSHOT_CALL)

    def ensure_cluster(self, request: ClusterRequest, *, ti_id: str, team: str | None = None, alongside: bool = True) -> Ensured:
        """Return the living cluster of a name and spec, or ask for one; see `Registry`."""
        body = wire.ENSURE_BODY.dump_json(wire.EnsureBody(cluster=request, team=team, alongside=alongside))
        return self._ask(post_call("/worker/clusters", wire.ENSURED, body, ti_id))

    def end_cluster(
        self, cluster: str | int, action: Literal["drain", "terminate"], *, ti_id: str, force: bool = False
    ) -> tuple[Cluster, ...]:
        """Let a cluster end; see `Registry`."""
        body = wire.END_BODY.dump_json(wire.EndBody(cluster=cluster, action=action, force=force))
        return self._ask(post_call("/worker/clusters/end", wire.CLUSTERS, body, ti_id))

    def cluster(self, cluster_id: int, *, ti_id: str) -> Cluster:
        """Return one cluster; see `Registry`."""
        return self._ask(Call(method="GET", path=f"/worker/clusters/{cluster_id}", answer=wire.CLUSTER, ti_id=ti_id))

    def due(self, *, app_id: int | None = None, ti_id: str | None = None) -> Due:
        """Return open work; see `Registry`."""
        params: dict[str, str | int] = {} if app_id is None else {"app_id": app_id}
        return self._ask(Call(method="GET", path="/worker/due", answer=wire.DUE, params=params, ti_id=ti_id))

    def claim(self, requests: Sequence[ClaimRequest], *, holder: str, ti_id: str | None = None) -> tuple[Claim, ...]:
        """Take leases; see `Registry`."""
        body = wire.CLAIM_BODY.dump_json(wire.ClaimBody(requests=tuple(requests), holder=holder))
        return self._ask(post_call("/worker/claim", wire.CLAIMS, body, ti_id))

    def release(self, claims: Sequence[Claim], *, ti_id: str | None = None) -> None:
        """Give leases back; see `Registry`."""
        self._ask(post_call("/worker/release", None, wire.RELEASE_BODY.dump_json(wire.ReleaseBody(claims=tuple(claims))), ti_id))

    def record(self, records: Sequence[Record], *, ti_id: str | None = None) -> tuple[RecordAnswer, ...]:
        """Record facts in order; see `Registry`."""
        body = wire.RECORD_BODY.dump_json(wire.RecordBody(records=tuple(records)))
        return self._ask(post_call("/worker/record", wire.RECORD_ANSWERS, body, ti_id))

    def lease(self, name: str, *, holder: str, seconds: float) -> bool:
        """Take or renew a named lease."""
        body = wire.LEASE_BODY.dump_json(wire.LeaseBody(name=name, holder=holder, seconds=seconds))
        return self._ask(post_call("/worker/lease", wire.LEASE_ANSWER, body, None)).held

    def health(self) -> Mapping[str, object]:
        """Return what the api-server says of itself to this token: schema, profiles, installation."""
        return self._ask(Call(method="GET", path="/health", answer=wire.HEALTH))

    def _ask(self, call: Call[T]) -> T:
        flow = exchange(call, where=self._address.where, patience_s=self._patience_s, clock=self._clock)
        step = next(flow)
        try:
            while True:
                match step:
                    case Send():
                        step = flow.send(self._send(call))
                    case Pause(seconds=seconds):
                        self._sleep(seconds)
                        step = flow.send(None)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    def _send(self, call: Call[T]) -> Outcome:
        try:
            return self._client.request(
                call.method, self._address.url + call.path, content=call.body, params=call.params, headers=call.headers()
            )
        except httpx.TransportError as lost:
            return lost


class AsyncHttpRegistry:
    """What a trigger asks of the registry, on an event loop; parameters as `HttpRegistry`."""

    def __init__(
        self,
        *,
        base_url: str,
        token: str,
        timeout_s: float = 30.0,
        connect_timeout_s: float = 5.0,
        verify: bool | str = True,
        busy_patience_s: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = _Address(base_url, token, None)
        self._patience_s, self._clock = busy_patience_s, clock
        timeout = httpx.Timeout(timeout_s, connect=min(connect_timeout_s, timeout_s))
        self._client = httpx.AsyncClient(headers=self._address.headers, timeout=timeout, verify=verify, transport=transport)

    def __repr__(self) -> str:
        return f"AsyncHttpRegistry({self._address.where!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def snapshot(self) -> Snapshot:
        """Return all live and unacknowledged applications."""
        return await self._ask(SNAPSHOT_CALL)

    async def kill(self, app_id: int, generation: int, *, ti_id: str, reason: str) -> KillAnswer:
        """Ask for a stop on behalf of a killed task; see `Registry`."""
        return await self._ask(kill_call(app_id, generation, ti_id, reason))

    async def _ask(self, call: Call[T]) -> T:
        flow = exchange(call, where=self._address.where, patience_s=self._patience_s, clock=self._clock)
        step = next(flow)
        try:
            while True:
                match step:
                    case Send():
                        step = flow.send(await self._send(call))
                    case Pause(seconds=seconds):
                        await asyncio.sleep(seconds)
                        step = flow.send(None)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    async def _send(self, call: Call[T]) -> Outcome:
        try:
            return await self._client.request(
                call.method, self._address.url + call.path, content=call.body, params=call.params, headers=call.headers()
            )
        except httpx.TransportError as lost:
            return lost
