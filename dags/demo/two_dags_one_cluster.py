"""Two Airflow DAGs of the demo that ask for one named cluster at the same moment: one cluster is made, six applications run on it."""

from airflow.sdk import DAG

from platyspark_provider import SparkAppOperator, SparkCluster

BUCKET = "platyspark-demo"
AIRPORTS = ("EWR", "JFK", "LGA")
CLUSTER = SparkCluster("airports", profile="shared", workers=2)

QUERY = """
CREATE TEMPORARY VIEW flights USING csv OPTIONS (path 's3://{bucket}/data/flights.csv.gz', header 'true', nullValue 'NA');
SELECT dest, count(*) AS flights FROM flights WHERE origin = '{airport}' GROUP BY dest ORDER BY flights DESC
"""

with DAG("two_dags_one_cluster_delays", tags=["demo", "team:demo"], max_active_runs=1, doc_md=__doc__):
    SparkAppOperator.partial(
        task_id="delays",
        application="jobs/airport_delays.py",
        cluster=CLUSTER,
        metrics=["flights", "late"],
    ).expand(args=[[f"s3://{BUCKET}/data", airport] for airport in AIRPORTS])

with DAG("two_dags_one_cluster_routes", tags=["demo", "team:demo"], max_active_runs=1, doc_md=__doc__):
    SparkAppOperator.partial(task_id="routes", cluster=CLUSTER).expand(
        sql=[QUERY.format(bucket=BUCKET, airport=airport) for airport in AIRPORTS]
    )
