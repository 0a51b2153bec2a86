"""Runs that ended without a word about their batch: lost, never begun, cancelled.

Belongs here: what becomes of such a batch. Does not: what a run says itself (``ledger.py``),
finding out that a run has ended (``tick.py``, ``sensors/outcomes.py``).

Nothing changes unless the batch is still as it was seen: what each returns.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from landing.arrival.ledger import Batch
from landing.arrival.states import (
    MOST_DEATHS,
    NOT_STARTED,
    ErrorClass,
    cancelled,
    failed_state,
    lost_delay,
    retry_delay,
)
from landing.batch.delivery import close_if_done

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


def mark_lost(
    connection: Connection, seen: Batch, *, error: str, now: datetime, began: bool
) -> bool:
    """The run of a requested or running batch ended without a word; it will be tried again.

    A run that never began (``began`` is what Dagster says of one that the batch was only requested
    for) is no attempt: the next is asked for in states.NOT_STARTED. One that died at work counts as
    a death; at the first the batch is tried again at once, and while its sinks are written it waits
    for an operator after states.MOST_DEATHS, with the name of what was being written.
    """
    if seen.state == "requested" and not began:
        return _end(connection, seen, error, now, due=now + NOT_STARTED)
    if seen.state == "requested":  # it came to its process, and not to its first step
        begun = seen.begun + 1
        return _end(connection, seen, error, now, due=now + retry_delay(begun), begun=begun)
    deaths = seen.deaths + 1
    if seen.validated_at is None or deaths < MOST_DEATHS:
        return _end(connection, seen, error, now, due=now + lost_delay(deaths), deaths=deaths)
    written = ", ".join(_being_written(connection, seen)) or "no sink"
    why = (
        f"{error}: so did {deaths} in a row, the last one while it wrote {written}. Its memory or "
        f"that sink's client may be to blame; then `make replay BATCH={seen.batch_id}`."
    )
    return _end(connection, seen, why, now, due=None, deaths=deaths)


def mark_cancelled(connection: Connection, seen: Batch, *, now: datetime) -> bool:
    """Somebody cancelled the run: the batch waits for an operator, whoever sees it first."""
    return _end(connection, seen, cancelled(seen.batch_id), now, due=None)


def note_refused(
    connection: Connection, batch_id: str, attempt: int, *, error: str, now: datetime
) -> bool:
    """No run could be asked for as this attempt: it is tried again in states.NOT_STARTED."""
    changed = connection.execute(
        """
        UPDATE landing.batch
        SET state = 'failed_transient', finished_at = %(now)s, next_attempt_at = %(next)s,
            error_class = 'transient', error = %(error)s
        WHERE batch_id = %(batch_id)s AND state = 'requested' AND attempt = %(attempt)s
        """,
        {
            "batch_id": batch_id,
            "attempt": attempt,
            "error": error,
            "now": now,
            "next": now + NOT_STARTED,
        },
    )
    return changed.rowcount == 1


def _being_written(connection: Connection, seen: Batch) -> list[str]:
    rows = connection.execute(
        """
        SELECT sink FROM landing.batch_sink
        WHERE batch_id = %s AND run_id = %s AND state = 'pending' ORDER BY sink
        """,
        (seen.batch_id, seen.run_id),
    )
    return [row[0] for row in rows]


def _end(
    connection: Connection,
    seen: Batch,
    error: str,
    now: datetime,
    *,
    due: datetime | None,
    deaths: int | None = None,
    begun: int | None = None,
) -> bool:
    """Failed, to be tried again at ``due``; for good without that.

    One that every sink still has, since the run of it changed nothing, is loaded as it was.
    """
    error_class: ErrorClass = "permanent" if due is None else "transient"
    statement = """
        UPDATE landing.batch
        SET state = %(state)s, finished_at = %(now)s, next_attempt_at = %(next)s,
            error_class = %(class)s, error = %(error)s,
            deaths = coalesce(%(deaths)s, deaths), begun = coalesce(%(begun)s, begun)
        WHERE batch_id = %(batch_id)s AND state = %(was)s AND attempt = %(attempt)s
          AND run_id IS NOT DISTINCT FROM %(run_id)s
        """
    with connection.transaction():
        changed = connection.execute(
            statement,
            {
                "batch_id": seen.batch_id,
                "was": seen.state,
                "attempt": seen.attempt,
                "run_id": seen.run_id,
                "state": failed_state(error_class),
                "class": error_class,
                "error": error,
                "now": now,
                "next": due,
                "deaths": deaths,
                "begun": begun,
            },
        )
        if changed.rowcount == 1:
            close_if_done(connection, seen.batch_id)
    return changed.rowcount == 1
