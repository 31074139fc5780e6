"""What an operation gets to work with: one call's region, time and request, and where it leaves its effects."""

from dataclasses import dataclass, field
from typing import Any

from platyspark_provider.emrsim.engine import Engine
from platyspark_provider.emrsim.lifecycle import Effect
from platyspark_provider.emrsim.records import ClusterRecord
from platyspark_provider.emrsim.wire import invalid_request, validation_error


@dataclass(slots=True, kw_only=True)
class Call:
    """One call inside the engine's transaction; `changed_ids` are the clusters and steps it changed, for the journal."""

    engine: Engine
    region: str
    access_key: str
    now: float
    request: dict[str, Any]
    effects: list[Effect]
    changed_ids: list[str] = field(default_factory=list)

    def cluster(self, member: str = "ClusterId") -> ClusterRecord:
        """Return the cluster that the request names.

        :raises EmrError: InvalidRequestException, as the newer operations answer
        """
        cluster_id = self.request[member]
        cluster = self.engine.find_cluster(self.region, cluster_id)
        if cluster is None:
            raise invalid_request(f"Cluster id '{cluster_id}' is not valid.", "NoSuchCluster")
        return cluster

    def job_flow(self, cluster_id: str) -> ClusterRecord:
        """Return a cluster by id.

        :raises EmrError: ValidationException, as the older operations answer
        """
        cluster = self.engine.find_cluster(self.region, cluster_id)
        if cluster is None:
            raise validation_error("Specified job flow ID does not exist.")
        return cluster
