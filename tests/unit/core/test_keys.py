"""Names: short, safe, unique, and read back as what they were written from."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platyspark_provider.core.keys import (
    AttemptName,
    ClusterName,
    attempt_name_from_text,
    batch_app_key,
    cluster_key,
    cluster_name_from_text,
    slug,
    streaming_app_key,
)
from tests.builders import make_cluster_spec

INSTALLATIONS = st.text("0123456789abcdef", min_size=6, max_size=6)
KEYS = st.text("0123456789abcdef", min_size=64, max_size=64)
NUMBERS = st.integers(0, 10**9)


def cluster_names() -> st.SearchStrategy[ClusterName]:
    return st.builds(
        ClusterName, environment=st.text(), pool=st.text(), key=KEYS, installation=INSTALLATIONS, generation=NUMBERS, send=NUMBERS
    )


def attempt_names() -> st.SearchStrategy[AttemptName]:
    return st.builds(AttemptName, installation=INSTALLATIONS, app_id=NUMBERS, generation=NUMBERS)


@given(st.text())
def test_slug_any_text_is_safe_and_stays_as_it_is(text: str) -> None:
    made = slug(text)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", made)
    assert slug(made) == made


@given(cluster_names())
def test_cluster_name_is_read_back(name: ClusterName) -> None:
    text = str(name)
    read = cluster_name_from_text(text)
    assert read is not None
    assert str(read) == text
    assert (read.environment, read.pool, read.key) == (slug(name.environment), slug(name.pool), name.key[:12])
    assert (read.installation, read.generation, read.send) == (name.installation, name.generation, name.send)
    assert len(text) <= 256
    assert not set("<>$|`") & set(text)


@given(cluster_names(), NUMBERS, NUMBERS)
def test_cluster_incarnation_begins_the_name_of_every_send_of_its_generation_alone(name: ClusterName, send: int, other: int) -> None:
    values = {
        "environment": name.environment,
        "pool": name.pool,
        "key": name.key,
        "installation": name.installation,
    }
    assert str(ClusterName(**values, generation=name.generation, send=send)).startswith(name.incarnation)
    if other != name.generation:
        assert not str(ClusterName(**values, generation=other, send=send)).startswith(name.incarnation)


@given(attempt_names())
def test_attempt_name_is_read_back(name: AttemptName) -> None:
    assert attempt_name_from_text(str(name)) == name
    assert len(name.yarn_tag) <= 100
    assert name.yarn_tag == name.yarn_tag.lower()


@given(attempt_names(), attempt_names())
def test_attempt_names_differ_as_their_parts_do(one: AttemptName, other: AttemptName) -> None:
    assert (str(one) == str(other)) is (one == other)
    assert (one.yarn_tag == other.yarn_tag) is (one == other)


@given(st.text(max_size=60) | st.from_regex(r"plsp[-/][-/a-z0-9]{0,40}", fullmatch=True))
def test_name_that_is_read_is_one_we_write(text: str) -> None:
    for read in (cluster_name_from_text(text), attempt_name_from_text(text)):
        assert read is None or str(read) == text


@pytest.mark.parametrize(
    "text",
    [
        "somebody's cluster",
        "plsp/prod/shared/0123456789ab/iabcdef/g01/s1",
        "plsp/prod/shared/0123456789ab/iabcdef/g1/s1/",
        "plsp/-prod/shared/0123456789ab/iabcdef/g1/s1",
        "plsp/prod/shared/0123456789ab/iabcdef/g\u0661/s1",
        "plsp-abcdef-7-g01",
        "plsp-abcdef-7-g1-kill",
        "plsp-abcdef-\u0667-g1",
    ],
)
def test_name_of_somebody_else_is_not_read(text: str) -> None:
    assert cluster_name_from_text(text) is None
    assert attempt_name_from_text(text) is None


def test_app_keys_name_the_task_and_never_the_try() -> None:
    assert batch_app_key("dag", "task", 3, "run") == "dag/task/3/run"
    assert streaming_app_key("dag", "task", -1) == "dag/task/-1"


def test_cluster_key_differs_by_environment_name_target_and_spec_alone() -> None:
    spec = make_cluster_spec()
    key = cluster_key("prod", spec)
    assert re.fullmatch(r"[0-9a-f]{64}", key)
    others = [
        cluster_key("test", spec),
        cluster_key("prod", make_cluster_spec(name="large")),
        cluster_key("prod", make_cluster_spec(target="west")),
        cluster_key("prod", make_cluster_spec(release_label="emr-7.6.0")),
    ]
    assert len({key, *others}) == 5
    assert cluster_key("prod", make_cluster_spec(name="Shared", tags={"a": "b"}, idle_timeout_s=60)) == key
