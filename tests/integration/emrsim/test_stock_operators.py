"""AWS's own operators of the amazon provider, unmodified, run a real Spark step on emrsim."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

JOB = """
import sys
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
total = spark.range(int(sys.argv[1])).groupBy().sum("id").first()[0]
spark.createDataFrame([(total,)], ["total"]).write.json("s3://stock/out")
"""

TASKS = """
import json

from airflow.providers.amazon.aws.operators.emr import EmrAddStepsOperator, EmrCreateJobFlowOperator, EmrTerminateJobFlowOperator
from airflow.providers.amazon.aws.sensors.emr import EmrStepSensor


class TaskInstance:
    def xcom_push(self, key, value, **_):
        pass


context = {"ti": TaskInstance(), "task_instance": TaskInstance(), "ds": "2026-01-01"}
flow = {
    "Name": "stock",
    "ReleaseLabel": "emr-7.5.0",
    "LogUri": "s3://stock/logs/",
    "Instances": {"InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True},
}
args = ["spark-submit", "--deploy-mode", "cluster", "s3://stock/job.py", "100"]
step = {"Name": "sum", "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": "command-runner.jar", "Args": args}}

cluster_id = EmrCreateJobFlowOperator(task_id="create", job_flow_overrides=flow).execute(context)
step_ids = EmrAddStepsOperator(task_id="add", job_flow_id=cluster_id, steps=[step]).execute(context)
EmrStepSensor(task_id="watch", job_flow_id=cluster_id, step_id=step_ids[0], poke_interval=0.5).execute(context)
EmrTerminateJobFlowOperator(task_id="end", job_flow_id=cluster_id, waiter_delay=1).execute(context)
print("RESULT " + json.dumps({"cluster_id": cluster_id, "step_ids": list(step_ids)}))
"""


@pytest.mark.slow
def test_stock_operators_create_run_watch_and_terminate(sim, tmp_path: Path):
    s3, emr = sim.boto3("s3"), sim.boto3("emr")
    s3.create_bucket(Bucket="stock")
    s3.put_object(Bucket="stock", Key="job.py", Body=JOB.encode())
    script = tmp_path / "tasks.py"
    script.write_text(TASKS)
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")},
        **sim.env(),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps({"conn_type": "aws", "extra": {"region_name": "us-east-1", "endpoint_url": sim.url}}),
    }
    done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True, check=False, timeout=110)
    results = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert results, done.stdout[-3000:] + done.stderr[-3000:]
    result = json.loads(results[0])
    status = emr.describe_step(ClusterId=result["cluster_id"], StepId=result["step_ids"][0])["Step"]["Status"]
    assert status["State"] == "COMPLETED"
    (part,) = [found["Key"] for found in s3.list_objects_v2(Bucket="stock", Prefix="out/part-")["Contents"] if found["Size"]]
    assert json.loads(s3.get_object(Bucket="stock", Key=part)["Body"].read()) == {"total": 4950}
    ended = emr.describe_cluster(ClusterId=result["cluster_id"])["Cluster"]["Status"]
    assert (ended["State"], ended["StateChangeReason"]["Code"]) == ("TERMINATED", "USER_REQUEST")
    served = set(sim.counters())
    assert {"RunJobFlow", "AddJobFlowSteps", "DescribeStep", "TerminateJobFlows", "DescribeCluster"} <= served
    assert [entry["error"] for entry in sim.journal() if entry["error"]] == []
