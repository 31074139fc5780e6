"""The operator's fast path: the steps of a pass for one application, so that a submit need not wait for a pass."""

import uuid

from platyspark_provider.core.ports import Backends, Clock, Registry
from platyspark_provider.core.records import AppDetail
from platyspark_provider.reconciler.passes import run_steps
from platyspark_provider.reconciler.workbench import PassReport, Workbench


def advance(registry: Registry, backends: Backends, *, app_id: int, ti_id: str, holder: str, clock: Clock) -> tuple[AppDetail, PassReport]:
    """Bring one application as far as it gets now without waiting, and return where it is.

    What can't be done now (row held by another executor, throttled, cluster not ready) is left to the loop.
    """
    report = PassReport()
    due = registry.due(app_id=app_id, ti_id=ti_id)
    bench = Workbench(registry=registry, backends=backends, due=due, ti_id=ti_id, report=report, now=clock.now)
    run_steps(bench, f"{holder}#{uuid.uuid4().hex[:8]}")
    return registry.detail(app_id, ti_id=ti_id), report
