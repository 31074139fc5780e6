"""The stop ladder: one rung at a time, each written down; proof of death ends it (`Backend.prove_dead`)."""

from platyspark_provider.core.facts import StopAdvanced
from platyspark_provider.core.reconcile import Climb, GiveUpStop, decide_app
from platyspark_provider.core.records import AppWork
from platyspark_provider.reconciler.observe import prove_at_once
from platyspark_provider.reconciler.workbench import Workbench


def stop_runs(bench: Workbench) -> None:
    """Climb the next rung for every application that is to stop.

    A crash between a rung and its record leads to the same rung again: each is idempotent.
    """
    climbed: list[AppWork] = []
    for work in bench.held_apps():
        with bench.report.guard(f"stop app {work.app.id}"):
            match decide_app(work.app, work.attempt, None, policy=bench.due.policy, now=bench.due.at):
                case Climb(stage=stage):
                    backend = bench.backend(bench.target_of(work))
                    words = backend.stop(bench.ref_of(work), stage)
                    bench.record([_advanced(bench, work, stage, words)])
                    bench.report.done.append(f"stop app {work.app.id}, stage {stage}: {words}")
                    climbed.append(bench.apps[work.app.id])
                case GiveUpStop():
                    words = (
                        "Every means was tried and the driver is not proven dead. Nothing starts in its place; "
                        "look at the cluster and, when the driver is gone, terminate the step or the cluster."
                    )
                    bench.record([_advanced(bench, work, work.attempt.stop_stage, words, unproven=True)])
                    bench.report.skipped.append(f"stop app {work.app.id}: {words}")
                case _:
                    pass
    prove_at_once(bench, climbed)


def _advanced(bench: Workbench, work: AppWork, stage: int, message: str, *, unproven: bool = False) -> StopAdvanced:
    return StopAdvanced(
        app_id=work.app.id,
        generation=work.attempt.generation,
        epoch=bench.app_epoch(work.app.id),
        stage=stage,
        message=message,
        unproven=unproven,
    )
