"""The random histories of `tests/property`, in a world where drivers resist the ladder and their death can't always be proven."""

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import initialize, rule

from tests.property.test_exactly_once import ExactlyOnce


class UnreachableDrivers(ExactlyOnce):
    """One run a generation and one driver an application also here; once all is reachable again, everything ends."""

    @initialize()
    def begin(self) -> None:
        """Start where it matters: a driver runs that nobody can reach."""
        super().begin(lag=0.0, start=0.0)
        self.pass_by()
        self.pass_by()
        self.reach(False, None)

    @rule()
    def pass_by(self) -> None:
        """The observer does its work, and the grace of a rung goes by."""
        self.desk.pass_once()
        self.desk.clock.advance(61.0)
        self.desk.backend.tick()

    @rule(provable=st.booleans(), rung=st.sampled_from([1, 2, 3, None]))
    def reach(self, provable: bool, rung: int | None) -> None:
        """YARN can be asked, or not; drivers end at this rung, or at none."""
        self.desk.backend.death_is_provable, self.desk.backend.drivers_end_at_stage = provable, rung

    def teardown(self) -> None:
        """Let everything be reachable, and the last rung work."""
        if hasattr(self, "desk"):
            self.reach(True, 3)
        super().teardown()


TestUnreachableDrivers = UnreachableDrivers.TestCase
TestUnreachableDrivers.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
