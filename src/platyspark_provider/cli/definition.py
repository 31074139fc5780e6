"""The commands `airflow platyspark ...` as Airflow's parser takes them; their bodies are loaded when one is run."""

from collections.abc import Iterable

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command

from platyspark_provider.cli import arguments as a

_BODIES = "platyspark_provider.cli"


def get_cli_commands() -> list[CLICommand]:
    """Return the command group `platyspark`."""
    groups: tuple[CLICommand, ...] = (
        GroupCommand(name="profiles", help="What profiles.yaml says", subcommands=_profiles()),
        GroupCommand(name="tokens", help="Machine tokens of workers, triggerers and others", subcommands=_tokens()),
        _command("doctor", "Check connection, token, schema, AWS and more, each with its fix", "doctor.command.doctor", _doctor()),
    )
    return [GroupCommand(name="platyspark", help="Spark as a service", subcommands=groups)]


def _command(name: str, help_: str, body: str, args: Iterable[Arg] = ()) -> ActionCommand:
    return ActionCommand(name=name, help=help_, func=lazy_load_command(f"{_BODIES}.{body}"), args=tuple(args))


def _profiles() -> tuple[ActionCommand, ...]:
    return (
        _command("list", "List the profiles", "profiles.list_profiles", (a.ARG_OUTPUT,)),
        _command("show", "Show a profile's values and where each came from", "profiles.show", (a.PROFILE_NAME, a.ARG_OUTPUT)),
        _command("check", "Check a profiles.yaml before it is put in place", "profiles.check", (a.PROFILES_PATH, a.ARG_OUTPUT)),
    )


def _tokens() -> tuple[ActionCommand, ...]:
    return (
        _command(
            "create",
            "Make a token; its secret is shown once",
            "tokens.create",
            (a.TOKEN_NAME, a.SCOPES, a.TEAMS, a.EXPIRES, a.ARG_OUTPUT),
        ),
        _command("list", "List all tokens, newest first", "tokens.list_tokens", (a.ARG_OUTPUT,)),
        _command("revoke", "Revoke a token at once", "tokens.revoke", (a.TOKEN_NAME,)),
    )


def _doctor() -> tuple[Arg, ...]:
    return (a.PROCESS, a.FIX_HINTS, a.CHECK_TIMEOUT, a.ARG_OUTPUT)
