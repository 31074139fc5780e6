"""How the state of a cluster becomes the end of the task that asked for it: a result, a failure without retry, or one with."""

from collections.abc import Sequence
from typing import Any, Literal

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from platyspark_provider import errors
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.states import CLUSTER_ACCEPTS_WORK, ClusterDesired, ClusterPhase, FailureClass


class SparkClusterFailed(errors.PermanentError, AirflowFailException):
    """The cluster can't start as it was asked for: Airflow does not retry."""

    code = "cluster_failed"


class SparkClusterLost(errors.TemporaryError, AirflowException):
    """The cluster ended before it was ready, for another reason: Airflow may retry, which asks for the next one."""

    code = "cluster_lost"


def result_from_cluster(cluster: Cluster, outcome: str) -> dict[str, Any]:
    """Return the XCom of a task that asked for a cluster.

    :param outcome: `created` or `reused`.
    """
    return {
        "cluster_id": cluster.id,
        "name": cluster.name,
        "generation": cluster.generation,
        "external_id": cluster.external_id,
        "outcome": outcome,
    }


def result_from_ended(name: str, clusters: Sequence[Cluster]) -> dict[str, Any]:
    """Return the XCom of a task that let clusters end; `outcome` is `absent` where none lived, `ending` while one still does."""
    outcome: Literal["absent", "ended", "ending"] = "absent"
    if clusters:
        outcome = "ended" if all(one.phase.is_terminal for one in clusters) else "ending"
    shown = [{"cluster_id": one.id, "generation": one.generation, "external_id": one.external_id} for one in clusters]
    return {"name": name, "outcome": outcome, "clusters": shown}


def is_coming(cluster: Cluster) -> bool:
    """Tell whether a cluster that is not ready may become so."""
    if cluster.phase in {ClusterPhase.CREATING, ClusterPhase.AMBIGUOUS, ClusterPhase.INTENT}:
        return cluster.desired is ClusterDesired.UP
    return cluster.phase in CLUSTER_ACCEPTS_WORK


def never_ready(cluster: Cluster) -> SparkClusterFailed | SparkClusterLost:
    """Return the error for a cluster that will not become ready, with the reason that is known."""
    known = f", {cluster.external_id}" if cluster.external_id else ""
    what = f"Cluster {cluster.name} ({cluster.id}, generation {cluster.generation}{known}) is {cluster.phase.value}"
    why = cluster.observed_reason or cluster.observed_state or "no reason was given"
    if cluster.failure_class is FailureClass.USER:
        return SparkClusterFailed(f"{what}: {why}.", hint="Mend what was asked for, or its profile, and clear the task.")
    return SparkClusterLost(f"{what}: {why}.", hint="A retry asks for the next one.")
