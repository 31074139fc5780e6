"""The `yarn application` command as a process on the primary node can call it: -list, -status, -kill, answered from emrsim's own YARN.

It reads the records and not the REST route: a command on the primary node reaches its ResourceManager also when outsiders don't.
Texts, streams and exit codes follow `org.apache.hadoop.yarn.client.cli.ApplicationCLI` of Hadoop 3.4. Called by `command_main` for the
`yarn` of scripts, and by `step_main` for a step whose command is `yarn` itself.
"""

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from platyspark_provider.emrsim.ports import YarnApplication
from platyspark_provider.emrsim.runner_records import Site
from platyspark_provider.emrsim.yarn_apps import APPLICATION_STATES, ENDED_STATES, find_application, kill_application, list_applications

_KILL_TIMEOUT_S = 30.0
_FAILED = 255  # ApplicationCLI's -1 as the shell sees it
_OPEN_STATES = frozenset({"SUBMITTED", "ACCEPTED", "RUNNING"})
_FILTERS = ("-appTypes", "-appStates", "-appTags")
# widths of ApplicationCLI.APPLICATIONS_PATTERN: padded on the left, never cut
_ROW = "{:>30}\t{:>20}\t{:>20}\t{:>10}\t{:>10}\t{:>18}\t{:>18}\t{:>15}\t{:>35}\n"
_HEAD = ("Application-Id", "Application-Name", "Application-Type", "User", "Queue", "State", "Final-State", "Progress", "Tracking-URL")


def run_yarn(args: Sequence[str], site: Site, cluster_id: str) -> int:
    """Carry out `yarn <args>` on a cluster; return its exit code."""
    match [arg.replace("--", "-", 1) if arg.startswith("--") else arg for arg in args]:
        case ["application" | "app", "-kill", *ids] if ids and not any(one.startswith("-") for one in ids):
            _log("client.DefaultNoHARMFailoverProxyProvider", "Connecting to ResourceManager at /127.0.0.1:8032")
            return min(_kill(site, cluster_id, application_id) for application_id in ids)
        case ["application" | "app", "-status", application_id]:
            return _status(site, cluster_id, application_id)
        case ["application" | "app", *options] if (filters := _filters(options)) is not None:
            return _list(site, cluster_id, filters)
        case _:
            sys.stdout.write("Invalid Command usage. Command must start with 'application' and one of -list, -status ID, -kill ID...\n")
            return _FAILED


def _filters(options: Sequence[str]) -> dict[str, list[str]] | None:
    """Return the values of -list's filters; None when the options are none of -list's.

    Values are split at commas and may also stand apart, as commons-cli reads an option of unlimited values.
    """
    found: dict[str, list[str]] = {}
    is_list = False
    current: list[str] | None = None
    for option in options:
        if option == "-list":
            is_list, current = True, None
        elif option in _FILTERS:
            current = found.setdefault(option, [])
        elif current is not None and not option.startswith("-"):
            current += [value.strip() for value in option.split(",") if value.strip()]
        else:
            return None
    return found if is_list and all(found.values()) else None


def _list(site: Site, cluster_id: str, filters: dict[str, list[str]]) -> int:
    types = {kind.upper() for kind in filters.get("-appTypes", ())}
    tags = filters.get("-appTags", [])
    wanted = [state.upper() for state in filters.get("-appStates", ())] or sorted(_OPEN_STATES)
    if "ALL" in wanted:
        wanted = list(APPLICATION_STATES)
    for state in wanted:
        if state not in APPLICATION_STATES:
            sys.stdout.write(f"The application state {state} is invalid.\n")
            sys.stdout.write(f"The valid application state can be one of the following: ALL,{','.join(APPLICATION_STATES)}\n")
            return _FAILED
    states = [state for state in APPLICATION_STATES if state in wanted]
    chosen = [app for _, app in list_applications(site) if app.cluster_id == cluster_id and app.state in states]
    if types and "SPARK" not in types:
        chosen = []
    if tags:
        chosen = [app for app in chosen if not {tag.lower() for tag in tags}.isdisjoint(app.tags)]
    asked = f"application-types: {_java_list(sorted(types))}, states: {_java_list(states)} and tags: {_java_list(tags)}"
    sys.stdout.write(f"Total number of applications ({asked}):{len(chosen)}\n{_ROW.format(*_HEAD)}")
    sys.stdout.write("".join(_row(app) for app in chosen))
    return 0


def _java_list(names: Sequence[str]) -> str:
    return f"[{', '.join(names)}]"


def _row(app: YarnApplication) -> str:
    return _ROW.format(app.id, app.name, "SPARK", "hadoop", "default", app.state, app.final_status, _progress(app), "N/A")


def _progress(app: YarnApplication) -> str:
    return "100%" if app.state in ENDED_STATES else "10%" if app.state == "RUNNING" else "0%"


def _kill(site: Site, cluster_id: str, application_id: str) -> int:
    """Kill one application and wait until YARN says so, as YarnClientImpl does; several ids fail only if none is known."""
    application = find_application(site, application_id, cluster_id)
    if application is None:
        sys.stdout.write(f"Application with id '{application_id}' doesn't exist in RM.\n")
        return _FAILED
    if application.state in ENDED_STATES:
        sys.stdout.write(f"Application {application_id} has already finished \n")
        return 0
    sys.stdout.write(f"Killing application {application_id}\n")
    kill_application(site.app(application_id))
    deadline = time.monotonic() + _KILL_TIMEOUT_S
    while time.monotonic() < deadline:
        application = find_application(site, application_id)
        if application is None or application.state in ENDED_STATES:
            _log("impl.YarnClientImpl", f"Killed application {application_id}")
            return 0
        time.sleep(0.1)
    raise TimeoutError(f"Application {application_id} is still alive after {_KILL_TIMEOUT_S:.0f} s")


def _status(site: Site, cluster_id: str, application_id: str) -> int:
    application = find_application(site, application_id, cluster_id)
    if application is None:
        sys.stdout.write(f"Application with id '{application_id}' doesn't exist in RM or Timeline Server.\n")
        return _FAILED
    fields = {
        "Application-Id": application.id,
        "Application-Name": application.name,
        "Application-Type": "SPARK",
        "User": "hadoop",
        "Queue": "default",
        "Application Priority": 0,
        "Start-Time": application.started_ms,
        "Finish-Time": application.finished_ms,
        "Progress": _progress(application),
        "State": application.state,
        "Final-State": application.final_status,
        "Tracking-URL": "N/A",
        "RPC Port": -1,
        "AM Host": "127.0.0.1" if application.state == "RUNNING" else "N/A",
        "Log Aggregation Status": "DISABLED",
        "Diagnostics": application.diagnostics,
        "Unmanaged Application": "false",
    }
    sys.stdout.write("Application Report : \n" + "".join(f"\t{name} : {value}\n" for name, value in fields.items()) + "\n")
    return 0


def _log(source: str, text: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S},000 INFO {source}: {text}\n")
