"""What a persistent user interface shows: a cluster's applications as plain pages, also after its end. A WSGI handler."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from html import escape
from typing import Any

from platyspark_provider.emrsim.ports import StepRunner, YarnApplication

HISTORY_PREFIX = "/emrsim/history/"
_PATH = re.compile(rf"{HISTORY_PREFIX}(?P<cluster>j-[A-Z0-9]+)/(?:shs|yts|tez)/?(?:history/(?P<app>application_\d+_\d+)/?)?")


class HistoryPages:
    """The handler; mount it for paths that begin with `HISTORY_PREFIX`. Tokens are not checked, as the server listens on loopback only."""

    def __init__(self, runner: StepRunner) -> None:
        self._runner = runner

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        found = _PATH.fullmatch(environ["PATH_INFO"])
        apps = [] if found is None else [app for app in self._runner.applications(found["cluster"]) if found["app"] in {None, app.id}]
        if found is None or (found["app"] and not apps):
            status, page = "404 Not Found", _page("Not found", "<p>There is no such application.</p>")
        else:
            status, page = "200 OK", _page(f"Applications of {found['cluster']}", _table(apps))
        body = page.encode()
        start_response(status, [("Content-Type", "text/html;charset=utf-8"), ("Content-Length", str(len(body)))])
        return [body]


def _page(title: str, content: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><title>{escape(title)}</title></head><body><h1>{escape(title)}</h1>{content}</body></html>'
    )


def _table(apps: list[YarnApplication]) -> str:
    if not apps:
        return "<p>No application has run on this cluster.</p>"
    titles = ("Application", "Step", "Name", "State", "Final status", "Started", "Finished", "Diagnostics")
    head = "".join(f"<th>{title}</th>" for title in titles)
    return f"<table><tr>{head}</tr>{''.join(map(_row, apps))}</table>"


def _row(app: YarnApplication) -> str:
    times = _time(app.started_ms), _time(app.finished_ms)
    cells = (app.id, app.step_id, app.name, app.state, app.final_status, *times, app.diagnostics)
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if ms else ""
