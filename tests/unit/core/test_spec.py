"""Hashes: equal for what is the same, different for what is not, whatever order it was written in."""

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platyspark_provider.core.spec import (
    AppRequest,
    Artifact,
    ClusterSpec,
    InstanceGroup,
    canonical_json,
    content_hash,
    differing_fields,
    request_hash,
    spec_hash,
)
from platyspark_provider.core.states import AppKind, FailureClass, OnLimit, Reuse
from tests.builders import make_cluster_spec, make_request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
WORDS = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4)


def shuffled(value: Any) -> Any:
    """Return the same JSON value with every object's keys in the opposite order."""
    if isinstance(value, dict):
        return {k: shuffled(value[k]) for k in reversed(value)}
    return [shuffled(v) for v in value] if isinstance(value, list) else value


@given(JSON)
def test_canonical_json_reads_back_and_ignores_the_order_of_keys(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value
    assert canonical_json(shuffled(value)) == canonical_json(value)
    assert content_hash(shuffled(value)) == content_hash(value)


@given(JSON, JSON)
def test_content_hash_differs_as_the_values_do(one: Any, other: Any) -> None:
    assert (content_hash(one) == content_hash(other)) is (canonical_json(one) == canonical_json(other))


@given(conf=WORDS, env=WORDS, tags=WORDS)
def test_request_hash_ignores_the_order_in_which_conf_was_written(conf: dict[str, str], env: dict[str, str], tags: dict[str, str]) -> None:
    one = make_request(conf=conf, env_vars=env, tags=tags)
    other = make_request(conf=shuffled(conf), env_vars=shuffled(env), tags=shuffled(tags))
    assert request_hash(one) == request_hash(other)
    assert differing_fields(one, other) == ()


OTHER: dict[str, Any] = {
    "application": Artifact(name="job.py", sha256="ab" * 32),
    "sql": "SELECT 1",
    "kind": AppKind.STREAMING,
    "name": "other",
    "main_class": "a.B",
    "args": ("1",),
    "conf": {"spark.x": "1"},
    "env_vars": {"A": "1"},
    "py_files": (Artifact(name="a.zip", uri="s3://a"),),
    "files": (Artifact(name="a.txt", uri="s3://a"),),
    "jars": (Artifact(name="a.jar", uri="s3://a"),),
    "archives": (Artifact(name="a.tgz", uri="s3://a"),),
    "packages": ("a:b:1",),
    "cluster": "large",
    "max_runtime_s": 60,
    "on_limit": OnLimit.ALERT,
    "team": "other",
    "tags": {"a": "b"},
}


@pytest.mark.parametrize("name", [f.name for f in fields(AppRequest) if f.name not in {"app_key", "reuse"}])
def test_request_hash_counts_every_field(name: str) -> None:
    one, other = make_request(), replace(make_request(), **{name: OTHER[name]})
    assert request_hash(one) != request_hash(other)
    assert differing_fields(one, other) == (name,)


def test_request_hash_does_not_count_the_key_and_the_reuse_rule() -> None:
    assert request_hash(make_request()) == request_hash(make_request(app_key="k", reuse=Reuse.NEVER))


def test_request_hash_order_of_arguments_counts() -> None:
    assert request_hash(make_request(args=("a", "b"))) != request_hash(make_request(args=("b", "a")))


def test_request_artifacts_are_all_files_application_first() -> None:
    request = make_request(**{name: OTHER[name] for name in ("py_files", "files", "jars", "archives")})
    assert [a.name for a in request.artifacts()] == ["job.py", "a.zip", "a.txt", "a.jar", "a.tgz"]


@pytest.mark.parametrize(
    "values",
    [
        {"idle_timeout_s": 60},
        {"step_concurrency": 1},
        {"log_uri": "s3://l"},
        {"tags": {"a": "b"}},
        {"name": "other"},
        {"max_workers": 9, "max_on_demand": 2},
        {"pool_min": 1, "pool_max": 3},
        {"queue_ahead": 4},
    ],
)
def test_spec_hash_does_not_count_what_may_change(values: dict[str, Any]) -> None:
    assert spec_hash(make_cluster_spec(**values)) == spec_hash(make_cluster_spec())


IMMUTABLE: dict[str, Any] = {
    "target": "west",
    "release_label": "emr-7.6.0",
    "applications": ("spark", "hive"),
    "instance_groups": (InstanceGroup(role="MASTER", instance_type="m5.xlarge", count=1),),
    "configurations": ({"Classification": "spark"},),
    "bootstrap_actions": ({"Name": "x"},),
    "subnet_ids": ("subnet-1",),
    "security_groups": {"master": "sg-1"},
    "service_role": "r",
    "instance_profile": "p",
    "security_configuration": "s",
    "custom_ami": "ami-1",
    "dedicated": True,
}
MUTABLE = {
    "idle_timeout_s",
    "step_concurrency",
    "log_uri",
    "tags",
    "name",
    "max_workers",
    "max_on_demand",
    "pool_min",
    "pool_max",
    "queue_ahead",
}


@pytest.mark.parametrize("name", [f.name for f in fields(ClusterSpec) if f.name not in MUTABLE])
def test_spec_hash_counts_every_immutable_field(name: str) -> None:
    assert spec_hash(make_cluster_spec(**{name: IMMUTABLE[name]})) != spec_hash(make_cluster_spec())


def test_spec_hash_takes_applications_subnets_and_groups_as_sets() -> None:
    groups = tuple(InstanceGroup(role=role, instance_type="m5.xlarge", count=1) for role in ("MASTER", "CORE"))
    one = make_cluster_spec(applications=("Spark", "hive"), subnet_ids=("a", "b"), instance_groups=groups)
    other = make_cluster_spec(applications=("Hive", "spark"), subnet_ids=("b", "a"), instance_groups=groups[::-1])
    assert spec_hash(one) == spec_hash(other)


@pytest.mark.parametrize("klass", list(FailureClass))
def test_failure_class_is_retryable_unless_running_again_can_not_help(klass: FailureClass) -> None:
    assert klass.is_retryable is (klass not in {FailureClass.USER, FailureClass.LIMIT, FailureClass.THRASH})


def test_request_hash_of_a_request_without_later_fields_stays_what_it_was() -> None:
    """Explicit keys survive an upgrade: the digest was taken with release 0.1.0."""
    request = AppRequest(application=Artifact(name="job.py", uri="s3://b/job.py"), args=("1",), conf={"spark.x": "1"}, app_key="k")
    assert request_hash(request) == "4f0ce5b15a75132f8c7db2772ba1980cd65e2e40f314da20cab11448340e7bb7"
