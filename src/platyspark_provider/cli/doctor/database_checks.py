"""Checks of what the api-server and the scheduler stand on: Airflow's version, database, tables, clock, DAGs, passes."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from platyspark_provider import __version__
from platyspark_provider.cli.doctor.checks import EVERYWHERE, SERVER, Check, Finding, Status
from platyspark_provider.cli.passes import OBSERVER, WATCHDOG, pass_ends
from platyspark_provider.cli.words import age

if TYPE_CHECKING:
    import sqlalchemy as sa

    from platyspark_provider.airflow_core.dags import DagState

TESTED = (3, 3)
OLDEST_POSTGRESQL = 14
LATE = timedelta(minutes=15)
"""Three intervals of the watchdog."""
SKEW_WARN_S, SKEW_FAIL_S = 5.0, 60.0

_DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MySQL"}
_MIGRATE = "airflow db migrate"
_COPY_DAGS = "Copy dags/platyspark_watchdog.py into the DAG folder (docs/quickstart.md)."


def database_checks() -> tuple[Check, ...]:
    """Return the checks."""
    return (
        Check(name="airflow", processes=EVERYWHERE, run=check_airflow),
        Check(name="database", processes=SERVER, run=check_database),
        Check(name="schema", processes=SERVER, run=check_schema),
        Check(name="clock", processes=SERVER, run=check_clock),
        Check(name="watchdog", processes=SERVER, run=lambda: check_dag("watchdog", "platyspark_watchdog", "WatchdogOperator")),
        Check(name="observer", processes=SERVER, run=lambda: check_dag("observer", "platyspark_observer", "ObserverOperator")),
        Check(name="passes", processes=SERVER, run=check_passes),
    )


def check_airflow() -> Iterator[Finding]:
    """Hold Airflow's version against the one that the tests ran with."""
    from airflow import __version__ as version

    yield judge_airflow(version)


def judge_airflow(version: str) -> Finding:
    """Return the finding about a version of Airflow."""
    found = f"Airflow {version}, PlatySpark {__version__}."
    major, minor = (int(number) for number in version.split(".")[:2])
    fix = f"pip install 'apache-airflow=={TESTED[0]}.{TESTED[1]}.*'"
    if (major, minor) == TESTED:
        return Finding(check="airflow", status=Status.OK, found=found)
    if major == TESTED[0] and minor > TESTED[1]:
        newer = f"{fix}, or look for a newer release of platyspark-provider"
        return Finding(check="airflow", status=Status.WARN, found=f"{found} This minor was not tested.", fix=newer)
    return Finding(check="airflow", status=Status.FAIL, found=found, fix=fix)


def check_database() -> Iterator[Finding]:
    """Tell which database it is."""
    with _engine().connect() as connection:
        yield judge_database(connection.dialect.name, connection.dialect.server_version_info or ())


def judge_database(dialect: str, version: Sequence[int | str]) -> Finding:
    """Return the finding about a kind of database and its version."""
    found = f"{_DATABASES.get(dialect, dialect)} {'.'.join(map(str, version))}"
    move = "Point [database] sql_alchemy_conn at PostgreSQL, then run `airflow db migrate`"
    if dialect == "sqlite":
        return Finding(check="database", status=Status.WARN, found=f"{found}: a trial by one person.", fix=move)
    if dialect != "postgresql":
        return Finding(check="database", status=Status.FAIL, found=f"{found} is not supported.", fix=move)
    if int(version[0]) < OLDEST_POSTGRESQL:
        fix = f"Upgrade it to PostgreSQL {OLDEST_POSTGRESQL} or newer"
        return Finding(check="database", status=Status.FAIL, found=f"{found} is too old.", fix=fix)
    return Finding(check="database", status=Status.OK, found=f"{found}.")


def check_schema() -> Iterator[Finding]:
    """Hold the tables against the code."""
    from platyspark_provider.store.schema import REVISIONS, VERSION_TABLE, SchemaState, schema_state

    with _engine().connect() as connection:
        state = schema_state(connection)
        missing = state is SchemaState.MISSING
        revision = "none" if missing else connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()  # noqa: S608
    found = f"Our tables are {state.value} (revision {revision}, this release has {REVISIONS[-1]})."
    ok = state is SchemaState.CURRENT
    yield Finding(check="schema", status=Status.OK if ok else Status.FAIL, found=found, fix="" if ok else _MIGRATE)


def check_clock() -> Iterator[Finding]:
    """Hold this machine's clock against the database's, which leases and deadlines go by."""
    from platyspark_provider.cli.running import open_store

    with open_store() as store:
        before = datetime.now(UTC)
        there = store.now()
        after = datetime.now(UTC)
    yield skew_finding("clock", there, before, after, "database")


def skew_finding(check: str, there: datetime, before: datetime, after: datetime, whose: str) -> Finding:
    """Judge a clock that was read between two looks at our own."""
    skew = max((before - there).total_seconds(), (there - after).total_seconds(), 0.0)
    found = f"This machine's clock and that of the {whose} differ by {skew:.1f} s."
    fix = "timedatectl set-ntp true"
    if skew > SKEW_FAIL_S:
        return Finding(check=check, status=Status.FAIL, found=f"{found} AWS refuses signatures when it grows.", fix=fix)
    if skew > SKEW_WARN_S:
        return Finding(check=check, status=Status.WARN, found=found, fix=fix)
    return Finding(check=check, status=Status.OK, found=found)


def check_dag(check: str, dag_id: str, operator: str) -> Iterator[Finding]:
    """Look whether a DAG of that operator is there, unpaused and runs."""
    from platyspark_provider.airflow_core.dags import dag_states

    yield judge_dags(check, dag_id, dag_states(dag_id, operator), datetime.now(UTC))


def judge_dags(check: str, dag_id: str, dags: "Sequence[DagState]", now: datetime) -> Finding:
    """Return the finding about the best of the DAGs that do the job."""
    living = [dag for dag in dags if not dag.is_stale]
    awake = [dag for dag in living if not dag.is_paused]
    if not living:
        return Finding(check=check, status=Status.FAIL, found=f"There is no DAG {dag_id}.", fix=_COPY_DAGS)
    if not awake:
        names = [dag.dag_id for dag in living]
        fix = f"airflow dags unpause {names[0]}"
        return Finding(check=check, status=Status.FAIL, found=f"DAG {', '.join(names)} is paused.", fix=fix)
    best = max(awake, key=lambda dag: dag.last_start or datetime.min.replace(tzinfo=UTC))
    if best.last_start is None:
        found, fix = f"DAG {best.dag_id} has not run yet.", "airflow scheduler"
        return Finding(check=check, status=Status.WARN, found=found, fix=f"Wait five minutes, or start the scheduler: {fix}")
    ago = f"DAG {best.dag_id}: its task last began {age(now - best.last_start)} ago ({best.last_state})."
    if now - best.last_start > LATE:
        fix = f"airflow dags list-runs {best.dag_id} (and see that scheduler, triggerer and a worker live)"
        return Finding(check=check, status=Status.FAIL, found=ago, fix=fix)
    if best.last_state == "failed":
        fix = f"airflow dags list-runs {best.dag_id}, then read the task's log"
        return Finding(check=check, status=Status.WARN, found=ago, fix=fix)
    return Finding(check=check, status=Status.OK, found=ago)


def check_passes() -> Iterator[Finding]:
    """Tell from the leases when a pass was made last, by the watchdog and for each target."""
    from platyspark_provider.cli.running import open_store

    with open_store() as store:
        now = store.now()
    yield from judge_passes(pass_ends(), now)


def judge_passes(ends: dict[str, datetime], now: datetime) -> Iterator[Finding]:
    """Return one finding per lease that passes take; a target without open work has none."""
    fix = "airflow dags trigger platyspark_watchdog, then read its log"
    if WATCHDOG not in ends:
        yield Finding(check="passes", status=Status.WARN, found="The watchdog has made no pass yet.", fix=fix)
    for name, end in ends.items():
        who = "The watchdog" if name == WATCHDOG else f"The observer of target {name.removeprefix(OBSERVER)}"
        if end > now:
            yield Finding(check="passes", status=Status.OK, found=f"{who} is at work.")
        elif name == WATCHDOG and now - end > LATE:
            yield Finding(check="passes", status=Status.FAIL, found=f"{who} made its last pass {age(now - end)} ago.", fix=fix)
        else:
            yield Finding(check="passes", status=Status.OK, found=f"{who} was at work until {age(now - end)} ago.")


def _engine() -> "sa.Engine":
    from platyspark_provider.airflow_core.db import airflow_engine

    return airflow_engine()
