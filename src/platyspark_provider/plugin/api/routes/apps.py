"""Applications for people: submit, list, look, cancel, restart. A route writes rows; passes do the work."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from platyspark_provider.core.listing import APP_ORDERS, DEFAULT_LIMIT, AppFilter
from platyspark_provider.core.records import AppDetail
from platyspark_provider.core.states import AppKind, AppPhase, LogState
from platyspark_provider.plugin.api import answers, bodies
from platyspark_provider.plugin.api.problems import problems
from platyspark_provider.plugin.api.public import PublicDep, app_links, capped, etag, order_of
from platyspark_provider.registry.public import DriverLog
from platyspark_provider.registry.views import View, app_view, attempt_view, event_view

router = APIRouter(prefix="/apps", tags=["apps"], responses=problems(401, 403, 422, 503))
Moment = Annotated[datetime | None, Query(description="A time with its zone, such as 2026-11-25T12:00:00Z; without zone UTC.")]
_LOG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}, "description": "One JSON object a line."}
}


@router.post(
    "",
    operation_id="submit_app",
    status_code=201,
    response_model=answers.AppResponse,
    responses={
        200: {
            "model": answers.AppResponse,
            "description": "The key was known: the application as it is by now (`Idempotency-Replayed: true`).",
        },
        **problems(409),
    },
)
def submit_app(public: PublicDep, request: Request, response: Response, body: bodies.SubmitBody, key: bodies.IdempotencyKey = None) -> View:
    """Submit an application; the next pass runs it.

    The same `Idempotency-Key` with the same body returns the application that it made; with another body it is refused (409)
    naming the differing places.
    """
    done = public.submit(body.request(), key=key, dag_id=body.dag_id)
    if done.is_new:
        response.headers["Location"] = app_links(request, done.detail.app)["self"]
    else:
        response.status_code = 200
        response.headers["Idempotency-Replayed"] = "true"
    return {**_shown(request, response, done.detail), "warnings": list(done.warnings)}


@router.get("", operation_id="list_apps", response_model=answers.AppCollectionResponse, responses=problems(400))
def list_apps(
    public: PublicDep,
    request: Request,
    state: Annotated[list[AppPhase], Query()] = [],  # noqa: B006 - FastAPI copies it
    kind: Annotated[list[AppKind], Query()] = [],  # noqa: B006
    team: Annotated[list[bodies.Name], Query(max_length=100)] = [],  # noqa: B006
    dag_id: bodies.Word = None,
    task_id: bodies.Word = None,
    run_id: bodies.Word = None,
    cluster_id: Annotated[int | None, Query(ge=1, le=bodies.MAX_ID)] = None,
    name_pattern: bodies.Word = None,
    submitted_at_gte: Moment = None,
    submitted_at_lte: Moment = None,
    order_by: bodies.Word = "-submitted_at",
    limit: bodies.Limit = DEFAULT_LIMIT,
    offset: bodies.Offset = 0,
) -> dict[str, Any]:
    """List applications that the caller may see: those of readable DAGs, and those of none with the right to see jobs.

    `name_pattern` is part of the name in any case; `%` and `_` as in SQL, `|` for "or", `~` for all.
    """
    order, descending = order_of(order_by, APP_ORDERS)
    wanted = AppFilter(
        states=state,
        kinds=kind,
        teams=team,
        dag_id=dag_id,
        task_id=task_id,
        run_id=run_id,
        cluster_id=cluster_id,
        name_pattern=name_pattern,
        submitted_from=bodies.with_zone(submitted_at_gte),
        submitted_to=bodies.with_zone(submitted_at_lte),
        order_by=order,
        descending=descending,
        limit=capped(limit),
        offset=offset,
    )
    page = public.apps(wanted)
    places = public.places(page.items)
    shown = [
        {**app_view(work.app, work.attempt, place=places.get(work.app.id)), "links": app_links(request, work.app)} for work in page.items
    ]
    return {"apps": shown, "total_entries": page.total}


@router.get("/{app_id}", operation_id="get_app", response_model=answers.AppResponse, responses=problems(404))
def get_app(public: PublicDep, request: Request, response: Response, app_id: bodies.AppId, generation: bodies.Generation = None) -> View:
    """Return an application; its `ETag` is its generation."""
    return _shown(request, response, public.app(app_id, generation))


@router.get(
    "/{app_id}/attempts", operation_id="list_app_attempts", response_model=answers.AttemptCollectionResponse, responses=problems(404)
)
def list_app_attempts(public: PublicDep, app_id: bodies.AppId) -> dict[str, Any]:
    """List all generations of an application, newest first, each with its frozen spec and the source of every value."""
    found = [attempt_view(attempt) for attempt in public.attempts(app_id)]
    return {"attempts": found, "total_entries": len(found)}


@router.get("/{app_id}/events", operation_id="list_app_events", response_model=answers.EventCollectionResponse, responses=problems(404))
def list_app_events(
    public: PublicDep, app_id: bodies.AppId, after: bodies.After = 0, limit: bodies.Limit = DEFAULT_LIMIT
) -> dict[str, Any]:
    """List what happened to an application, oldest first."""
    events = public.app_events(app_id, after=after, limit=capped(limit))
    return {"events": [event_view(event) for event in events], "next_after": events[-1].id if len(events) == capped(limit) else None}


@router.get("/{app_id}/logs", operation_id="get_app_log", response_class=Response, responses={**problems(404), **_LOG})
def get_app_log(
    public: PublicDep,
    app_id: bodies.AppId,
    generation: bodies.Generation = None,
    tail: Annotated[int | None, Query(ge=1, le=100_000, description="At most this many lines of the end.")] = None,
) -> Response:
    """Return the end of a driver's log (64 KB are kept), one `{"event": line}` a line as Airflow's own logs.

    The first line says what follows, and where the whole log is.
    """
    log = public.log(app_id, generation=generation, tail=tail)
    body = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in _log_lines(log))
    return Response(body, media_type="application/x-ndjson")


def _log_lines(log: DriverLog) -> Iterator[dict[str, Any]]:
    where = f"The whole log: {log.uri}" if log.uri else "Where the whole log is, is not known"
    said = {
        LogState.NONE: f"There is no log: this generation is {log.phase.value}. Logs are collected after the end.",
        LogState.PENDING: f"The log has not arrived yet. {where}.",
        LogState.MISSING: f"The log never arrived. {where}.",
        LogState.ARRIVED: f"The end of the driver's log. {where}.",
    }
    head = {"event": said[log.state], "level": "info", "generation": log.generation, "log_state": log.state.value, "log_uri": log.uri}
    yield head
    yield from ({"event": line} for line in log.lines)


@router.post(
    "/{app_id}/cancel", operation_id="cancel_app", status_code=202, response_model=answers.AppResponse, responses=problems(404, 409)
)
def cancel_app(
    public: PublicDep,
    request: Request,
    response: Response,
    app_id: bodies.AppId,
    body: bodies.ReasonBody,
    if_match: bodies.IfMatch = None,
) -> View:
    """Ask for the end of an application; passes carry it out and prove it. A task that waits for it fails without a retry."""
    return _shown(request, response, public.cancel(app_id, reason=body.reason, expected=bodies.generation_of(if_match)))


@router.post(
    "/{app_id}/restart", operation_id="restart_app", status_code=202, response_model=answers.AppResponse, responses=problems(404, 409)
)
def restart_app(
    public: PublicDep,
    request: Request,
    response: Response,
    app_id: bodies.AppId,
    body: bodies.ReasonBody,
    if_match: bodies.IfMatch = None,
) -> View:
    """Run an application again, after the proven end of what still runs; not while a task waits for it: clear that."""
    return _shown(request, response, public.restart(app_id, reason=body.reason, expected=bodies.generation_of(if_match)))


def _shown(request: Request, response: Response, detail: AppDetail) -> View:
    response.headers["ETag"] = etag(detail.app.wanted_generation)
    return {**app_view(detail.app, detail.attempt, place=detail.place), "links": app_links(request, detail.app)}
