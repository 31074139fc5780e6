"""EMR's operations as typed calls with translated errors: one method per operation, no decisions; used by `emr*` only."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from platyspark_provider.aws_errors import aws_errors
from platyspark_provider.backends.base import ClusterSight
from platyspark_provider.backends.emr_states import Step, cluster_sight, step_from_summary
from platyspark_provider.errors import BackendRejected, BackendUnavailable, PlatySparkError, ReplyLost

if TYPE_CHECKING:
    from types_boto3_emr import EMRClient
    from types_boto3_s3 import S3Client

MAX_STEP_IDS = 10  # of one ListSteps call
_CONTENT_CODES = frozenset({"InvalidRequestException", "ValidationException"})


def is_content_refusal(error: PlatySparkError) -> bool:
    """Tell whether a call was refused for its content or for the state of what it names, not for missing rights.

    EMR answers so for ids that it no longer knows, for a cluster that ends, and for arguments it dislikes; which of
    them it was, only a look at the object tells.
    """
    return isinstance(error, BackendRejected) and error.fields.get("aws_code") in _CONTENT_CODES


def _member(answer: Mapping[str, Any], name: str, action: str, *, mutates: bool = False) -> Any:
    """Return what an answer must hold: botocore takes any text with status 200 (a proxy's page) for an empty answer."""
    if name in answer:
        return answer[name]
    message = f"{action}: the answer holds no {name}; it is not EMR's."
    raise ReplyLost(message) if mutates else BackendUnavailable(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmrClients:
    """The boto3 clients of one target.

    :param mutating: tries once (`retries={"total_max_attempts": 1}`): EMR has no idempotency token, so a resend by the
        SDK makes a second cluster or step.
    :param reading: may retry.
    """

    mutating: "EMRClient"
    reading: "EMRClient"
    s3: "S3Client"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterDetail:
    """What only DescribeCluster tells."""

    sight: ClusterSight
    master_dns: str | None
    is_protected: bool


class EmrApi:
    """One account and region of EMR."""

    def __init__(self, clients: EmrClients) -> None:
        self._mutating, self._reading = clients.mutating, clients.reading

    def run_job_flow(self, request: Mapping[str, Any]) -> str:
        """Create a cluster and return its id."""
        action = f"RunJobFlow for {request['Name']}"
        with aws_errors(action, mutates=True):
            answer = self._mutating.run_job_flow(**request)
        return str(_member(answer, "JobFlowId", action, mutates=True))

    def add_steps(self, cluster: str, steps: Sequence[Mapping[str, Any]]) -> list[str]:
        """Send steps and return their ids in order."""
        arguments: dict[str, Any] = {"JobFlowId": cluster, "Steps": list(steps)}
        action = f"AddJobFlowSteps to {cluster} ({', '.join(step['Name'] for step in steps)})"
        with aws_errors(action, mutates=True):
            answer = self._mutating.add_job_flow_steps(**arguments)
        ids = [str(id_) for id_ in _member(answer, "StepIds", action, mutates=True)]
        if len(ids) != len(steps):
            raise ReplyLost(f"{action}: {len(ids)} ids came back for {len(steps)} steps.")
        return ids

    def cancel_step(self, cluster: str, step: str, *, kill: bool) -> str:
        """Ask for a step's end and return EMR's answer in words."""
        option: Any = "TERMINATE_PROCESS" if kill else "SEND_INTERRUPT"
        with aws_errors(f"CancelSteps of {step} on {cluster}", mutates=True):
            answer = self._mutating.cancel_steps(ClusterId=cluster, StepIds=[step], StepCancellationOption=option)
        told = answer.get("CancelStepsInfoList", [])
        return " ".join(f"{one.get('Status', '')} {one.get('Reason', '')}".strip() for one in told) or "no answer for this step"

    def terminate(self, cluster: str) -> None:
        """Ask for a cluster's end."""
        with aws_errors(f"TerminateJobFlows of {cluster}", mutates=True):
            self._mutating.terminate_job_flows(JobFlowIds=[cluster])

    def unprotect(self, cluster: str) -> None:
        """Switch termination protection off; EMR switches it on by itself for clusters with several masters."""
        with aws_errors(f"SetTerminationProtection of {cluster}", mutates=True):
            self._mutating.set_termination_protection(JobFlowIds=[cluster], TerminationProtected=False)

    def clusters(self, states: Sequence[str], *, created_after: datetime | None = None) -> Iterator[ClusterSight]:
        """List clusters in these states, all pages."""
        arguments: dict[str, Any] = {"ClusterStates": list(states)}
        if created_after is not None:
            arguments["CreatedAfter"] = created_after
        while True:
            with aws_errors("ListClusters", mutates=False):
                page = self._reading.list_clusters(**arguments)
            yield from (cluster_sight(raw) for raw in _member(page, "Clusters", "ListClusters"))
            if not page.get("Marker"):
                return
            arguments["Marker"] = page["Marker"]

    def describe_cluster(self, cluster: str) -> ClusterDetail:
        """Look at one cluster."""
        action = f"DescribeCluster of {cluster}"
        with aws_errors(action, mutates=False):
            answer = self._reading.describe_cluster(ClusterId=cluster)
        raw = _member(answer, "Cluster", action)
        return ClusterDetail(
            sight=cluster_sight(raw),
            master_dns=raw.get("MasterPublicDnsName") or None,
            is_protected=bool(raw.get("TerminationProtected")),
        )

    def step_pages(self, cluster: str, *, states: Sequence[str] = ()) -> Iterator[list[Step]]:
        """List a cluster's steps page by page (50 each), newest first without `states`."""
        arguments: dict[str, Any] = {"ClusterId": cluster} | ({"StepStates": list(states)} if states else {})
        while True:
            with aws_errors(f"ListSteps of {cluster}", mutates=False):
                page = self._reading.list_steps(**arguments)
            yield [step_from_summary(raw) for raw in _member(page, "Steps", f"ListSteps of {cluster}")]
            if not page.get("Marker"):
                return
            arguments["Marker"] = page["Marker"]

    def steps_by_id(self, cluster: str, ids: Collection[str]) -> dict[str, Step]:
        """Look at steps by id, 10 a call; one that EMR no longer knows is absent."""
        found: dict[str, Step] = {}
        ordered = sorted(ids)
        for start in range(0, len(ordered), MAX_STEP_IDS):
            found |= self._known_steps(cluster, ordered[start : start + MAX_STEP_IDS])
        return found

    def _known_steps(self, cluster: str, ids: Sequence[str]) -> dict[str, Step]:
        """Ask for ids; one unknown id makes EMR refuse them all, so halve until it stands alone."""
        try:
            with aws_errors(f"ListSteps of {cluster}", mutates=False):
                page = self._reading.list_steps(ClusterId=cluster, StepIds=list(ids))
        except BackendRejected as error:
            if not is_content_refusal(error):
                raise
            if len(ids) == 1:
                return {}
            half = len(ids) // 2
            return self._known_steps(cluster, ids[:half]) | self._known_steps(cluster, ids[half:])
        steps = [step_from_summary(raw) for raw in _member(page, "Steps", f"ListSteps of {cluster}")]
        return {step.id: step for step in steps}
