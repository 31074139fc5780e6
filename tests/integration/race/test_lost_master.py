"""A cluster dies under its applications: what never started is sent again for free, what ran follows its failure class."""

from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from platyspark_provider.core.states import AppPhase, FailureClass
from tests.integration.race.platform import Platform, platform

PROFILES = """
targets:
  default: {yarn_url: "{emr_url}/emrsim/yarn/{cluster}"}
profiles:
  shared: {step_concurrency: 5, queue_ahead: 5, log_uri: s3://platyspark/logs}
"""


def turns_until(world: Platform, phase: AppPhase, count: int) -> None:
    """Let time pass until so many applications are in a phase."""
    for _ in range(60):
        world.turn(10)
        if Counter(brief.phase for brief in world.briefs().values())[phase] == count:
            return
    raise AssertionError(Counter(brief.phase for brief in world.briefs().values()))


@pytest.mark.timeout(180)
def test_lost_master_with_five_running_and_five_pending_sends_only_the_pending_again(
    postgres_engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with platform(postgres_engine, tmp_path, PROFILES, monkeypatch, clock_speed=0) as world:
        world.emr.script_steps(duration_s=600)
        ids = [world.submit(n).app.id for n in range(10)]
        turns_until(world, AppPhase.RUNNING, 5)
        assert Counter(brief.phase for brief in world.briefs().values()) == {AppPhase.RUNNING: 5, AppPhase.PENDING: 5}
        running = {i for i, brief in world.briefs().items() if brief.phase is AppPhase.RUNNING}
        first = world.sent()[0][0]

        world.emr.fail_cluster(first)
        for _ in range(60):
            world.turn(30)
            if all(world.store.detail(i).app.phase.is_terminal for i in ids):
                break

        details = {i: world.store.detail(i) for i in ids}
        assert {i for i, one in details.items() if one.app.phase is AppPhase.SUCCEEDED} == set(ids) - running
        lost = [details[i].attempt for i in running]
        assert {one.failure_class for one in lost} == {FailureClass.INFRASTRUCTURE}
        assert all(one.failure_class is not None and one.failure_class.is_retryable for one in lost)
        assert {one.app.generation for one in details.values()} == {1}, "a free re-send is no new generation"
        sends = Counter(name for _, name in world.sent())
        assert sorted(sends.values()) == [1] * 5 + [2] * 5
        assert len(world.created()) == 2
