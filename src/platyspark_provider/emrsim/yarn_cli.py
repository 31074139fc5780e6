"""The `yarn application` command as a step can call it: -list, -status, -kill, answered from emrsim's own YARN.

It reads the records and not the REST route: a command on the primary node reaches its ResourceManager also when outsiders don't.
Texts follow `org.apache.hadoop.yarn.client.cli.ApplicationCLI`.
"""

import sys
import time
from collections.abc import Sequence

from platyspark_provider.emrsim.ports import YarnApplication
from platyspark_provider.emrsim.runner_records import Site
from platyspark_provider.emrsim.yarn_apps import ENDED_STATES, find_application, kill_application, list_applications

_KILL_TIMEOUT_S = 30.0
_FAILED = 255


def run_yarn(args: Sequence[str], site: Site, cluster_id: str) -> int:
    """Carry out `yarn <args>`; return its exit code."""
    match list(args):
        case ["application" | "app", "-kill", *ids] if ids:
            return max(_kill(site, cluster_id, application_id) for application_id in ids)
        case ["application" | "app", "-status", application_id]:
            return _status(site, cluster_id, application_id)
        case ["application" | "app", "-list", *_]:
            return _list(site, cluster_id)
        case _:
            sys.stderr.write(f"yarn {' '.join(args)}: emrsim knows 'application -list', '-status ID' and '-kill ID'\n")
            return _FAILED


def _kill(site: Site, cluster_id: str, application_id: str) -> int:
    application = find_application(site, application_id, cluster_id)
    if application is None:
        return _unknown(application_id)
    if application.state in ENDED_STATES:
        sys.stdout.write(f"Application {application_id} has already finished \n")
        return 0
    sys.stdout.write(f"Killing application {application_id}\n")
    kill_application(site.app(application_id))
    deadline = time.monotonic() + _KILL_TIMEOUT_S
    while time.monotonic() < deadline:
        application = find_application(site, application_id)
        if application is None or application.state in ENDED_STATES:
            sys.stdout.write(f"Killed application {application_id}\n")
            return 0
        time.sleep(0.1)
    sys.stderr.write(f"Application {application_id} is still alive after {_KILL_TIMEOUT_S:.0f} s\n")
    return _FAILED


def _status(site: Site, cluster_id: str, application_id: str) -> int:
    application = find_application(site, application_id, cluster_id)
    if application is None:
        return _unknown(application_id)
    fields = {
        "Application-Id": application.id,
        "Application-Name": application.name,
        "Application-Type": "SPARK",
        "User": "hadoop",
        "Start-Time": application.started_ms,
        "Finish-Time": application.finished_ms,
        "Progress": "100%" if application.state in ENDED_STATES else "10%",
        "State": application.state,
        "Final-State": application.final_status,
        "Diagnostics": application.diagnostics,
        "Application Tags": ",".join(application.tags),
    }
    sys.stdout.write("Application Report : \n" + "".join(f"\t{name} : {value}\n" for name, value in fields.items()))
    return 0


def _list(site: Site, cluster_id: str) -> int:
    live = [app for _, app in list_applications(site) if app.cluster_id == cluster_id and app.state not in ENDED_STATES]
    sys.stdout.write(
        f"Total number of applications (application-types: [], states: [SUBMITTED, ACCEPTED, RUNNING] and tags: []):{len(live)}\n"
    )
    sys.stdout.write("".join(_row(application) for application in live))
    return 0


def _row(application: YarnApplication) -> str:
    return f"{application.id}\t{application.name}\tSPARK\thadoop\tdefault\t{application.state}\t{application.final_status}\t10%\tN/A\n"


def _unknown(application_id: str) -> int:
    sys.stderr.write(f"Application with id '{application_id}' doesn't exist in RM.\n")
    return _FAILED
