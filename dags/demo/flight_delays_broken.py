"""An Airflow DAG of the demo that fails by its author's fault: red at once, no retry, and a card that says which line and why."""

from datetime import timedelta

from airflow.sdk import DAG

from platyspark_provider import SparkAppOperator

BUCKET = "platyspark-demo"

with DAG("flight_delays_broken", tags=["demo", "team:demo"], max_active_runs=1, doc_md=__doc__):
    SparkAppOperator(
        task_id="late",
        application="jobs/flight_delays_broken.py",
        args=[f"s3://{BUCKET}/data", f"s3://{BUCKET}/flight_delays_broken"],
        retries=2,  # for a lost machine; a fault in the code is not tried again
        retry_delay=timedelta(seconds=5),
    )
