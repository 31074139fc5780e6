"""Errors as HTTP answers: `{"detail": {"code", "message", "hint", ...}}` with the status of the error's class."""

import math
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from platyspark_provider.client.wire import problem_from_error
from platyspark_provider.errors import InvalidRequest, NotAllowed, PlatySparkError, TemporaryError


def install_problems(app: FastAPI) -> None:
    """Make the app answer our errors, and FastAPI's own complaints about a body, in one shape."""
    app.add_exception_handler(PlatySparkError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)


def _answer_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PlatySparkError)
    headers: Mapping[str, str] = {}
    status = error.status
    if isinstance(error, TemporaryError):
        headers = {"Retry-After": str(math.ceil(error.retry_after))}
    if isinstance(error, NotAllowed) and error.fields.get("reason") == "token_missing":
        status, headers = 401, {"WWW-Authenticate": "Bearer"}
    return JSONResponse(problem_from_error(error), status_code=status, headers=dict(headers))


def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    """Name the places and never echo the values: a body may hold secrets."""
    assert isinstance(error, RequestValidationError)
    places = [{"place": ".".join(str(part) for part in one["loc"]), "message": one["msg"]} for one in error.errors()]
    said = "; ".join(f"{place['place']}: {place['message']}" for place in places[:3])
    return _answer_error(request, InvalidRequest(f"The request can't be read: {said}.", errors=places))
