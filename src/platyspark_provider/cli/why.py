"""`airflow platyspark apps why`: reads what `explanation` explains."""

from argparse import Namespace

from platyspark_provider.cli.explanation import as_row, explain
from platyspark_provider.cli.output import print_object, print_text
from platyspark_provider.cli.passes import pass_ends
from platyspark_provider.cli.running import command
from platyspark_provider.cli.site import Site, open_site
from platyspark_provider.core.listing import MAX_LIMIT
from platyspark_provider.core.model import Event


@command
def why(args: Namespace) -> None:
    """Print why an application is where it is."""
    with open_site() as site:
        detail, events, now = site.public.app(args.app_id), _events(site, args.app_id), site.store.now()
    explanation = explain(detail, events, passes=pass_ends(), now=now)
    if args.output in {"json", "yaml"}:
        print_object(as_row(explanation), args.output)
        return
    for line in explanation.lines():
        print_text(line)


def _events(site: Site, app_id: int) -> list[Event]:
    """Return all events of an application, oldest first."""
    found: list[Event] = []
    while page := site.public.app_events(app_id, after=found[-1].id or 0 if found else 0):
        found += page
        if len(page) < MAX_LIMIT:
            break
    return found
