"""An Airflow DAG of the demo: a Scala job, built by Maven from jobs/busy_routes; what it reports of itself becomes the task's XCom."""

from airflow.sdk import DAG, task

from platyspark_provider import SparkAppOperator

BUCKET = "platyspark-demo"

with DAG("busy_routes", tags=["demo", "team:demo"], max_active_runs=1, doc_md=__doc__):
    routes = SparkAppOperator(
        task_id="routes",
        application="jobs/busy_routes/target/busy-routes.jar",
        main_class="demo.BusyRoutes",
        args=[f"s3://{BUCKET}/data", f"s3://{BUCKET}/busy_routes", "100"],
        metrics=["rows", "busiest_route", "flights"],
    )

    @task
    def tell(result: dict[str, object]) -> str:
        """Use what the job reported."""
        return f"{result['busiest_route']} was flown {result['flights']} times; {result['rows']} routes have 100 flights and more"

    tell(routes.output)  # type: ignore[arg-type]
