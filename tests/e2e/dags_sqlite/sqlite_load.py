"""Twenty tiny tasks, and two that stay running so that applications can be submitted in their name."""

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, task

with DAG("twenty", max_active_tasks=2):

    @task
    def add(number: int) -> int:
        return number + 1

    for index in range(10):
        add.override(task_id=f"python_{index}")(index)
        BashOperator(task_id=f"bash_{index}", bash_command="echo tiny")

with DAG("owners"):
    for index in range(2):
        BashOperator(task_id=f"hold_{index}", bash_command='until [ -e "$E2E_DIR/go" ]; do sleep 0.5; done')
