"""Creating, finding, sending and terminating on EMR, against a scripted server."""

from typing import Any

import pytest

from platyspark_provider.errors import BackendRejected, BackendThrottled, BackendUnavailable, ClusterGone, PlatySparkError, ReplyLost
from tests.builders import make_cluster_spec
from tests.unit.backends.aws_server import Answer, refused
from tests.unit.backends.scripted_emr import CLUSTER_NAME, Handlers, answer, backend, cluster, launches, operations, step


@pytest.mark.parametrize("body", [b"<html>the proxy's page</html>", {}], ids=["page", "empty"])
def test_create_cluster_answer_without_an_id_is_a_lost_reply(body: Any) -> None:
    with backend({"RunJobFlow": lambda _: Answer(200, body)}) as (emr, _), pytest.raises(ReplyLost):
        emr.create_cluster(make_cluster_spec(), name=CLUSTER_NAME, token="t", tags={})


def test_find_clusters_answer_that_is_not_emrs_is_no_empty_listing() -> None:
    with backend({"ListClusters": lambda _: Answer(200, b"<html>")}) as (emr, _), pytest.raises(BackendUnavailable):
        emr.find_clusters("plsp/")


def test_find_clusters_reads_all_pages_and_takes_only_our_names() -> None:
    def pages(body: Any) -> Answer:
        if "TERMINATED" in body["ClusterStates"]:
            assert "CreatedAfter" in body
            return Answer(200, {"Clusters": [cluster("j-3", "TERMINATED", CLUSTER_NAME)]})
        if "Marker" in body:
            return Answer(200, {"Clusters": [cluster("j-2")]})
        foreign = cluster("j-0", name=CLUSTER_NAME + "-copy")
        return Answer(200, {"Clusters": [cluster("j-1"), foreign], "Marker": "more"})

    with backend({"ListClusters": pages}) as (emr, _):
        found = emr.find_clusters(CLUSTER_NAME.rsplit("/", 1)[0] + "/")

    assert [sight.external_id for sight in found] == ["j-1", "j-2", "j-3"]


def test_submit_one_call_carries_all_runs_in_order() -> None:
    with backend({"AddJobFlowSteps": answer(StepIds=["s-1", "s-2", "s-3"])}) as (emr, server):
        assert emr.submit("j-1", launches(3)) == ["s-1", "s-2", "s-3"]

    ((_, _, body),) = server.seen
    assert [one["Name"] for one in body["Steps"]] == [one.name for one in launches(3)]


def test_submit_fewer_ids_than_steps_is_a_lost_reply() -> None:
    with backend({"AddJobFlowSteps": answer(StepIds=["s-1"])}) as (emr, _), pytest.raises(ReplyLost):
        emr.submit("j-1", launches(2))


def test_submit_large_batch_is_split_and_a_later_refusal_is_a_lost_reply() -> None:
    """The first call went through: "throttled" would say that nothing was done, and all would be sent again."""

    def add(body: Any) -> Answer:
        if len(body["Steps"]) == 50:
            return Answer(200, {"StepIds": [f"s-{n}" for n in range(50)]})
        return refused("ThrottlingException")

    with backend({"AddJobFlowSteps": add}) as (emr, server), pytest.raises(ReplyLost, match="part of the batch"):
        emr.submit("j-1", launches(60))
    assert len(server.seen) == 2


def test_submit_without_a_cluster_is_rejected() -> None:
    with backend({}) as (emr, _), pytest.raises(BackendRejected):
        emr.submit(None, launches(1))


def refusing(state: str | None, active: int = 0, code: str = "ValidationException") -> Handlers:
    """Refuse steps on a cluster that is in `state` (None: unknown) and has so many active steps."""
    described = refused("InvalidRequestException") if state is None else Answer(200, {"Cluster": cluster(state=state)})
    return {
        "AddJobFlowSteps": lambda _: refused(code),
        "DescribeCluster": lambda _: described,
        "ListSteps": answer(Steps=[step(f"s-{n}") for n in range(active)]),
    }


@pytest.mark.parametrize(
    ("state", "active", "expected"),
    [
        ("TERMINATING", 0, ClusterGone),
        ("TERMINATED", 0, ClusterGone),
        (None, 0, ClusterGone),
        ("WAITING", 3, BackendRejected),
        ("RUNNING", 256, BackendThrottled),
    ],
)
def test_submit_refused_steps_are_explained_by_the_clusters_state(state: str | None, active: int, expected: type[PlatySparkError]) -> None:
    with backend(refusing(state, active)) as (emr, _), pytest.raises(PlatySparkError) as caught:
        emr.submit("j-1", launches(1))
    assert type(caught.value) is expected


def test_submit_missing_rights_are_not_explained_by_the_cluster() -> None:
    with backend(refusing("TERMINATED", code="AccessDeniedException")) as (emr, server), pytest.raises(BackendRejected):
        emr.submit("j-1", launches(1))
    assert operations(server) == ["AddJobFlowSteps"]


def test_submit_refusal_that_may_not_be_explained_stays_a_refusal() -> None:
    handlers = refusing("WAITING") | {"DescribeCluster": lambda _: refused("AccessDeniedException")}

    with backend(handlers) as (emr, _), pytest.raises(BackendRejected, match="ValidationException"):
        emr.submit("j-1", launches(1))


def test_find_attempts_exact_names_oldest_first_over_all_pages() -> None:
    def pages(body: Any) -> Answer:
        if "Marker" in body:
            return Answer(200, {"Steps": [step("s-1", name="a-g1"), step("s-0", name="b-g1")]})
        return Answer(200, {"Steps": [step("s-9", name="a-g10"), step("s-2", name="a-g1")], "Marker": "more"})

    with backend({"ListSteps": pages}) as (emr, _):
        found = emr.find_attempts("j-1", {"a-g1", "c-g1"})

    assert {name: [sight.external_id for sight in sights] for name, sights in found.items()} == {"a-g1": ["s-1", "s-2"], "c-g1": []}


def test_find_attempts_forgotten_cluster_has_none() -> None:
    with backend({"ListSteps": lambda _: refused("InvalidRequestException")}) as (emr, _):
        assert emr.find_attempts("j-1", {"a"}) == {"a": []}


def test_find_attempts_missing_rights_are_no_empty_listing() -> None:
    with backend({"ListSteps": lambda _: refused("AccessDeniedException")}) as (emr, _), pytest.raises(BackendRejected):
        emr.find_attempts("j-1", {"a"})


def test_terminate_protected_cluster_is_unprotected_first() -> None:
    protected = True

    def terminate(_: Any) -> Answer:
        return refused("ValidationException") if protected else Answer(200, {})

    def unprotect(body: Any) -> Answer:
        nonlocal protected
        protected = body["TerminationProtected"]
        return Answer(200, {})

    handlers = {
        "TerminateJobFlows": terminate,
        "SetTerminationProtection": unprotect,
        "DescribeCluster": answer(Cluster=cluster(TerminationProtected=True)),
    }
    with backend(handlers) as (emr, server):
        emr.terminate_cluster("j-1")

    assert operations(server) == ["TerminateJobFlows", "DescribeCluster", "SetTerminationProtection", "TerminateJobFlows"]


@pytest.mark.parametrize("described", [Answer(200, {"Cluster": cluster(state="TERMINATED")}), refused("InvalidRequestException")])
def test_terminate_ended_or_forgotten_cluster_is_harmless(described: Answer) -> None:
    handlers: Handlers = {"TerminateJobFlows": lambda _: refused("ValidationException"), "DescribeCluster": lambda _: described}

    with backend(handlers) as (emr, server):
        emr.terminate_cluster("j-1")

    assert operations(server) == ["TerminateJobFlows", "DescribeCluster"]


def test_terminate_without_rights_is_rejected() -> None:
    with backend({"TerminateJobFlows": lambda _: refused("AccessDeniedException")}) as (emr, _), pytest.raises(BackendRejected):
        emr.terminate_cluster("j-1")
