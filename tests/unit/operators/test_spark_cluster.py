"""`SparkCluster`: checked where it is written, rendered where it is used, and at home in every form of a DAG."""

import json
import pickle
from copy import deepcopy
from dataclasses import FrozenInstanceError
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.serialization.helpers import serialize_template_field
from airflow.serialization.serialized_objects import DagSerialization

from platyspark_provider import SparkAppOperator, SparkCluster
from platyspark_provider.core.spec import Artifact, ClusterRequest
from platyspark_provider.errors import InvalidRequest
from platyspark_provider.operators.request import Arguments, cluster_from_value, request_from_arguments

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, "cluster.name is '': empty", "leave it out"),
    ({"name": None}, "cluster.name is None: empty", 'SparkCluster("etl")'),
    ({"name": 3}, "cluster.name is 3: a int instead of text", "Write a string"),
    ({"name": "a b"}, "cluster.name 'a b' can't be used", "Letters, digits"),
    ({"size": 2}, "cluster.size is 2: a int instead of text", "Write a string"),
    ({"profile": ""}, "cluster.profile is '': empty", "leave it out"),
    ({"workers": "4"}, "cluster.workers is '4': no number of machines", "workers=(2, 12)"),
    ({"workers": True}, "cluster.workers is True", "workers=4"),
    ({"workers": (1, 2, 3)}, "cluster.workers is (1, 2, 3)", "workers=(2, 12)"),
    ({"workers": (2, None)}, "cluster.workers is (2, None)", "workers=4"),
    ({"workers": 0}, "cluster.workers (0, 0) can't be used", "1 to 4000"),
    ({"workers": (12, 2)}, "cluster.workers (12, 2) can't be used", "At least and at most"),
    ({"spot": "80%"}, "cluster.spot is '80%': no share", "spot=0.8"),
    ({"spot": 80}, "cluster.spot 80.0 can't be used", "0 to 1"),
    ({"idle_timeout": 900}, "cluster.idle_timeout is 900: a int is no duration", '"15m"'),
    ({"idle_timeout": "soon"}, "cluster.idle_timeout is 'soon': no duration", '"15m"'),
    ({"idle_timeout": "10s"}, "cluster.idle_timeout 10 can't be used", "60 to 604,800 seconds"),
    ({"dedicated": "yes"}, "cluster.dedicated is 'yes': no boolean", "True or False"),
]


@pytest.mark.parametrize(("values", "problem", "advice"), BAD, ids=[str(values) for values, _, _ in BAD])
def test_spark_cluster_with_a_value_that_makes_no_sense_is_refused_where_it_is_written(
    values: dict[str, Any], problem: str, advice: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        SparkCluster(**{"name": "etl", **values})
    assert problem in str(refused.value)
    assert advice in str(refused.value)
    assert str(refused.value.fields["field"]).startswith("cluster.")


def test_spark_cluster_becomes_the_request() -> None:
    cluster = SparkCluster("growth-ml", size="large", workers=(2, 12), spot=0.8, idle_timeout="15m", profile="big")
    assert cluster.request() == ClusterRequest(name="growth-ml", profile="big", size="large", workers=(2, 12), spot=0.8, idle_timeout_s=900)
    assert SparkCluster("x", workers=4, idle_timeout=timedelta(hours=1), dedicated=True).request() == ClusterRequest(
        name="x", workers=(4, 4), idle_timeout_s=3600, dedicated=True
    )


def test_spark_cluster_is_a_value() -> None:
    cluster = SparkCluster("etl", workers=4)
    assert cluster == SparkCluster("etl", workers=4) == deepcopy(cluster) == pickle.loads(pickle.dumps(cluster))
    assert len({cluster, SparkCluster("etl", workers=4)}) == 1
    with pytest.raises(FrozenInstanceError):
        cluster.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        SparkCluster("etl", "large")  # type: ignore[misc]


def find(name: str, path: str) -> Artifact:
    return Artifact(name=path, uri=f"s3://code/{path}")


def test_request_from_arguments_takes_a_spark_cluster_or_a_profiles_name() -> None:
    request = request_from_arguments(Arguments(application="job.py", cluster=SparkCluster("etl", spot=0.5)), find)
    assert request.cluster == ClusterRequest(name="etl", spot=0.5)
    assert cluster_from_value("shared") == "shared"
    with pytest.raises(InvalidRequest, match=r"a ClusterRequest instead of a profile's name or a SparkCluster"):
        cluster_from_value(ClusterRequest(name="etl"))


TEMPLATED = SparkCluster("etl-{{ params.country }}", size="{{ params.size }}", idle_timeout="{{ params.idle }}", profile="shared")
PARAMS = {"country": "de", "size": "large", "idle": "20m"}


def rendered(task: Any, **context: Any) -> Any:
    task.render_template_fields({"task": task, "params": PARAMS, **context})
    return task.cluster


def test_spark_cluster_texts_are_rendered_and_the_dags_own_value_stays_as_written() -> None:
    with DAG("d", schedule=None):
        one, other = (SparkAppOperator(task_id=name, application="job.py", cluster=TEMPLATED) for name in ("one", "other"))
    assert rendered(one).request() == ClusterRequest(name="etl-de", profile="shared", size="large", idle_timeout_s=1200)
    assert rendered(other, params={**PARAMS, "country": "fr"}).name == "etl-fr"
    assert TEMPLATED.name == "etl-{{ params.country }}"


def test_spark_cluster_that_renders_to_nonsense_is_refused_when_it_is_used() -> None:
    with DAG("d", schedule=None):
        task = SparkAppOperator(task_id="one", application="job.py", cluster=TEMPLATED)
    cluster = rendered(task, params={**PARAMS, "idle": "soon"})
    with pytest.raises(InvalidRequest, match=r"cluster.idle_timeout is 'soon': no duration"):
        cluster.request()


def test_spark_cluster_in_a_dag_is_serialized_the_same_each_time() -> None:
    def stored() -> str:
        with DAG("d", schedule=None) as dag:
            SparkAppOperator(task_id="one", application="job.py", cluster=SparkCluster("etl", workers=(2, 4), spot=0))
            SparkAppOperator.partial(task_id="two", cluster=SparkCluster("etl", workers=2)).expand(application=["a.py", "b.py"])
            SparkAppOperator.partial(task_id="three", application="a.py").expand(cluster=[SparkCluster("a"), SparkCluster("b"), "shared"])
        document = DagSerialization.to_dict(dag)
        assert DagSerialization.from_dict(document).task_ids == ["one", "two", "three"]
        return json.dumps(document, sort_keys=True)

    assert stored() == stored()
    assert " object at 0x" not in stored()


def test_spark_cluster_is_shown_among_the_rendered_templates_by_what_is_set() -> None:
    cluster = SparkCluster("etl", workers=(2, 4), spot=0, idle_timeout=timedelta(minutes=15))
    shown = {"name": "etl", "workers": [2, 4], "spot": 0, "idle_timeout": "0:15:00"}
    assert serialize_template_field(cluster, "cluster") == shown


@pytest.mark.parametrize("index", [0, 1])
def test_spark_cluster_of_a_mapped_task_is_its_own(index: int) -> None:
    with DAG("d", schedule=None):
        mapped = SparkAppOperator.partial(task_id="m", application="job.py").expand(
            cluster=[SparkCluster("etl-{{ params.country }}"), SparkCluster("b", workers=3)]
        )
    task = mapped.unmap({"cluster": mapped.expand_input.value["cluster"][index]})  # type: ignore[index, union-attr]
    expected = [ClusterRequest(name="etl-de"), ClusterRequest(name="b", workers=(3, 3))]
    assert rendered(task).request() == expected[index]
