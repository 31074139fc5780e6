"""Who calls: people by their login in Airflow, machines by tokens of our own (never Airflow's JWT secret), clients by version."""

import hmac
import re
import secrets
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer

from platyspark_provider import __version__
from platyspark_provider.client import wire
from platyspark_provider.core.model import Token
from platyspark_provider.core.tokens import SECRET_PREFIX, hash_of_secret
from platyspark_provider.errors import ClientTooNew, ClientTooOld, InvalidRequest, NotAllowed
from platyspark_provider.plugin.api.services import Services
from platyspark_provider.registry.identity import Caller
from platyspark_provider.registry.rights import Subject
from platyspark_provider.store.base import Store

REQUEST_ID_HEADER = "X-Request-ID"
_CLIENT = re.compile(r"(?P<package>[^/\s]{1,64})/(?P<api>\d{1,6})")
_ACTOR = re.compile(r"[a-z][a-z0-9_.-]{0,31}")
_LOGIN = re.compile(r"bearer\s+eyJ[\w-]+\.[\w-]+\.[\w-]*$", re.IGNORECASE)
"""An Airflow login (JWT), not a token of ours; where everybody is admin, Airflow adds one to each request."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_TOKEN_SCHEME = HTTPBearer(auto_error=False, scheme_name="MachineToken", description="A token of `airflow platyspark tokens create`.")
_LOGIN_SCHEME = HTTPBearer(auto_error=False, scheme_name="AirflowLogin", description="A JWT of Airflow's `POST /auth/token`.")
_COOKIE_SCHEME = APIKeyCookie(name="_token", auto_error=False, scheme_name="AirflowCookie", description="The cookie of Airflow's login.")
_CREATE = "Make one: airflow platyspark tokens create NAME --scopes worker,reconciler"


def services_of(request: Request) -> Services:
    """Return the services of the app that serves this request."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(services_of)]
AuthorizationHeader = Annotated[str | None, Header(alias="Authorization", include_in_schema=False)]
ClientHeader = Annotated[str | None, Header(alias=wire.CLIENT_HEADER)]
ActorHeader = Annotated[str | None, Header(alias=wire.ACTOR_HEADER)]


def require_client_version(client: ClientHeader = None) -> None:
    """Accept clients of this worker API version and the one before; a caller without the header speaks for itself."""
    if client is not None:
        check_client_version(client, served=wire.API_VERSION)


def check_client_version(client: str, *, served: int) -> None:
    """Hold `<package version>/<API version>` against the version that is served.

    :raises ClientTooOld: (426) the worker must be upgraded; :raises ClientTooNew: (503) the api-server will be.
    """
    hit = _CLIENT.fullmatch(client)
    if hit is None:
        raise InvalidRequest(f"{wire.CLIENT_HEADER} {client!r} is not <package version>/<API version>.")
    spoken = int(hit["api"])
    versions = f"the client ({hit['package']}) speaks {spoken}, the api-server ({__version__}) {served}"
    if spoken < served - 1:
        raise ClientTooOld(f"Worker API versions differ too much: {versions}.", hint="Upgrade the package on workers and triggerers.")
    if spoken > served:
        raise ClientTooNew(f"Worker API versions differ: {versions}.", hint="Upgrade the api-server first.", retry_after=30.0)


def require_caller(
    services: ServicesDep,
    _version: Annotated[None, Depends(require_client_version)],
    authorization: AuthorizationHeader = None,
    actor: ActorHeader = None,
    _described: Annotated[HTTPAuthorizationCredentials | None, Depends(_TOKEN_SCHEME)] = None,
) -> Caller:
    """Return who holds the bearer token; 401 without one, 403 for one that opens nothing, with a `reason` for each case."""
    secret = _bearer(authorization)
    services.schema.require()
    with services.open_store() as store:  # a short transaction of its own: SQLite can't read here while the route writes
        token = _live_token(store, secret)
    return Caller(actor=_actor(token, actor), scopes=token.scopes, teams=token.teams)


def optional_caller(
    services: ServicesDep,
    version: Annotated[None, Depends(require_client_version)],
    authorization: AuthorizationHeader = None,
    actor: ActorHeader = None,
    _described: Annotated[HTTPAuthorizationCredentials | None, Depends(_TOKEN_SCHEME)] = None,
) -> Caller | None:
    """Return who calls, or None for a caller without a token of ours; one that opens nothing is still refused."""
    if authorization is None or _LOGIN.match(authorization):
        return None
    return require_caller(services, version, authorization, actor)


async def require_subject(
    request: Request,
    response: Response,
    services: ServicesDep,
    authorization: AuthorizationHeader = None,
    request_id: Annotated[str | None, Header(alias=REQUEST_ID_HEADER)] = None,
    _bearer_described: Annotated[HTTPAuthorizationCredentials | None, Depends(_LOGIN_SCHEME)] = None,
    _cookie_described: Annotated[str | None, Depends(_COOKIE_SCHEME)] = None,
) -> Subject:
    """Return which of Airflow's users asks; 401 without a login, 403 for a machine token: it is nobody with rights on DAGs."""
    if (authorization or "").partition(" ")[2].strip().startswith(SECRET_PREFIX):
        raise NotAllowed(
            "A machine token is no user: this route asks what a person may do in Airflow.",
            hint="Send a JWT of Airflow's POST /auth/token; machine tokens open the routes under /worker.",
            reason="token_not_user",
        )
    login = await services.login(request)
    known = request_id is not None and _REQUEST_ID.fullmatch(request_id)
    own = str(request_id) if known else secrets.token_hex(8)
    response.headers[REQUEST_ID_HEADER] = own
    return Subject(name=login.name, rights=login.rights, request_id=own)


def require_schema(services: ServicesDep, _subject: Annotated[Subject, Depends(require_subject)]) -> None:
    """Answer 503 while our tables are older than the code, to those who are logged in."""
    services.schema.require()


SubjectDep = Annotated[Subject, Depends(require_subject)]
SchemaDep = Annotated[None, Depends(require_schema)]
CallerDep = Annotated[Caller, Depends(require_caller)]
OptionalCallerDep = Annotated[Caller | None, Depends(optional_caller)]


def _bearer(authorization: str | None) -> str:
    scheme, _, secret = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip() or _LOGIN.match(authorization or ""):
        raise NotAllowed("This call needs a PlatySpark token (Authorization: Bearer ...).", hint=_CREATE, reason="token_missing")
    return secret.strip()


def _live_token(store: Store, secret: str) -> Token:
    digest = hash_of_secret(secret)
    token = store.token_by_hash(digest)
    if token is None or not hmac.compare_digest(token.token_hash, digest):
        raise NotAllowed("The token is not known here.", hint=f"Look at the connection's password. {_CREATE}", reason="token_unknown")
    if token.revoked_at is not None:
        raise NotAllowed(
            f"Token {token.name!r} was revoked at {token.revoked_at:%Y-%m-%d %H:%M} UTC.", hint=_CREATE, reason="token_revoked"
        )
    if token.expires_at is not None and token.expires_at <= store.now():
        raise NotAllowed(f"Token {token.name!r} expired at {_minute(token.expires_at)}.", hint=_CREATE, reason="token_expired")
    return token


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _actor(token: Token, claimed: str | None) -> str:
    """Only who may act for all says under which name it acts."""
    if claimed is not None and "reconciler" in token.scopes and _ACTOR.fullmatch(claimed):
        return claimed
    return f"token:{token.name}"
