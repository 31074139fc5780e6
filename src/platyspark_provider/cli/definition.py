"""The commands `airflow platyspark ...` as Airflow's parser takes them; their bodies are loaded when one is run."""

from collections.abc import Iterable

from airflow.cli.cli_config import ActionCommand, Arg, CLICommand, GroupCommand, lazy_load_command

from platyspark_provider.cli import arguments as a

_BODIES = "platyspark_provider.cli"


def get_cli_commands() -> list[CLICommand]:
    """Return the command group `platyspark`."""
    groups: tuple[CLICommand, ...] = (
        GroupCommand(name="apps", help="Applications: submit, watch, stop", subcommands=_apps()),
        GroupCommand(name="clusters", help="Clusters: create ahead, watch, end", subcommands=_clusters()),
        GroupCommand(name="profiles", help="What profiles.yaml says", subcommands=_profiles()),
        GroupCommand(name="tokens", help="Machine tokens of workers, triggerers and others", subcommands=_tokens()),
        _command("doctor", "Check connection, token, schema, AWS and more, each with its fix", "doctor.command.doctor", _doctor()),
    )
    return [GroupCommand(name="platyspark", help="Spark as a service", subcommands=groups)]


def _command(name: str, help_: str, body: str, args: Iterable[Arg] = ()) -> ActionCommand:
    return ActionCommand(name=name, help=help_, func=lazy_load_command(f"{_BODIES}.{body}"), args=tuple(args))


def _apps() -> tuple[ActionCommand, ...]:
    asked = (a.APP_ID, a.REASON, a.ARG_OUTPUT)
    return (
        _command(
            "list",
            "List applications, newest first",
            "apps.list_apps",
            (a.STATE, a.TEAM, a.DAG_ID, a.KIND, a.LIMIT, a.ARG_OUTPUT),
        ),
        _command("get", "Show one application", "apps.get", (a.APP_ID, a.ARG_OUTPUT)),
        _command("submit", "Submit an application", "submit.submit", _submit()),
        _command("cancel", "Ask for an application's end", "apps.cancel", asked),
        _command("restart", "Run an application again", "apps.restart", asked),
        _command("logs", "Print the end of a driver's log", "logs.logs", (a.APP_ID, a.FOLLOW, a.GENERATION, a.TAIL)),
        _command("why", "Say what an application waits for, or why it failed", "why.why", (a.APP_ID, a.ARG_OUTPUT)),
    )


def _submit() -> tuple[Arg, ...]:
    files = (a.PY_FILES, a.FILES, a.JARS, a.ARCHIVES, a.PACKAGES)
    cluster = (a.CLUSTER, *_cluster_spec())
    settings = (a.CONF, a.ENV, a.NAME, a.FOR_TEAM, a.TAG, a.KEY, a.MAX_RUNTIME)
    return (a.APPLICATION, a.SQL, a.MAIN_CLASS, *files, *settings, *cluster, a.DRY_RUN, a.WAIT_APP, a.ARG_OUTPUT, a.APP_ARGS)


def _cluster_spec() -> tuple[Arg, ...]:
    return (a.PROFILE, a.SIZE, a.WORKERS, a.SPOT, a.IDLE_TIMEOUT, a.DEDICATED)


def _clusters() -> tuple[ActionCommand, ...]:
    how = (a.FOR_TEAM, a.ALONGSIDE, a.REPLACE, a.WAIT_CLUSTER, a.ARG_OUTPUT)
    return (
        _command("list", "List clusters, newest first", "clusters.list_clusters", (a.ALL_CLUSTERS, a.NAMED, a.LIMIT, a.ARG_OUTPUT)),
        _command("get", "Show one cluster and what is on it", "clusters.get", (a.CLUSTER_ID, a.ARG_OUTPUT)),
        _command(
            "ensure",
            "Have a cluster of that name: the one that lives, or a new one",
            "clusters.ensure",
            (a.CLUSTER_NAME, *_cluster_spec(), *how),
        ),
        _command(
            "drain", "Give it no more work; it ends after the last application", "clusters.drain", (a.CLUSTER_ID, a.REASON, a.ARG_OUTPUT)
        ),
        _command("terminate", "End a cluster", "clusters.terminate", (a.CLUSTER_ID, a.FORCE, a.REASON, a.ARG_OUTPUT)),
    )


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
