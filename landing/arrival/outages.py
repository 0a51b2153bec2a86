"""Sinks that are known to be away: their batches go on for the other sinks, and one probes.

Belongs here: how a sink is found to be away, and what becomes of batches that lack nothing else.
Does not: that it is back (``landing/batch/presence.py``), what is asked for of a batch
(``requests.py``), which errors are worth another attempt (``landing/batch/failures.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from landing.arrival.ledger import Batch, select_batches
from landing.arrival.states import retry_delay

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: Runs that a sink fails one after another, whatever their batches, before it is known to be away.
AWAY_AFTER = 2

_UNDONE = """
    SELECT FROM landing.batch_sink s
    WHERE s.batch_id = b.batch_id AND s.state IN ('pending', 'failed')
"""
_LACKS_ONLY_AWAY = f"""
    b.validated_at IS NOT NULL AND NOT b.restage
    AND EXISTS ({_UNDONE}) AND NOT EXISTS ({_UNDONE} AND s.sink <> ALL(%(away)s))
"""
_WAITS = """
    state = 'waiting', away = true, waiting_since = coalesce(b.waiting_since, %(now)s),
    next_attempt_at = %(now)s, finished_at = %(now)s, error_class = NULL, deaths = 0,
    error = (SELECT string_agg(format('waits for %%s, which is away since %%s UTC: %%s', o.sink,
            to_char(o.since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), o.error), '; ')
        FROM landing.sink_outage o JOIN landing.batch_sink s USING (sink)
        WHERE o.source = b.source AND s.batch_id = b.batch_id AND s.state IN ('pending', 'failed'))
"""


def note_failures(connection: Connection, batch_id: str, run_id: str, now: datetime) -> None:
    """A run ended: the sinks that failed it transiently, for the next to know. In a transaction."""
    rows = connection.execute(
        """
        INSERT INTO landing.sink_failures AS f (source, sink, failures)
        SELECT b.source, s.sink, 1 FROM landing.batch_sink s JOIN landing.batch b USING (batch_id)
        WHERE s.batch_id = %s AND s.run_id = %s AND s.state = 'failed'
            AND s.error_class = 'transient'
        ON CONFLICT (source, sink) DO UPDATE SET failures = f.failures + 1
        RETURNING source, sink, failures
        """,
        (batch_id, run_id),
    ).fetchall()
    for source, sink, failures in rows:
        if failures >= AWAY_AFTER:
            connection.execute(
                """
                INSERT INTO landing.sink_outage (source, sink, since, steps, next_probe_at, error)
                SELECT %(source)s, %(sink)s, %(now)s, 1, %(probe)s, coalesce(left(s.error, 500), '')
                FROM landing.batch_sink s WHERE s.batch_id = %(batch)s AND s.sink = %(sink)s
                ON CONFLICT (source, sink) DO UPDATE SET error = excluded.error
                """,
                {
                    "source": source,
                    "sink": sink,
                    "now": now,
                    "probe": now + retry_delay(1),
                    "batch": batch_id,
                },
            )


@dataclass(frozen=True, slots=True)
class Outage:
    """A sink of a source that is away, and what it said last."""

    source: str
    sink: str
    since: datetime
    error: str


def known(connection: Connection, sources: Sequence[str]) -> list[Outage]:
    """The outages of these sources."""
    rows = connection.execute(
        """
        SELECT source, sink, since, error FROM landing.sink_outage
        WHERE source = ANY(%s) ORDER BY source, sink
        """,
        (list(sources),),
    )
    return [Outage(*row) for row in rows]


def away_sinks(connection: Connection, source: str) -> list[str]:
    """The sinks of a source that are known to be away."""
    rows = connection.execute(
        "SELECT sink FROM landing.sink_outage WHERE source = %s ORDER BY sink", (source,)
    )
    return [row[0] for row in rows]


def leave_to_wait(
    connection: Connection, source: str, away: Sequence[str], now: datetime
) -> list[str]:
    """Batches that are to be requested and lack nothing but sinks that are away wait for them.

    No run is asked for, and no attempt is used up.
    """
    rows = connection.execute(
        f"""
        UPDATE landing.batch b SET {_WAITS}
        WHERE b.source = %(source)s AND b.state IN ('pending', 'failed_transient')
            AND {_LACKS_ONLY_AWAY}
        RETURNING b.batch_id
        """,
        {"source": source, "away": list(away), "now": now},
    )
    return [row[0] for row in rows]


def mark_left(connection: Connection, seen: Batch, away: Sequence[str], *, now: datetime) -> bool:
    """The run ended well and left what only sinks lack that are away; whether that is so."""
    changed = connection.execute(
        f"""
        UPDATE landing.batch b SET {_WAITS}
        WHERE b.batch_id = %(batch)s AND b.state = 'running' AND b.run_id = %(run)s
            AND {_LACKS_ONLY_AWAY}
        """,
        {"batch": seen.batch_id, "run": seen.run_id, "away": list(away), "now": now},
    )
    return changed.rowcount == 1


def probes(connection: Connection, source: str, now: datetime, limit: int) -> list[Batch]:
    """For each sink whose next probe is due the oldest batch that waits for it, ``limit`` at most.

    The caller requests them: the next probe is a backoff step away. An outage for which no batch
    waits any more ends.
    """
    found: list[Batch] = []
    due = connection.execute(
        """
        SELECT sink, steps FROM landing.sink_outage
        WHERE source = %s AND next_probe_at <= %s ORDER BY next_probe_at LIMIT %s FOR UPDATE
        """,
        (source, now, limit),
    ).fetchall()
    for sink, steps in due:
        oldest = select_batches(
            connection,
            """
            WHERE source = %(source)s AND state = 'waiting' AND away AND EXISTS (
                SELECT FROM landing.batch_sink s WHERE s.batch_id = batch.batch_id
                    AND s.sink = %(sink)s AND s.state IN ('pending', 'failed'))
            ORDER BY batch_id LIMIT 1
            """,
            {"source": source, "sink": sink},
        )
        if not oldest:
            connection.execute(
                "DELETE FROM landing.sink_outage WHERE source = %s AND sink = %s", (source, sink)
            )
            continue
        connection.execute(
            """
            UPDATE landing.sink_outage SET steps = steps + 1, next_probe_at = %s
            WHERE source = %s AND sink = %s
            """,
            (now + retry_delay(steps + 1), source, sink),
        )
        if oldest[0] not in found:
            found.append(oldest[0])
    return found
