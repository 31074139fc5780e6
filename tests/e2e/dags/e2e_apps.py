"""DAGs of the end-to-end tests; the job records its process under E2E_DIR."""

import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from platyspark_provider import SparkAppOperator

DIR = os.environ["E2E_DIR"]
LOWERED = Path(DIR, "retries")
RETRIES = int(LOWERED.read_text()) if LOWERED.exists() else 2
QUICK = {"retry_delay": timedelta(seconds=2), "retries": RETRIES}

with DAG("seven_lines"):
    SparkAppOperator(task_id="count", application="jobs/count.py", args=["1000"])

with DAG("user_error"):
    SparkAppOperator(task_id="broken", application="jobs/broken.py", **QUICK)

with DAG("waits"):
    SparkAppOperator(task_id="run", application="jobs/record.py", args=[DIR, "{{ run_id }}", "120"], **QUICK)

with DAG("waits_in_worker"):
    SparkAppOperator(task_id="run", application="jobs/record.py", args=[DIR, "{{ run_id }}", "120"], deferrable=False, **QUICK)

with DAG("five"):
    SparkAppOperator.partial(task_id="run", application="jobs/record.py", **QUICK).expand(
        args=[[DIR, f"{{{{ run_id }}}}-{i}", "0"] for i in range(5)]
    )

with DAG("herd"):
    SparkAppOperator.partial(task_id="run", application="jobs/count.py", cluster="herd", **QUICK).expand(args=[[str(i)] for i in range(20)])
