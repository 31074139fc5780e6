"""One call of the worker API as a flow of requests and pauses, and how its answer is read; no I/O here: `http` drives it."""

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from platyspark_provider.client import wire
from platyspark_provider.core.records import KillAnswer
from platyspark_provider.errors import RegistryUnavailable, StoreBusy

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One request, and how its answer is read.

    :param answer: None where a success has no content.
    """

    method: str
    path: str
    answer: TypeAdapter[T] | None
    body: bytes | None = None
    params: Mapping[str, str | int] = field(default_factory=dict)
    ti_id: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers of this request alone."""
        content = {"Content-Type": "application/json"} if self.body is not None else {}
        return content if self.ti_id is None else {**content, wire.TI_HEADER: self.ti_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """The flow wants its request sent; it is given the response, or the error of the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The flow wants to wait."""

    seconds: float


Outcome = httpx.Response | httpx.TransportError | None
Flow = Generator[Send | Pause, Outcome, T]


def exchange(call: Call[T], *, where: str, patience_s: float, clock: Callable[[], float]) -> Flow[T]:
    """Yield what a driver has to do for one call; returns the answer. A busy store is asked again (every verb is idempotent).

    :param patience_s: how long a busy store is asked; all other errors are raised at once.
    """
    began = clock()
    while True:
        outcome = yield Send()
        try:
            return _answer(call, outcome, where)
        except StoreBusy as busy:
            pause = busy.retry_after * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load
            if clock() + pause > began + patience_s:
                raise
        yield Pause(seconds=pause)


def _answer(call: Call[T], outcome: Outcome, where: str) -> T:
    if isinstance(outcome, httpx.TransportError):
        raise RegistryUnavailable(
            f"{where} was not reached ({type(outcome).__name__}: {outcome}).", hint="Is the api-server up?"
        ) from outcome
    assert outcome is not None
    if not outcome.is_success:
        raise wire.error_from_problem(outcome.status_code, _json(outcome), retry_after=_retry_after(outcome), where=where)
    if call.answer is None:
        return None  # type: ignore[return-value]
    try:
        return call.answer.validate_json(outcome.content)
    except ValidationError as bad:
        message = f"{where} answered {call.path} with something else than our API's JSON ({bad.error_count()} errors)."
        raise RegistryUnavailable(message, hint="Does a proxy or a login page stand between?") from None


def _json(response: httpx.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return None


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.replace(".", "", 1).isdigit() else None


def post_call(path: str, answer: TypeAdapter[T] | None, body: bytes, ti_id: str | None) -> Call[T]:
    return Call(method="POST", path=path, answer=answer, body=body, ti_id=ti_id)


def generation_body(generation: int) -> bytes:
    return wire.GENERATION_BODY.dump_json(wire.GenerationBody(generation=generation))


def kill_call(app_id: int, generation: int, ti_id: str, reason: str) -> Call[KillAnswer]:
    body = wire.KILL_BODY.dump_json(wire.KillBody(generation=generation, reason=reason))
    return Call(method="POST", path=f"/worker/apps/{app_id}/kill", answer=wire.KILL_ANSWER, body=body, ti_id=ti_id)


SNAPSHOT_CALL = Call(method="GET", path="/worker/snapshot", answer=wire.SNAPSHOT)
