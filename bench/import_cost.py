"""Print the CPU milliseconds that our imports add over `airflow.sdk`, each in a fresh interpreter, and their ratio."""

import statistics
import subprocess
import sys

RUNS = 5
BASE = "import airflow.sdk; from airflow.sdk import DAG, BaseOperator, BaseOperatorLink"
CASES = {
    "platyspark_provider": "import platyspark_provider",
    "SparkAppOperator": "from platyspark_provider import SparkAppOperator",
    "PlatySparkHook": "from platyspark_provider import PlatySparkHook",
    "platyspark_provider.dags": "from platyspark_provider.dags import observer_dag, watchdog_dag",
}
PROBE = """
import time
a = time.process_time()
{base}
b = time.process_time()
{statement}
c = time.process_time()
print((b - a) * 1000, (c - b) * 1000)
"""


def measure(statement: str) -> tuple[float, float]:
    """Return the median CPU ms of `airflow.sdk` and of the statement after it."""
    rows = []
    for _ in range(RUNS):
        code = PROBE.format(base=BASE, statement=statement)
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
        rows.append(tuple(float(x) for x in done.stdout.splitlines()[-1].split()))
    return statistics.median(r[0] for r in rows), statistics.median(r[1] for r in rows)


def main() -> None:
    """Measure and print."""
    print(f"{'import':28} {'airflow.sdk ms':>15} {'added ms':>10} {'ratio':>7}")
    for name, statement in CASES.items():
        base, added = measure(statement)
        print(f"{name:28} {base:15.1f} {added:10.1f} {added / base:7.3f}")


if __name__ == "__main__":
    main()
