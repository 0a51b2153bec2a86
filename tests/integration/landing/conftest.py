"""A migrated database per test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from migrations.upgrade import upgrade


@pytest.fixture
def ledger_url(env: dict[str, str]) -> str:
    upgrade(env["POSTGRES_URL"])
    return env["POSTGRES_URL"]


@pytest.fixture
def connection(ledger_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(ledger_url, autocommit=True) as opened:
        yield opened
