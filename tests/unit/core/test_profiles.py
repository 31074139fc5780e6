"""profiles.yaml as a plain mapping: strict, with the source of each value."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platyspark_provider.core.profiles import profiles_from_mapping
from platyspark_provider.core.states import DeployMode, OnLimit
from platyspark_provider.errors import ProfilesInvalid


@pytest.mark.parametrize("document", [None, {}])
def test_profiles_of_nothing_are_the_built_in_ones(document: Any) -> None:
    profiles = profiles_from_mapping(document, environment="prod", artifacts="s3://b/x/")
    assert (profiles.environment, profiles.artifacts) == ("prod", "s3://b/x")
    assert set(profiles.profiles) == {"shared"}
    shared, target = profiles.profiles["shared"], profiles.targets["default"]
    assert (shared.target, shared.deploy_mode, shared.source_of("release_label")) == ("default", DeployMode.CLUSTER, "built-in")
    assert (target.backend, target.aws_conn_id, target.region) == ("emr", "aws_default", None)


def test_profiles_document_wins_over_settings() -> None:
    profiles = profiles_from_mapping({"environment": "dev", "artifacts": "s3://mine"}, environment="prod", artifacts="s3://b/x")
    assert (profiles.environment, profiles.artifacts) == ("dev", "s3://mine")


def test_target_with_one_yarn_address_for_all_clusters_is_refused() -> None:
    with pytest.raises(ProfilesInvalid, match=r"targets.eu.yarn_url: 'http://rm:8088' must hold \{cluster\}.*/yarn/\{cluster\}"):
        profiles_from_mapping({"targets": {"eu": {"yarn_url": "http://rm:8088"}}})


def test_profile_fields_are_read_with_their_types() -> None:
    document = {
        "targets": {
            "eu": {"aws_conn_id": "aws_eu", "region": "eu-west-1", "account_id": 123456789012, "yarn_url": "http://{cluster}:8088"}
        },
        "profiles": {
            "big": {
                "target": "eu",
                "idle_timeout": "30min",
                "step_concurrency": 4,
                "dedicated": True,
                "deploy_mode": "client",
                "on_limit": "alert",
                "max_runtime": "PT2H",
                "conf": {"spark.executor.cores": 4, "spark.x": True},
                "instance_groups": [
                    {"role": "MASTER", "instance_type": "m5.xlarge", "count": 1},
                    {"role": "CORE", "instance_type": "r5.2xlarge", "count": 8, "market": "SPOT"},
                ],
                "configurations": [{"Classification": "spark"}],
                "subnets": ["subnet-1"],
                "team": None,
            }
        },
    }
    profiles = profiles_from_mapping(document)
    big = profiles.profiles["big"]
    assert (big.idle_timeout, big.step_concurrency, big.dedicated, big.max_runtime) == (1800, 4, True, 7200)
    assert (big.deploy_mode, big.on_limit) == (DeployMode.CLIENT, OnLimit.ALERT)
    assert dict(big.conf) == {"spark.executor.cores": "4", "spark.x": "true"}
    assert big.instance_groups[1].market == "SPOT"
    assert big.source_of("idle_timeout") == "profile big"
    assert big.source_of("team") == "built-in"
    assert profiles.targets["eu"].account_id == "123456789012"


def test_profile_that_extends_merges_conf_and_remembers_who_said_what() -> None:
    document = {
        "profiles": {
            "base": {"release_label": "emr-7.9.0", "conf": {"a": "1", "b": "1"}, "tags": {"t": "base"}},
            "mid": {"extends": "base", "conf": {"b": "2"}},
            "top": {"extends": "mid", "step_concurrency": 2, "tags": {"t": "top"}},
        }
    }
    top = profiles_from_mapping(document).profiles["top"]
    assert (top.name, top.release_label, dict(top.conf), dict(top.tags)) == ("top", "emr-7.9.0", {"a": "1", "b": "2"}, {"t": "top"})
    assert [top.source_of(key) for key in ("release_label", "conf.a", "conf.b", "tags.t", "step_concurrency")] == [
        "profile base",
        "profile base",
        "profile mid",
        "profile top",
        "profile top",
    ]


def test_profile_shared_of_the_file_stands_over_the_built_in_one() -> None:
    shared = profiles_from_mapping({"profiles": {"shared": {"step_concurrency": 3}}}).profiles["shared"]
    assert (shared.step_concurrency, shared.idle_timeout) == (3, 3600)


def _groups(*groups: dict[str, Any]) -> dict[str, Any]:
    return {"profiles": {"p": {"instance_groups": list(groups)}}}


BROKEN: list[tuple[Any, str]] = [
    ({"profile": {}}, r"profile: unknown key. Did you mean 'profiles'"),
    ({"zzz": 1}, r"zzz: unknown key. Known: artifacts, environment"),
    ({"profiles": {"big": {"relase_label": "x"}}}, r"profiles.big.relase_label: unknown key. Did you mean 'release_label'"),
    ({"profiles": {"big": None}}, r"profiles.big: must be a mapping, not nothing"),
    ({"profiles": []}, r"profiles: must be a mapping, not a list"),
    ([1], r"profiles: must be a mapping, not a list"),
    ({1: 2}, r"key 1 must be text"),
    ({"environment": 5}, r"environment: must be text, not a number"),
    ({"environment": " "}, r"environment: must be text"),
    ({"artifacts": "/tmp/x"}, r"artifacts: '/tmp/x' must be an S3 address"),
    ({"artifacts": "s3://"}, r"must be an S3 address"),
    ({"targets": {"eu": {"backend": "emrr"}}}, r"targets.eu.backend: 'emrr' is not allowed. Did you mean 'emr'"),
    ({"targets": {"eu": {"account_id": []}}}, r"targets.eu.account_id: must be text or a number"),
    ({"profiles": {"p": {"target": "nowhere"}}}, r"profiles.p.target: no target 'nowhere'. Known: default"),
    ({"profiles": {"p": {"extends": "shraed"}}}, r"profiles.p.extends: no profile 'shraed'. Did you mean 'shared'"),
    ({"profiles": {"a": {"extends": "b"}, "b": {"extends": "a"}}}, r"extend each other: a -> b -> a"),
    ({"profiles": {"p": {"extends": "p"}}}, r"extend each other"),
    ({"profiles": {"p": {"idle_timeout": 5}}}, r"profiles.p.idle_timeout: must be 60 to 604800 seconds, not 5"),
    ({"profiles": {"p": {"idle_timeout": "soon"}}}, r"profiles.p.idle_timeout: 'soon' is no duration"),
    ({"profiles": {"p": {"idle_timeout": []}}}, r"must be a duration, not a list"),
    ({"profiles": {"p": {"step_concurrency": 257}}}, r"whole number from 1 to 256, not 257"),
    ({"profiles": {"p": {"step_concurrency": True}}}, r"whole number from 1 to 256, not True"),
    ({"profiles": {"p": {"dedicated": "yes"}}}, r"must be true or false, not text"),
    ({"profiles": {"p": {"deploy_mode": "cleint"}}}, r"'cleint' is not allowed. Did you mean 'client'"),
    ({"profiles": {"p": {"subnets": "subnet-1"}}}, r"must be a list, not text"),
    ({"profiles": {"p": {"subnets": [1]}}}, r"profiles.p.subnets.0: must be text, not a number"),
    ({"profiles": {"p": {"conf": {"a": None}}}}, r"profiles.p.conf.a: must be text or a number, not nothing"),
    (
        {"profiles": {"p": {"instance_groups": [{"role": "CORE", "instance_type": "m5.xlarge", "count": 1}]}}},
        r"exactly one group with role MASTER",
    ),
    ({"profiles": {"p": {"instance_groups": [{"role": "MASTER", "count": 1}]}}}, r"profiles.p.instance_groups.0: instance_type is missing"),
    ({"profiles": {"p": {"instance_groups": [{"role": "MASTER", "instance_type": "m5.xlarge", "count": 0}]}}}, r"whole number from 1"),
]


@pytest.mark.parametrize(("document", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_profiles_with_a_mistake_name_its_place(document: Any, message: str) -> None:
    with pytest.raises(ProfilesInvalid, match=message):
        profiles_from_mapping(document)


_scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
_plain = st.recursive(_scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3))


@given(st.dictionaries(st.sampled_from(["environment", "artifacts", "targets", "profiles", "policies", "x"]), _plain, max_size=4))
def test_profiles_of_any_document_are_read_or_refused_with_a_place(document: Any) -> None:
    refusals: list[ProfilesInvalid] = []
    try:
        profiles = profiles_from_mapping(document)
        assert "shared" in profiles.profiles
    except ProfilesInvalid as refused:
        refusals.append(refused)
    assert all(isinstance(refused.fields["path"], tuple) for refused in refusals)
