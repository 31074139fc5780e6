"""A herd of processes: in each, several tasks submit at the same instant and bring their application onto a cluster, as the operator does.

Run as `python -m tests.integration.race.herd JSON`. What is slow to import is imported once, then one process is forked for
each list of tasks; its pid is printed. A line on the standard input lets all go at once. Each prints one JSON line a task when it is
sent; the exit code says whether all that were not killed ended well.
"""

import json
import os
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from platyspark_provider.client.http import HttpRegistry
from platyspark_provider.core.records import AppDetail
from platyspark_provider.hooks.aws import EmrBackends
from platyspark_provider.hooks.clock import SystemClock
from platyspark_provider.reconciler.advance import advance
from tests.builders import make_request

DEADLINE_S = 90.0


def bring_to_cluster(url: str, secret: str, ti_id: str, cluster: str, backends: EmrBackends, gate: threading.Barrier) -> AppDetail:
    """Submit as one task and advance its application, again and again, until it was sent."""
    with HttpRegistry(base_url=url, token=secret) as registry:
        gate.wait()
        answer = registry.submit(make_request(cluster=cluster), ti_id=ti_id)
        deadline = time.monotonic() + DEADLINE_S
        while True:
            detail, report = advance(registry, backends, app_id=answer.app.id, ti_id=ti_id, holder=f"herd-{ti_id}", clock=SystemClock())
            if detail.attempt.external_id is not None:
                return detail
            assert time.monotonic() < deadline, (ti_id, detail.app.phase, report.lines())
            time.sleep(0.2)


def run_member(order: dict[str, Any], tasks: list[list[str]]) -> None:
    """Run all tasks of one process at once."""
    import boto3  # noqa: F401

    backends, gate = EmrBackends(), threading.Barrier(len(tasks))
    with ThreadPoolExecutor(max_workers=len(tasks)) as pool:
        sent = [pool.submit(bring_to_cluster, order["url"], order["secret"], ti, cluster, backends, gate) for ti, cluster in tasks]
        for (ti_id, _), one in zip(tasks, sent, strict=True):
            line = json.dumps({"ti": ti_id, "cluster": one.result().attempt.external_detail["cluster"]})
            os.write(1, f"{line}\n".encode())  # one write: the lines of several processes don't mix


def main() -> int:
    """Fork the herd, let it go, and wait for it."""
    warnings.simplefilter("ignore")
    order: dict[str, Any] = json.loads(sys.argv[1])
    import airflow.providers.amazon.aws.hooks.base_aws

    assert airflow
    gate, opener = os.pipe()
    pids = []
    for tasks in order["members"]:
        pid = os.fork()
        if pid == 0:
            os.close(opener)
            os.read(gate, 1)  # ends when the parent closes its side
            run_member(order, tasks)
            os._exit(0)
        pids.append(pid)
    print(json.dumps({"pids": pids}), flush=True)
    sys.stdin.readline()
    os.close(opener)
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    return 0 if all(end in {0, -9} for end in ends) else 1


if __name__ == "__main__":
    sys.exit(main())
