"""Values for tests: rows with sensible defaults, every field overridable."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from platyspark_provider.core.keys import cluster_key
from platyspark_provider.core.model import App, Attempt, Cluster, Target
from platyspark_provider.core.spec import AppRequest, Artifact, ClusterSpec, ResolvedSpec, request_hash, spec_hash
from platyspark_provider.core.states import (
    AppDesired,
    AppKind,
    AppPhase,
    ClusterDesired,
    ClusterPhase,
    DeployMode,
)

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
JOINABLE = frozenset({ClusterPhase.INTENT, ClusterPhase.CREATING, ClusterPhase.AMBIGUOUS, ClusterPhase.STARTING, ClusterPhase.READY})


def make_request(**values: Any) -> AppRequest:
    """Return a request for one PySpark file at an address."""
    return AppRequest(**{"application": Artifact(name="job.py", uri="s3://code/job.py"), **values})


def make_cluster_spec(**values: Any) -> ClusterSpec:
    """Return the spec of a small shared cluster."""
    return ClusterSpec(**{"name": "shared", "target": "default", "release_label": "emr-7.5.0", **values})


def make_spec(**values: Any) -> ResolvedSpec:
    """Return a resolved spec."""
    base: dict[str, Any] = {
        "name": "job",
        "deploy_mode": DeployMode.CLUSTER,
        "application_uri": "s3://code/job.py",
        "cluster": make_cluster_spec(),
        "team": "ads",
        "environment": "test",
    }
    return ResolvedSpec(**{**base, **values})


def make_app(**values: Any) -> App:
    """Return an application in its first generation."""
    request = values.pop("request", make_request())
    base: dict[str, Any] = {
        "id": 1,
        "scope": "ads",
        "app_key": "dag/task/-1/run",
        "kind": AppKind.BATCH,
        "name": "job",
        "team": "ads",
        "owner": "dana",
        "environment": "test",
        "request": request,
        "request_hash": request_hash(request),
        "desired": AppDesired.COMPLETED,
        "phase": AppPhase.NEW,
        "generation": 1,
        "wanted_generation": 1,
        "created_at": NOW,
        "updated_at": NOW,
        "dag_id": "dag",
        "task_id": "task",
        "run_id": "run",
        "rerun_token": "1",
        "owner_try": 1,
        "owner_ti_id": "ti-1",
    }
    return App(**{**base, **values})


def make_attempt(**values: Any) -> Attempt:
    """Return the first attempt of application 1."""
    base: dict[str, Any] = {
        "app_id": 1,
        "generation": 1,
        "spec": make_spec(),
        "provenance": {},
        "phase": AppPhase.NEW,
        "created_at": NOW,
        "ti_id": "ti-1",
        "try_number": 1,
    }
    return Attempt(**{**base, **values})


def make_cluster(**values: Any) -> Cluster:
    """Return the first incarnation of the small shared cluster, not yet created."""
    spec = values.pop("spec", make_cluster_spec())
    key = cluster_key("test", spec)
    base: dict[str, Any] = {
        "id": 7,
        "cluster_key": key,
        "name": spec.name,
        "environment": "test",
        "target_id": 1,
        "spec_hash": spec_hash(spec),
        "spec": spec,
        "desired": ClusterDesired.UP,
        "phase": ClusterPhase.INTENT,
        "generation": 1,
        "created_at": NOW,
        "updated_at": NOW,
        "live_key": key,
    }
    return Cluster(**{**base, **values})


def make_target(**values: Any) -> Target:
    """Return the default EMR target."""
    return Target(**{"id": 1, "name": "default", "backend": "emr", "aws_conn_id": "aws_default", "region": "eu-west-1", **values})


def in_phase(phase: AppPhase, **values: Any) -> tuple[App, Attempt]:
    """Return an application and its attempt, both in `phase`; `values` go to the attempt."""
    return replace(make_app(), phase=phase), replace(make_attempt(), phase=phase, **values)
