"""The guarantee of landing, against a model of a bucket and a ledger in memory."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from tests.unit.landing.arrival_machine import ArrivalMachine
from tests.unit.landing.memory_ledger import MemoryLedger


class MemoryArrival(ArrivalMachine):
    def make_ledger(self) -> MemoryLedger:
        return MemoryLedger()


TestArrival = MemoryArrival.TestCase
TestArrival.settings = settings(
    max_examples=300,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
