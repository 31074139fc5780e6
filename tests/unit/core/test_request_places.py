"""Where two requests differ, in the words of who wrote them."""

from typing import Any

import pytest

from platyspark_provider.core.request_places import address_of, differing_places
from platyspark_provider.core.spec import Artifact, ClusterRequest, request_hash
from platyspark_provider.core.states import OnLimit
from tests.builders import make_request


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ({}, ()),
        ({"args": ("a", "c")}, ("args[1]",)),
        ({"args": ("a",)}, ("args[1]",)),
        ({"conf": {"spark.x": "2"}}, ("conf.spark.x",)),
        ({"max_runtime_s": 60}, ("max_runtime",)),
        ({"on_limit": OnLimit.ALERT}, ("on_limit",)),
        ({"application": Artifact(name="o.py", uri="s3://code/o.py")}, ("application",)),
        ({"files": (Artifact(name="a", uri="s3://c/a"),)}, ("files[0]",)),
        ({"cluster": ClusterRequest(name="etl", workers=(1, 2), idle_timeout_s=60)}, (
            "cluster", "cluster.dedicated", "cluster.idle_timeout", "cluster.name", "cluster.workers[0]", "cluster.workers[1]",
        )),
        ({"app_key": "other"}, ()),
    ],
)  # fmt: skip
def test_differing_places_names_each_place_once(values: dict[str, Any], places: tuple[str, ...]) -> None:
    base = {"args": ("a", "b"), "conf": {"spark.x": "1"}}
    one, other = make_request(**base), make_request(**{**base, **values})
    assert differing_places(one, other) == places == differing_places(other, one)
    assert (request_hash(one) == request_hash(other)) is (places == ())


def test_address_of_a_file_is_its_address_or_its_content() -> None:
    assert address_of(Artifact(name="a.py", uri="s3://c/a.py")) == "s3://c/a.py"
    assert address_of(Artifact(name="a.tgz", sha256="ab", alias="env")) == "sha256:ab/a.tgz#env"
