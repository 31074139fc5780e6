"""Applications and clusters on emrsim, moved by the real code under an AWS key for each kind of process; and its calls in IAM's words."""

import gzip
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from airflow.sdk import Connection

from platyspark_provider.backends.emr import EmrBackend
from platyspark_provider.core.model import Target
from platyspark_provider.core.ports import Backend
from platyspark_provider.core.profiles import Profiles, profiles_from_mapping
from platyspark_provider.core.records import AppDetail, Policy
from platyspark_provider.core.spec import AppRequest, Artifact
from platyspark_provider.core.states import AppPhase
from platyspark_provider.emrsim.client import EmrSim
from platyspark_provider.hooks.aws import clients_of
from platyspark_provider.operators.patience import Patience
from platyspark_provider.operators.submission import Caller
from platyspark_provider.packaging.artifacts import put_missing
from platyspark_provider.reconciler.advance import advance
from platyspark_provider.reconciler.passes import run_pass
from platyspark_provider.registry.identity import ScriptedTasks
from platyspark_provider.registry.service import RegistryService
from platyspark_provider.store.memory import InMemoryStore
from platyspark_provider.testing import FakeClock
from tests.builders import make_request
from tests.integration.iam_policy import ACCOUNT, REGION, Asked
from tests.registry_world import make_task

WORKER, RECONCILER, ADMIN = "worker", "reconciler", "admin"
CLUSTER = "emrsim"  # emrsim's own key: of its steps, and of what ships their logs
BUCKET, CODE = "company-spark", "company-code"
TURNS, TURN_S, SOON_S = 60, 30.0, 90.0


def connection_json(emr: EmrSim, role: str) -> str:
    """Return `aws_default` of a kind of process."""
    extra = {"endpoint_url": emr.url, "region_name": REGION}
    return json.dumps({"conn_type": "aws", "login": role, "password": "x", "extra": extra})


class RoleBackends:
    """Backends of one kind of process; notes what listings of S3 ask for, which the journal does not hold."""

    def __init__(self, emr: EmrSim, role: str) -> None:
        self._emr, self._role = emr, role
        self._built: dict[Target, tuple[Backend, Any]] = {}
        self.prefixes: list[str] = []

    def of(self, target: Target) -> Backend:
        """Return the target's backend."""
        return self._tools(target)[0]

    def s3_of(self, target: Target) -> Any:
        """Return the target's S3 client."""
        return self._tools(target)[1]

    def _tools(self, target: Target) -> tuple[Backend, Any]:
        if target not in self._built:
            clients = clients_of(target, Connection.from_json(connection_json(self._emr, self._role), conn_id="aws_default"))
            clients.s3.meta.events.register("provide-client-params.s3.ListObjectsV2", self._note)
            self._built[target] = EmrBackend(clients, target, put=partial(put_missing, clients.s3)), clients.s3
        return self._built[target]

    def _note(self, params: Mapping[str, Any], **_: Any) -> None:
        self.prefixes.append(str(params.get("Prefix", "")))


@dataclass(slots=True, kw_only=True)
class Scene:
    """One registry and one EMR; time passes by turns."""

    emr: EmrSim
    clock: FakeClock
    store: InMemoryStore
    tasks: ScriptedTasks
    registry: RegistryService
    backends: dict[str, RoleBackends] = field(default_factory=dict)

    def backends_of(self, role: str) -> RoleBackends:
        """Return the backends of a kind of process."""
        return self.backends.setdefault(role, RoleBackends(self.emr, role))

    def submit(self, ti_id: str, **values: Any) -> int:
        """Submit as a task whose DAG is called after it, and return the application's id."""
        self.add_task(ti_id)
        return self.registry.submit(request_of(**values), ti_id=ti_id).app.id

    def add_task(self, ti_id: str, **values: Any) -> None:
        """Add a running task instance."""
        self.tasks.add(make_task(ti_id, **{"dag_id": ti_id.partition("/")[0], **values}))

    def caller(self, ti_id: str) -> Caller:
        """Return what the operator's part in a worker talks to."""
        backends, log = self.backends_of(WORKER), logging.getLogger("worker")
        patience = Patience(seconds=60, clock=self.clock, log=log)
        return Caller(
            registry=self.registry, backends=backends, s3_of=backends.s3_of, ti_id=ti_id, clock=self.clock, patience=patience, log=log
        )

    def mover(self, role: str, ti_id: str) -> Callable[[], None]:
        """Return what moves a task's application: its own steps in a worker, or the pass of triggerer and watchdog."""
        if role == WORKER:
            return lambda: self.step_in_worker(ti_id)
        return lambda: self.pass_once(role)

    def step_in_worker(self, ti_id: str) -> None:
        """Do what the operator does at each of its looks."""
        (app, *_) = self.registry._access.own_apps(self.registry._access.task(ti_id))
        _, report = advance(self.registry, self.backends_of(WORKER), app_id=app.id, ti_id=ti_id, holder=f"worker-{ti_id}", clock=self.clock)
        assert report.errors == 0, report.lines()

    def pass_once(self, role: str = RECONCILER) -> None:
        """Make one pass."""
        report = run_pass(self.registry, self.backends_of(role), holder=role, clock=self.clock)
        assert report.errors == 0, report.lines()

    def clear_task(self, old: str, new: str) -> None:
        """Do what Airflow does when somebody clears a running task: its row goes to the history, another one runs."""
        facts = self.tasks.facts(old)
        assert facts is not None
        self.tasks.archive(old, state="failed", had_trigger=False)
        self.add_task(new, try_number=2, max_tries=facts.max_tries + 1)

    def turn(self, move: Callable[[], None]) -> None:
        """Let time pass, then move."""
        self.clock.advance(TURN_S)
        self.emr.advance(TURN_S)
        move()

    def until(self, move: Callable[[], None], reached: Callable[[], bool]) -> None:
        """Let time pass and move until something is so."""
        for _ in range(TURNS):
            if reached():
                return
            self.turn(move)
        rows = [(one.app_id, one.phase.value) for one in self.registry.snapshot().apps]
        raise AssertionError(f"not reached in {TURNS} turns; applications: {rows}, clusters: {self.cluster_states()}")

    def until_soon(self, move: Callable[[], None], reached: Callable[[], bool]) -> None:
        """Move until something is so, while emrsim's time passes by itself."""
        deadline = time.monotonic() + SOON_S
        while not reached():
            assert time.monotonic() < deadline, f"not reached in {SOON_S} s"
            time.sleep(0.3)
            self.clock.advance(1.0)
            move()

    def detail(self, app_id: int) -> AppDetail:
        """Return an application in its current generation."""
        return self.store.detail(app_id, None)

    def in_phase(self, app_id: int, *phases: AppPhase) -> Callable[[], bool]:
        """Return whether an application is in one of these phases."""
        return lambda: self.detail(app_id).app.phase in phases

    def cluster_of(self, app_id: int) -> str:
        """Return the id of the cluster that an application was sent to."""
        return str(self.detail(app_id).attempt.external_detail["cluster"])

    def cluster_states(self) -> dict[str, str]:
        """Return EMR's state of every cluster."""
        listed = self.admin("emr").list_clusters()["Clusters"]
        return {one["Id"]: one["Status"]["State"] for one in listed}

    def admin(self, service: str) -> Any:
        """Return a client of somebody who is none of us."""
        return self.emr.boto3(service, region=REGION, access_key=ADMIN)

    def write_log(self, app_id: int) -> None:
        """Put the logs of a scripted step where EMR would: the step's own, and the driver's below its container."""
        attempt = self.detail(app_id).attempt
        root = f"logs/{self.cluster_of(app_id)}"
        name = f"application_1700000000000_{app_id:04d}"
        container = f"{root}/containers/{name}/container_1700000000000_{app_id:04d}_01_000001"
        texts = {
            f"{root}/steps/{attempt.external_id}/stderr.gz": f"INFO Client: Submitted application {name}\n",
            f"{container}/stderr.gz": "Traceback\n",
            f"{container}/stdout.gz": "\n",
        }
        for key, text in texts.items():
            self.admin("s3").put_object(Bucket=BUCKET, Key=key, Body=gzip.compress(text.encode()))


@contextmanager
def open_scene(folder: Path, **emrsim: Any) -> Iterator[Scene]:
    """Yield a scene with the buckets of the policies."""
    with EmrSim.start(folder / "emrsim", **{"clock_speed": 0, **emrsim}) as emr:
        clock = FakeClock(datetime.fromtimestamp(emr.now(), UTC))
        store, tasks = InMemoryStore(clock.now), ScriptedTasks()
        profiles = profiles_on(emr)
        policy = Policy(settle_s=60, settle_gap_s=1, stop_grace_s=20)
        scene = Scene(
            emr=emr, clock=clock, store=store, tasks=tasks, registry=RegistryService(store, tasks, lambda: profiles, policy=policy)
        )
        for bucket in (BUCKET, CODE):
            location: Any = {"LocationConstraint": REGION}
            scene.admin("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration=location)
        for key in ("job.py", "lib.py"):
            scene.admin("s3").put_object(Bucket=CODE, Key=key, Body=b"print('hello')\n")
        yield scene


def request_of(**values: Any) -> AppRequest:
    """Return a request for the file that lies in the bucket of code."""
    return make_request(**{"application": Artifact(name="job.py", uri=f"s3://{CODE}/job.py"), **values})


def long_arguments() -> tuple[str, ...]:
    """Return arguments that are too long for EMR's steps."""
    return tuple(f"{n:0100d}" for n in range(200))


def profiles_on(emr: EmrSim) -> Profiles:
    """Return the profiles of the scene: one shared cluster, and one of its own for each application."""
    return profiles_from_mapping(
        {
            "targets": {"default": {"region": REGION, "yarn_url": emr.url + "/emrsim/yarn/{cluster}"}},
            "profiles": {
                "shared": {"log_uri": f"s3://{BUCKET}/logs", "step_concurrency": 10, "idle_timeout": "10m"},
                "own": {"extends": "shared", "dedicated": True},
            },
        },
        artifacts=f"s3://{BUCKET}/artifacts",
    )


def asked_by(scene: Scene, role: str) -> list[Asked]:
    """Return everything that a kind of process asked AWS for, in IAM's words, from emrsim's journal."""
    tags = {one: _tags(scene, one) for one in scene.cluster_states()}
    prefixes = iter(scene.backends[role].prefixes if role in scene.backends else [])
    found: list[Asked] = []
    for call in scene.emr.journal(service=None, access_key=role):
        if call["service"] == "emr":
            found += _emr(call, tags)
        elif call["service"] == "s3":
            found.append(_s3(call, prefixes))
        else:
            found.append(Asked(action=f"{call['service']}:{call['operation']}", resource="*"))
    return found


def _tags(scene: Scene, cluster: str) -> dict[str, str]:
    answer = scene.admin("emr").describe_cluster(ClusterId=cluster)
    return {f"elasticmapreduce:ResourceTag/{one['Key']}": one["Value"] for one in answer["Cluster"]["Tags"]}


def _emr(call: Mapping[str, Any], tags: Mapping[str, Mapping[str, str]]) -> Iterator[Asked]:
    """Yield an operation of EMR and what IAM asks for besides (EMR guide: tags at creation, auto-termination, roles)."""
    operation, request = call["operation"], call["request"]
    if operation == "ListClusters" or operation == "ListReleaseLabels":
        yield Asked(action=f"elasticmapreduce:{operation}", resource="*")
        return
    if operation != "RunJobFlow":
        for cluster in request.get("JobFlowIds") or [request.get("JobFlowId") or request["ClusterId"]]:
            yield Asked(action=f"elasticmapreduce:{operation}", resource=_cluster_arn(cluster), context=tags.get(cluster, {}))
        return
    wanted = {f"elasticmapreduce:RequestTag/{tag['Key']}": tag["Value"] for tag in request.get("Tags", ())}
    yield Asked(action="elasticmapreduce:RunJobFlow", resource=_cluster_arn("*"), context=wanted)
    if wanted:
        yield Asked(action="elasticmapreduce:AddTags", resource=_cluster_arn("*"), context=wanted)
    for member in {"AutoTerminationPolicy", "ManagedScalingPolicy"} & set(request):
        yield Asked(action=f"elasticmapreduce:Put{member}", resource=_cluster_arn("*"))
    for member, service in (("ServiceRole", "elasticmapreduce.amazonaws.com"), ("JobFlowRole", "ec2.amazonaws.com")):
        if member in request:
            yield Asked(action="iam:PassRole", resource=role_arn(request[member]), context={"iam:PassedToService": service})


def _s3(call: Mapping[str, Any], prefixes: Iterator[str]) -> Asked:
    method, bucket, key = call["operation"], call["bucket"], call["key"]
    if not key:
        assert method in {"GET", "HEAD"}, call
        prefix = next(prefixes, None) if method == "GET" else None
        return Asked(action="s3:ListBucket", resource=f"arn:aws:s3:::{bucket}", context={"s3:prefix": prefix} if prefix else {})
    actions = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject", "POST": "PutObject", "DELETE": "DeleteObject"}
    return Asked(action=f"s3:{actions[method]}", resource=f"arn:aws:s3:::{bucket}/{key}")


def _cluster_arn(cluster: str) -> str:
    return f"arn:aws:elasticmapreduce:{REGION}:{ACCOUNT}:cluster/{cluster}"


def role_arn(role: str) -> str:
    """Return the ARN of a role."""
    return f"arn:aws:iam::{ACCOUNT}:role/{role}"
