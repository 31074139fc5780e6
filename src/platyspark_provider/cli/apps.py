"""`airflow platyspark apps list|get|cancel|restart`: the rules are those of the REST routes; who has the database may do everything."""

from argparse import Namespace
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, TypeVar

from platyspark_provider.cli.output import Row, print_object, print_rows
from platyspark_provider.cli.running import command, say
from platyspark_provider.cli.site import open_site, page_limit
from platyspark_provider.core.listing import MAX_LIMIT, AppFilter
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.records import AppDetail
from platyspark_provider.core.states import AppKind, AppPhase
from platyspark_provider.core.strict_mapping import did_you_mean
from platyspark_provider.errors import InvalidRequest
from platyspark_provider.registry.views import app_view

E = TypeVar("E", bound=StrEnum)

_LISTED = ("id", "name", "state", "team", "dag_id", "generation", "submitted_at", "waits_for")
_EMPTY = "No applications. Submit one: airflow platyspark apps submit s3://bucket/job.py"


@command
def list_apps(args: Namespace) -> None:
    """Print applications, the newest first, and say on stderr when there are more."""
    wanted = AppFilter(
        states=_words("--state", args.state, AppPhase),
        kinds=() if args.kind is None else (AppKind(args.kind),),
        teams=() if args.team is None else (args.team,),
        dag_id=args.dag_id,
        limit=page_limit(args.limit),
    )
    with open_site() as site:
        page = site.public.apps(wanted)
        places = site.public.places(page.items)
    views = [app_view(work.app, work.attempt, place=places.get(work.app.id)) for work in page.items]
    print_rows([_line(view) for view in views], args.output, columns=_LISTED, empty=_EMPTY, documents=views)
    if page.total > len(page.items):
        say(f"{len(page.items)} of {page.total}; narrow it with --state, --team or --dag-id, or raise --limit (at most {MAX_LIMIT}).")


@command
def get(args: Namespace) -> None:
    """Print one application."""
    with open_site() as site:
        detail = site.public.app(args.app_id)
    print_app(detail, args.output)


@command
def cancel(args: Namespace) -> None:
    """Record the wish that an application ends; the next pass carries it out."""
    with open_site() as site:
        detail = site.public.cancel(args.app_id, reason=args.reason)
    print_app(detail, args.output)
    say(f"Application {args.app_id} will be stopped by the next pass; follow it: airflow platyspark apps logs {args.app_id} -f")


@command
def restart(args: Namespace) -> None:
    """Record the wish that an application runs again with the request it has."""
    with open_site() as site:
        detail = site.public.restart(args.app_id, reason=args.reason)
    print_app(detail, args.output)
    say(f"Generation {detail.app.wanted_generation} of application {args.app_id} will be sent by the next pass.")


def print_app(detail: AppDetail, output: str) -> None:
    """Print an application: for programs all of it, as the REST route does, with the source of each value; for people the main facts."""
    view = app_view(detail.app, detail.attempt, place=detail.place)
    if output in {"json", "yaml"}:
        print_object({**view, "sources": dict(detail.attempt.provenance)}, output)
        return
    status = view["status"]
    facts = {
        **_line(view),
        **{name: view[name] for name in ("app_key", "owner", "task_id", "run_id", "desired_state")},
        "cluster": _cluster(detail.cluster),
        **{name: status[name] for name in ("external_id", "sent_at", "started_at", "ended_at", "log_uri", "result")},
    }
    print_object({name: value for name, value in facts.items() if value not in (None, "", {})}, output)


def _line(view: Row) -> dict[str, Any]:
    """Return what tables show of an application."""
    waits = [one["message"] for one in view["status"]["conditions"] if one["type"] == "Scheduled" and one["status"] == "False"]
    is_over = view["status"]["ended_at"] is not None
    return {
        "id": view["id"],
        "name": view["name"],
        "state": view["status"]["state"],
        "team": view["team"],
        "dag_id": view["dag_id"],
        "generation": view["status"]["attempt"],
        "submitted_at": view["submitted_at"],
        "waits_for": "" if is_over else "; ".join(waits),
    }


def _cluster(cluster: Cluster | None) -> str:
    return "" if cluster is None else f"{cluster.name} ({cluster.id}, {cluster.external_id or 'no id yet'})"


def _words(flag: str, given: Iterable[str], known: type[E]) -> tuple[E, ...]:
    """Return the words of an enumeration that were given, also separated by commas."""
    names = [word.strip() for text in given for word in text.split(",") if word.strip()]
    for name in names:
        if name not in set(known):
            raise InvalidRequest(f"{flag} is {name!r}: unknown.", hint=did_you_mean(name, [word.value for word in known]))
    return tuple(known(name) for name in names)
