"""`SparkAppOperator`: one Spark application, submitted once, waited for without a worker slot, and explained when it fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk import BaseOperator

from platyspark_provider.errors import PlatySparkError
from platyspark_provider.hooks.platyspark import DEFAULT_CONN_ID, Endpoint, PlatySparkHook
from platyspark_provider.operators.killed import TaskKilled
from platyspark_provider.operators.links import APP_LINKS, targets_from_detail, why_missing

if TYPE_CHECKING:  # the rest is imported where it is used: parsing a DAG stays fast
    from airflow.sdk import Context

    from platyspark_provider.core.polling import AppEvent, WaitRule
    from platyspark_provider.core.ports import Registry
    from platyspark_provider.core.records import AppDetail
    from platyspark_provider.operators.clusters import SparkCluster
    from platyspark_provider.operators.request import Arguments
    from platyspark_provider.operators.submission import Caller, Held
    from platyspark_provider.settings import Settings


class SparkAppOperator(BaseOperator):
    """Run a Spark application once per task instance; a retry attaches to what runs, a clear runs it again.

    :param application: a `.py` or `.jar` file: a path relative to the DAG file, or `s3://bucket/key`.
    :param sql: instead of it: statements separated by semicolons, or the path of a templated `.sql` file.
    :param main_class: the class to start; for a jar only. None takes what a local jar's manifest names.
    :param files: files beside the driver and the executors; `a.conf#b.conf` gives one another name, as for `archives`.
    :param conf: Spark properties; what is unset comes from the profile.
    :param packages: Maven coordinates, `group:artifact:version`.
    :param cluster: name of a profile of the platform team, or a `SparkCluster` of the DAG's own.
    :param max_runtime: limit of a run: timedelta, "2h" or "PT2H"; None takes the profile's.
    :param on_limit: "cancel" or "alert"; None takes the profile's.
    :param team: who owns the run; None takes the profile's or the DAG's tag `team:...`.
    :param app_key: an own key under which the application is known; None is this task instance's.
    :param reuse: "running" attaches to a live run of the key, "result" also returns one that succeeded, "never" runs anew.
    :param wait: False returns the ids right after the submit.
    :param metrics: names to return from what the job reports (its output line `platyspark-result: {...}`).
    :param deferrable: False waits in the worker; it then also acts, without triggerer or watchdog.
    """

    template_fields: Sequence[str] = (
        "application",
        "sql",
        "main_class",
        "args",
        "conf",
        "env_vars",
        "py_files",
        "files",
        "jars",
        "archives",
        "packages",
        "name",
        "cluster",
        "max_runtime",
        "team",
        "tags",
        "app_key",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "sql": "sql",
        "args": "json",
        "conf": "json",
        "env_vars": "json",
        "tags": "json",
    }
    operator_extra_links = APP_LINKS
    ui_color = "#fdebd9"

    def __init__(
        self,
        *,
        application: str | None = None,
        sql: str | None = None,
        main_class: str | None = None,
        args: Sequence[Any] = (),
        conf: Mapping[str, Any] | None = None,
        env_vars: Mapping[str, Any] | None = None,
        py_files: Sequence[str] = (),
        files: Sequence[str] = (),
        jars: Sequence[str] = (),
        packages: Sequence[str] = (),
        archives: Sequence[str] = (),
        name: str | None = None,
        cluster: str | SparkCluster = "shared",
        max_runtime: timedelta | str | None = None,
        on_limit: Literal["cancel", "alert"] | None = "cancel",
        team: str | None = None,
        tags: Mapping[str, str] | None = None,
        app_key: str | None = None,
        reuse: Literal["running", "result", "never"] = "running",
        wait: bool = True,
        metrics: Sequence[str] = (),
        deferrable: bool = True,
        platyspark_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.application = application
        self.sql = sql
        self.main_class = main_class
        self.args = args
        self.conf = conf
        self.env_vars = env_vars
        self.py_files = py_files
        self.files = files
        self.jars = jars
        self.packages = packages
        self.archives = archives
        self.name = name
        self.cluster = cluster
        self.max_runtime = max_runtime
        self.on_limit = on_limit
        self.team = team
        self.tags = tags
        self.app_key = app_key
        self.reuse = reuse
        self.wait = wait
        self.metrics = metrics
        self.deferrable = deferrable
        self.platyspark_conn_id = platyspark_conn_id
        self.link_targets: dict[str, str] = {}
        self._held: Held | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit (or attach), send if possible now, then wait; raises TaskDeferred when deferrable."""
        from platyspark_provider.core.polling import AppEvent, Outcome
        from platyspark_provider.operators.files import files_of_dag
        from platyspark_provider.operators.outcome import result_from_detail
        from platyspark_provider.operators.request import metrics_from_value, request_from_arguments
        from platyspark_provider.operators.statements import statement_of
        from platyspark_provider.operators.submission import Held, acknowledge, advance_now, place_files, submit
        from platyspark_provider.operators.waiting import is_over

        with self._opened(context) as caller:
            self.metrics = metrics_from_value(self.metrics, wait=self.wait)
            self.sql = statement_of(self, self.sql, context)
            files = files_of_dag(context["dag"])
            request = request_from_arguments(self._arguments(), files)
            answer = submit(caller, request)
            held = self._held = Held(app_id=answer.app.id, generation=answer.generation)
            if answer.outcome == "result":
                if self.wait and not is_over(answer, self._rule(), caller.clock.now()):
                    return self._wait(context, caller, held)
                return self._finish(context, caller, AppEvent(app_id=held.app_id, generation=held.generation, outcome=Outcome.ENDED))
            place_files(caller, answer, files)
            detail = advance_now(caller, held)
            self._push_links(context, detail)
            if self.wait:
                return self._wait(context, caller, held)
            acknowledge(caller, held)
            self.log.info("Not waiting for application %s generation %s.", held.app_id, held.generation)
            return result_from_detail(detail)

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Take the end of the application that the trigger saw."""
        from platyspark_provider.core.polling import event_from_dict
        from platyspark_provider.operators.submission import Held

        with self._opened(context) as caller:
            seen = event_from_dict(event)
            self._held = Held(app_id=seen.app_id, generation=seen.generation)
            return self._finish(context, caller, seen)

    def resolve_template_files(self) -> None:
        """Read a `.sql` file when the DAG is parsed, so that the UI shows it and a changed one is a new version of the DAG.

        One that is not there is told when the task runs.
        """
        from platyspark_provider.operators.statements import is_file, source_of

        if self.sql is not None and is_file(self.sql):
            self.sql = source_of(self, self.sql) or self.sql
        self.prepare_template()

    def on_kill(self) -> None:
        """Write the intent to stop, then leave at once: code after a kill could still send (5 s are left).

        No supervisor call here: it would wait for the very call that the signal interrupted.
        """
        if self._held is not None:
            self._ask_to_stop(self._held)
        raise TaskKilled(f"Task {self.task_id} was told to end.")

    def _arguments(self) -> Arguments:
        from platyspark_provider.operators.request import Arguments

        names = (*self.template_fields, "on_limit", "reuse")
        return Arguments(**{name: getattr(self, name) for name in names})

    @contextmanager
    def _opened(self, context: Context) -> Iterator[Caller]:
        """Read the connection once, keep what `on_kill` needs, and speak Airflow's errors."""
        from platyspark_provider.operators.outcome import airflow_errors
        from platyspark_provider.settings import load_settings

        with airflow_errors(conn_id=self.platyspark_conn_id):
            self._settings: Settings = load_settings()
            self._endpoint: Endpoint = PlatySparkHook(self.platyspark_conn_id).endpoint()
            self._ti_id = str(context["ti"].id)
            settings = self._settings
            with self._endpoint.registry(timeout_s=settings.api_timeout, busy_patience_s=settings.busy_patience) as registry:
                yield self._caller(registry)

    def _caller(self, registry: Registry) -> Caller:
        from platyspark_provider.hooks.aws import EmrBackends
        from platyspark_provider.hooks.clock import SystemClock
        from platyspark_provider.operators.patience import Patience
        from platyspark_provider.operators.submission import Caller

        backends, clock = EmrBackends(), SystemClock()
        return Caller(
            registry=registry,
            backends=backends,
            s3_of=backends.s3_of,
            ti_id=self._ti_id,
            clock=clock,
            patience=Patience(seconds=self._settings.submit_patience, clock=clock, log=self.log),
            log=self.log,
        )

    def _wait(self, context: Context, caller: Caller, held: Held) -> dict[str, Any]:
        """Defer, or wait here; either ends in `_finish`."""
        from platyspark_provider.operators.waiting import wait_in_worker

        rule = self._rule()
        if self.deferrable:
            from platyspark_provider.triggers.app import AppTrigger

            trigger = AppTrigger(
                app_id=held.app_id,
                generation=held.generation,
                conn_id=self.platyspark_conn_id,
                poll_s=rule.poll_s,
                log_wait_s=rule.log_wait_s,
                max_blind_s=rule.max_blind_s,
                log_on_success=rule.log_on_success,
            )
            self.defer(trigger=trigger, method_name="resume")
        event = wait_in_worker(caller, held, rule, tell=partial(self._push_links, context))
        return self._finish(context, caller, event)

    def _rule(self) -> WaitRule:
        from platyspark_provider.operators.waiting import wait_rule

        return wait_rule(self._settings, log_on_success=bool(self._wanted()))

    def _wanted(self) -> Sequence[str]:
        """Return the figures that only the driver's log tells."""
        return self.metrics or (("rows",) if self.sql is not None else ())

    def _finish(self, context: Context, caller: Caller, event: AppEvent) -> dict[str, Any]:
        """Read how the generation ended, acknowledge it, and return or raise what that means."""
        from platyspark_provider.operators.outcome import raise_unless_succeeded, result_from_detail, story, unreported
        from platyspark_provider.operators.submission import Held, acknowledge
        from platyspark_provider.operators.waiting import ended_detail

        held = Held(app_id=event.app_id, generation=event.generation)
        detail = ended_detail(caller, event)
        if detail is None:
            return self._wait(context, caller, held)
        self._push_links(context, detail)
        for line in story(detail):
            self.log.info("Application %s generation %s: %s", held.app_id, held.generation, line)
        acknowledge(caller, held)
        raise_unless_succeeded(detail)
        if gap := unreported(detail, self._wanted()):
            self.log.warning("%s", gap)
        return result_from_detail(detail, self.metrics)

    def _push_links(self, context: Context, detail: AppDetail) -> None:
        """Store the links now: Airflow itself does so only when this part of the task ends."""
        found = targets_from_detail(detail)
        if found == self.link_targets:
            return
        self.link_targets = found
        for link in APP_LINKS:
            if link.name in found:
                self.log.info("%s: %s", link.name, found[link.name])
                context["ti"].xcom_push(key=link.xcom_key, value=found[link.name])
        for name, reason in why_missing(detail).items():
            self.log.info("%s: %s", name, reason)

    def _ask_to_stop(self, held: Held) -> None:
        wait_s = self._settings.kill_timeout
        reason = f"task {self.dag_id}/{self.task_id} was killed"
        try:
            with self._endpoint.registry(timeout_s=wait_s, busy_patience_s=wait_s) as registry:
                answer = registry.kill(held.app_id, held.generation, ti_id=self._ti_id, reason=reason)
        except PlatySparkError as error:
            self.log.warning("Application %s generation %s: the stop was not written (%s).", held.app_id, held.generation, error)
            return
        word = "will be stopped" if answer.granted else "is left alone"
        self.log.info("Application %s generation %s %s: %s", held.app_id, held.generation, word, answer.reason)
