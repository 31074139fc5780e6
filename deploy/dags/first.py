"""A first DAG: trigger it, and its log tells where its application is."""

from airflow.sdk import DAG

from platyspark_provider import SparkAppOperator

with DAG("first", schedule=None):
    SparkAppOperator(task_id="count", application="jobs/count.py", args=["1000"])
