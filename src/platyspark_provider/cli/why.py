"""`airflow platyspark apps why`: reads what `explanation` explains."""

from argparse import Namespace

from platyspark_provider.cli.explanation import as_row, explain
from platyspark_provider.cli.output import print_object, print_text
from platyspark_provider.cli.passes import pass_ends
from platyspark_provider.cli.running import command, open_store
from platyspark_provider.core.model import Event
from platyspark_provider.store.base import Store

_PAGE = 100


@command
def why(args: Namespace) -> None:
    """Print why an application is where it is."""
    with open_store() as store:
        detail, events, now = store.detail(args.app_id), events_of(store, "app", args.app_id), store.now()
    explanation = explain(detail, events, passes=pass_ends(), now=now)
    if args.output in {"json", "yaml"}:
        print_object(as_row(explanation), args.output)
        return
    for line in explanation.lines():
        print_text(line)


def events_of(store: Store, kind: str, id_: int) -> list[Event]:
    """Return all events of an object, oldest first."""
    found: list[Event] = []
    while page := store.events(object_kind=kind, object_id=id_, after=found[-1].id or 0 if found else 0, limit=_PAGE):
        found += page
        if len(page) < _PAGE:
            break
    return found
