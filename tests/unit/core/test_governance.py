"""What governance makes of a request, and where each value came from."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platyspark_provider.backends.emr_requests import run_job_flow_request
from platyspark_provider.core.governance import Resolution, resolve
from platyspark_provider.core.profiles import profiles_from_mapping
from platyspark_provider.core.spec import Artifact
from platyspark_provider.core.states import DeployMode, OnLimit
from platyspark_provider.errors import ArtifactsUnset, InvalidRequest, PolicyViolated, UnknownProfile
from tests.builders import make_request

SHA = "0f" * 32


def governed(document: dict[str, Any] | None = None, team_of_task: str | None = None, **request: Any) -> Resolution:
    return resolve(make_request(**request), profiles_from_mapping(document), default_name="daily", team_of_task=team_of_task)


def test_resolve_with_nothing_set_takes_built_in_values() -> None:
    found = governed()
    spec = found.spec
    assert (spec.name, spec.team, spec.deploy_mode, spec.max_runtime_s) == ("daily", "default", DeployMode.CLUSTER, None)
    assert (spec.cluster.name, spec.cluster.target, found.target.name) == ("shared", "default", "default")
    assert (spec.application_uri, dict(spec.uploads)) == ("s3://code/job.py", {})
    assert found.provenance["cluster.release_label"] == "built-in"
    assert found.provenance["name"] == "task"
    assert found.warnings == ()


def test_resolve_lets_request_stand_over_profile_and_says_so() -> None:
    document = {
        "profiles": {"shared": {"conf": {"spark.a": "1", "spark.b": "1"}, "tags": {"t": "p"}, "max_runtime": "1h", "env_vars": {"E": "p"}}}
    }
    found = governed(document, conf={"spark.b": "2", "spark.c": "3"}, tags={"t": "r"}, max_runtime_s=60, env_vars={"F": "r"}, name="mine")
    spec, sources = found.spec, found.provenance
    assert dict(spec.conf) == {"spark.a": "1", "spark.b": "2", "spark.c": "3"}
    assert [sources[f"conf.spark.{k}"] for k in "abc"] == ["profile shared", "request", "request"]
    assert (dict(spec.tags), sources["tags.t"]) == ({"t": "r"}, "request")
    assert (spec.max_runtime_s, sources["max_runtime"]) == (60, "request")
    assert (dict(spec.env_vars), sources["env_vars.E"]) == ({"E": "p", "F": "r"}, "profile shared")
    assert (spec.name, sources["name"]) == ("mine", "request")


def test_resolve_takes_limits_of_the_profile() -> None:
    found = governed({"profiles": {"shared": {"max_runtime": "1h", "on_limit": "alert"}}})
    assert (found.spec.max_runtime_s, found.spec.on_limit) == (3600, OnLimit.ALERT)
    assert found.provenance["on_limit"] == "profile shared"
    assert governed(on_limit=OnLimit.ALERT).provenance["on_limit"] == "request"


@pytest.mark.parametrize(
    ("request_team", "profile_team", "tag", "team", "source"),
    [
        ("ads", "bi", None, "ads", "request"),
        ("ml", "bi", "ml", "ml", "request"),
        (None, "bi", "ml", "bi", "profile shared"),
        (None, None, "ml", "ml", "DAG tag"),
        (None, None, None, "default", "built-in"),
    ],
)
def test_resolve_team_comes_from_request_profile_or_tag(
    request_team: str | None, profile_team: str | None, tag: str | None, team: str, source: str
) -> None:
    found = governed({"profiles": {"shared": {"team": profile_team}}}, tag, team=request_team)
    assert (found.spec.team, found.provenance["team"]) == (team, source)


def test_resolve_with_another_team_than_the_dags_tag_is_refused() -> None:
    with pytest.raises(PolicyViolated, match=r"team 'ads' was asked for, but the DAG has the tag 'team:ml'.*Leave team= away") as refused:
        governed(team_of_task="ml", team="ads")
    assert (refused.value.fields["key"], refused.value.fields["allowed"]) == ("team", "ml")


def test_resolve_with_a_team_that_is_no_name_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="team 'a b' is no name"):
        governed(team_of_task="a b")


def test_resolve_with_unknown_profile_guesses_and_lists() -> None:
    with pytest.raises(UnknownProfile, match=r"Did you mean 'stream'\? Known: shared, stream"):
        governed({"profiles": {"stream": {}}}, cluster="steram")


def test_resolve_uploads_local_files_by_content() -> None:
    document = {"artifacts": "s3://bucket/pre"}
    found = governed(document, application=Artifact(name="job.py", sha256=SHA), jars=(Artifact(name="x.jar", uri="s3://jars/x.jar"),))
    address = f"s3://bucket/pre/{SHA}/job.py"
    assert (found.spec.application_uri, dict(found.spec.uploads), found.spec.jars) == (address, {SHA: address}, ("s3://jars/x.jar",))


@pytest.mark.parametrize(
    ("profile", "artifacts", "log_uri", "source"),
    [
        ({}, "s3a://bucket/pre/", "s3://bucket/pre/logs", "built-in (artifacts)"),
        ({"log_uri": "s3://own/logs"}, "s3://bucket/pre", "s3://own/logs", "profile shared"),
        ({}, None, None, "built-in"),
    ],
)
def test_resolve_logs_lie_under_the_artifacts_prefix_where_the_profile_names_no_other(
    profile: dict[str, str], artifacts: str | None, log_uri: str | None, source: str
) -> None:
    found = resolve(
        make_request(),
        profiles_from_mapping({"profiles": {"shared": profile}}, artifacts=artifacts),
        default_name="daily",
        team_of_task=None,
    )
    assert (found.spec.cluster.log_uri, found.provenance["cluster.log_uri"]) == (log_uri, source)
    assert run_job_flow_request(found.spec.cluster, name="c", tags={}).get("LogUri") == log_uri


def test_resolve_of_local_file_without_prefix_says_what_to_set() -> None:
    with pytest.raises(ArtifactsUnset, match=r"job.py is a local file.*\[platyspark\] artifacts"):
        governed(application=Artifact(name="job.py", sha256=SHA))


def test_resolve_of_sql_needs_a_prefix_and_keeps_it_for_the_executor() -> None:
    with pytest.raises(ArtifactsUnset, match=r"sql is run by a small driver.*\[platyspark\] artifacts"):
        governed(application=None, sql="select 1")
    spec = governed({"artifacts": "s3://files/x"}, application=None, sql="select 1").spec
    assert (spec.sql, spec.application_uri, spec.artifacts) == ("select 1", "", "s3://files/x")


def test_resolve_gives_aliases_to_addresses_of_local_files() -> None:
    env = Artifact(name="env.tar.gz", sha256=SHA, alias="env")
    spec = governed({"artifacts": "s3://files/x"}, archives=(env, Artifact(name="b.zip", uri="s3://b/b.zip#b"))).spec
    assert spec.archives == (f"s3://files/x/{SHA}/env.tar.gz#env", "s3://b/b.zip#b")
    assert spec.uploads == {SHA: f"s3://files/x/{SHA}/env.tar.gz"}


def test_resolve_refuses_what_linux_takes_as_no_argument_and_tells_what_yarn_changes() -> None:
    with pytest.raises(InvalidRequest, match=r"conf spark.x: 131,\d+ bytes are too long"):
        governed({"profiles": {"shared": {"conf": {"spark.x": "x" * 131_072}}}})
    assert "args[0] holds {{ or }}" in governed(args=("{{x}}",)).warnings[0]


def test_resolve_holds_conf_to_ceilings_floors_and_forced_values() -> None:
    document = {
        "profiles": {"shared": {"conf": {"spark.executor.instances": "200"}}},
        "policies": {
            "conf": {
                "spark.executor.memory": {"max": "16g", "clamp": True},
                "spark.executor.instances": {"max": 50, "clamp": True},
                "spark.eventLog.enabled": {"force": True},
                "spark.sql.*": {"force": "x"},
            },
            "max_runtime": "2h",
            "tags": {"cost": "42", "env": "prod"},
        },
    }
    found = governed(document, conf={"spark.executor.memory": "64g", "spark.eventLog.enabled": "false"}, tags={"cost": "1", "mine": "1"})
    assert dict(found.spec.conf) == {"spark.executor.memory": "16g", "spark.executor.instances": "50", "spark.eventLog.enabled": "true"}
    sources = found.provenance
    assert (sources["conf.spark.executor.memory"], sources["conf.spark.eventLog.enabled"]) == ("policy ceiling", "policy forced")
    assert (found.spec.max_runtime_s, sources["max_runtime"]) == (7200, "policy ceiling")
    assert (dict(found.spec.tags), sources["tags.cost"]) == ({"cost": "42", "env": "prod", "mine": "1"}, "policy forced")
    assert dict(found.spec.cluster.tags) == {"cost": "42", "env": "prod"}
    assert len(found.warnings) == 4


def test_resolve_clamps_max_runtime_with_a_warning() -> None:
    found = governed({"policies": {"max_runtime": {"max": 60, "clamp": True}}}, max_runtime_s=100)
    assert (found.spec.max_runtime_s, len(found.warnings)) == (60, 1)


@pytest.mark.parametrize(
    ("policies", "conf"),
    [
        ({"conf": {"spark.executor.memory": {"max": "16g"}}}, {"spark.executor.memory": "17g"}),
        ({"conf": {"spark.hadoop.fs.s3a.*": {"forbid": True}}}, {"spark.hadoop.fs.s3a.secret.key": "x"}),
    ],
)
def test_resolve_beyond_policy_is_refused_with_the_waiver(policies: dict[str, Any], conf: dict[str, str]) -> None:
    with pytest.raises(PolicyViolated, match="#platform"):
        governed({"policies": {**policies, "waiver": "#platform"}}, conf=conf)


def test_resolve_lets_a_profile_set_what_owners_may_not() -> None:
    document = {"profiles": {"shared": {"conf": {"spark.hadoop.x": "1"}}}, "policies": {"conf": {"spark.hadoop.*": {"forbid": True}}}}
    assert governed(document).spec.conf["spark.hadoop.x"] == "1"


def test_resolve_gives_a_team_its_waiver() -> None:
    rules = {"conf": {"spark.executor.memory": {"max": "16g"}}, "teams": {"ml": {"conf": {"spark.executor.memory": {"max": "64g"}}}}}
    assert governed({"policies": rules}, conf={"spark.executor.memory": "32g"}, team="ml").spec.conf["spark.executor.memory"] == "32g"


def test_resolve_refuses_a_profile_that_the_team_may_not_use() -> None:
    document = {"profiles": {"big": {}}, "policies": {"teams": {"ads": {"profiles": ["shared"]}}}}
    with pytest.raises(PolicyViolated, match="Team 'ads' may not use profile 'big'; it may use shared"):
        governed(document, cluster="big", team="ads")
    assert governed(document, team="ads").spec.cluster.name == "shared"


@pytest.mark.parametrize("key", ["spark.master", "spark.submit.deployMode", "spark.yarn.tags", "spark.yarn.submit.waitAppCompletion"])
def test_resolve_refuses_what_the_platform_sets_itself(key: str) -> None:
    with pytest.raises(PolicyViolated, match=f"{key} may not be set"):
        governed(conf={key: "x"})


def test_resolve_warns_of_conf_that_spark_ignores() -> None:
    assert governed(conf={"executor.memory": "1g"}).warnings == ("conf 'executor.memory' does not begin with 'spark.': Spark ignores it.",)


@given(
    conf=st.dictionaries(st.from_regex(r"spark\.[a-z]{1,6}", fullmatch=True), st.from_regex(r"[0-9]{1,4}", fullmatch=True), max_size=5),
    profile=st.dictionaries(st.from_regex(r"spark\.[a-z]{1,6}", fullmatch=True), st.from_regex(r"[0-9]{1,4}", fullmatch=True), max_size=5),
)
def test_resolve_gives_every_conf_value_a_source_and_no_value_a_wrong_one(conf: dict[str, str], profile: dict[str, str]) -> None:
    found = governed({"profiles": {"shared": {"conf": profile}}}, conf=conf)
    for key, value in found.spec.conf.items():
        source = found.provenance[f"conf.{key}"]
        assert (source, value) == (("request", conf[key]) if key in conf else ("profile shared", profile[key]))
    assert set(found.spec.conf) == {*conf, *profile}
