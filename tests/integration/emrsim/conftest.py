"""A real emrsim process with short waits."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from platyspark_provider.emrsim.client import EmrSim

FAST = {"starting_s": 0, "bootstrapping_s": 0, "terminating_s": 0, "step_start_s": 0, "cancel_s": 0, "log_delay_s": 0}


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[EmrSim]:
    with EmrSim.start(tmp_path / "sim", **FAST) as running:
        yield running
