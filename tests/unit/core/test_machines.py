"""Machines for any wish: the number is kept, HDFS has a place, and growth never shrinks anything."""

from hypothesis import given
from hypothesis import strategies as st

from platyspark_provider.core.machines import machines_of, worker_count
from platyspark_provider.core.spec import ClusterRequest, InstanceGroup

MASTER = InstanceGroup(role="MASTER", instance_type="m5.xlarge", count=1)
_group = st.builds(
    InstanceGroup,
    role=st.just("TASK"),
    instance_type=st.just("c5.xlarge"),
    count=st.integers(1, 50),
    market=st.sampled_from(["ON_DEMAND", "SPOT"]),
)
_groups = st.builds(
    lambda core, market, tasks: (MASTER, InstanceGroup(role="CORE", instance_type="m5.xlarge", count=core, market=market), *tasks),
    st.integers(1, 50),
    st.sampled_from(["ON_DEMAND", "SPOT"]),
    st.lists(_group, max_size=3),
)
_workers = st.tuples(st.integers(1, 300), st.integers(1, 300)).map(lambda pair: (min(pair), max(pair)))


@given(groups=_groups, workers=_workers, spot=st.none() | st.floats(0, 1))
def test_machines_of_any_wish_are_as_many_as_asked_with_a_core(
    groups: tuple[InstanceGroup, ...], workers: tuple[int, int], spot: float | None
) -> None:
    found = machines_of(ClusterRequest(name="x", workers=workers, spot=spot), groups, {})
    assert worker_count(found.groups) == workers[0]
    assert [g.count for g in found.groups if g.role == "MASTER"] == [1]
    assert sum(g.count for g in found.groups if g.role == "CORE") >= 1
    assert all(g.count >= 1 for g in found.groups)
    assert found.most_workers == workers[1]
    assert found.max_workers == (workers[1] if workers[0] < workers[1] else None)
    assert found.max_on_demand is None or 0 <= found.max_on_demand < workers[1]


@given(groups=_groups, count=st.integers(1, 300), spot=st.floats(0, 1))
def test_machines_of_a_spot_share_hold_it_to_less_than_one_machine(groups: tuple[InstanceGroup, ...], count: int, spot: float) -> None:
    found = machines_of(ClusterRequest(name="x", workers=(count, count), spot=spot), groups, {})
    on_spot = sum(g.count for g in found.groups if g.market == "SPOT")
    assert count * spot - 1 < on_spot + (on_spot == count - 1) <= count * spot + 1
    assert all(g.market == "ON_DEMAND" for g in found.groups if g.role == "CORE")


@given(groups=_groups)
def test_machines_of_the_profiles_own_number_are_its_groups(groups: tuple[InstanceGroup, ...]) -> None:
    count = worker_count(groups)
    assert machines_of(ClusterRequest(name="x", workers=(count, count)), groups, {}).groups == groups
