"""500 applications on a cluster of ten places, AWS's quotas on: they drain in order, none fails, and each one's reason is right.

The executor, the EMR backend and its calls are the real ones; time is emrsim's, and steps follow a script.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from botocore.config import Config

from platyspark_provider.backends.emr import EmrBackend
from platyspark_provider.backends.emr_api import EmrClients
from platyspark_provider.core.records import Policy
from platyspark_provider.core.states import AppPhase, ClusterPhase
from platyspark_provider.emrsim.client import EmrSim
from platyspark_provider.packaging.artifacts import put_missing
from platyspark_provider.testing import FakeClock
from tests.builders import make_target
from tests.desks import Desk, OneBackend

APPS, PLACES, PASS_S = 500, 10, 15.0
PROFILE = {"step_concurrency": PLACES, "idle_timeout": "10m", "log_uri": "s3://logs/l"}


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[EmrSim]:
    """Start emrsim with a clock that only moves when told, AWS's quotas and steps of about a minute."""
    config = {"clock_speed": 0, "throttle": "aws", "starting_s": 240, "bootstrapping_s": 60, "step_start_s": 2}
    with EmrSim.start(tmp_path, **config) as running:
        running.boto3("s3").create_bucket(Bucket="logs")
        running.script_steps(duration_s=60, spread_s=20, seed=1)
        yield running


class Site:
    """A desk whose backend is EMR, and whose clock goes with emrsim's."""

    def __init__(self, sim: EmrSim) -> None:
        clock = FakeClock(datetime.fromtimestamp(sim.now(), UTC))
        self.sim, self.desk = sim, Desk(clock=clock, policy=Policy(log_deadline_s=1.0), document={"profiles": {"shared": PROFILE}})
        once = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)
        emr, s3 = sim.boto3("emr", config=once), sim.boto3("s3")
        clients = EmrClients(mutating=emr, reading=emr, s3=s3)
        target = make_target(yarn_url=sim.url + "/emrsim/yarn/{cluster}")
        self.desk.backends = OneBackend(EmrBackend(clients, target, put=partial(put_missing, s3)))

    def pass_once(self) -> None:
        report = self.desk.pass_once()
        assert report.errors == 0, report.lines()
        self.sim.advance(PASS_S)
        self.desk.clock.advance(PASS_S)

    def waiting(self) -> list[int]:
        return [a.app_id for a in self.desk.store.snapshot().apps if a.phase is AppPhase.WAIT_CLUSTER]

    def notes(self) -> dict[int, str]:
        return {a.app_id: a.note for a in self.desk.registry.snapshot().apps}


def check_reasons(site: Site, words: str) -> None:
    """Check every waiting one's number, and the words of all of them, against what is."""
    waiting, notes = site.waiting(), site.notes()
    assert waiting, "this is no moment at which anybody waits"
    for number, app_id in enumerate(waiting, 1):
        place, _, why = notes[app_id].partition(": ")
        assert place.partition(" of ")[0].rstrip("stndrh") == str(number)
        assert place.partition(" of ")[2] == str(len(waiting))
        assert why == words


@pytest.mark.timeout(240)
def test_500_applications_on_ten_places_drain_in_order_with_the_right_reasons(sim: EmrSim) -> None:
    site = Site(sim)
    ids = site.desk.submit_many(APPS)
    before = site.notes()
    assert before[ids[0]] == f"1st of {APPS}: it gets cluster shared next"
    assert before[ids[-1]] == f"{APPS}th of {APPS}: cluster shared is about to be created for those ahead of it"
    site.pass_once()
    check_reasons(site, "cluster shared is starting (created 15 s ago), and 10 of 10 places on it are taken")
    for moment in (60, 200, 400):
        while len(site.waiting()) > APPS - moment:
            site.pass_once()
        check_reasons(site, "cluster shared has 10 of 10 steps running")
    while not all(phase.is_terminal for phase in site.desk.phases(ids[-2 * PLACES :])):
        site.pass_once()
    attempts = [site.desk.store.detail(i).attempt for i in ids]
    assert Counter(a.phase for a in attempts) == {AppPhase.SUCCEEDED: APPS}
    assert {a.sends for a in attempts} == {1}
    starts = [a.started_at for a in attempts]
    assert starts == sorted(starts, key=lambda at: at or datetime.max.replace(tzinfo=UTC))
    counters = sim.counters()
    assert counters["RunJobFlow"] == 1
    assert counters["AddJobFlowSteps"] < APPS
    for _ in range(60):
        site.pass_once()
        if not site.desk.store.clusters():
            break
    (cluster,) = site.desk.store.clusters(live_only=False)
    assert (cluster.phase, cluster.observed_reason) == (ClusterPhase.DEAD, "idle for 0:10:00 (idle_timeout)")
    assert sim.counters()["TerminateJobFlows"] == 1
