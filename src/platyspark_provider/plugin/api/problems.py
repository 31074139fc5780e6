"""Errors as HTTP answers: `{"detail": {"code", "message", "hint", ...}}` with the status of the error's class, and their description."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from platyspark_provider.client.wire import problem_from_error
from platyspark_provider.errors import InvalidRequest, NotAllowed, PlatySparkError, TemporaryError

_NOBODY = frozenset({"token_missing", "login_missing"})
"""Reasons that mean: say who you are (401); all others mean: not you (403)."""


class ProblemDetail(BaseModel):
    """What went wrong, and what to do next; fields of the error's class stand beside these."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str
    hint: str = ""
    retry_after: float | None = None


class Problem(BaseModel):
    """An error's answer."""

    detail: ProblemDetail


_SAID = {
    400: "The list can't be ordered by that",
    401: "Nobody is logged in, or no token came along",
    403: "Not allowed for this caller, or by a policy",
    404: "There is no such object, or the caller may not see it",
    409: "The object is in a state, or known with other values, that does not fit",
    422: "A value can't be used",
    426: "The client is too old",
    503: "Ask again after `Retry-After` seconds",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of error answers for a route."""
    return {status: {"model": Problem, "description": _SAID[status]} for status in statuses}


def install_problems(app: FastAPI) -> None:
    """Make the app answer our errors, and FastAPI's own complaints, in one shape."""
    app.add_exception_handler(PlatySparkError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)


def _answer_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PlatySparkError)
    headers: Mapping[str, str] = {}
    status = error.status
    if isinstance(error, TemporaryError):
        headers = {"Retry-After": str(math.ceil(error.retry_after))}
    if isinstance(error, NotAllowed) and error.fields.get("reason") in _NOBODY:
        status, headers = 401, {"WWW-Authenticate": "Bearer"}
    return JSONResponse(problem_from_error(error), status_code=status, headers=dict(headers))


def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    """Name the places and never echo the values: a body may hold secrets."""
    assert isinstance(error, RequestValidationError)
    places = [{"place": ".".join(str(part) for part in one["loc"]), "message": one["msg"]} for one in error.errors()]
    said = "; ".join(f"{place['place']}: {place['message']}" for place in places[:3])
    return _answer_error(request, InvalidRequest(f"The request can't be read: {said}.", errors=places))


def _answer_http(request: Request, error: Exception) -> JSONResponse:
    """Answer what Starlette itself refuses (an unknown path, a wrong method, a body that is no text) in the same shape."""
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return _answer_error(request, InvalidRequest(f"The request can't be read: {error.detail}", hint="Send JSON in UTF-8."))
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    detail = {"code": code, "message": f"{error.detail}.", "hint": ""}
    return JSONResponse({"detail": detail}, status_code=error.status_code, headers=dict(error.headers or {}))
