"""The stop ladder and the proofs of death, against a scripted server."""

import gzip
from typing import Any

import pytest

from platyspark_provider.backends.base import AttemptRef
from platyspark_provider.core.states import DeployMode
from platyspark_provider.errors import BackendThrottled
from tests.builders import make_cluster_spec, make_spec
from tests.unit.backends.aws_server import Answer, refused
from tests.unit.backends.scripted_emr import Handlers, answer, application, backend, cluster, operations, ref, resource_manager, step


def cancelled(body: Any) -> Answer:
    return Answer(200, {"CancelStepsInfoList": [{"StepId": body["StepIds"][0], "Status": "SUBMITTED"}]})


@pytest.mark.parametrize(("stage", "option"), [(1, "SEND_INTERRUPT"), (2, "TERMINATE_PROCESS")])
def test_stop_first_rungs_cancel_the_step_and_kill_its_application_in_yarn(stage: int, option: str) -> None:
    with (
        resource_manager(application("RUNNING"), application("FINISHED", "application_1_0000")) as yarn,
        backend({"CancelSteps": cancelled}, yarn_url=yarn.url) as (emr, server),
    ):
        words = emr.stop(ref(), stage)

    assert server.seen[0][2]["StepCancellationOption"] == option
    assert [(method, path.partition("?")[0]) for method, path, _ in yarn.seen if method == "PUT"] == [
        ("PUT", "/ws/v1/cluster/apps/application_1_0001/state")
    ]
    assert words == f"CancelSteps {option}: SUBMITTED; YARN was told to kill application_1_0001"


def test_stop_client_mode_cancels_the_step_alone() -> None:
    with (
        resource_manager(application("RUNNING")) as yarn,
        backend({"CancelSteps": cancelled}, yarn_url=yarn.url) as (emr, _),
    ):
        emr.stop(ref(spec=make_spec(deploy_mode=DeployMode.CLIENT)), 1)
        words = emr.stop(ref(spec=make_spec(deploy_mode=DeployMode.CLIENT)), 3)

    assert not yarn.seen
    assert words == "nothing more to do for a client-mode step"


def test_stop_throttled_cancel_still_kills_in_yarn_and_then_raises() -> None:
    with (
        resource_manager(application("RUNNING")) as yarn,
        backend({"CancelSteps": lambda _: refused("ThrottlingException")}, yarn_url=yarn.url) as (emr, _),
        pytest.raises(BackendThrottled),
    ):
        emr.stop(ref(), 1)

    assert [method for method, _, _ in yarn.seen] == ["GET", "PUT"]


def test_stop_step_of_an_ended_cluster_is_harmless() -> None:
    with backend({"CancelSteps": lambda _: refused("InvalidRequestException")}) as (emr, _):
        assert "was refused" in emr.stop(ref(), 1)


def test_stop_without_an_id_has_nothing_to_stop() -> None:
    with backend({}) as (emr, _):
        assert "nothing was sent" in emr.stop(ref(external_id=None), 1)


def kill_steps(*steps: dict[str, Any]) -> Handlers:
    """List the run's own ended step by id, and these among the newest."""
    own = step("s-1", "CANCELLED", EndDateTime=10.0)
    return {
        "ListSteps": lambda body: Answer(200, {"Steps": [own] if "StepIds" in body else [*steps, own]}),
        "AddJobFlowSteps": answer(StepIds=["s-kill"]),
    }


def test_stop_third_rung_adds_a_kill_step_when_yarn_is_silent() -> None:
    with backend(kill_steps()) as (emr, server):
        words = emr.stop(ref(), 3)

    (body,) = [body for _, operation, body in server.seen if operation == "AddJobFlowSteps"]
    (added,) = body["Steps"]
    assert added["Name"] == "run-kill"
    assert added["HadoopJarStep"]["Args"][:2] == ["bash", "-c"]
    assert "-appTags 'plsp:abcdef:1:1'" in added["HadoopJarStep"]["Args"][2]
    assert words == "YARN does not answer; kill step s-kill was added"


@pytest.mark.parametrize(
    ("earlier", "is_added"),
    [
        (step("s-k", "PENDING", "run-kill"), False),
        (step("s-k", "COMPLETED", "run-kill", StartDateTime=11.0), False),
        (step("s-k", "COMPLETED", "run-kill", StartDateTime=9.0), True),
        (step("s-k", "FAILED", "run-kill", StartDateTime=11.0), True),
    ],
)
def test_stop_third_rung_climbed_again_adds_no_second_kill_step(earlier: dict[str, Any], is_added: bool) -> None:
    with backend(kill_steps(earlier)) as (emr, server):
        emr.stop(ref(), 3)

    assert ("AddJobFlowSteps" in operations(server)) is is_added


def test_stop_third_rung_on_an_ended_cluster_says_that_it_was_refused() -> None:
    handlers = kill_steps() | {"AddJobFlowSteps": lambda _: refused("ValidationException")}

    with backend(handlers) as (emr, _):
        assert "the kill step was refused" in emr.stop(ref(), 3)


def test_stop_third_rung_kills_by_rest_when_yarn_answers() -> None:
    with resource_manager() as yarn, backend({}, yarn_url=yarn.url) as (emr, server):
        assert emr.stop(ref(), 3) == "YARN has no live application of this run"
    assert not server.seen


def test_stop_last_rung_ends_a_dedicated_cluster_and_no_shared_one() -> None:
    with backend({"TerminateJobFlows": answer()}) as (emr, server):
        shared = emr.stop(ref(), 4)
        assert not server.seen
        dedicated = emr.stop(ref(spec=make_spec(cluster=make_cluster_spec(dedicated=True))), 4)

    assert "shared" in shared
    assert "told to terminate" in dedicated
    assert operations(server) == ["TerminateJobFlows"]


def proof(steps: Handlers, *, yarn_url: str | None = None, attempt: AttemptRef | None = None) -> tuple[str, str]:
    handlers: Handlers = {"DescribeCluster": answer(Cluster=cluster()), **steps}
    with backend(handlers, yarn_url=yarn_url) as (emr, _):
        death = emr.prove_dead(attempt or ref())
    return death.state, death.proof


def listed(*steps: dict[str, Any]) -> Handlers:
    return {"ListSteps": answer(Steps=list(steps))}


def test_prove_dead_step_that_never_started_is_proof() -> None:
    never = {"Id": "s-1", "Name": "run", "Status": {"State": "CANCELLED", "Timeline": {}}}

    assert proof(listed(never)) == ("dead", "the step was never started")


def test_prove_dead_yarn_that_ended_all_is_proof_and_one_alive_is_not() -> None:
    over, alive = application("FAILED"), application("RUNNING", "application_1_0002")

    with resource_manager(over) as yarn:
        assert proof(listed(step("s-1", "CANCELLED")), yarn_url=yarn.url) == ("dead", "YARN: application_1_0001 FAILED")
    with resource_manager(over, alive) as yarn:
        assert proof(listed(step("s-1", "CANCELLED")), yarn_url=yarn.url)[0] == "alive"


def test_prove_dead_yarn_that_knows_nothing_is_proof_only_after_the_step() -> None:
    with resource_manager() as yarn:
        assert proof(listed(step("s-1", "CANCELLED")), yarn_url=yarn.url)[0] == "dead"
        assert proof(listed(step("s-1", "RUNNING")), yarn_url=yarn.url)[0] == "unknown"


def test_prove_dead_kill_step_after_the_end_is_proof() -> None:
    after = step("s-k", "COMPLETED", "run-kill", StartDateTime=11.0)

    assert proof(kill_steps(after))[0] == "dead"


def test_prove_dead_kill_step_from_before_the_end_proves_nothing() -> None:
    before = step("s-k", "COMPLETED", "run-kill", StartDateTime=9.0)

    assert proof(kill_steps(before))[0] == "unknown"


def test_prove_dead_again_searches_no_pages_again() -> None:
    pages = kill_steps()["ListSteps"]

    def list_steps(body: Any) -> Answer:
        found = pages(body)
        return found if "StepIds" in body else Answer(200, {**found.body, "Marker": "next"})

    with backend({"ListSteps": list_steps, "DescribeCluster": answer(Cluster=cluster())}) as (emr, server):
        emr.prove_dead(ref())
        first = operations(server).count("ListSteps")
        emr.prove_dead(ref())

    assert (first, operations(server).count("ListSteps")) == (5, 6)


def test_prove_dead_kill_step_that_was_added_is_asked_by_its_id() -> None:
    own = step("s-1", "CANCELLED", EndDateTime=10.0)
    kill = step("s-kill", "COMPLETED", "run-kill", StartDateTime=11.0)

    def list_steps(body: Any) -> Answer:
        asked = body.get("StepIds", [])
        return Answer(200, {"Steps": [one for one in (own, kill) if one["Id"] in asked]})

    with backend({"ListSteps": list_steps, "AddJobFlowSteps": answer(StepIds=["s-kill"])}) as (emr, server):
        emr.stop(ref(), 3)
        before = operations(server).count("ListSteps")
        death = emr.prove_dead(ref())

    assert (death.state, death.proof) == ("dead", "kill step s-kill found nothing left of it in YARN")
    assert operations(server).count("ListSteps") - before == 2


def test_prove_dead_ended_cluster_is_proof_when_nothing_else_answers() -> None:
    steps = listed(step("s-1", "CANCELLED")) | {"DescribeCluster": answer(Cluster=cluster(state="TERMINATED"))}

    assert proof(steps) == ("dead", "cluster j-1 is TERMINATED")


def test_prove_dead_cluster_that_emr_does_not_know_proves_nothing() -> None:
    """Asked with another account's credentials, every cluster is unknown."""
    handlers: Handlers = {
        "ListSteps": lambda _: refused("InvalidRequestException"),
        "DescribeCluster": lambda _: refused("InvalidRequestException"),
    }

    assert proof(handlers)[0] == "unknown"


def test_prove_dead_client_mode_needs_the_terminated_process() -> None:
    spec = make_spec(deploy_mode=DeployMode.CLIENT)
    steps = listed(step("s-1", "CANCELLED"))

    assert proof(steps, attempt=ref(spec=spec, stop_stage=1))[0] == "unknown"
    assert proof(steps, attempt=ref(spec=spec, stop_stage=2))[0] == "dead"


def test_prove_dead_without_an_id_is_unknown() -> None:
    assert proof({}, attempt=ref(external_id=None))[0] == "unknown"


STDERR = "/logs/j-1/steps/s-1/stderr.gz"
LOGGED = make_spec(cluster=make_cluster_spec(log_uri="s3://logs"))


def stored(text: str) -> Answer:
    return Answer(200, gzip.compress(text.encode()), {"Last-Modified": "Wed, 25 Nov 2026 10:00:00 GMT"})


@pytest.mark.parametrize(("state", "expected"), [("FAILED", "dead"), ("RUNNING", "unknown")])
def test_prove_dead_yarn_clients_last_report_is_proof_if_it_saw_the_end(state: str, expected: str) -> None:
    text = f"Submitted application application_1_0001\nApplication report for application_1_0001 (state: {state})\n"
    steps = listed(step("s-1", "FAILED")) | {STDERR: lambda _: stored(text)}

    assert proof(steps, attempt=ref(spec=LOGGED))[0] == expected


def test_prove_dead_step_that_is_no_longer_listed_can_still_be_proven_by_its_log() -> None:
    text = "Submitted application application_1_0001\nApplication report for application_1_0001 (state: KILLED)\n"

    arrived, missing = stored(text), Answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    death = proof(listed() | {STDERR: lambda _: arrived}, attempt=ref(spec=LOGGED))
    assert death == ("dead", "the step's log: application_1_0001 KILLED")
    assert proof(listed() | {STDERR: lambda _: missing}, attempt=ref(spec=LOGGED))[0] == "unknown"


def test_prove_dead_log_is_sought_where_the_cluster_writes() -> None:
    text = "Submitted application application_1_0001\nApplication report for application_1_0001 (state: KILLED)\n"
    steps = listed(step("s-1", "FAILED")) | {STDERR: lambda _: stored(text)}
    elsewhere = make_spec(cluster=make_cluster_spec(log_uri="s3://elsewhere"))

    assert proof(steps, attempt=ref(spec=elsewhere, log_uri="s3://logs"))[0] == "dead"


@pytest.mark.parametrize(
    "log", [Answer(403, b"<Error><Code>AccessDenied</Code></Error>"), Answer(404, b"<Error><Code>NoSuchKey</Code></Error>")]
)
def test_prove_dead_unreadable_log_leaves_the_cluster_to_say(log: Answer) -> None:
    steps = listed(step("s-1", "FAILED")) | {STDERR: lambda _: log, "DescribeCluster": answer(Cluster=cluster(state="TERMINATED"))}

    assert proof(steps, attempt=ref(spec=LOGGED))[0] == "dead"
