"""Machine tokens for people who may manage connections, where such a token is kept as a password."""

from typing import Any

from fastapi import APIRouter, Response

from platyspark_provider.plugin.api import answers, bodies
from platyspark_provider.plugin.api.auth import SubjectDep
from platyspark_provider.plugin.api.problems import problems
from platyspark_provider.plugin.api.public import StoreDep
from platyspark_provider.registry.tokens import create_token as make_token
from platyspark_provider.registry.tokens import revoke_token as end_token
from platyspark_provider.registry.views import View, token_view

router = APIRouter(prefix="/tokens", tags=["tokens"], responses=problems(401, 403, 422, 503))


@router.get("", operation_id="list_tokens", response_model=answers.TokenCollectionResponse)
def list_tokens(store: StoreDep, subject: SubjectDep) -> dict[str, Any]:
    """List all tokens, newest first; never a secret."""
    subject.require_tokens("GET", "list tokens")
    now = store.now()
    found = [token_view(token, now) for token in store.tokens()]
    return {"tokens": found, "total_entries": len(found)}


@router.post("", operation_id="create_token", status_code=201, response_model=answers.NewTokenResponse)
def create_token(store: StoreDep, subject: SubjectDep, body: bodies.TokenBody) -> View:
    """Make a token; its secret stands in this answer and nowhere else."""
    subject.require_tokens("POST", "make tokens")
    lifetime = None if body.expires is None else bodies.seconds_of("expires", body.expires)
    made = make_token(
        store, body.name, scopes=body.scopes, teams=body.teams, lifetime_s=lifetime, actor=subject.actor, detail=subject.audit
    )
    return {**token_view(made.token, store.now()), "secret": made.secret}


@router.delete("/{name}", operation_id="revoke_token", status_code=204, response_class=Response, responses=problems(404))
def revoke_token(store: StoreDep, subject: SubjectDep, name: bodies.TokenName) -> Response:
    """Revoke the live token of that name; it opens nothing from the next call on."""
    subject.require_tokens("DELETE", "revoke tokens")
    end_token(store, name, actor=subject.actor, detail=subject.audit)
    return Response(status_code=204)
