"""Where each source stands, for people: what is not loaded yet, since when, and why.

Belongs here: these questions to the ledger, which checks, alerts and the operator's commands share.
Does not: what follows from the answers, changing anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from landing.arrival.states import LONG_WAIT, BatchState

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: How long an object that was seen may take until it is loaded.
LATE = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Unloaded:
    """An object version that is not loaded. ``batch_id`` and ``state`` are None before its batch.

    ``since`` is when it was seen; for one that waits for somebody else's work, since when it does.
    """

    name: str
    since: datetime
    batch_id: str | None
    state: str | None


@dataclass(frozen=True, slots=True)
class Late:
    """The oldest objects of a source that are late, and how many there are."""

    oldest: tuple[Unloaded, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """A batch that waits for an operator."""

    batch_id: str
    source: str
    pipeline: str
    attempt: int
    run_id: str | None
    error: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """What was last written: a batch's sink or a session's rows, when, and by which Dagster run."""

    id: str
    written_at: datetime
    run_id: str | None
    kind: Literal["batch", "session"] = "batch"


@dataclass(frozen=True, slots=True)
class Newest:
    """The last batch of a source, whatever became of it."""

    batch_id: str
    state: str
    objects: int
    created_at: datetime
    run_id: str | None
    error: str | None


_DELIVERED = """
SELECT b.batch_id, s.done_at, s.run_id
FROM landing.batch_sink s JOIN landing.batch b USING (batch_id)
WHERE b.pipeline = %s AND s.state = 'done' AND s.done_at IS NOT NULL
ORDER BY s.done_at DESC, b.batch_id DESC LIMIT 1
"""
_UNASSIGNED = """
    SELECT bucket || '/' || key AS name, seen_at AS since, NULL::text AS batch_id,
        NULL::text AS state, seq
    FROM landing.object_version
    WHERE source = %(source)s AND batch_id IS NULL AND outcome IS NULL
"""
#: What a batch that is not loaded holds, but for what it has turned away or found gone.
_IN_BATCHES = """
    SELECT v.bucket || '/' || v.key, coalesce(b.waiting_since, v.seen_at), b.batch_id, b.state,
        v.seq
    FROM landing.batch b JOIN landing.object_version v USING (batch_id)
    WHERE b.source = %(source)s AND b.state NOT IN ('loaded', 'loaded_with_rejects')
      AND (v.outcome IS NULL OR v.outcome = 'loaded')
"""
_LATE = f"""
SELECT name, since, batch_id, state, count(*) OVER () FROM ({_UNASSIGNED} UNION ALL {_IN_BATCHES})
    AS unloaded (name, since, batch_id, state, seq)
WHERE since < %(now)s - CASE WHEN state = 'waiting' THEN %(long)s ELSE %(late)s END
  AND (state IS NULL OR state <> ALL (%(without)s::text[]))
ORDER BY since, seq LIMIT %(limit)s
"""
_OLDEST = f"""
SELECT name, since, batch_id, state FROM (
    ({_UNASSIGNED} ORDER BY seq LIMIT 1)
    UNION ALL
    ({_IN_BATCHES} ORDER BY v.seen_at, v.seq LIMIT 1)
) AS unloaded (name, since, batch_id, state, seq)
ORDER BY since, seq LIMIT 1
"""


def late(
    connection: Connection,
    source: str,
    now: datetime,
    *,
    limit: int,
    without: Sequence[BatchState] = (),
) -> Late:
    """Objects that are not loaded after LATE, whatever the state of their batch but ``without``.

    What waits for somebody else's work may take states.LONG_WAIT.
    """
    rows = connection.execute(
        _LATE,
        {
            "source": source,
            "now": now,
            "late": LATE,
            "long": LONG_WAIT,
            "limit": limit,
            "without": list(without),
        },
    ).fetchall()
    return Late(tuple(Unloaded(*row[:4]) for row in rows), rows[0][4] if rows else 0)


def oldest_unloaded(connection: Connection, source: str) -> Unloaded | None:
    """The object of a source that has waited longest, whatever its state; None without any."""
    row = connection.execute(_OLDEST, {"source": source}).fetchone()
    return Unloaded(*row) if row else None


def open_batches(connection: Connection) -> dict[tuple[str, str], int]:
    """How many batches are not loaded, by source and state."""
    rows = connection.execute(
        """
        SELECT source, state, count(*) FROM landing.batch
        WHERE state NOT IN ('loaded', 'loaded_with_rejects') GROUP BY source, state
        """
    )
    return {(source, state): count for source, state, count in rows}


def quarantined_rows(connection: Connection) -> dict[str, int]:
    """How many rejected rows wait in quarantine, by source."""
    rows = connection.execute(
        """
        SELECT b.source, sum(q.rows)::bigint
        FROM landing.quarantine q JOIN landing.batch b USING (batch_id)
        WHERE q.replayed_at IS NULL GROUP BY b.source
        """
    )
    return dict(rows.fetchall())


def newest_batch(connection: Connection, source: str) -> Newest | None:
    """The batch of a source that was made last, whatever its state; None before the first."""
    row = connection.execute(
        """
        SELECT batch_id, state, objects, created_at, run_id, error FROM landing.batch
        WHERE source = %s ORDER BY batch_id DESC LIMIT 1
        """,
        (source,),
    ).fetchone()
    return Newest(*row) if row else None


def newest_delivery(connection: Connection, pipeline: str) -> Delivered | None:
    """What any sink of the pipeline has last taken; None before the first."""
    row = connection.execute(_DELIVERED, (pipeline,)).fetchone()
    return Delivered(*row) if row else None


def stopped(
    connection: Connection, sources: Sequence[str], *, limit: int
) -> tuple[list[Stopped], int]:
    """The first batches of these sources that wait for an operator, and how many do."""
    rows = connection.execute(
        """
        SELECT batch_id, source, pipeline, attempt, run_id, coalesce(error, ''),
            count(*) OVER ()
        FROM landing.batch WHERE source = ANY(%s) AND state = 'failed_permanent'
        ORDER BY batch_id LIMIT %s
        """,
        (list(sources), limit),
    ).fetchall()
    return [Stopped(*row[:6]) for row in rows], rows[0][6] if rows else 0
