"""`make demo`: preflight, start, show a first run turn green, and stay until Ctrl-C."""

import signal
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from demo.airflow_api import RUN_ENDED
from demo.installation import AIRFLOW_PORT, EMR_PORT, HOME, demo_stack
from demo.jar import build_jar
from demo.lock import AlreadyRunning, Lock
from demo.preflight import choose_port, look, notices
from demo.processes import StackError
from demo.stack import Stack, end_leftovers
from platyspark_provider.emrsim.jars import JarsError

DAG = "flight_delays"
RUN_LIMIT_S = 600.0
GUARD_S = 5.0
LOG_LINES = 15
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(started_at: float) -> int:
    """Start the demo and stay until it is told to end.

    :param started_at: when the person pressed return (epoch seconds)
    """
    findings = look()
    print("  ".join(str(finding) for finding in findings), flush=True)
    if any(finding.fix for finding in findings):
        return 1
    for number in ENDING:
        signal.signal(number, _interrupt)  # SIGINT too: a shell starts background jobs with it ignored
    try:
        with Lock(HOME) as lock:
            return _run(lock, started_at)
    except AlreadyRunning as running:
        print(f"{running}\nCtrl-C there stops it; so does: make demo-clean")
        return 1
    except StackError as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1


def _run(lock: Lock, started_at: float) -> int:
    leftovers = end_leftovers(HOME)
    if leftovers:
        print(f"✓ ended {leftovers} processes of a demo that was killed")
    for notice in notices():
        print(f"! {notice}")
    stack = demo_stack(HOME, port=_port("Airflow", AIRFLOW_PORT), emr_port=_port("EMR", EMR_PORT), on_step=lambda text: _say(f"✓ {text}"))
    try:
        with ThreadPoolExecutor(max_workers=1) as pool:
            jar = pool.submit(build_jar)
            stack.start()
            lock.publish(stack.url)
            print(_welcome(stack, time.time() - started_at), flush=True)
            _tell_jar(jar)
        _first_run(stack, started_at)
        _stay(stack)
    except KeyboardInterrupt:
        print("\nstopping", flush=True)
    finally:
        _shielded_stop(stack)
    return 0


def _tell_jar(jar: Future[Path]) -> None:
    """The demo goes on without it: a machine may reach no Maven repository."""
    try:
        _say(f"✓ {jar.result().name} built by Maven (DAG busy_routes)")
    except (StackError, JarsError) as error:
        _say(f"! DAG busy_routes can't run: {error}")


def _port(name: str, wanted: int) -> int:
    port = choose_port(wanted)
    print(f"✓ port {port} is free" if port == wanted else f"! port {wanted} is taken: {name} gets {port}", flush=True)
    return port


def _welcome(stack: Stack, seconds: float) -> str:
    return (
        f"\n  Airflow      {stack.url}   (everybody is admin, loopback only; not for production)\n"
        f"  EMR          {stack.emr.url}   (emrsim: runs each step as a real spark-submit)\n"
        f"  DAGs         {stack.url}/dags   flight_delays, flight_delays_broken, two_dags_one_cluster_*, busy_routes\n"
        f"  files        {HOME}   (make demo-clean removes it)\n"
        f"  first page after {seconds:.0f} s\n"
    )


def _first_run(stack: Stack, started_at: float) -> None:
    """Run the DAG once and tell how it goes; a failure is told, not raised: the person can look at it in Airflow."""
    began = time.time()
    stack.api.wait_for_dag(DAG)
    run_id = stack.api.trigger(DAG)
    _say(f"● {DAG} started: {stack.url}/dags/{DAG}/runs/{run_id}")
    seen: dict[str, str] = {}
    state = "queued"
    while state not in RUN_ENDED and time.time() - began < RUN_LIMIT_S:
        time.sleep(1)
        stack.check()
        state = stack.api.run_state(DAG, run_id)
        _tell_changes(stack, run_id, seen)
    if state == "success":
        counts = stack.api.xcom(DAG, run_id, "check_counts")
        _say(f"✓ {DAG} succeeded in {time.time() - began:.0f} s: {counts['flights']:,} flights → {counts['rows']} rows")
        _say(f"  first green run {time.time() - started_at:.0f} s after the start")
    else:
        _say(f"✗ {DAG} is {state}: look at {stack.url}/dags/{DAG}/runs/{run_id}")
        _tell_failures(stack, run_id)
    print("\n  Next: trigger flight_delays_broken and read its error card.  Ctrl-C stops everything.", flush=True)


def _tell_changes(stack: Stack, run_id: str, seen: dict[str, str]) -> None:
    for task in stack.api.tasks(DAG, run_id):
        state = str(task["state"] or "waiting")
        if seen.get(task["task_id"]) != state:
            seen[task["task_id"]] = state
            _say(f"  {task['task_id']}: {'waiting for Spark, no worker slot used' if state == 'deferred' else state}")


def _tell_failures(stack: Stack, run_id: str) -> None:
    for task in stack.api.tasks(DAG, run_id):
        if task["state"] == "failed":
            lines = stack.api.log(DAG, run_id, task["task_id"], try_number=task["try_number"]).splitlines()
            _say("\n".join([f"  the end of the log of {task['task_id']}:", *lines[-LOG_LINES:]]))


def _stay(stack: Stack) -> None:
    """Wait for Ctrl-C; say so when a process ends by itself."""
    told: set[str] = set()
    while True:
        for name, child in stack.children.items():
            if not child.is_running and name not in told:
                told.add(name)
                _say(f"✗ {name} ended; its log: {child.log}")
        threading.Event().wait(GUARD_S)


def _shielded_stop(stack: Stack) -> None:
    """Stop everything; a second Ctrl-C must not leave half of it running."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    stack.stop()
    print("✓ everything has stopped; make demo starts it again with its data, make demo-clean removes them", flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, flush=True)
