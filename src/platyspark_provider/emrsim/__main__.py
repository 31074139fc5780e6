"""Start emrsim: `python -m platyspark_provider.emrsim --port 8099 --data DIR`."""

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from platyspark_provider.emrsim.config import THROTTLE_MODES, ConfigError, SimConfig
from platyspark_provider.emrsim.jars import JarsError
from platyspark_provider.emrsim.runner import SparkRunner
from platyspark_provider.emrsim.server import EmrSimServer, NotLoopback
from platyspark_provider.emrsim.spark_homes import ENVIRONMENT, SparkHomeError, SparkHomes, parse_homes, settings_of_environment
from platyspark_provider.emrsim.state_file import StateInUse
from platyspark_provider.emrsim.yarn import YarnRest

_SECONDS = {
    "clock_speed": "simulated seconds in a real one (default 1); 0 stands still until it is advanced",
    "starting_s": "time in STARTING",
    "bootstrapping_s": "time in BOOTSTRAPPING",
    "terminating_s": "time in TERMINATING",
    "step_start_s": "time a step waits before it starts",
    "log_delay_s": "time until a step's logs reach S3",
    "listing_lag_s": "time a new cluster or step is missing in listings",
    "waiting_flip_s": "time a cluster still says WAITING after it was given a step",
    "idle_clock_speed": "seconds the auto-termination clock runs in one second",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m platyspark_provider.emrsim", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8099, help="port, 0 picks a free one (default 8099)")
    parser.add_argument("--data", type=Path, required=True, help="folder for state, journal, logs and S3 objects")
    parser.add_argument("--throttle", choices=THROTTLE_MODES, default=None, help="apply EMR's API limits")
    parser.add_argument(
        "--spark",
        action="append",
        default=[],
        metavar="LABEL_PREFIX=SPARK_HOME",
        help="run clusters whose release label begins so with another Spark than this Python's pyspark; may be given several times, "
        f"also as {ENVIRONMENT}, separated by commas",
    )
    for name, text in _SECONDS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=None, dest=name, help=text)
    return parser


def _spark_and_yarn(sparks: SparkHomes, data_dir: Path, endpoint_url: str, config: SimConfig) -> tuple[SparkRunner, YarnRest]:
    runner = SparkRunner(data_dir=data_dir, endpoint_url=endpoint_url, config=config, sparks=sparks)
    return runner, YarnRest(runner, lambda: config.yarn_reachable)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server until SIGTERM or SIGINT; the processes of steps go on. A flag wins over the stored setting of the same name."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = {name: value for name, value in vars(args).items() if name in {*_SECONDS, "throttle"} and value is not None}
    try:
        sparks = SparkHomes(by_prefix=parse_homes([*settings_of_environment(), *args.spark]))
        server = EmrSimServer(
            data_dir=args.data.resolve(),
            make_parts=partial(_spark_and_yarn, sparks),
            host=args.host,
            port=args.port,
            settings=settings,
        )
    except (NotLoopback, ConfigError, StateInUse, SparkHomeError, JarsError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    sys.stdout.write(f"emrsim listening on {server.url}\n")
    sys.stdout.flush()
    try:
        server.serve_forever()
    finally:
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
