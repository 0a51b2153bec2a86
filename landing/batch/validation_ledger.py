"""The ledger's rows of one batch, as validation reads and writes them.

Belongs here: versions, outcomes and sinks of a batch that is being validated. Does not: forming
and requesting batches (``ledger.py``), parts (``staging.py``), rejects (``quarantine.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from landing.arrival.identity import ObjectVersion
from landing.batch.counts import ObjectCounts, RowCounts
from landing.batch.failures import PermanentError

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class LedgeredVersion:
    """One object version of the batch; ``counts`` has zeros and "loaded" before validation."""

    seq: int
    version: ObjectVersion
    seen_at: datetime
    counts: ObjectCounts


@dataclass(frozen=True, slots=True)
class ValidationBatch:
    """The batch; ``validated_at`` is None until its first validation was committed.

    ``restage`` says that a sink which had to take it found its staging lost.
    """

    batch_id: str
    validated_at: datetime | None
    versions: tuple[LedgeredVersion, ...]
    restage: bool = False


def load_batch(conn: psycopg.Connection[Any], pipeline: str, batch_id: str) -> ValidationBatch:
    """The batch with its versions in order. Raises PermanentError when it is not there."""
    row = conn.execute(
        "SELECT validated_at, restage FROM landing.batch WHERE batch_id = %s AND pipeline = %s",
        (batch_id, pipeline),
    ).fetchone()
    if row is None:
        raise PermanentError(f"batch {batch_id} of {pipeline} is not in the ledger")
    cursor = conn.execute(
        """
        SELECT seq, store, bucket, key, version, size, modified_at, seen_at, outcome, reason,
            rows_read, rows_written, rows_unchanged, rows_superseded, rows_rejected
        FROM landing.object_version WHERE batch_id = %s ORDER BY seq
        """,
        (batch_id,),
    )
    return ValidationBatch(batch_id, row[0], tuple(_version(*found) for found in cursor), row[1])


def _version(seq: int, *found: Any) -> LedgeredVersion:
    version, (seen_at, outcome, reason), rows = ObjectVersion(*found[:6]), found[6:9], found[9:]
    counts = RowCounts(*(value or 0 for value in rows))
    return LedgeredVersion(
        seq, version, seen_at, ObjectCounts(seq, version.uri, outcome or "loaded", reason, counts)
    )


def save_outcomes(
    conn: psycopg.Connection[Any], batch_id: str, objects: Sequence[ObjectCounts]
) -> None:
    """Outcome and counts of every version, and that the batch is validated."""
    conn.execute(
        """
        UPDATE landing.object_version v SET outcome = o.outcome, reason = o.reason,
            rows_read = o.read, rows_written = o.written, rows_unchanged = o.unchanged,
            rows_superseded = o.superseded, rows_rejected = o.rejected, whole = o.whole
        FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::bigint[],
            %s::bigint[], %s::bigint[], %s::bigint[], %s::boolean[])
            AS o (seq, outcome, reason, read, written, unchanged, superseded, rejected, whole)
        WHERE v.seq = o.seq
        """,
        (
            [o.seq for o in objects],
            [o.outcome for o in objects],
            [o.reason for o in objects],
            [o.rows.read for o in objects],
            [o.rows.written for o in objects],
            [o.rows.unchanged for o in objects],
            [o.rows.superseded for o in objects],
            [o.rows.rejected for o in objects],
            [o.whole for o in objects],
        ),
    )
    # Drawn under the pipeline's lock, in the order in which decisions are committed: no clock says.
    conn.execute(
        """
        UPDATE landing.batch SET validated_at = clock_timestamp(),
            validation_order = nextval('landing.validation_order')
        WHERE batch_id = %s
        """,
        (batch_id,),
    )


def reset_sinks(
    conn: psycopg.Connection[Any],
    batch_id: str,
    sinks: Sequence[str],
    *,
    done: bool,
    undone_only: bool = False,
) -> None:
    """Every sink is to take the batch (again), or has nothing to take and is done.

    With ``undone_only`` those that are done keep what they have. Nothing of it is lost any more.
    """
    conn.execute(
        """
        DELETE FROM landing.refused_row r
        WHERE batch_id = %(batch)s AND NOT (%(undone)s AND EXISTS (
            SELECT FROM landing.batch_sink s
            WHERE s.batch_id = r.batch_id AND s.sink = r.sink AND s.state = 'done'))
        """,
        {"batch": batch_id, "undone": undone_only},
    )
    conn.execute(
        """
        INSERT INTO landing.batch_sink AS s (batch_id, sink, state, rows_written, done_at)
        SELECT %(batch)s, sink, %(state)s,
            CASE WHEN %(done)s THEN 0 END, CASE WHEN %(done)s THEN clock_timestamp() END
        FROM unnest(%(sinks)s::text[]) AS t (sink)
        ON CONFLICT (batch_id, sink) DO UPDATE SET state = excluded.state,
            rows_written = excluded.rows_written, done_at = excluded.done_at, seconds = NULL,
            run_id = NULL, error_class = NULL, error = NULL, rows_refused = 0
        WHERE NOT %(undone_only)s OR s.state <> 'done'
        """,
        {
            "batch": batch_id,
            "sinks": list(sinks),
            "done": done,
            "state": "done" if done else "pending",
            "undone_only": undone_only,
        },
    )
    conn.execute(
        "UPDATE landing.batch SET restage = false, records_lost = 0 WHERE batch_id = %s",
        (batch_id,),
    )


def note_lost(conn: psycopg.Connection[Any], batch_id: str, records: int) -> None:
    """Note how many records of the batch can be read nowhere: a row that says the same is new."""
    conn.execute(
        "UPDATE landing.batch SET records_lost = %s WHERE batch_id = %s", (records, batch_id)
    )
