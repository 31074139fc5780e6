"""profiles.yaml as a plain mapping: strict, with the source of each value."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platyspark_provider.core.profiles import PoolBounds, profiles_from_mapping
from platyspark_provider.core.records import Policy
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


def test_profile_of_shared_clusters_reads_pool_queue_and_sizes() -> None:
    document = {
        "targets": {"eu": {"max_clusters": 20}, "us": {}},
        "profiles": {
            "shared": {"pool": {"min": 1, "max": 3}, "queue_ahead": 10, "sizes": {"huge": "r5.24xlarge", "small": "c5.large"}},
            "urgent": {"extends": "shared", "cluster": "shared", "priority": 90},
            "rush": {"extends": "urgent"},
        },
    }
    profiles = profiles_from_mapping(document)
    shared, urgent, rush = (profiles.profiles[name] for name in ("shared", "urgent", "rush"))
    assert (shared.cluster_name, shared.priority, shared.pool, shared.queue_ahead) == ("shared", 50, PoolBounds(min=1, max=3), 10)
    assert dict(shared.sizes) == {"small": "c5.large", "medium": "m5.2xlarge", "large": "m5.4xlarge", "huge": "r5.24xlarge"}
    assert (urgent.cluster_name, urgent.priority, urgent.pool) == ("shared", 90, shared.pool)
    assert (rush.cluster_name, rush.source_of("cluster"), rush.source_of("sizes.huge")) == ("shared", "profile urgent", "profile shared")
    assert dict(profiles.max_clusters) == {"eu": 20}


def test_profile_without_cluster_bears_its_own_name_whatever_it_extends() -> None:
    profiles = profiles_from_mapping({"profiles": {"large": {"extends": "shared"}}})
    assert profiles.profiles["large"].cluster_name == "large"


def test_profiles_give_decisions_the_quotas_of_teams_and_targets() -> None:
    document = {
        "targets": {"default": {"max_clusters": 5}},
        "policies": {"max_apps": 20, "teams": {"ads": {"max_apps": 3}, "ml": {"max_workers": 4}}},
    }
    policy = profiles_from_mapping(document).with_quotas(Policy(lease_s=7.0))
    assert (policy.lease_s, policy.max_apps_of("ads"), policy.max_apps_of("ml"), dict(policy.max_clusters)) == (7.0, 3, 20, {"default": 5})
    assert profiles_from_mapping(None).with_quotas(Policy()).max_apps_of("ads") is None


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
    ({"profiles": {"p": {"pool": {"min": 2}}}}, r"profiles.p.pool.min: 2 is above max, which is 1"),
    ({"profiles": {"p": {"pool": {"maxx": 2}}}}, r"profiles.p.pool.maxx: unknown key. Did you mean 'max'"),
    ({"profiles": {"p": {"pool": 3}}}, r"profiles.p.pool: must be a mapping, not a number"),
    ({"profiles": {"p": {"pool": {"min": 1}, "dedicated": True}}}, r"profiles.p.pool: min keeps clusters up, but the profile is dedicated"),
    ({"profiles": {"p": {"priority": 101}}}, r"profiles.p.priority: must be a whole number from 0 to 100, not 101"),
    ({"profiles": {"p": {"queue_ahead": "many"}}}, r"profiles.p.queue_ahead: must be a whole number from 0 to 200, not 'many'"),
    ({"profiles": {"p": {"cluster": "a b"}}}, r"profiles.p.cluster: 'a b' is no name of a cluster"),
    ({"profiles": {"p": {"size": {}}}}, r"profiles.p.size: unknown key. Did you mean 'sizes'"),
    ({"profiles": {"p": {"sizes": ["m5.xlarge"]}}}, r"profiles.p.sizes: must be a mapping, not a list"),
    ({"targets": {"eu": {"max_cluster": 3}}}, r"targets.eu.max_cluster: unknown key. Did you mean 'max_clusters'"),
    ({"targets": {"eu": {"max_clusters": "3"}}}, r"targets.eu.max_clusters: must be a whole number from 0 to 10000, not '3'"),
    ({"policies": {"max_app": 3}}, r"policies.max_app: unknown key. Did you mean 'max_apps'"),
    ({"policies": {"teams": {"ads": {"max_workers": 0}}}}, r"policies.teams.ads.max_workers: must be a whole number from 1"),
    ({"policies": {"teams": {"ads": {"may_name_clusters": "no"}}}}, r"may_name_clusters: must be true or false, not text"),
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
