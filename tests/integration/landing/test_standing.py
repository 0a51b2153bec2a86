"""What is not loaded yet, as checks, alerts and commands ask the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from landing.arrival import standing
from landing.arrival.standing import LATE, Newest, Unloaded
from landing.arrival.states import ALL_STATES, LOADED

pytestmark = pytest.mark.servers("postgres")

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
Connection = psycopg.Connection[Any]


def batch(connection: Connection, number: int, state: str, **columns: Any) -> str:
    batch_id = f"20261127T101503Z-{number:04d}"
    values = {
        "batch_id": batch_id, "source": "s", "pipeline": "p", "state": state, "objects": 1,
        "bytes": 1, "created_at": NOW, **columns,
    }  # fmt: skip
    connection.execute(
        f"INSERT INTO landing.batch ({', '.join(values)})"
        f" VALUES ({', '.join('%s' for _ in values)})",
        list(values.values()),
    )
    return batch_id


def seen(
    connection: Connection,
    key: str,
    minutes: int,
    batch_id: str | None = None,
    outcome: str | None = None,
    *,
    source: str = "s",
) -> None:
    connection.execute(
        "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
        " modified_at, seen_at, batch_id, outcome) VALUES (%s, 'gcs', 'b', %s, 'v', 1, %s, %s, %s,"
        " %s)",
        (source, key, NOW, NOW - timedelta(minutes=minutes), batch_id, outcome),
    )


def late(connection: Connection, **given: Any) -> list[str]:
    return [one.name for one in standing.late(connection, "s", NOW, limit=10, **given).oldest]


def test_an_object_counts_as_late_in_whatever_state_its_batch_is(connection) -> None:
    limit = int(LATE.total_seconds() // 60)
    open_states = [state for state in ALL_STATES if state not in LOADED | {"waiting"}]
    for number, state in enumerate(open_states):
        batch_id = batch(connection, number, state)
        seen(connection, f"{state}-late", limit + 1 + number, batch_id)
        seen(connection, f"{state}-new", limit - 1, batch_id)
    seen(connection, "no-batch", limit + 100)
    expected = ["b/no-batch", *(f"b/{state}-late" for state in reversed(open_states))]
    assert late(connection) == expected
    assert late(connection, without=["failed_permanent"]) == [
        name for name in expected if "failed_permanent" not in name
    ]


def test_what_is_loaded_turned_away_or_of_another_source_is_not_late(connection) -> None:
    for number, state in enumerate(sorted(LOADED)):
        seen(connection, state, 600, batch(connection, number, state), "loaded")
    waits = batch(connection, 8, "failed_transient")
    for outcome in ("rejected", "gone", "superseded"):
        seen(connection, outcome, 600, waits, outcome)
    seen(connection, "validated", 600, waits, "loaded")
    seen(connection, "other", 600, source="t")
    assert late(connection) == ["b/validated"], "its sinks don't have it"


def test_what_waits_for_somebody_else_has_a_day_since_it_waits(connection) -> None:
    for number, hours in enumerate((23, 25)):
        since = NOW - timedelta(hours=hours)
        batch_id = batch(connection, number, "waiting", waiting_since=since)
        seen(connection, f"{hours}", 60 * 24 * 30, batch_id)
    assert late(connection) == ["b/25"]


def test_the_oldest_of_a_source(connection) -> None:
    assert standing.oldest_unloaded(connection, "s") is None
    first = batch(connection, 1, "running")
    second = batch(connection, 2, "failed_permanent")
    seen(connection, "middle", 50, first)
    assert standing.oldest_unloaded(connection, "s") == Unloaded(
        "b/middle", NOW - timedelta(minutes=50), first, "running"
    )
    seen(connection, "oldest", 70, second, "loaded")
    assert standing.oldest_unloaded(connection, "s").name == "b/oldest"
    seen(connection, "older still", 90)
    seen(connection, "young", 1)
    assert standing.oldest_unloaded(connection, "s") == Unloaded(
        "b/older still", NOW - timedelta(minutes=90), None, None
    )


def test_the_last_batch_of_a_source_whatever_became_of_it(connection) -> None:
    assert standing.newest_batch(connection, "s") is None
    batch(connection, 1, "loaded", run_id="r1")
    last = batch(connection, 2, "failed_permanent", objects=3, run_id="r2", error="why")
    batch(connection, 3, "loaded", source="t")
    assert standing.newest_batch(connection, "s") == Newest(
        last, "failed_permanent", 3, NOW, "r2", "why"
    )


def test_a_sample_of_what_waits_for_an_operator_and_how_many(connection) -> None:
    for number in range(5):
        batch(connection, number, "failed_permanent", error="why", attempt=2, run_id=f"r{number}")
    batch(connection, 9, "failed_permanent", source="t")
    batch(connection, 10, "failed_transient")
    found, count = standing.stopped(connection, ["s"], limit=2)
    assert count == 5
    assert [(one.batch_id[-4:], one.run_id, one.attempt, one.error) for one in found] == [
        ("0000", "r0", 2, "why"),
        ("0001", "r1", 2, "why"),
    ]
    assert standing.stopped(connection, ["u"], limit=2) == ([], 0)
