"""deploy/iam against the calls that are really made: each policy allows all that its process does, and nothing that it never does."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from platyspark_provider.cli.doctor.aws_checks import aws_checks
from platyspark_provider.cli.doctor.aws_permissions import needed
from platyspark_provider.cli.doctor.aws_site import Caller, sites_of
from platyspark_provider.cli.doctor.checks import Process, run_checks
from platyspark_provider.core.profiles import Profiles, profiles_from_mapping
from platyspark_provider.core.spec import Artifact, ClusterRequest
from platyspark_provider.core.states import AppPhase
from platyspark_provider.operators.files import DagFiles
from platyspark_provider.operators.submission import Held, advance_now, place_files, submit
from tests.builders import make_request
from tests.integration.iam_policy import ACCOUNT, FOLDER, Asked, Policy, read_policy
from tests.integration.iam_scene import (
    BUCKET,
    CLUSTER,
    CODE,
    RECONCILER,
    WORKER,
    Scene,
    asked_by,
    connection_json,
    long_arguments,
    open_scene,
    profiles_on,
    request_of,
    role_arn,
)

SOURCE = Path(__file__).parents[2] / "src" / "platyspark_provider"
PROCESSES = {"api-server", "cluster", "doctor", "reconciler", "worker"}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Yield a scene whose steps take a while and run no process."""
    with open_scene(tmp_path) as world:
        world.emr.script_steps(step=".*-kill", state="FAILED")
        world.emr.script_steps(duration_s=300)
        yield world


def judge(policy: Policy, asked: Iterable[Asked]) -> None:
    """Fail unless the policy allows all that was asked, and every action of every statement let something through."""
    calls = list(asked)
    assert calls
    assert sorted({f"{one.action} on {one.resource} with {dict(one.context)}" for one in calls if not policy.allows(one)}) == []
    unused = policy.grants() - {pair for one in calls for pair in policy.used_by(one)}
    assert sorted(unused) == []


@pytest.mark.timeout(180)
def test_worker_policy_grants_what_its_tasks_do_and_nothing_else(scene: Scene, tmp_path: Path) -> None:
    _place_files_as_a_task(scene, tmp_path)
    _live_and_end(scene, WORKER)
    _stop_on_a_cluster_of_its_own(scene, WORKER)
    judge(read_policy("worker"), asked_by(scene, WORKER))


@pytest.mark.timeout(180)
def test_reconciler_policy_grants_what_passes_do_and_nothing_else(scene: Scene) -> None:
    _live_and_end(scene, RECONCILER)
    _stop_on_a_cluster_of_its_own(scene, RECONCILER)
    _lose_replies(scene)
    _end_idle_clusters(scene)
    judge(read_policy("reconciler"), asked_by(scene, RECONCILER))


def _place_files_as_a_task(scene: Scene, folder: Path) -> None:
    """Do what the operator does: upload the DAG's file, look at the file that has an address, send both on their way."""
    (folder / "job.py").write_text("print('hello')\n", encoding="utf-8")
    files = DagFiles(str(folder / "dag.py"), is_parsed_by_airflow=True)
    request = make_request(application=files("application", "job.py"), py_files=(files("py_files[0]", f"s3://{CODE}/lib.py"),))
    scene.add_task("files")
    caller = scene.caller("files")
    answer = submit(caller, request)
    place_files(caller, answer, files)
    advance_now(caller, Held(app_id=answer.app.id, generation=answer.generation))
    scene.until(scene.mover(WORKER, "files"), scene.in_phase(answer.app.id, AppPhase.RUNNING))


def _live_and_end(scene: Scene, role: str) -> None:
    """Create a cluster, send a run with a long command, see it end, read its log."""
    app = scene.submit("long", args=long_arguments())
    move = scene.mover(role, "long")
    scene.until(move, scene.in_phase(app, AppPhase.RUNNING))
    scene.write_log(app)
    scene.until(move, scene.in_phase(app, AppPhase.SUCCEEDED))
    scene.turn(move)


def _stop_on_a_cluster_of_its_own(scene: Scene, role: str) -> None:
    """Clear a running task whose driver nobody can reach: every rung of the ladder, the last one against EMR's protection."""
    grows = ClusterRequest(name="own", profile="own", workers=(1, 3))
    first = scene.submit("own", cluster=grows)
    scene.until(scene.mover(role, "own"), scene.in_phase(first, AppPhase.RUNNING))
    cluster = scene.cluster_of(first)
    scene.admin("emr").set_termination_protection(JobFlowIds=[cluster], TerminationProtected=True)
    scene.emr.configure(yarn_reachable=False)
    scene.clear_task("own", "own/2")
    assert scene.registry.submit(request_of(cluster=grows), ti_id="own/2").outcome == "replacing"
    scene.until(scene.mover(role, "own/2"), lambda: scene.cluster_states()[cluster].startswith("TERMINAT"))
    scene.until(scene.mover(role, "own/2"), lambda: scene.detail(first).app.generation == 2)
    scene.emr.configure(yarn_reachable=True)


def _lose_replies(scene: Scene) -> None:
    """Let the replies of a create and of a send get lost: both are found by name."""
    scene.emr.fault("RunJobFlow", "drop", when="after")
    scene.emr.fault("AddJobFlowSteps", "drop", when="after")
    app = scene.submit("lost", cluster="own")
    scene.until(scene.pass_once, scene.in_phase(app, AppPhase.SUCCEEDED))


def _end_idle_clusters(scene: Scene) -> None:
    scene.until(scene.pass_once, lambda: all(state.startswith("TERMINAT") for state in scene.cluster_states().values()))


@pytest.mark.timeout(180)
def test_cluster_policy_grants_what_steps_and_their_logs_need_and_nothing_else(tmp_path: Path) -> None:
    """One real spark-submit, fetched as a script because its command is long."""
    with open_scene(tmp_path, clock_speed=1, log_delay_s=0) as scene:
        app = scene.submit("real", args=long_arguments(), py_files=(Artifact(name="lib.py", uri=f"s3://{CODE}/lib.py"),))
        scene.until_soon(scene.pass_once, scene.in_phase(app, AppPhase.SUCCEEDED, AppPhase.FAILED))
        scene.until_soon(scene.pass_once, lambda: scene.detail(app).attempt.log_tail is not None)
        assert scene.detail(app).app.phase is AppPhase.SUCCEEDED, scene.detail(app).attempt.log_tail
        judge(read_policy("cluster"), asked_by(scene, CLUSTER))


def test_doctor_policy_grants_what_its_checks_ask_and_nothing_else(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", connection_json(scene.emr, "doctor"))
    (site,) = sites_of(profiles_on(scene.emr)).values()
    simulated: list[Asked] = []  # moto does not know this operation, so no journal has it
    note: Any = lambda **_: simulated.append(Asked(action="iam:SimulatePrincipalPolicy", resource="*"))  # noqa: E731
    site.client("iam").meta.events.register("before-call.iam.SimulatePrincipalPolicy", note)
    findings = list(run_checks(aws_checks(site, Process.WORKER), deadline_s=30))
    assert {one.check.split()[0] for one in findings} == {"aws", "permissions", "emr", "s3", "roles"}
    asked = [one for one in asked_by(scene, "doctor") if one.action != "sts:GetCallerIdentity"]  # IAM lets everybody ask who he is
    judge(read_policy("doctor"), [*asked, *simulated])


def test_doctor_asks_for_what_the_policies_grant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", '{"conn_type": "aws", "login": "x", "password": "x"}')
    profiles = profiles_from_mapping({"profiles": {"shared": {"log_uri": f"s3://{BUCKET}/logs"}}}, artifacts=f"s3://{BUCKET}/artifacts")
    (site,) = sites_of(_in_region(profiles)).values()
    caller = Caller(account=ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:role/worker")
    for process in (Process.WORKER, Process.TRIGGERER):
        policy = read_policy(WORKER if process is Process.WORKER else RECONCILER)
        wanted = needed(site, caller, process)
        asked = [Asked(action=one, resource=want.resource, context=want.context) for want in wanted for one in want.actions]
        assert [one for one in asked if not policy.allows(one)] == []
        only_where_clusters_grow = {"elasticmapreduce:PutManagedScalingPolicy"}
        assert {one.action for one in asked} | only_where_clusters_grow == {action for _, action in policy.grants()}
    assert needed(site, caller, Process.API_SERVER) == []


def _in_region(profiles: Profiles) -> Profiles:
    return replace(profiles, targets={name: replace(one, region="eu-west-1") for name, one in profiles.targets.items()})


@pytest.mark.parametrize("name", [WORKER, RECONCILER])
def test_roles_that_may_be_passed_are_the_two_of_emr_to_their_services_alone(name: str) -> None:
    policy = read_policy(name)

    def may_pass(role: str, service: str) -> bool:
        return policy.allows(Asked(action="iam:PassRole", resource=role_arn(role), context={"iam:PassedToService": service}))

    assert may_pass("EMR_DefaultRole", "elasticmapreduce.amazonaws.com")
    assert may_pass("EMR_EC2_DefaultRole", "ec2.amazonaws.com")
    refused = {
        ("Administrator", "ec2.amazonaws.com"),
        ("Administrator", "elasticmapreduce.amazonaws.com"),
        ("EMR_DefaultRole", "ec2.amazonaws.com"),
        ("EMR_EC2_DefaultRole", "lambda.amazonaws.com"),
        ("EMR_EC2_DefaultRole", "elasticmapreduce.amazonaws.com"),
    }
    assert {pair for pair in refused if may_pass(*pair)} == set()
    assert not policy.allows(Asked(action="iam:PassRole", resource=role_arn("EMR_EC2_DefaultRole")))


@pytest.mark.parametrize("name", [WORKER, RECONCILER])
def test_clusters_of_others_can_be_seen_and_not_touched(name: str) -> None:
    policy = read_policy(name)
    arn = f"arn:aws:elasticmapreduce:eu-west-1:{ACCOUNT}:cluster/j-1"
    ours = {"elasticmapreduce:ResourceTag/platyspark:installation": "abcdef"}
    for action in ("AddJobFlowSteps", "CancelSteps", "SetTerminationProtection", "TerminateJobFlows"):
        assert policy.allows(Asked(action=f"elasticmapreduce:{action}", resource=arn, context=ours))
        assert not policy.allows(Asked(action=f"elasticmapreduce:{action}", resource=arn))
        assert not policy.allows(Asked(action=f"elasticmapreduce:{action}", resource=arn.replace(ACCOUNT, "444455556666"), context=ours))
    assert policy.allows(Asked(action="elasticmapreduce:DescribeCluster", resource=arn))
    assert not policy.allows(Asked(action="elasticmapreduce:RunJobFlow", resource=arn.replace("j-1", "*")))


def test_worker_policy_covers_the_watchdog_that_runs_in_a_worker() -> None:
    assert [one for one in read_policy(RECONCILER).statements if one not in read_policy(WORKER).statements] == []


def test_api_server_policy_denies_everything() -> None:
    policy = read_policy("api-server")
    assert not policy.grants()
    both = Policy(statements=[*policy.statements, *read_policy("worker").statements])
    assert not any(both.allows(Asked(action=action, resource="*")) for _, action in read_policy("worker").grants())


def test_policies_hold_no_wildcard_actions_and_are_all_tested() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == PROCESSES
    assert [action for name in PROCESSES for _, action in read_policy(name).grants() if "*" in action] == []


def test_every_boto3_method_in_the_code_is_granted_by_some_policy() -> None:
    granted = {action for name in PROCESSES for _, action in read_policy(name).grants()}
    found = {(path, action) for path in SOURCE.rglob("*.py") if _calls_aws(path) for action in _actions_in(path)}
    assert {action for _, action in found} > {"elasticmapreduce:RunJobFlow", "s3:ListBucket", "iam:GetRole"}
    assert sorted({f"{path.relative_to(SOURCE)}: {action}" for path, action in found if action not in granted}) == []


_S3 = {
    "get_object": "GetObject",
    "head_object": "GetObject",
    "put_object": "PutObject",
    "upload_fileobj": "PutObject",
    "list_objects_v2": "ListBucket",
    "head_bucket": "ListBucket",
    "delete_object": "DeleteObject",
}


def _calls_aws(path: Path) -> bool:
    """Tell whether a module may call AWS: the endpoint that stands in for it and the fakes don't, and routes never do."""
    return path.relative_to(SOURCE).parts[0] not in {"emrsim", "testing"}


def _actions_in(path: Path) -> Iterator[str]:
    """Yield the IAM action of every method of a boto3 client that a module calls or names."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    words = {node.func.attr for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)}
    words -= {"get_session"}  # of the amazon provider's hook; EMR has an operation of that name
    words |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    for service, prefix in (("emr", "elasticmapreduce"), ("iam", "iam"), ("s3", "s3")):
        methods = {**_operations(service), **(_S3 if service == "s3" else {})}
        yield from (f"{prefix}:{methods[word]}" for word in words & set(methods))


def _operations(service: str) -> dict[str, str]:
    client = boto3.client(service, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")  # type: ignore[call-overload]
    return dict(client.meta.method_to_api_mapping)
