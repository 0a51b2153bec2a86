"""What the ledger lets go of: old partitions and staging that nothing can ask for any more.

Belongs here: which batches and parts are due. Does not: Dagster's partitions (``jobs.maintenance``)
or the ledger's own rows, which are kept for ever: they are what makes arrival lossless.
Staging is the durable copy of the records that its batch owns: a source may be gone when they are
to be written again. It stays as long as there are any, and is compacted when they are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from landing.batch import staging
from landing.batch.records import RecordTable
from landing.batch.staging import StagedPart, StagingLost
from landing.stores.base import ObjectStore

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: How long a loaded batch stays a partition, and staging stays whole after the last sink is done.
PARTITION_AGE = timedelta(days=90)
STAGING_AGE = timedelta(days=7)
#: Share of staged rows that are current records below which older staging is written anew.
COMPACTED_BELOW = 0.5

#: Loaded partitions of a source that stay, whatever their age: Dagster reads and shows all of them.
MOST_PARTITIONS = 10_000


@dataclass(frozen=True, slots=True)
class Removed:
    """Staged parts that were deleted, and by how many bytes staging is smaller."""

    parts: int
    bytes: int
    #: Batches whose staging was written anew, with less.
    compacted: int = 0
    #: Batches whose staging was to be, and is not what it should be: it is left to be looked at.
    damaged: int = 0


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
    connection: Connection,
    store: ObjectStore,
    source: str,
    now: datetime,
    records: RecordTable | None = None,
) -> Removed:
    """Delete what is not needed of a source's batches that are loaded for longer than STAGING_AGE.

    Of a batch that owns current ``records`` that is nothing, or, when less than COMPACTED_BELOW of
    its staging are, all but them. Facts (None) are not kept: their sources are.
    ``connection`` is in autocommit mode: each batch is a transaction. Its row is locked meanwhile,
    so that no run begins to read parts that are on their way out. Objects of which nothing is kept
    go first, so that none is lost from sight; where something is, the new parts come first.
    """
    due = connection.execute(
        f"""
        SELECT b.batch_id, p.rows, {_OWNED.format(records.record) if records else "0"}
        FROM landing.batch b
        JOIN (SELECT batch_id, sum(rows)::bigint AS rows FROM landing.staged_part GROUP BY 1) AS p
            USING (batch_id)
        WHERE b.source = %s AND b.state IN ('loaded', 'loaded_with_rejects')
          AND b.finished_at < %s
        ORDER BY b.batch_id
        """,
        (source, now - STAGING_AGE),
    ).fetchall()
    removed = [
        _shrink(connection, store, batch_id, records if owned else None, owned)
        for batch_id, rows, owned in due
        if not owned or owned < rows * COMPACTED_BELOW
    ]
    return Removed(
        sum(one.parts for one in removed),
        sum(one.bytes for one in removed),
        sum(one.compacted for one in removed),
        sum(one.damaged for one in removed),
    )


_OWNED = "(SELECT count(*) FROM {} r WHERE r.batch_id = b.batch_id)"


def _shrink(
    connection: Connection,
    store: ObjectStore,
    batch_id: str,
    records: RecordTable | None,
    owned: int,
) -> Removed:
    """Delete a batch's staging but for the ``owned`` of the ``records``, if any are given."""
    new: Sequence[StagedPart] = ()
    try:
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
            old = staging.load_parts(connection, batch_id)
            if records is None:
                staging.remove(store, old)
            else:
                from landing.batch.compaction import compacted

                new = compacted(connection, store, records, batch_id, old, owned=owned)
            staging.save_parts(connection, batch_id, new)
    except StagingLost:
        return Removed(0, 0, damaged=1)
    if new:
        staging.remove(store, old)
    smaller = sum(part.bytes for part in old) - sum(part.bytes for part in new)
    return Removed(len(old), smaller, 1 if new else 0)
