"""What somebody writes with the generated client: submit and wait, submit again, cancel. Run by a test: `URL TOKEN` as arguments."""

import json
import sys
import time

from spark_client.api.apps import cancel_app, get_app, list_apps, submit_app
from spark_client.client import AuthenticatedClient
from spark_client.models import AppPhase, Problem, ReasonBody, SubmitBody

OVER = {AppPhase.SUCCEEDED, AppPhase.FAILED, AppPhase.LOST, AppPhase.STOPPED}
url, token = sys.argv[1:]
deadline = time.monotonic() + 60


def wait(app_id, wanted):
    while time.monotonic() < deadline:
        found = get_app.sync(app_id, client=client)
        if found.status.state in wanted:
            return found
        time.sleep(0.05)
    raise TimeoutError(f"application {app_id} is {found.status.state}")


with AuthenticatedClient(base_url=url, token=token) as client:
    body = SubmitBody(application="s3://code/job.py", name="daily_agg", args=["--date", "2026-11-24"])
    first = submit_app.sync_detailed(client=client, body=body, idempotency_key="daily/2026-11-24")
    done = wait(first.parsed.id, OVER)
    again = submit_app.sync_detailed(client=client, body=body, idempotency_key="daily/2026-11-24")
    other = submit_app.sync_detailed(client=client, body=SubmitBody(application="s3://code/other.py"), idempotency_key="daily/2026-11-24")
    assert isinstance(other.parsed, Problem)
    endless = submit_app.sync(client=client, body=SubmitBody(application="s3://code/job.py", name="endless"))
    wait(endless.id, {AppPhase.RUNNING})
    asked = cancel_app.sync_detailed(endless.id, client=client, body=ReasonBody(reason="no longer needed"))
    stopped = wait(endless.id, OVER)
    print(
        json.dumps(
            {
                "first": [first.status_code, first.parsed.id, done.status.state],
                "again": [again.status_code, again.parsed.id, again.headers["Idempotency-Replayed"]],
                "other": [other.status_code, other.parsed.detail.code, other.parsed.detail.additional_properties["differing"]],
                "cancelled": [asked.status_code, stopped.status.state, stopped.status.stop.actor, stopped.status.stop.reason],
                "listed": list_apps.sync(client=client).total_entries,
            }
        )
    )
