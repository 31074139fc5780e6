"""The client: what it sends, how it reads answers, and what it makes of everything that goes wrong on the way."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from platyspark_provider import __version__
from platyspark_provider.client import wire
from platyspark_provider.client.http import AsyncHttpRegistry, HttpRegistry
from platyspark_provider.core.facts import Record
from platyspark_provider.core.records import Snapshot
from platyspark_provider.errors import (
    ClientTooOld,
    IdempotencyMismatch,
    InvalidRequest,
    NotAllowed,
    NotFound,
    PermanentError,
    PlatySparkError,
    RegistryUnavailable,
    SchemaBehind,
    StoreBusy,
    TemporaryError,
    error_classes,
)
from tests.builders import make_request

Handler = Callable[[httpx.Request], httpx.Response]
EMPTY = {"at": "2026-11-25T12:00:00Z", "apps": []}


class FakeTime:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def registry(handler: Handler, time: FakeTime | None = None, **values: Any) -> HttpRegistry:
    time = time or FakeTime()
    base: dict[str, Any] = {"base_url": "http://api:8080/", "token": "s3cret", "sleep": time.sleep, "clock": time.clock}
    return HttpRegistry(**{**base, **values}, transport=httpx.MockTransport(handler))


def problem(error: PlatySparkError) -> httpx.Response:
    return httpx.Response(error.status, json=wire.problem_from_error(error))


def test_request_carries_token_version_actor_and_task() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"granted": True, "reason": "x"})

    with registry(answer, actor="observer") as client:
        assert client.kill(7, 2, ti_id="ti-1", reason="on_kill").granted
    (request,) = seen
    assert str(request.url) == "http://api:8080/platyspark/api/v1/worker/apps/7/kill"
    assert request.headers["Authorization"] == "Bearer s3cret"
    assert request.headers[wire.CLIENT_HEADER] == f"{__version__}/{wire.API_VERSION}"
    assert (request.headers[wire.TI_HEADER], request.headers[wire.ACTOR_HEADER]) == ("ti-1", "observer")
    assert wire.KILL_BODY.validate_json(request.content) == wire.KillBody(generation=2, reason="on_kill")


def test_request_without_task_or_actor_sends_no_such_header() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert wire.TI_HEADER not in request.headers
        assert wire.ACTOR_HEADER not in request.headers
        return httpx.Response(200, json=EMPTY)

    assert registry(answer).snapshot().apps == ()


@pytest.mark.parametrize("address", ["api:8080", "", "ftp://api"])
def test_client_of_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidRequest, match="no address of an api-server"):
        HttpRegistry(base_url=address, token="x")


def test_client_shows_no_secret() -> None:
    client = registry(lambda _: httpx.Response(500))
    assert "s3cret" not in repr(client)
    with pytest.raises(RegistryUnavailable) as refused:
        client.snapshot()
    assert "s3cret" not in f"{refused.value!r} {refused.value.fields} {refused.value.__cause__!r}"


@pytest.mark.parametrize("code", sorted(set(error_classes()) - {"store_busy"}))
def test_error_of_the_api_is_rebuilt_by_its_code(code: str) -> None:
    cls = error_classes()[code]
    sent = cls("What happened.", hint="What to do.", differing=["args"])
    with pytest.raises(cls) as raised:
        registry(lambda _: problem(sent)).snapshot()
    assert type(raised.value) is cls
    assert (raised.value.message, raised.value.hint, raised.value.fields["differing"]) == ("What happened.", "What to do.", ["args"])


def test_error_keeps_its_retry_after() -> None:
    with pytest.raises(SchemaBehind) as raised:
        registry(lambda _: problem(SchemaBehind("behind", retry_after=30))).snapshot()
    assert raised.value.retry_after == 30


@pytest.mark.parametrize(("status", "cls"), [(401, NotAllowed), (403, NotAllowed), (418, PermanentError), (503, TemporaryError)])
def test_error_with_a_code_of_the_future_is_read_by_its_status(status: int, cls: type[PlatySparkError]) -> None:
    body = {"detail": {"code": "of_the_future", "message": "m"}}
    with pytest.raises(cls) as raised:
        registry(lambda _: httpx.Response(status, json=body)).snapshot()
    assert type(raised.value) is cls


@pytest.mark.parametrize(
    ("response", "hint"),
    [
        (httpx.Response(502, text="<html>Bad Gateway</html>"), "proxy"),
        (httpx.Response(500, json={"detail": "Internal Server Error"}), "proxy"),
        (httpx.Response(404, json={"detail": "Not Found"}), "with platyspark-provider installed"),
        (httpx.Response(307, headers={"Location": "https://api"}), "redirects"),
        (httpx.Response(200, text="<html>login</html>"), "login page"),
        (httpx.Response(200, json={"at": "yesterday"}), "login page"),
    ],
)
def test_answer_that_is_not_ours_is_unavailable(response: httpx.Response, hint: str) -> None:
    with pytest.raises(RegistryUnavailable, match=hint):
        registry(lambda _: response).snapshot()


def test_answer_with_retry_after_of_a_proxy_is_honoured() -> None:
    with pytest.raises(RegistryUnavailable) as raised:
        registry(lambda _: httpx.Response(503, headers={"Retry-After": "17"})).snapshot()
    assert raised.value.retry_after == 17


@pytest.mark.parametrize("lost", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut")])
def test_way_that_fails_is_unavailable_and_not_repeated(lost: httpx.TransportError) -> None:
    calls: list[int] = []

    def fail(_: httpx.Request) -> httpx.Response:
        calls.append(1)
        raise lost

    with pytest.raises(RegistryUnavailable, match=type(lost).__name__):
        registry(fail).snapshot()
    assert calls == [1]


def test_busy_store_is_asked_again_until_it_answers() -> None:
    time = FakeTime()
    answers = [problem(StoreBusy("locked", retry_after=1)), problem(StoreBusy("locked", retry_after=1)), httpx.Response(200, json=EMPTY)]
    assert registry(lambda _: answers.pop(0), time).snapshot().apps == ()
    assert len(time.slept) == 2
    assert all(0.5 <= pause <= 1.5 for pause in time.slept)


def test_busy_store_is_given_up_within_the_patience() -> None:
    time = FakeTime()
    with pytest.raises(StoreBusy):
        registry(lambda _: problem(StoreBusy("locked", retry_after=4)), time, busy_patience_s=60).snapshot()
    assert 50 <= time.now <= 60


@pytest.mark.parametrize("error", [IdempotencyMismatch("m"), NotFound("m"), ClientTooOld("m"), SchemaBehind("m")])
def test_other_errors_are_raised_at_once(error: PlatySparkError) -> None:
    time = FakeTime()
    with pytest.raises(type(error)):
        registry(lambda _: problem(error), time).submit(make_request(), ti_id="ti-1")
    assert time.slept == []


async def test_async_client_reads_answers_and_errors_alike() -> None:
    answers = [
        httpx.Response(200, json=EMPTY),
        httpx.Response(200, json={"granted": False, "reason": "moved"}),
        problem(NotAllowed("no", reason="token_revoked")),
    ]
    transport = httpx.MockTransport(lambda _: answers.pop(0))
    async with AsyncHttpRegistry(base_url="http://api", token="s3cret", transport=transport) as client:
        assert isinstance(await client.snapshot(), Snapshot)
        assert not (await client.kill(1, 1, ti_id="ti-1", reason="x")).granted
        with pytest.raises(NotAllowed) as raised:
            await client.snapshot()
        assert raised.value.fields["reason"] == "token_revoked"
        assert "s3cret" not in repr(client)


async def test_async_client_waits_for_a_busy_store_without_blocking_the_loop() -> None:
    answers = [problem(StoreBusy("locked", retry_after=0.01)), httpx.Response(200, json=EMPTY)]
    ticks: list[int] = []

    async def tick() -> None:
        while answers:
            ticks.append(1)
            await asyncio.sleep(0)

    async with AsyncHttpRegistry(base_url="http://api", token="x", transport=httpx.MockTransport(lambda _: answers.pop(0))) as client:
        _, snapshot = await asyncio.gather(tick(), client.snapshot())
    assert snapshot.apps == ()
    assert len(ticks) > 1


async def test_async_client_turns_a_lost_way_into_unavailable() -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("slow")

    async with AsyncHttpRegistry(base_url="http://api", token="x", transport=httpx.MockTransport(fail)) as client:
        with pytest.raises(RegistryUnavailable):
            await client.snapshot()


def test_every_kind_of_record_has_a_discriminator_of_its_own() -> None:
    kinds = [cls.__dataclass_fields__["kind"].default for cls in Record.__args__]
    assert len(set(kinds)) == len(kinds) == len(Record.__args__)
