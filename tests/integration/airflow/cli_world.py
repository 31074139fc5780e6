"""Runs command lines through Airflow's own parser, in this process."""

import contextlib
import io
import json
import warnings
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command line led to."""

    out: str
    err: str
    code: int

    def json(self) -> Any:
        """Return what it printed with `-o json`."""
        return json.loads(self.out)


def run_cli(*words: str) -> Said:
    """Run `airflow platyspark <words>`."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with warnings.catch_warnings(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        warnings.simplefilter("ignore")
        from airflow.cli import cli_parser

        try:
            args = cli_parser.get_parser().parse_args(["platyspark", *words])
            args.func(args)
        except SystemExit as stopped:
            code = int(stopped.code or 0)
    return Said(out=out.getvalue(), err=err.getvalue(), code=code)
