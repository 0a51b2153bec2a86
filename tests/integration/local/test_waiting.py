"""What is new in a real ledger, told once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from local.waiting import Waiting

pytestmark = pytest.mark.servers("postgres")

INSERT = """
INSERT INTO landing.batch
       (batch_id, source, pipeline, objects, bytes, state, attempt, created_at, finished_at, error,
        error_class)
VALUES (%(id)s, 'gcs', 'campaigns', 1, 1, %(state)s, 1, now(), %(finished)s, %(error)s, %(class)s)
"""


def test_open_batches_and_those_loaded_meanwhile_are_told_once(env: dict[str, str]) -> None:
    before = datetime(2026, 1, 1, tzinfo=UTC)
    batches: list[dict[str, Any]] = [
        {"id": "20260101T000000Z-0001", "state": "loaded", "finished": before},
        {"id": "20260101T000000Z-0002", "state": "failed_transient", "finished": before,
         "error": "no room", "class": "transient"},
        {"id": "20260101T000000Z-0003", "state": "requested", "finished": None},
    ]  # fmt: skip
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        for batch in batches:
            connection.execute(INSERT, {"error": None, "class": None, **batch})
        waiting = Waiting(env["POSTGRES_URL"])
        told = waiting.news()
        assert sorted(line.split()[1][-4:] for line in told) == ["0002", "0003"]
        assert any("no room" in line for line in told)
        assert waiting.news() == []
        connection.execute(
            "UPDATE landing.batch SET state = 'loaded', finished_at = clock_timestamp() "
            "WHERE batch_id LIKE '%0003'"
        )
        assert [line.split(": ")[1] for line in waiting.news()] == ["loaded"]
