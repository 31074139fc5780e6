"""`airflow platyspark apps logs`: the end of a driver's log, as our tables keep it (the last 64 KB of each stream)."""

from argparse import Namespace

from platyspark_provider.cli.following import follow, require_success
from platyspark_provider.cli.output import print_text
from platyspark_provider.cli.running import command, say
from platyspark_provider.cli.site import open_site
from platyspark_provider.core.records import AppDetail
from platyspark_provider.core.states import LogState
from platyspark_provider.errors import InvalidRequest, NotFound
from platyspark_provider.hooks.clock import SystemClock


@command
def logs(args: Namespace) -> None:
    """Print the log; with -f after the end, which exits 1 if that was no success."""
    if args.tail < 0:
        raise InvalidRequest(f"--tail is {args.tail}.", hint="Give a number of lines, or 0 for all that is kept.")
    with open_site() as site:
        detail = site.public.app(args.app_id, args.generation)
        generation = detail.attempt.generation
        if args.follow:
            wait_s = site.settings.log_wait
            detail = follow(lambda: site.public.app(args.app_id, generation), say, clock=SystemClock(), log_wait_s=wait_s)
    try:
        print_log(detail, args.tail)
    finally:
        if args.follow:  # how it ended counts more than whether its log came
            require_success(detail)


def print_log(detail: AppDetail, tail: int) -> None:
    """Print the last lines and say where the rest is; raises NotFound, saying why, where there is none."""
    attempt = detail.attempt
    if attempt.log_tail is None:
        raise NotFound(_why_none(detail))
    lines = attempt.log_tail.splitlines()
    print_text("\n".join(lines[-tail:] if tail else lines))
    if attempt.log_uri:
        say(f"The whole log is at {attempt.log_uri}")


def _why_none(detail: AppDetail) -> str:
    attempt = detail.attempt
    where = f" It will be at {attempt.log_uri}." if attempt.log_uri else ""
    name = f"application {detail.app.id}, generation {attempt.generation}"
    match attempt.log_state:
        case LogState.MISSING:
            return f"The log of {name} was looked for and did not arrive."
        case LogState.PENDING:
            return f"The log of {name} has not arrived yet.{where}"
        case _ if attempt.phase.is_terminal:
            return f"The {name} has no log: it never ran."
        case _:
            return f"The log of {name} arrives after its end; it is {attempt.phase.value} now.{where}"
