"""`make demo-check`: run both DAGs without a browser, on free ports, and compare every figure the demo promises."""

import csv
import io
import json
import shutil
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from demo import flights
from demo.airflow_api import RUN_ENDED
from demo.installation import BUCKET, PROJECT, demo_stack
from demo.jar import build_jar
from demo.memory import MemoryPeak
from demo.processes import StackError
from demo.stack import Stack, end_leftovers

HOME = PROJECT / ".cache" / "demo-check"
RAM_MB = 4000
RUN_LIMIT_S = 600.0
BUSY = 100


@dataclass(slots=True)
class Report:
    """The figures, printed as they come."""

    failed: list[str] = field(default_factory=list)

    def expect(self, what: str, *, found: object, wanted: object) -> None:
        """Compare one figure."""
        good = found == wanted
        print(f"{'✓' if good else '✗'} {what}: {found}" + ("" if good else f"   (wanted: {wanted})"), flush=True)
        if not good:
            self.failed.append(what)

    def tell(self, text: str) -> None:
        """Print a figure that decides nothing."""
        print(f"  {text}", flush=True)


def check() -> int:
    """Return 0 when every figure is as promised."""
    end_leftovers(HOME, database=True)
    shutil.rmtree(HOME, ignore_errors=True)
    report = Report()
    stack = demo_stack(HOME, on_step=report.tell)
    began = time.monotonic()
    try:
        with _timed(report, "Maven's build of the Scala job"):
            build_jar()
        with MemoryPeak(stack.processes) as memory, stack:
            report.tell(f"first page after {time.monotonic() - began:.0f} s")
            _check_flight_delays(stack, report)
            _check_broken(stack, report)
            _check_two_dags(stack, report)
            _check_jar(stack, report)
        _check_memory(memory, report)
        report.expect("processes left after the stop", found=len(stack.processes()), wanted=0)
    except StackError as error:
        print(f"✗ {error}\nlogs: {HOME / 'logs'}", file=sys.stderr)
        return 1
    if report.failed:
        print(f"✗ not as promised: {', '.join(report.failed)}; logs: {HOME / 'logs'}", file=sys.stderr)
        return 1
    shutil.rmtree(HOME)
    print("✓ the demo does what it promises")
    return 0


def _check_flight_delays(stack: Stack, report: Report) -> None:
    with _timed(report, "flight_delays"):
        run_id, seen = _run(stack, "flight_delays", "delays")
    s3 = stack.emr.boto3("s3")
    summary = _summary(s3)
    report.expect("flight_delays", found=stack.api.run_state("flight_delays", run_id), wanted="success")
    report.expect("its Spark task waited without a worker slot", found="deferred" in seen, wanted=True)
    report.expect("flights read by Spark", found=summary.get("flights"), wanted=flights.FLIGHTS)
    report.expect("rows in the result (counted again in Python)", found=summary.get("rows"), wanted=_expected_rows())
    report.expect("months written to S3", found=len(_months(s3)), wanted=12)
    report.expect("what the Python task saw", found=stack.api.xcom("flight_delays", run_id, "check_counts"), wanted=summary)
    report.expect("tries", found=len(stack.api.tries("flight_delays", run_id, "delays")), wanted=1)


def _check_broken(stack: Stack, report: Report) -> None:
    dag, task = "flight_delays_broken", "late"
    with _timed(report, dag):
        run_id, _ = _run(stack, dag, task)
    log = stack.api.log(dag, run_id, task)
    (HOME / "broken-task.log").write_text(log, encoding="utf-8")
    report.expect(dag, found=stack.api.run_state(dag, run_id), wanted="failed")
    report.expect("tries, of 3 allowed (no retry for a fault in the code)", found=len(stack.api.tries(dag, run_id, task)), wanted=1)
    for words in ("CAST_INVALID_INPUT", "SQLSTATE 22018", f"flight_delays_broken.py:{_broken_line()}", 'nullValue="NA"'):
        report.expect(f"error card in the task's log names {words}", found=words in log, wanted=True)
    report.expect("clusters created (RunJobFlow calls)", found=len(stack.emr.journal(operation="RunJobFlow")), wanted=1)
    report.expect("Spark applications run", found=len(stack.emr.applications()), wanted=2)


def _check_two_dags(stack: Stack, report: Report) -> None:
    """Both DAGs at the same moment, three mapped tasks each, on a cluster that nobody has asked for yet."""
    dags = {"two_dags_one_cluster_delays": "delays", "two_dags_one_cluster_routes": "routes"}
    with _timed(report, "two_dags_one_cluster"):
        for dag in dags:
            stack.api.wait_for_dag(dag)
        with ThreadPoolExecutor(max_workers=2) as pool:
            runs = dict(zip(dags, pool.map(stack.api.trigger, dags), strict=True))
        for dag, run_id in runs.items():
            stack.api.wait_for_run(dag, run_id, seconds=RUN_LIMIT_S)
    tasks = [one for dag, run_id in runs.items() for one in stack.api.tasks(dag, run_id)]
    report.expect("two DAGs at once: green tasks", found=sum(one["state"] == "success" for one in tasks), wanted=6)
    created = stack.emr.journal(operation="RunJobFlow")
    report.expect("clusters created for them", found=sum("/airports/" in str(call["request"]["Name"]) for call in created), wanted=1)
    results = [
        stack.api.xcom(dag, run_id, dags[dag], map_index=index) for dag, run_id in runs.items() for index in range(len(flights.ORIGINS))
    ]
    report.expect("clusters they ran on", found=len({one["cluster_id"] for one in results}), wanted=1)
    report.expect("flights counted by the three Python jobs", found=sum(one["flights"] for one in results[:3]), wanted=flights.FLIGHTS)
    report.expect("routes returned by the three SQL jobs", found=sum(one["rows"] for one in results[3:]), wanted=len(_routes()))


def _check_jar(stack: Stack, report: Report) -> None:
    with _timed(report, "busy_routes"):
        run_id, _ = _run(stack, "busy_routes", "routes")
    busy = sorted(count for count in _routes().values() if count >= BUSY)
    report.expect("busy_routes (Scala, built by Maven)", found=stack.api.run_state("busy_routes", run_id), wanted="success")
    result = stack.api.xcom("busy_routes", run_id, "routes")
    report.expect("routes it reports (counted again in Python)", found=result.get("rows"), wanted=len(busy))
    report.expect("flights of the busiest one", found=result.get("flights"), wanted=busy[-1])
    report.expect("what the next task made of it", found=str(busy[-1]) in stack.api.xcom("busy_routes", run_id, "tell"), wanted=True)


def _check_memory(memory: MemoryPeak, report: Report) -> None:
    parts = ", ".join(f"{name.split(' ')[0]} {size:.0f}" for name, size in memory.largest)
    report.expect(f"memory peak below {RAM_MB} MB", found=memory.peak_mb < RAM_MB, wanted=True)
    report.tell(f"memory peak {memory.peak_mb:.0f} MB (PSS of all processes); largest: {parts}")


def _run(stack: Stack, dag_id: str, task_id: str) -> tuple[str, set[str]]:
    """Run a DAG to its end; return the run's id and the states its Spark task was seen in."""
    stack.api.wait_for_dag(dag_id)
    run_id = stack.api.trigger(dag_id)
    seen: set[str] = set()
    deadline = time.monotonic() + RUN_LIMIT_S
    while stack.api.run_state(dag_id, run_id) not in RUN_ENDED:
        if time.monotonic() > deadline:
            raise StackError(f"{dag_id} did not end within {RUN_LIMIT_S:.0f} s; its task was seen {sorted(seen)}")
        stack.check()
        seen.add(str(stack.api.task(dag_id, run_id, task_id)["state"]))
        time.sleep(0.5)
    return run_id, seen


@contextmanager
def _timed(report: Report, what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    report.tell(f"{what} took {time.monotonic() - began:.0f} s")


def _summary(s3: Any) -> dict[str, int]:
    parts = [key for key in _keys(s3, "flight_delays/summary/") if "/part-" in key]
    texts = [s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode() for key in parts]
    return dict(json.loads("".join(texts) or "{}"))


def _months(s3: Any) -> set[str]:
    return {part for key in _keys(s3, "flight_delays/delays/") for part in key.split("/") if part.startswith("month=")}


def _keys(s3: Any, prefix: str) -> list[str]:
    return [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]


def _rows() -> Iterator[dict[str, str]]:
    """Read the package's own file, without Spark."""
    with zipfile.ZipFile(flights.data_folder() / "flights.csv.zip") as archive, archive.open("flights.csv") as raw:
        yield from csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8"))


def _expected_rows() -> int:
    """Count the pairs of month and airline."""
    return len({(row["month"], row["carrier"]) for row in _rows()})


@cache
def _routes() -> Counter[tuple[str, str]]:
    """Count the flights of each route."""
    return Counter((row["origin"], row["dest"]) for row in _rows())


def _broken_line() -> int:
    """Return the line whose action fails."""
    lines = Path(PROJECT / "dags/demo/jobs/flight_delays_broken.py").read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, start=1) if ".parquet(" in line)
