"""`airflow platyspark tokens create|list|revoke`: bodies of the commands. Exit codes: 0 done, 2 usage, 3 not found, 4 database."""

from argparse import Namespace
from datetime import datetime

from platyspark_provider.cli.output import print_rows
from platyspark_provider.cli.running import actor, command, open_store, say
from platyspark_provider.core.quantities import seconds_from_text
from platyspark_provider.registry.tokens import create_token, revoke_token, state_of

_CONNECTION = """
Store it in a connection, so that tasks and triggers find it:
  airflow connections add platyspark_default --conn-type platyspark --conn-password SECRET
The host is [api] base_url unless you give --conn-host http://api-server:8080.
The secret is not shown again; revoke it with: airflow platyspark tokens revoke {name}"""


@command
def create(args: Namespace) -> None:
    """Make a token and print its secret once, with what to do next."""
    lifetime = seconds_from_text(args.expires) if args.expires else None
    with open_store() as store:
        made = create_token(store, args.name, scopes=_words(args.scopes), teams=_words(args.teams), lifetime_s=lifetime, actor=actor())
    token = made.token
    row = {
        "name": token.name,
        "scopes": ",".join(token.scopes),
        "teams": ",".join(token.teams) or "all",
        "expires": _moment(token.expires_at) or "never",
        "secret": made.secret,
    }
    print_rows([row], args.output)
    if args.output == "table":
        say(_CONNECTION.format(name=token.name))


@command
def list_tokens(args: Namespace) -> None:
    """Print all tokens, newest first; never a secret."""
    with open_store() as store:
        tokens, now = store.tokens(), store.now()
    rows = [
        {
            "name": token.name,
            "state": state_of(token, now),
            "scopes": ",".join(token.scopes),
            "teams": ",".join(token.teams) or "all",
            "created": _moment(token.created_at),
            "created_by": token.created_by,
            "expires": _moment(token.expires_at) or "never",
            "last_used": _moment(token.last_used_at) or "never",
        }
        for token in tokens
    ]
    print_rows(rows, args.output, empty="There is no token; make one: airflow platyspark tokens create NAME --scopes worker,reconciler")


@command
def revoke(args: Namespace) -> None:
    """Revoke the live token of a name."""
    with open_store() as store:
        revoke_token(store, args.name, actor=actor())
    say(f"Token {args.name} is revoked.")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in text.split(",")) if word)


def _moment(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"
