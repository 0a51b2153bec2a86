"""Batches whose process dies again and again before their rows are staged: halved, down to one.

Belongs here: which batches are halved, and what becomes of the object that is left. Does not:
moving objects (``splitting.py``), finding out that a process died (``tick.py``), leaving out an
object that was set aside (``landing/batch/set_aside.py``).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from landing.arrival.splitting import split_off
from landing.arrival.states import LONE_DEATHS
from landing.batch.reasons import KILLS_PROCESS

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


def split_deadly(connection: Connection, source: str, now: datetime) -> list[str]:
    """Halve what died twice, set aside the single object that did so thrice; what was done.

    In the caller's transaction, which holds the source's lock. Both halves are requested again at
    once, and one more death halves one again: of a thousand objects the deadly one is found in ten
    steps, and all others are loaded. Rows that are staged are not the objects' doing: see
    endings.mark_lost.
    """
    deadly = connection.execute(
        """
        SELECT batch_id, deaths FROM landing.batch
        WHERE source = %s AND state = 'failed_transient' AND deaths > 1 AND validated_at IS NULL
        ORDER BY batch_id FOR UPDATE SKIP LOCKED
        """,
        (source,),
    ).fetchall()
    done = []
    for batch_id, deaths in deadly:
        seqs = [
            row[0]
            for row in connection.execute(
                "SELECT seq FROM landing.object_version WHERE batch_id = %s ORDER BY seq",
                (batch_id,),
            )
        ]
        if len(seqs) > 1:
            done.append(_halve(connection, batch_id, seqs, now))
        elif deaths >= LONE_DEATHS:
            done.append(_set_aside(connection, batch_id, deaths, now))
    return done


def _halve(connection: Connection, batch_id: str, seqs: list[int], now: datetime) -> str:
    error = f"the process of {batch_id} died twice: it was halved to find the object that ends it"
    new_id = split_off(
        connection,
        batch_id,
        seqs[len(seqs) // 2 :],
        state="failed_transient",
        error_class="transient",
        error=error,
        next_attempt_at=now,
        now=now,
    )
    connection.execute(
        """
        UPDATE landing.batch SET deaths = 1, next_attempt_at = %(now)s, error = %(error)s
        WHERE batch_id = ANY(%(both)s)
        """,
        {"now": now, "error": error, "both": [batch_id, new_id]},
    )
    return f"{error}; {len(seqs) - len(seqs) // 2} of its {len(seqs)} objects are in {new_id}"


def _set_aside(connection: Connection, batch_id: str, deaths: int, now: datetime) -> str:
    """The next run rejects the object without reading it, and so closes the batch by itself."""
    row = connection.execute(
        """
        UPDATE landing.object_version SET outcome = 'rejected', reason = %s
        WHERE batch_id = %s RETURNING bucket || '/' || key
        """,
        (f"{KILLS_PROCESS.code}: {deaths} processes in a row died of it", batch_id),
    ).fetchone()
    name = row[0] if row else "no object"
    error = f"{name} is set aside: {deaths} processes in a row died while they read it alone"
    connection.execute(
        """
        UPDATE landing.batch SET deaths = 0, next_attempt_at = %s, error = %s WHERE batch_id = %s
        """,
        (now, error, batch_id),
    )
    return error
