"""The demo's own stack: which folder, which DAGs, which profiles, and the data in its bucket."""

from collections.abc import Callable
from pathlib import Path

from demo import flights
from demo.stack import Stack, StackSpec

PROJECT = Path(__file__).resolve().parents[1]
HOME = PROJECT / ".demo"
BUCKET = "platyspark-demo"
AIRFLOW_PORT = 8080
EMR_PORT = 8099


def demo_stack(home: Path, *, port: int = 0, emr_port: int = 0, on_step: Callable[[str], None] = lambda _: None) -> Stack:
    """Return the demo's stack on a folder; it is not started.

    :param port: Airflow's, :param emr_port: emrsim's; 0 picks a free one
    """
    spec = StackSpec(
        dags=(PROJECT / "dags",),
        port=port,
        emr_port=emr_port,
        bucket=BUCKET,
        emrsim={"log_delay_s": 1.0},
        profiles=(Path(__file__).with_name("profiles.yaml")).read_text(encoding="utf-8"),
        config={("platyspark", "poll_interval"): "2"},
        after_servers=lambda emr: flights.upload(emr.boto3("s3"), BUCKET),
    )
    return Stack(home, spec, on_step=on_step)
