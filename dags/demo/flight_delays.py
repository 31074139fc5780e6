"""An Airflow DAG of the demo: a year of flights joined with weather, planes, airlines and airports by Spark, then checked."""

from datetime import timedelta

from airflow.sdk import DAG, task

from platyspark_provider import SparkAppOperator

BUCKET = "platyspark-demo"
FLIGHTS = 336_776

with DAG("flight_delays", tags=["demo", "team:demo"], max_active_runs=1, doc_md=__doc__):
    delays = SparkAppOperator(
        task_id="delays",
        application="jobs/flight_delays.py",
        args=[f"s3://{BUCKET}/data", f"s3://{BUCKET}/flight_delays"],
        retries=1,
        retry_delay=timedelta(seconds=5),
    )

    @task
    def check_counts() -> dict[str, int]:
        """Compare what the job says it read with the number of flights in the data."""
        import json

        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        hook = S3Hook("aws_default")
        (part,) = (key for key in hook.list_keys(BUCKET, prefix="flight_delays/summary/") if "/part-" in key)
        summary: dict[str, int] = json.loads(hook.read_key(part, BUCKET))
        if summary["flights"] != FLIGHTS:
            raise ValueError(f"{summary['flights']} flights were read, {FLIGHTS} are in the data")
        return summary

    delays >> check_counts()
