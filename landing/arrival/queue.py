"""Which batches a tick looks at: those in flight, and the next that may be requested.

Belongs here: bounded reads of ``landing.batch``. However many batches wait (for an operator, for
their time), a tick reads those in flight and at most as many as it may request. Does not: the
choice among them (``requests.py``).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from landing.arrival.ledger import Batch, select_batches

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


def in_flight(connection: Connection, source: str) -> list[Batch]:
    """The batches of a source for which a run was asked for or works, oldest first."""
    return select_batches(
        connection,
        "WHERE source = %(source)s AND state IN ('requested', 'running') ORDER BY batch_id",
        {"source": source},
    )


def next_new(connection: Connection, source: str, limit: int) -> list[Batch]:
    """The oldest batches that are to be requested for the first time, or again by an operator."""
    return select_batches(
        connection,
        # Theirs is no next attempt: the order, spelt as its index is, is that of the ids.
        """
        WHERE source = %(source)s AND state = 'pending'
        ORDER BY coalesce(next_attempt_at, '-infinity'::timestamptz), batch_id LIMIT %(limit)s
        """,
        {"source": source, "limit": limit},
    )


def next_due(connection: Connection, source: str, now: datetime, limit: int) -> list[Batch]:
    """Batches whose next attempt is due, the one that has been due for longest first.

    Not those that wait for a sink that is away alone.
    """
    return select_batches(
        connection,
        """
        WHERE source = %(source)s AND state IN ('failed_transient', 'waiting') AND NOT away
          AND coalesce(next_attempt_at, '-infinity'::timestamptz) <= %(now)s
        ORDER BY coalesce(next_attempt_at, '-infinity'::timestamptz), batch_id LIMIT %(limit)s
        """,
        {"source": source, "now": now, "limit": limit},
    )


def is_busy(connection: Connection, source: str) -> bool:
    """Whether a batch of the source is requested, works, or waits to be requested first."""
    return bool(in_flight(connection, source) or next_new(connection, source, 1))
