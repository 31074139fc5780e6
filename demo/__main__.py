"""`python -m demo up|check|clean`: what `make demo`, `make demo-check` and `make demo-clean` run."""

import argparse
import sys
import time
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m demo", description="The demo of PlatySpark on this machine; not for production.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start everything, run flight_delays, stay until Ctrl-C")
    up.add_argument("--started-at", type=float, default=None, help="epoch seconds when the person pressed return")
    commands.add_parser("check", help="run both DAGs headless on free ports and check every figure")
    commands.add_parser("clean", help="end what the demo left running and remove its folder")
    args = parser.parse_args(argv)
    match args.command:
        case "up":
            from demo.up import up as run_up

            return run_up(args.started_at or time.time())
        case "check":
            from demo.check import check

            return check()
        case _:
            from demo.clean import clean

            return clean()


if __name__ == "__main__":
    sys.exit(main())
