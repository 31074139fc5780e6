"""The random histories of `tests/property`, in a world where drivers resist the ladder and their death can't always be proven."""

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import rule

from tests.property.test_exactly_once import ExactlyOnce


class UnreachableDrivers(ExactlyOnce):
    """One run a generation and one driver an application also here; once all is reachable again, everything ends."""

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
