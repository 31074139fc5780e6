"""The arguments of our commands, each written once; no command body is imported here."""

import argparse
from typing import Any

from airflow.cli.cli_config import ARG_OUTPUT, Arg

__all__ = ["ARG_OUTPUT"]


def _arg(*flags: str, **options: Any) -> Arg:
    return Arg(flags, **options)  # type: ignore[no-untyped-call]


def _list(flag: str, help_: str, metavar: str) -> Arg:
    return _arg(flag, action="append", default=[], metavar=metavar, help=f"{help_} (may be given again)")


def _flag(flag: str, help_: str) -> Arg:
    return _arg(flag, action="store_true", help=help_)


# Tokens
TOKEN_NAME = _arg("name", help="Name of the token")
SCOPES = _arg(
    "--scopes",
    help="What it opens, separated by commas: worker (a task acts on its own application and reads the snapshot), "
    "reconciler (due, claim and record of all), scrape, ingest",
    default="worker,reconciler",
)
TEAMS = _arg("--teams", help="The only teams it acts for, separated by commas (default: all)", default="")
EXPIRES = _arg("--expires", help='How long it opens anything, as "90d" or "12h" (default: until it is revoked)', default="")

# Applications
APP_ID = _arg("app_id", type=int, metavar="ID", help="Number of the application, as `apps list` shows it")
STATE = _list("--state", "Only applications in this state: pending, running, succeeded, failed, ...", "STATE")
TEAM = _arg("--team", help="Only this team's")
DAG_ID = _arg("--dag-id", help="Only applications of this DAG")
KIND = _arg("--kind", choices=("batch", "streaming"), help="Only applications of this kind")
LIMIT = _arg("--limit", type=int, default=50, help="How many at most (default: 50; at most 100)")
GENERATION = _arg("--generation", type=int, metavar="N", help="Of this generation (default: the current one)")
TAIL = _arg("--tail", type=int, default=200, metavar="N", help="How many lines from the end (default: 200; 0: all that is kept)")
FOLLOW = _arg("-f", "--follow", action="store_true", help="Go on until the application has ended")
REASON = _arg("--reason", default="", help="Why; people read it later")

# Submitting
APPLICATION = _arg("application", nargs="?", metavar="APPLICATION", help="A .py or .jar: an s3:// address or a file of this machine")
SQL = _arg("--sql", metavar="TEXT|FILE.sql", help="SQL statements, or a .sql file of this machine, instead of an application")
MAIN_CLASS = _arg("--main-class", metavar="CLASS", help="The class to start, of a jar")
APP_ARGS = _arg("--args", nargs=argparse.REMAINDER, default=[], help="Everything after it goes to the application")
CONF = _list("--conf", "A Spark setting", "KEY=VALUE")
ENV = _list("--env", "An environment variable of driver and executors", "NAME=VALUE")
TAG = _list("--tag", "A tag", "KEY=VALUE")
PY_FILES = _list("--py-files", "A .py or .zip beside the application", "FILE")
FILES = _list("--files", "A file in the working folder of driver and executors", "FILE")
JARS = _list("--jars", "A jar on the class path", "FILE")
ARCHIVES = _list("--archives", "An archive that is unpacked in the working folder", "FILE")
PACKAGES = _list("--packages", "Maven coordinates", "GROUP:ARTIFACT:VERSION")
NAME = _arg("--name", help="A name for people (default: from the application's file)")
CLUSTER = _arg("--cluster", default="shared", help="Profile (default: shared); with --profile, --size, ... the name of a cluster")
FOR_TEAM = _arg("--team", help="The team it belongs to (default: the profile's)")
KEY = _arg("--key", help="Idempotency key: the same key and request is the same application (default: a new one each time)")
MAX_RUNTIME = _arg("--max-runtime", metavar="TIME", help='How long it may run, as "2h", "PT2H" or seconds')
DRY_RUN = _flag("--dry-run", "Print what would be submitted, and submit nothing")
WAIT_APP = _flag("--wait", "Wait for its end; exit 1 if it did not succeed")

# Clusters
CLUSTER_ID = _arg("cluster_id", type=int, metavar="ID", help="Number of the cluster, as `clusters list` shows it")
CLUSTER_NAME = _arg("name", metavar="NAME", help="Name of the cluster")
ALL_CLUSTERS = _flag("--all", "Ended ones, too")
NAMED = _arg("--name", help="Only clusters of this name")
SIZE = _arg("--size", help="Name of a machine size, of the profile's `sizes`")
WORKERS = _arg("--workers", metavar="N|LOW-HIGH", help="Machines beside the master; 2-10 lets it grow with the load")
SPOT = _arg("--spot", type=float, metavar="SHARE", help="Share of the workers on spot capacity, 0 to 1")
IDLE_TIMEOUT = _arg("--idle-timeout", metavar="TIME", help='When it ends without work, as "30m"')
PROFILE = _arg("--profile", help="Profile that the named cluster starts from (default: the one of its name, else shared)")
DEDICATED = _flag("--dedicated", "For one application alone")
ALONGSIDE = _flag("--alongside", "Also where another specification lives under that name")
REPLACE = _flag("--replace", "Drain the others under that name")
WAIT_CLUSTER = _flag("--wait", "Wait until it is ready")
FORCE = _flag("--force", "Also stop the applications that are on it")

# Profiles and doctor
PROFILE_NAME = _arg("name", metavar="NAME", help="Name of the profile")
PROFILES_PATH = _arg("file", metavar="FILE", help="A profiles.yaml")
PROCESS = _arg("--process", choices=("worker", "triggerer", "api-server"), help="Only what this process needs (default: all)")
FIX_HINTS = _arg("--fix-hints", choices=("only",), help="only: print nothing but how to mend what was found")
CHECK_TIMEOUT = _arg("--timeout", type=float, default=20.0, metavar="SECONDS", help="For each check (default: 20)")
