"""The guarantee of landing on the real ledger: the state machine of tests/unit/landing."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.landing.postgres_ledger_driver import PostgresLedgerDriver
from tests.unit.landing.arrival_machine import ArrivalMachine


@pytest.mark.servers("postgres")
def test_the_guarantee_holds_on_postgres(
    connection: psycopg.Connection[Any], ledger_url: str
) -> None:
    with psycopg.connect(ledger_url, autocommit=True) as holder:

        class PostgresArrival(ArrivalMachine):
            def make_ledger(self) -> PostgresLedgerDriver:
                return PostgresLedgerDriver(connection, holder)

        run_state_machine_as_test(
            PostgresArrival,
            settings=settings(
                max_examples=25,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
