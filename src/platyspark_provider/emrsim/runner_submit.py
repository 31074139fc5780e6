"""Carry out one `spark-submit`: fetch, register with YARN, then be the driver (client mode) or watch a container (cluster mode).

Called by `step_main` for a step that is a spark-submit, and by `command_main` for one in a step's script.

Texts follow Spark's `SparkSubmit` and `org.apache.spark.deploy.yarn.Client`, because people and tools search logs for them.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from platyspark_provider.emrsim.container_main import record_end
from platyspark_provider.emrsim.jars import JarsError, ensure_jars
from platyspark_provider.emrsim.ports import YarnApplication
from platyspark_provider.emrsim.runner_commands import package_root
from platyspark_provider.emrsim.runner_conf import Caller, base_environment, driver_command, driver_conf, driver_environment, write_conf
from platyspark_provider.emrsim.runner_driver import ChildEnd, Terminator, read_spec, run_driver
from platyspark_provider.emrsim.runner_fetch import Fetcher, FetchError, Localized
from platyspark_provider.emrsim.runner_process import reap_children, start_session
from platyspark_provider.emrsim.runner_records import AppFolder, Site, StepFolder, write_json
from platyspark_provider.emrsim.spark_args import Submission, SubmitError, parse_command, parse_properties, resolve_submission
from platyspark_provider.emrsim.yarn_apps import ENDED_STATES, view_application

_REPORT_S = 1.0
_TERMINATED = ChildEnd(code=143, signal=15)


def run_spark_submit(args: Sequence[str], step: StepFolder, caller: Caller, terminator: Terminator) -> ChildEnd:
    """Carry out `spark-submit <args>` for a step, in the calling process and its working folder; return how that process is to end."""
    site = step.site()
    try:
        submission = _resolve(args, step, site)
        ensure_jars(caller.spark.jars_dir, caller.spark.line)
        app, resources = _stage(submission, site, caller)
    except SubmitError as error:
        return _failed(f"Error: {error}")
    except (FetchError, JarsError) as error:
        return _failed(f'Exception in thread "main" {error}')
    if terminator.is_set:
        return _TERMINATED
    ui_port = _prepare(submission, resources, app, step, caller)
    app.record(
        cluster_id=caller.cluster_id,
        step_id=step.id,
        name=submission.name,
        tags=submission.tags,
        queue=submission.queue,
        deploy_mode=submission.deploy_mode,
        ui_port=ui_port,
        started_ms=int(time.time() * 1000),
    )
    _log("YarnClientImpl", f"Submitted application {app.id}")
    if submission.deploy_mode == "client":
        return _run_as_driver(submission, app, terminator)
    return _run_as_client(submission, app, site, caller, terminator)


def _resolve(args: Sequence[str], step: StepFolder, site: Site) -> Submission:
    command = parse_command(args)
    properties: Mapping[str, str] = {}
    if command.properties_file:
        with tempfile.TemporaryDirectory(dir=step.path, prefix=".properties-") as folder:
            properties = parse_properties(Fetcher(site.endpoint_url, Path(folder)).text(command.properties_file))
    return resolve_submission(command, properties)


def _stage(submission: Submission, site: Site, caller: Caller) -> tuple[AppFolder, Localized]:
    """Fetch everything before YARN hears of the application, as Spark's client checks it before it submits."""
    app = site.new_app(caller.cluster_id)
    cluster_mode = submission.deploy_mode == "cluster"
    staging = app.work if cluster_mode else app.path / "staging"
    staging.mkdir()
    # an executor finds archives in its working folder; in client mode that is the caller's here, as executors share the driver's process
    archives = app.work if cluster_mode else Path.cwd()
    try:
        return app, Fetcher(site.endpoint_url, staging).localize(submission, copy_local=cluster_mode, archives_into=archives)
    except FetchError:
        shutil.rmtree(app.path)
        raise


def _prepare(submission: Submission, resources: Localized, app: AppFolder, step: StepFolder, caller: Caller) -> int | None:
    """Write what the driver starts with; return the port of its UI, or None if it has none that is known."""
    site = step.site()
    cwd, work = (app.work, app.work) if submission.deploy_mode == "cluster" else (Path.cwd(), step.work)
    conf_file = app.path / "spark.conf"
    conf = driver_conf(site, caller.spark, submission, resources, app.id, work)
    write_conf(conf_file, conf)
    spec = {
        "argv": driver_command(caller.spark, submission, resources, conf_file),
        "env": driver_environment(site, caller, submission, work),
        "cwd": str(cwd),
        "scratch": str(work / "scratch"),
        "max_attempts": submission.max_attempts,
        "is_python": submission.is_python,
    }
    write_json(app.path / "spec.json", spec)
    port = conf["spark.ui.port"]
    return int(port) if conf["spark.ui.enabled"] == "true" and port.isdecimal() and port != "0" else None


def _run_as_driver(submission: Submission, app: AppFolder, terminator: Terminator) -> ChildEnd:
    app.record_process(os.getpid())
    end = run_driver(read_spec(app), app, terminator, logs=None, escalate=False)
    is_killed = app.kill_requested_at is not None
    record_end(app, end, reason="" if end.signal is None else None, attempt=1, is_stopped=is_killed)
    if is_killed and not terminator.is_set:
        return _failed(f'Exception in thread "main" org.apache.spark.SparkException: Application {app.id} is killed')
    return end


def _run_as_client(submission: Submission, app: AppFolder, site: Site, caller: Caller, terminator: Terminator) -> ChildEnd:
    app.record_process(_start_container(app, site, caller))
    application = _watch(app, terminator, waits=submission.waits)
    if terminator.is_set:
        _log("ShutdownHookManager", "Shutdown hook called")
        return _TERMINATED
    return _client_end(application)


def _start_container(app: AppFolder, site: Site, caller: Caller) -> int:
    # not the step's own streams: its logs end with the step, the container's don't
    with (app.path / "container.log").open("ab") as log:
        command = [sys.executable, "-m", "platyspark_provider.emrsim.container_main", str(app.path)]
        env = {**base_environment(site, caller.spark, caller.mark), "PYTHONPATH": package_root()}
        return start_session(command, cwd=app.path, env=env, stdout=log, stderr=log)


def _watch(app: AppFolder, terminator: Terminator, *, waits: bool) -> YarnApplication:
    reported = 0.0
    while True:
        reap_children()
        application = view_application(app)
        if application is None:
            raise RuntimeError(f"{app.id} was registered and is gone")
        if time.monotonic() > reported + _REPORT_S or application.state in ENDED_STATES:
            reported = time.monotonic()
            _log("Client", f"Application report for {app.id} (state: {application.state})")
        if application.state in ENDED_STATES or terminator.is_set or not waits:
            return application
        time.sleep(0.1)


def _client_end(application: YarnApplication) -> ChildEnd:
    _log("Client", _final_report(application))
    if "FAILED" in {application.state, application.final_status}:
        if application.diagnostics:
            _log("Client", f"Application diagnostics message: {application.diagnostics}", level="ERROR")
        return _failed(
            f'Exception in thread "main" org.apache.spark.SparkException: Application {application.id} finished with failed status'
        )
    if application.state == "KILLED":
        return _failed(f'Exception in thread "main" org.apache.spark.SparkException: Application {application.id} is killed')
    return ChildEnd(code=0)


def _final_report(application: YarnApplication) -> str:
    return (
        f"\n\t client token: N/A\n\t diagnostics: {application.diagnostics or 'N/A'}\n\t start time: {application.started_ms}"
        f"\n\t final status: {application.final_status}\n\t user: hadoop"
    )


def _failed(text: str) -> ChildEnd:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
    return ChildEnd(code=1)


def _log(source: str, text: str, level: str = "INFO") -> None:
    sys.stderr.write(f"{datetime.now(UTC):%y/%m/%d %H:%M:%S} {level} {source}: {text}\n")
    sys.stderr.flush()
