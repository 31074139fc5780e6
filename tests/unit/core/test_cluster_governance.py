"""What governance makes of a cluster that is asked for by name, and which requests mean the same one."""

from typing import Any

import pytest

from platyspark_provider.core.cluster_governance import ClusterResolution, resolve_cluster
from platyspark_provider.core.governance import resolve
from platyspark_provider.core.keys import cluster_key
from platyspark_provider.core.profiles import profiles_from_mapping
from platyspark_provider.core.spec import ClusterRequest
from platyspark_provider.errors import InvalidRequest, PolicyViolated, UnknownProfile
from tests.builders import make_request

MIXED = {
    "instance_groups": [
        {"role": "MASTER", "instance_type": "m5.xlarge", "count": 1},
        {"role": "CORE", "instance_type": "r5.xlarge", "count": 2},
        {"role": "TASK", "instance_type": "r5.xlarge", "count": 6, "market": "SPOT"},
    ]
}


def named(document: dict[str, Any] | None = None, *, team: str | None = None, name: str = "etl", **values: Any) -> ClusterResolution:
    return resolve_cluster(ClusterRequest(name=name, **values), profiles_from_mapping(document), team=team)


def groups(found: ClusterResolution) -> list[tuple[str, str, int, str]]:
    return [(g.role, g.instance_type, g.count, g.market) for g in found.spec.instance_groups]


def test_resolve_cluster_of_own_name_is_the_shared_profile_under_that_name() -> None:
    found = named({"profiles": {"shared": {"release_label": "emr-7.9.0", "pool": {"min": 1, "max": 3}, "queue_ahead": 5}}})
    assert (found.spec.name, found.spec.release_label, found.target.name, found.team) == ("etl", "emr-7.9.0", "default", "default")
    assert (found.spec.pool_min, found.spec.pool_max, found.spec.queue_ahead) == (0, 1, 5)
    assert (found.provenance["cluster.name"], found.provenance["cluster.release_label"]) == ("request", "profile shared")


def test_resolve_cluster_starts_from_the_profile_it_names_else_from_that_of_its_name() -> None:
    document = {"profiles": {"big": {"release_label": "emr-7.1.0"}, "etl": {"release_label": "emr-7.2.0"}}}
    assert named(document).spec.release_label == "emr-7.2.0"
    assert named(document, profile="big").spec.release_label == "emr-7.1.0"
    with pytest.raises(UnknownProfile, match="Did you mean 'big'"):
        named(document, profile="bgi")


def test_resolve_cluster_by_a_profiles_name_is_what_its_applications_go_to() -> None:
    document = {
        "profiles": {"shared": {"pool": {"min": 1, "max": 2}}, "urgent": {"extends": "shared", "cluster": "shared", "priority": 90}}
    }
    profiles = profiles_from_mapping(document)
    apps = [resolve(make_request(cluster=name), profiles, default_name="x") for name in ("shared", "urgent")]
    clusters = [named(document, name=name) for name in ("shared", "urgent")]
    specs = [app.spec.cluster for app in apps] + [cluster.spec for cluster in clusters]
    assert len({cluster_key("prod", spec) for spec in specs}) == 1
    assert {(spec.name, spec.pool_min, spec.pool_max) for spec in specs} == {("shared", 1, 2)}
    assert [app.spec.priority for app in apps] == [50, 90]
    assert [app.provenance["priority"] for app in apps] == ["built-in", "profile urgent"]


def test_resolve_cluster_of_equal_content_is_one_cluster_whoever_asks() -> None:
    one = named(team="ads", size="small", workers=(4, 4), spot=0.5)
    other = named(team="ml", profile="shared", size="small", workers=(4, 4), spot=0.5, idle_timeout_s=600)
    assert cluster_key("e", one.spec) == cluster_key("e", other.spec)
    assert cluster_key("e", named(size="large", workers=(4, 4), spot=0.5).spec) != cluster_key("e", one.spec)


def test_resolve_cluster_size_is_the_workers_machine() -> None:
    found = named({"profiles": {"shared": {**MIXED, "sizes": {"huge": "r5.24xlarge"}}}}, size="huge")
    assert [(role, machine) for role, machine, _, _ in groups(found)] == [
        ("MASTER", "m5.xlarge"),
        ("CORE", "r5.24xlarge"),
        ("TASK", "r5.24xlarge"),
    ]
    assert found.provenance["cluster.instance_groups"] == "request"
    assert groups(named(size="medium"))[1][1] == "m5.2xlarge"


def test_resolve_cluster_of_unknown_size_guesses() -> None:
    with pytest.raises(InvalidRequest, match=r"size 'lrage' is unknown. Did you mean 'large'\? Known: large, medium, small"):
        named(size="lrage")


@pytest.mark.parametrize(
    ("values", "expected", "most", "on_demand"),
    [
        ({"workers": (4, 4)}, [("CORE", 1, "ON_DEMAND"), ("TASK", 3, "SPOT")], None, None),
        ({"workers": (1, 1)}, [("CORE", 1, "ON_DEMAND")], None, None),
        ({"workers": (4, 16)}, [("CORE", 1, "ON_DEMAND"), ("TASK", 3, "SPOT")], 16, 4),
        ({"spot": 0.5}, [("CORE", 4, "ON_DEMAND"), ("TASK", 4, "SPOT")], None, None),
        ({"spot": 0}, [("CORE", 8, "ON_DEMAND")], None, None),
        ({"workers": (3, 3), "spot": 1}, [("CORE", 1, "ON_DEMAND"), ("TASK", 2, "SPOT")], None, None),
        ({"workers": (2, 12), "spot": 0.8}, [("CORE", 1, "ON_DEMAND"), ("TASK", 1, "SPOT")], 12, 3),
        ({"workers": (2, 6), "spot": 0}, [("CORE", 2, "ON_DEMAND")], 6, None),
    ],
)
def test_resolve_cluster_workers_and_spot_make_core_and_task_groups(
    values: dict[str, Any], expected: list[tuple[str, int, str]], most: int | None, on_demand: int | None
) -> None:
    found = named({"profiles": {"shared": MIXED}}, **values)
    assert [(role, count, market) for role, _, count, market in groups(found)[1:]] == expected
    assert (found.spec.max_workers, found.spec.max_on_demand) == (most, on_demand)


def test_resolve_cluster_of_a_one_machine_profile_gets_workers_like_its_master() -> None:
    single = {"instance_groups": [{"role": "MASTER", "instance_type": "c5.xlarge", "count": 1}]}
    assert groups(named({"profiles": {"shared": single}}, workers=(2, 2)))[1:] == [("CORE", "c5.xlarge", 2, "ON_DEMAND")]


def test_resolve_cluster_without_own_values_keeps_the_profiles_pool_and_takes_its_idle_time() -> None:
    found = named({"profiles": {"shared": {"pool": {"min": 1, "max": 3}}}}, name="shared", idle_timeout_s=900)
    assert (found.spec.pool_min, found.spec.pool_max, found.spec.idle_timeout_s) == (1, 3, 900)
    assert found.provenance["cluster.idle_timeout_s"] == "request"


def test_resolve_cluster_dedicated_is_no_part_of_a_pool() -> None:
    found = named({"profiles": {"shared": {"pool": {"min": 1, "max": 3}}}}, name="shared", dedicated=True)
    assert (found.spec.dedicated, found.spec.pool_min, found.provenance["cluster.dedicated"]) == (True, 0, "request")


LIMITED = {"policies": {"waiver": "#data-platform", "max_workers": 100, "teams": {"ads": {"max_workers": 40}, "ml": {}}}}


def test_resolve_cluster_beyond_the_teams_ceiling_says_what_to_do() -> None:
    with pytest.raises(PolicyViolated) as refused:
        named(LIMITED, team="ads", workers=(8, 80))
    text = "Cluster 'etl' asks for 80 workers; team 'ads' may use 40. Lower workers, or ask #data-platform for a waiver."
    assert str(refused.value) == text
    assert (refused.value.fields["asked"], refused.value.fields["allowed"]) == (80, 40)
    assert named(LIMITED, team="ads", workers=(8, 40)).spec.max_workers == 40


def test_resolve_cluster_beyond_the_ceiling_of_all_is_refused() -> None:
    with pytest.raises(PolicyViolated, match="asks for 101 workers; at most 100 are allowed"):
        named(LIMITED, team="ml", workers=(101, 101))


def test_resolve_cluster_of_own_name_holds_the_profiles_workers_to_the_ceiling_too() -> None:
    document = {**LIMITED, "profiles": {"shared": {"instance_groups": [MIXED["instance_groups"][0], _core(60)]}}}
    with pytest.raises(PolicyViolated, match="Cluster 'etl' asks for 60 workers; team 'ads' may use 40"):
        named(document, team="ads")
    assert named(document, team="ads", name="shared").spec.name == "shared"


def _core(count: int) -> dict[str, Any]:
    return {"role": "CORE", "instance_type": "m5.xlarge", "count": count}


@pytest.mark.parametrize("values", [{}, {"name": "shared", "workers": (3, 3)}, {"name": "shared", "dedicated": True}])
def test_resolve_cluster_of_a_team_without_own_clusters_is_refused(values: dict[str, Any]) -> None:
    document = {"policies": {"may_name_clusters": False, "teams": {"ml": {"may_name_clusters": True}}}}
    with pytest.raises(PolicyViolated, match=r"Team 'ads' may not have a cluster '\w+' of its own. Name a profile"):
        named(document, team="ads", **values)
    assert named(document, team="ml", **values).team == "ml"
    assert named(document, team="ads", name="shared").spec.name == "shared"


def test_resolve_cluster_of_a_profile_that_the_team_may_not_use_is_refused() -> None:
    with pytest.raises(PolicyViolated, match="Team 'ads' may not use profile 'big'"):
        named({"profiles": {"big": {}}, "policies": {"teams": {"ads": {"profiles": ["shared"]}}}}, team="ads", profile="big")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "a b"}, r"cluster.name 'a b' can't be used. Letters"),
        ({"name": "x" * 33}, r"cluster.name"),
        ({"name": "Growth_ML"}, r"cluster name 'Growth_ML' can't be used. Write 'growth-ml'"),
        ({"workers": (0, 3)}, r"cluster.workers \(0, 3\)"),
        ({"workers": (5, 3)}, r"cluster.workers \(5, 3\)"),
        ({"spot": 1.5}, r"cluster.spot 1.5"),
        ({"spot": float("nan")}, r"cluster.spot nan"),
        ({"idle_timeout_s": 59}, r"cluster.idle_timeout 59 can't be used. 60 to 604,800"),
    ],
)
def test_resolve_cluster_with_a_value_that_makes_no_sense_names_it(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        named(**values)


def test_resolve_cluster_may_bear_a_profiles_name_that_is_no_slug() -> None:
    assert named({"profiles": {"Large_ML": {}}}, name="Large_ML", workers=(3, 3)).spec.name == "Large_ML"


def test_resolve_application_on_a_named_cluster_takes_its_spec_and_sources() -> None:
    document = {"profiles": {"shared": {"priority": 20}, "big": {"priority": 80, "conf": {"spark.a": "1"}}}}
    request = make_request(cluster=ClusterRequest(name="etl", profile="big", workers=(2, 4)), team="ads")
    found = resolve(request, profiles_from_mapping(document), default_name="x")
    assert (found.spec.cluster.name, found.spec.cluster.max_workers, found.spec.priority) == ("etl", 4, 80)
    assert (dict(found.spec.conf), found.provenance["cluster.max_workers"]) == ({"spark.a": "1"}, "request")


def test_resolve_application_on_an_unknown_profile_says_how_an_own_cluster_is_written() -> None:
    with pytest.raises(UnknownProfile, match=r"Known: shared. A cluster of your own is written cluster=SparkCluster\('etl'\)"):
        resolve(make_request(cluster="etl"), profiles_from_mapping(None), default_name="x")
