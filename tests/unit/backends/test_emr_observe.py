"""The batched look at clusters and runs: what it asks, and what it makes of refusals."""

from typing import Any

import pytest

from platyspark_provider.backends.base import ClusterRef
from platyspark_provider.backends.emr import EmrBackend
from platyspark_provider.backends.emr_api import EmrClients
from platyspark_provider.errors import BackendRejected
from tests.builders import make_target
from tests.unit.backends.aws_server import Answer, client, refused, serve
from tests.unit.backends.scripted_emr import answer, application, backend, cluster, operations, ref, resource_manager, step


def test_observe_one_listing_and_one_call_per_cluster() -> None:
    handlers = {
        "ListClusters": answer(Clusters=[cluster("j-1"), cluster("j-2"), cluster("j-other")]),
        "ListSteps": lambda body: Answer(200, {"Steps": [step(id_) for id_ in body["StepIds"]]}),
    }
    refs = [ref("s-1"), ref("s-2"), ref("s-3", cluster="j-2")]

    with backend(handlers) as (emr, server):
        sights = emr.observe([ClusterRef(id=1, external_id="j-1")], refs)

    assert set(sights.clusters) == {"j-1", "j-2"}
    assert set(sights.attempts) == {"s-1", "s-2", "s-3"}
    assert operations(server) == ["ListClusters", "ListSteps", "ListSteps"]


def test_observe_many_runs_are_paged_and_leftovers_asked_by_id() -> None:
    """Thirty runs: 25 among the newest 50, five older ones by their ids in one more call."""
    wanted = [f"s-{n:02}" for n in range(30)]

    def list_steps(body: Any) -> Answer:
        if "StepIds" in body:
            assert len(body["StepIds"]) <= 10
            return Answer(200, {"Steps": [step(id_) for id_ in body["StepIds"]]})
        return Answer(200, {"Steps": [step(id_) for id_ in wanted[5:]], "Marker": "more"})

    with backend({"ListClusters": answer(Clusters=[cluster()]), "ListSteps": list_steps}) as (emr, server):
        sights = emr.observe([], [ref(id_) for id_ in wanted])

    assert sorted(sights.attempts) == wanted
    assert operations(server) == ["ListClusters", "ListSteps", "ListSteps"]


def test_observe_unknown_step_ids_are_absent_and_hide_no_other() -> None:
    def list_steps(body: Any) -> Answer:
        if "s-gone" in body["StepIds"]:
            return refused("InvalidRequestException")
        return Answer(200, {"Steps": [step(id_) for id_ in body["StepIds"]]})

    with backend({"ListClusters": answer(Clusters=[cluster()]), "ListSteps": list_steps}) as (emr, _):
        sights = emr.observe([], [ref("s-1"), ref("s-gone"), ref("s-2"), ref("s-3")])

    assert set(sights.attempts) == {"s-1", "s-2", "s-3"}
    assert sights.failed == frozenset()


def test_observe_throttled_cluster_is_failed_and_the_others_are_seen() -> None:
    def list_steps(body: Any) -> Answer:
        return refused("ThrottlingException") if body["ClusterId"] == "j-1" else Answer(200, {"Steps": [step("s-2")]})

    with backend({"ListClusters": answer(Clusters=[cluster("j-1"), cluster("j-2")]), "ListSteps": list_steps}) as (emr, _):
        sights = emr.observe([], [ref("s-1"), ref("s-2", cluster="j-2")])

    assert sights.failed == {"j-1"}
    assert "ThrottlingException" in sights.failure
    assert set(sights.attempts) == {"s-2"}


@pytest.mark.parametrize(("code", "is_blind"), [("ThrottlingException", False), ("AccessDeniedException", True)])
def test_observe_refused_listing_fails_all_clusters_and_is_blind_unless_it_was_a_quota(code: str, is_blind: bool) -> None:
    with backend({"ListClusters": lambda _: refused(code)}) as (emr, _):
        sights = emr.observe([ClusterRef(id=1, external_id="j-1")], [ref(cluster="j-2")])

    assert sights.failed == {"j-1", "j-2"}
    assert sights.is_blind is is_blind
    assert code in sights.failure
    assert not sights.clusters


def test_observe_nothing_asks_nothing() -> None:
    with backend({}) as (emr, server):
        sights = emr.observe([], [])

    assert not sights.clusters
    assert not server.seen


def test_observe_missing_clusters_are_described_up_to_ten() -> None:
    handlers = {
        "ListClusters": answer(Clusters=[]),
        "DescribeCluster": lambda body: Answer(200, {"Cluster": cluster(body["ClusterId"], "TERMINATED")}),
    }
    refs = [ClusterRef(id=n, external_id=f"j-{n:02}") for n in range(12)]

    with backend(handlers) as (emr, _):
        sights = emr.observe(refs, [])

    assert {sight.state for sight in sights.clusters.values()} == {"dead"}
    assert len(sights.clusters) == 10
    assert sights.failed == {"j-10", "j-11"}


def test_observe_forgotten_cluster_is_absent_and_an_unreadable_one_failed() -> None:
    codes = {"j-1": "InvalidRequestException", "j-2": "AccessDeniedException"}
    handlers = {"ListClusters": answer(Clusters=[]), "DescribeCluster": lambda body: refused(codes[body["ClusterId"]])}

    with backend(handlers) as (emr, _):
        sights = emr.observe([ClusterRef(id=1, external_id="j-1"), ClusterRef(id=2, external_id="j-2")], [ref(cluster="j-1")])

    assert not sights.clusters
    assert sights.failed == {"j-2"}


def test_observe_run_on_a_dead_cluster_is_dead_without_asking_yarn() -> None:
    handlers = {
        "ListClusters": answer(Clusters=[]),
        "DescribeCluster": answer(Cluster=cluster(state="TERMINATED_WITH_ERRORS")),
        "ListSteps": answer(Steps=[step("s-1", "FAILED")]),
    }

    with backend(handlers) as (emr, _):
        sight = emr.observe([], [ref()]).attempts["s-1"]

    assert (sight.state, sight.driver, sight.proof) == ("failed", "dead", "cluster j-1 is TERMINATED_WITH_ERRORS")


@pytest.mark.parametrize(("state", "driver"), [("RUNNING", "alive"), ("ACCEPTED", "alive"), ("KILLED", "dead"), ("FINISHED", "dead")])
def test_observe_failed_step_asks_yarn_whether_its_driver_lives(state: str, driver: str) -> None:
    handlers = {"ListClusters": answer(Clusters=[cluster()]), "ListSteps": answer(Steps=[step("s-1", "FAILED")])}

    with (
        resource_manager(application(state), application("RUNNING", "application_1_0002", "other")) as yarn,
        backend(handlers, yarn_url=yarn.url) as (emr, _),
    ):
        sight = emr.observe([], [ref()]).attempts["s-1"]

    assert (sight.state, sight.driver) == ("failed", driver)
    assert sight.external_detail == {"yarn_application_id": "application_1_0001", "tracking_url": "http://rm/proxy"}
    assert len(yarn.seen) == 1


WELL = {"finalStatus": "SUCCEEDED"}


@pytest.mark.parametrize(
    ("word", "applications", "state"),
    [
        ("FAILED", [application("FINISHED", **WELL)], "succeeded"),
        ("CANCELLED", [application("FINISHED", **WELL)], "succeeded"),
        ("FAILED", [application("FINISHED", **WELL), application("FINISHED", "application_1_0002", **WELL)], "failed"),
        ("FAILED", [application("RUNNING", **WELL)], "failed"),
        ("FAILED", [application("FINISHED", finalStatus="FAILED")], "failed"),
        ("FAILED", [application("FINISHED", tags="other", **WELL)], "failed"),
    ],
)
def test_observe_step_that_emr_gave_up_succeeded_if_yarn_says_so(word: str, applications: list[dict[str, Any]], state: str) -> None:
    handlers = {"ListClusters": answer(Clusters=[cluster()]), "ListSteps": answer(Steps=[step("s-1", word)])}

    with resource_manager(*applications) as yarn, backend(handlers, yarn_url=yarn.url) as (emr, _):
        sight = emr.observe([], [ref()]).attempts["s-1"]

    assert sight.state == state
    assert (sight.proof == "YARN: application_1_0001 SUCCEEDED") is (state == "succeeded")


def test_observe_failed_step_gives_yarns_own_reason() -> None:
    failed = step("s-1", "FAILED")
    failed["Status"]["FailureDetails"] = {"Reason": "Unknown Error."}
    handlers = {"ListClusters": answer(Clusters=[cluster()]), "ListSteps": answer(Steps=[failed])}
    why = "\nUser application exited with status 1\n\tat org.apache.spark"

    with (
        resource_manager(application("FINISHED", finalStatus="FAILED", diagnostics=why)) as yarn,
        backend(handlers, yarn_url=yarn.url) as (emr, _),
    ):
        assert emr.observe([], [ref()]).attempts["s-1"].reason == "User application exited with status 1"
    with resource_manager(application("FAILED")) as yarn, backend(handlers, yarn_url=yarn.url) as (emr, _):
        assert emr.observe([], [ref()]).attempts["s-1"].reason == "Unknown Error."


def test_observe_failed_step_with_silent_yarn_leaves_the_driver_unknown() -> None:
    handlers = {"ListClusters": answer(Clusters=[cluster()]), "ListSteps": answer(Steps=[step("s-1", "FAILED")])}

    with backend(handlers) as (emr, _):
        assert emr.observe([], [ref()]).attempts["s-1"].driver == "unknown"


def test_observe_running_steps_learn_their_application_ids_in_one_question() -> None:
    handlers = {"ListClusters": answer(Clusters=[cluster()]), "ListSteps": answer(Steps=[step("s-1"), step("s-2")])}
    refs = [ref("s-1"), ref("s-2", yarn_tag="plsp:abcdef:2:1")]

    with (
        resource_manager(application("RUNNING"), application("RUNNING", "application_1_0002", "plsp:abcdef:2:1")) as yarn,
        backend(handlers, yarn_url=yarn.url) as (emr, _),
    ):
        sights = emr.observe([], refs).attempts
        known = [ref(one.external_id, external_detail=one.external_detail) for one in sights.values()]
        emr.observe([], known)

    assert sights["s-2"].external_detail["yarn_application_id"] == "application_1_0002"
    assert len(yarn.seen) == 1


def test_observe_running_step_does_not_ask_a_silent_yarn_again() -> None:
    asked = 0

    def silent(_method: str, _path: str, _body: Any) -> Answer:
        nonlocal asked
        asked += 1
        return Answer(0)

    handlers = {"ListClusters": answer(Clusters=[cluster()]), "ListSteps": answer(Steps=[step("s-1")])}
    with serve(silent) as yarn, backend(handlers, yarn_url=yarn.url) as (emr, _):
        emr.observe([], [ref()])
        emr.observe([], [ref()])

    assert asked == 1


def test_yarn_address_comes_from_the_master_when_the_target_names_none() -> None:
    handlers = {
        "ListClusters": answer(Clusters=[cluster()]),
        "DescribeCluster": answer(Cluster=cluster(MasterPublicDnsName="127.0.0.1")),
        "ListSteps": answer(Steps=[step("s-1", "FAILED")]),
    }
    with serve(lambda _method, operation, body: handlers[operation](body)) as server:
        emr = client("emr", server.url)
        plain = EmrBackend(EmrClients(mutating=emr, reading=emr, s3=client("s3", server.url)), make_target(), put=lambda *_: None)
        plain.observe([], [ref()])
        rest = plain._yarn._rest("j-1")

    assert rest is not None
    assert rest.base_url == "http://127.0.0.1:8088"


def test_busy_names_active_steps_and_does_not_ask_yarn() -> None:
    steps = [step(f"s-{n}", name=f"n{n}") for n in range(5)]
    with backend({"ListSteps": answer(Steps=steps)}) as (emr, server):
        words = emr.busy("j-1")

    assert words == "step s-0 (n0), step s-1 (n1), step s-2 (n2) and 2 more still run there"
    assert operations(server) == ["ListSteps"]
    assert server.seen[0][2]["StepStates"] == ["PENDING", "RUNNING", "CANCEL_PENDING"]


def test_busy_without_a_step_asks_yarn_and_takes_its_silence_for_nothing() -> None:
    raw = {"id": "application_1_0001", "state": "RUNNING", "finalStatus": "UNDEFINED"}
    with (
        serve(lambda *_: Answer(200, {"apps": {"app": [raw]}})) as yarn,
        backend({"ListSteps": answer(Steps=[])}, yarn_url=yarn.url + "/{cluster}") as (emr, _),
    ):
        assert emr.busy("j-1") == "YARN's application_1_0001 still run there"
    with backend({"ListSteps": answer(Steps=[])}) as (emr, _):
        assert emr.busy("j-1") == ""


def test_busy_of_a_cluster_that_emr_forgot_is_nothing_and_without_rights_an_error() -> None:
    with backend({"ListSteps": lambda _: refused("InvalidRequestException")}) as (emr, _):
        assert emr.busy("j-1") == ""
    with backend({"ListSteps": lambda _: refused("AccessDeniedException")}) as (emr, _), pytest.raises(BackendRejected):
        emr.busy("j-1")
