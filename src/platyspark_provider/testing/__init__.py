"""Fakes for tests of what is built on this package: a clock that only moves when told, and a backend that is scripted.

`FakeBackend` passes the same contract suite as the real backends (tests/contract), in both styles of adoption. Nothing
here patches anything: the fakes stand behind the ports of `core.ports`.
"""

from platyspark_provider.testing.backend import FakeBackend, Fault
from platyspark_provider.testing.clock import FakeClock
from platyspark_provider.testing.world import FakeCluster, FakeRun

__all__ = ["FakeBackend", "FakeClock", "FakeCluster", "FakeRun", "Fault"]
