"""What a machine token is: checks of its name, scopes and teams, and how its secret is hashed; no randomness here."""

import hashlib
import re
from collections.abc import Collection, Sequence

from platyspark_provider.core.strict_mapping import did_you_mean
from platyspark_provider.errors import InvalidRequest

SCOPES = ("worker", "reconciler", "scrape", "ingest")
SECRET_PREFIX = "plsp_"  # noqa: S105 - lets secret scanners find a leaked one
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def hash_of_secret(secret: str) -> str:
    """Return what is stored and looked up; a secret of 256 random bits needs no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check_token(name: str, scopes: Sequence[str], teams: Collection[str]) -> None:
    """Raise `InvalidRequest` for a token that can't be, or that would promise more than it keeps."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{name!r} is no token name.", hint="Letters, digits, '_', '.', '-', up to 64.")
    if not scopes:
        raise InvalidRequest("A token needs a scope.", hint=f"One or more of {', '.join(SCOPES)}.")
    for scope in scopes:
        if scope not in SCOPES:
            raise InvalidRequest(f"There is no scope {scope!r}.", hint=did_you_mean(scope, SCOPES))
    if teams and "reconciler" in scopes:
        raise InvalidRequest("The scope reconciler acts on the applications of all teams.", hint="Leave out --teams, or the scope.")
    for team in teams:
        if not _NAME.fullmatch(team):
            raise InvalidRequest(f"{team!r} is no team name.", hint="Letters, digits, '_', '.', '-', up to 64.")
