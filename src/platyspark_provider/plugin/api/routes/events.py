"""What happened to applications, clusters and tokens, and who did it: the audit; a cursor by id."""

from typing import Any

from fastapi import APIRouter

from platyspark_provider.core.listing import DEFAULT_LIMIT, EventFilter
from platyspark_provider.plugin.api import answers, bodies
from platyspark_provider.plugin.api.problems import problems
from platyspark_provider.plugin.api.public import PublicDep, capped
from platyspark_provider.registry.views import event_view

router = APIRouter(prefix="/events", tags=["events"], responses=problems(401, 403, 422, 503))


@router.get("", operation_id="list_events", response_model=answers.EventCollectionResponse)
def list_events(
    public: PublicDep,
    after: bodies.After = 0,
    object_kind: bodies.Word = None,
    object_id: bodies.ObjectId = None,
    kind: bodies.Word = None,
    limit: bodies.Limit = DEFAULT_LIMIT,
) -> dict[str, Any]:
    """List events by ascending id, without those of applications (and tokens) that the caller may not see."""
    wanted = EventFilter(after=after, object_kind=object_kind, object_id=object_id, kind=kind, limit=capped(limit))
    events = public.events(wanted)
    return {"events": [event_view(event) for event in events], "next_after": events[-1].id if len(events) == wanted.limit else None}
