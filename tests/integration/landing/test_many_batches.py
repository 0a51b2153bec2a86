"""Twenty thousand batches wait: a tick reads those that it may request, whatever else there is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from landing.arrival import arrivals, queue
from landing.arrival.arrivals import Backlog
from landing.batch import retention
from tests.integration.landing.tick_world import SOURCE, TickWorld

pytestmark = pytest.mark.servers("postgres")

MANY = 20_000


def insert(connection: psycopg.Connection[Any], state: str, count: int, first: int = 1) -> None:
    """Batches of this state, with two sinks each, numbered from ``first``."""
    connection.execute(
        """
        INSERT INTO landing.batch (batch_id, source, pipeline, state, objects, bytes, created_at,
            next_attempt_at, finished_at, attempt, error)
        SELECT '20260101T000000Z-' || lpad(n::text, 6, '0'), %s, 'model', %s, 1, 1, now(),
            CASE WHEN %s = 'failed_transient' THEN now() - make_interval(secs => n) END,
            '2026-11-20', 1, repeat('x', 500)
        FROM generate_series(%s::integer, %s::integer) AS n
        """,
        (SOURCE.name, state, state, first, first + count - 1),
    )
    connection.execute(
        "INSERT INTO landing.batch_sink (batch_id, sink) SELECT batch_id, sink FROM landing.batch,"
        " unnest(%s::text[]) AS s (sink) ON CONFLICT DO NOTHING",
        (list(SOURCE.sinks),),
    )
    connection.execute("ANALYZE landing.batch, landing.batch_sink")


class Fetched(psycopg.Cursor[Any]):
    """Counts statements and the rows that the server sent or changed for them."""

    statements = 0
    rows = 0

    def execute(self, *arguments: Any, **options: Any) -> Any:
        done = super().execute(*arguments, **options)
        Fetched.statements += 1
        Fetched.rows += max(self.rowcount, 0)
        return done


def test_a_tick_reads_what_it_may_request(connection: psycopg.Connection[Any]) -> None:
    world = TickWorld(connection)
    world.put("new")
    world.tick()
    for number, state in enumerate(("failed_permanent", "pending", "failed_transient")):
        insert(connection, state, MANY, 1 + number * MANY)
    world.tick()  # the first one reconciles
    connection.cursor_factory = Fetched
    Fetched.statements = Fetched.rows = 0
    tick = world.tick()
    assert len(tick.requests) == 1
    assert tick.backlog.stopped == MANY
    assert tick.backlog.waiting == tick.backlog.failed == MANY
    assert Fetched.rows < 30
    assert Fetched.statements < 40


def scanned(connection: psycopg.Connection[Any], read: Any) -> int:
    """Rows that the server looks at for what ``read`` asks of it."""
    asked: list[tuple[Any, ...]] = []

    class Explaining:
        def execute(self, statement: str, values: Any) -> Any:
            asked.append((statement, values))
            return connection.execute(statement, values)

    read(Explaining())
    (statement, values), = asked  # fmt: skip
    row = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values).fetchone()
    assert row is not None
    return max(_looked_at(row[0][0]["Plan"]))


def _looked_at(plan: dict[str, Any]) -> list[int]:
    removed = plan.get("Rows Removed by Filter", 0)
    own = int(plan["Actual Rows"] + removed) if "Scan" in plan["Node Type"] else 0
    return [own, *(n for below in plan.get("Plans", ()) for n in _looked_at(below))]


def test_what_waits_is_not_looked_at(connection: psycopg.Connection[Any]) -> None:
    for number, state in enumerate(("failed_permanent", "pending", "failed_transient")):
        insert(connection, state, MANY, 1 + number * MANY)
    now = TickWorld(connection).now
    far = now + timedelta(days=9_000)
    assert scanned(connection, lambda conn: queue.in_flight(conn, SOURCE.name)) <= 1
    assert scanned(connection, lambda conn: queue.next_new(conn, SOURCE.name, 3)) <= 3
    assert scanned(connection, lambda conn: queue.next_due(conn, SOURCE.name, far, 3)) <= 3
    # Once for all counts.
    assert scanned(connection, lambda conn: arrivals.backlog(conn, SOURCE.name)) == 3 * MANY
    assert arrivals.backlog(connection, SOURCE.name) == Backlog(0, None, MANY, 0, MANY, MANY, 0)


def test_the_longest_due_come_first(connection: psycopg.Connection[Any]) -> None:
    insert(connection, "failed_transient", 5)
    far = TickWorld(connection).now + timedelta(days=9_000)
    found = [batch.batch_id[-1] for batch in queue.next_due(connection, SOURCE.name, far, 3)]
    assert found == ["5", "4", "3"]


def test_the_oldest_loaded_partitions_go_early_when_there_are_many(
    connection: psycopg.Connection[Any],
) -> None:
    insert(connection, "loaded", 20)
    insert(connection, "failed_permanent", 10, 100)
    connection.execute("UPDATE landing.batch SET partition_removed_at = now()"
                       " WHERE batch_id LIKE '%-000001'")  # fmt: skip
    now = TickWorld(connection).now
    due = retention.due_partitions(connection, SOURCE.name, now, most=15)
    assert [batch_id[-2:] for batch_id in due] == ["02", "03", "04", "05"]
    assert retention.due_partitions(connection, SOURCE.name, now, most=19) == {}
