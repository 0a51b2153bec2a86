"""What the ledger lets go of: old partitions and staging that no sink needs any more.

Belongs here: which batches and parts are due. Does not: Dagster's partitions (``jobs.maintenance``)
or the ledger's own rows, which are kept for ever: they are what makes arrival lossless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from landing.stores.base import ObjectStore

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: How long a loaded batch stays a partition, and staging stays after the last sink is done.
PARTITION_AGE = timedelta(days=90)
STAGING_AGE = timedelta(days=7)

#: Loaded partitions of a source that stay, whatever their age: Dagster reads and shows all of them.
MOST_PARTITIONS = 10_000


@dataclass(frozen=True, slots=True)
class Removed:
    """Staged parts that were deleted, and their bytes."""

    parts: int
    bytes: int


def due_partitions(
    connection: Connection, source: str, now: datetime, most: int = MOST_PARTITIONS
) -> dict[str, list[str]]:
    """Partitions of a source that have had their time, oldest first, and their batches.

    Every batch of such a partition is loaded, and for longer than PARTITION_AGE, or it is older
    than the newest ``most`` of those that are loaded.
    """
    rows = connection.execute(
        """
        SELECT partition, batches FROM (
            SELECT coalesce(unit, batch_id) AS partition, array_agg(batch_id) AS batches,
                min(batch_id) AS oldest, max(finished_at) AS finished,
                row_number() OVER (ORDER BY max(batch_id) DESC) AS place
            FROM landing.batch
            WHERE source = %s
            GROUP BY 1
            HAVING bool_and(state IN ('loaded', 'loaded_with_rejects'))
               AND bool_or(partition_removed_at IS NULL)
        ) AS loaded
        WHERE finished < %s OR place > %s
        ORDER BY oldest
        """,
        (source, now - PARTITION_AGE, most),
    )
    return dict(rows.fetchall())


def unknown_partitions(connection: Connection, source: str, partitions: Sequence[str]) -> list[str]:
    """Those of ``partitions`` of which nothing ever landed there."""
    rows = connection.execute(
        """
        SELECT p FROM unnest(%s::text[]) AS t (p)
        WHERE NOT EXISTS (
            SELECT FROM landing.batch
            WHERE source = %s AND coalesce(unit, batch_id) = p)
        """,
        (list(partitions), source),
    )
    return [row[0] for row in rows]


def mark_partition(connection: Connection, batch_id: str, removed_at: datetime | None) -> None:
    """Note when a batch ceased to be a partition; None when it is one again."""
    connection.execute(
        "UPDATE landing.batch SET partition_removed_at = %s WHERE batch_id = %s",
        (removed_at, batch_id),
    )


def remove_staging(
    connection: Connection, store: ObjectStore, source: str, now: datetime
) -> Removed:
    """Delete the parts of a source's batches that are loaded for longer than STAGING_AGE.

    ``connection`` is in autocommit mode: each batch is a transaction. Its row is locked meanwhile,
    so that no run begins to read parts that are on their way out; once they are gone from the
    ledger, a backfill validates again. Objects go first, so that none is lost from sight.
    """
    due = connection.execute(
        """
        SELECT b.batch_id FROM landing.batch b
        WHERE b.source = %s AND b.state IN ('loaded', 'loaded_with_rejects')
          AND b.finished_at < %s
          AND EXISTS (SELECT FROM landing.staged_part p WHERE p.batch_id = b.batch_id)
        ORDER BY b.batch_id
        """,
        (source, now - STAGING_AGE),
    ).fetchall()
    removed = [_remove_parts(connection, store, batch_id) for (batch_id,) in due]
    return Removed(sum(one.parts for one in removed), sum(one.bytes for one in removed))


def _remove_parts(connection: Connection, store: ObjectStore, batch_id: str) -> Removed:
    with connection.transaction():
        loaded = connection.execute(
            """
            SELECT FROM landing.batch
            WHERE batch_id = %s AND state IN ('loaded', 'loaded_with_rejects') FOR UPDATE
            """,
            (batch_id,),
        ).fetchone()
        if loaded is None:  # a backfill has begun meanwhile
            return Removed(0, 0)
        parts = connection.execute(
            "SELECT key, bytes FROM landing.staged_part WHERE batch_id = %s", (batch_id,)
        ).fetchall()
        for key, _ in parts:
            store.delete(key)
        connection.execute("DELETE FROM landing.staged_part WHERE batch_id = %s", (batch_id,))
    return Removed(len(parts), sum(size for _, size in parts))
