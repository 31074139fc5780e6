"""The commands and their arguments; their bodies are loaded when one is run."""

from airflow.cli.cli_config import ARG_OUTPUT, ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command

_NAME = Arg(("name",), help="Name of the token")  # type: ignore[no-untyped-call]
_SCOPES = Arg(  # type: ignore[no-untyped-call]
    ("--scopes",),
    help="What it opens, separated by commas: worker (a task acts on its own application and reads the snapshot), "
    "reconciler (due, claim and record of all), scrape, ingest",
    default="worker,reconciler",
)
_TEAMS = Arg(("--teams",), help="The only teams it acts for, separated by commas (default: all)", default="")  # type: ignore[no-untyped-call]
_EXPIRES = Arg(  # type: ignore[no-untyped-call]
    ("--expires",), help='How long it opens anything, as "90d" or "12h" (default: until it is revoked)', default=""
)


def get_cli_commands() -> list[CLICommand]:
    """Return the command group `platyspark`."""
    return [
        GroupCommand(
            name="platyspark",
            help="Spark as a service: tokens and state",
            subcommands=(GroupCommand(name="tokens", help="Machine tokens of workers, triggerers and others", subcommands=_tokens()),),
        )
    ]


def _tokens() -> tuple[ActionCommand, ...]:
    body = "platyspark_provider.cli.tokens"
    return (
        ActionCommand(
            name="create",
            help="Make a token; its secret is shown once",
            func=lazy_load_command(f"{body}.create"),
            args=(_NAME, _SCOPES, _TEAMS, _EXPIRES, ARG_OUTPUT),
        ),
        ActionCommand(name="list", help="List all tokens, newest first", func=lazy_load_command(f"{body}.list_tokens"), args=(ARG_OUTPUT,)),
        ActionCommand(name="revoke", help="Revoke a token at once", func=lazy_load_command(f"{body}.revoke"), args=(_NAME,)),
    )
