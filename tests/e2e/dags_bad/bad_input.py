"""Tasks with one mistake each; what can be mended from outside is read when the task runs."""

import os
from datetime import timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

from platyspark_provider import SparkAppOperator

DIR = os.environ["E2E_DIR"]
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=1)}

with DAG("mistakes", default_args=RETRIES):
    SparkAppOperator(task_id="profile", application="jobs/tiny.py", cluster="{{ var.value.get('e2e_profile', 'sharde') }}")
    SparkAppOperator(task_id="local_file", application=f"{DIR}/late.py")
    SparkAppOperator(task_id="s3_file", application="s3://platyspark/code/late.py")
    SparkAppOperator(task_id="arguments", application="jobs/tiny.py", args="--date 2026-01-01")
    SparkAppOperator(task_id="connection", application="jobs/tiny.py", platyspark_conn_id="nowhere")
    SparkAppOperator(task_id="first", application="jobs/tiny.py", args=["1"], app_key="{{ run_id }}", wait=False) >> (
        SparkAppOperator(task_id="second", application="jobs/tiny.py", args=["2"], app_key="{{ run_id }}")
    )

with DAG("refused", default_args={"retries": 20, "retry_delay": timedelta(seconds=5)}):
    SparkAppOperator(task_id="run", application="jobs/tiny.py", platyspark_conn_id="e2e_token")

with DAG("behind"):
    SparkAppOperator(task_id="spark", application="jobs/tiny.py")
    BashOperator(task_id="plain", bash_command="echo plain")
