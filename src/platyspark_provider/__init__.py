"""Spark as a service inside Apache Airflow. Public names load on first use, so that parsing a DAG stays fast."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from platyspark_provider.hooks.platyspark import PlatySparkHook
    from platyspark_provider.operators.clusters import SparkCluster
    from platyspark_provider.operators.spark_app import SparkAppOperator
    from platyspark_provider.operators.spark_cluster import SparkClusterOperator

__version__ = "0.1.0"
__all__ = ["PlatySparkHook", "SparkAppOperator", "SparkCluster", "SparkClusterOperator", "__version__"]

_HOMES = {
    "PlatySparkHook": "platyspark_provider.hooks.platyspark",
    "SparkAppOperator": "platyspark_provider.operators.spark_app",
    "SparkCluster": "platyspark_provider.operators.clusters",
    "SparkClusterOperator": "platyspark_provider.operators.spark_cluster",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
