"""Splitting a batch: some of its objects go on by themselves, so that the others are not held up.

Belongs here: moving object versions to a batch of their own. Does not: who is moved, and why.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from landing.arrival.arrivals import next_batch_id
from landing.arrival.states import BatchState, ErrorClass
from resources.advisory_locks import Lock, take_until_commit

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


def split_off(
    connection: Connection,
    batch_id: str,
    seqs: Sequence[int],
    *,
    state: BatchState,
    error_class: ErrorClass | None,
    error: str,
    next_attempt_at: datetime | None,
    now: datetime,
) -> str:
    """Move these object versions of a batch to a new one, in the caller's transaction; its id.

    The new batch has the sinks that the old one has, all of them to be done, and what the old one
    counted of attempts and deaths. The caller has locked the old batch's row. Raises ValueError
    unless some objects are moved and some stay.
    """
    take_until_commit(connection, Lock.BATCH_ID)
    row = connection.execute("SELECT max(batch_id) FROM landing.batch").fetchone()
    new_id = next_batch_id(row[0] if row else None, now)
    connection.execute(
        """
        INSERT INTO landing.batch (batch_id, unit, source, pipeline, state, attempt, begun, deaths,
            objects, bytes, created_at, next_attempt_at, error_class, error, split_from)
        SELECT %(new)s, unit, source, pipeline, %(state)s, attempt, begun, deaths, 0, 0, %(now)s,
            %(next)s, %(class)s, %(error)s, batch_id
        FROM landing.batch WHERE batch_id = %(old)s
        """,
        {
            "new": new_id,
            "old": batch_id,
            "state": state,
            "now": now,
            "next": next_attempt_at,
            "class": error_class,
            "error": error,
        },
    )
    moved = connection.execute(
        "UPDATE landing.object_version SET batch_id = %s WHERE batch_id = %s AND seq = ANY(%s)",
        (new_id, batch_id, list(seqs)),
    ).rowcount
    for one in (batch_id, new_id):
        connection.execute(
            """
            UPDATE landing.batch SET (objects, bytes) = (
                SELECT count(*), coalesce(sum(size), 0) FROM landing.object_version v
                WHERE v.batch_id = %(one)s)
            WHERE batch_id = %(one)s
            """,
            {"one": one},
        )
    left = connection.execute(
        "SELECT objects FROM landing.batch WHERE batch_id = %s", (batch_id,)
    ).fetchone()
    if moved != len(set(seqs)) or not moved or left == (0,):
        message = f"{moved} of {len(set(seqs))} object versions of {batch_id} can be split off"
        raise ValueError(message)
    connection.execute(
        """
        INSERT INTO landing.batch_sink (batch_id, sink)
        SELECT %s, sink FROM landing.batch_sink WHERE batch_id = %s AND state <> 'retired'
        """,
        (new_id, batch_id),
    )
    return new_id
