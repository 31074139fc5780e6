"""What changes on a cluster's row when somebody wishes its end, or wants it again; the reconciler carries the wish out."""

from dataclasses import replace
from datetime import datetime

from platyspark_provider.core.cluster_transitions import ClusterState, enter_cluster
from platyspark_provider.core.model import Cluster, Event
from platyspark_provider.core.states import CLUSTER_ACCEPTS_WORK, ClusterDesired, ClusterPhase

_RANK = {ClusterDesired.UP: 0, ClusterDesired.DRAINED: 1, ClusterDesired.DOWN: 2}


def wish_end(state: ClusterState, desired: ClusterDesired, *, reason: str, actor: str, now: datetime) -> ClusterState:
    """Return the row after a wish for `drained` or `down`; a harder wish stands, and asking again changes nothing.

    What was never sent is called off at once. A create that may be under way keeps its phase: the wish counts once its id is
    known. A cluster that takes applications takes none from now on.
    """
    cluster = state.cluster
    is_news = _RANK[desired] > _RANK[cluster.desired]
    if cluster.phase.is_terminal or not (is_news or cluster.phase in {ClusterPhase.INTENT, *CLUSTER_ACCEPTS_WORK}):
        return state
    wished = replace(cluster, desired=desired if is_news else cluster.desired, updated_at=now, next_reconcile_at=None)
    asked = replace(state, cluster=wished)
    if cluster.phase is ClusterPhase.INTENT:
        message = f"Called off before it was created: {reason}."
        return enter_cluster(asked, ClusterPhase.DEAD, message, actor=actor, now=now, create_sent_at=None, observed_reason=reason)
    if cluster.phase in CLUSTER_ACCEPTS_WORK:
        message = f"Takes no more applications: {reason}."
        return enter_cluster(asked, ClusterPhase.DRAINING, message, actor=actor, now=now, observed_reason=reason)
    line = _wish(cluster, desired, f"It is to be {desired.value}: {reason}.", actor, now)
    return replace(asked, events=(*state.events, line))


def wish_up(state: ClusterState, *, actor: str, now: datetime) -> ClusterState:
    """Return the row after somebody wants a cluster whose end was wished for while its create was under way."""
    cluster = state.cluster
    if cluster.desired is ClusterDesired.UP or cluster.phase not in {ClusterPhase.CREATING, ClusterPhase.AMBIGUOUS}:
        return state
    wanted = replace(cluster, desired=ClusterDesired.UP, updated_at=now, next_reconcile_at=None)
    line = _wish(cluster, ClusterDesired.UP, "It is wanted again.", actor, now)
    return replace(state, cluster=wanted, events=(*state.events, line))


def _wish(cluster: Cluster, desired: ClusterDesired, message: str, actor: str, now: datetime) -> Event:
    return Event(
        object_kind="cluster",
        object_id=cluster.id,
        generation=cluster.generation,
        kind=f"cluster.{desired.value}_wished",
        message=message,
        actor=actor,
        at=now,
    )
