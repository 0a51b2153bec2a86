"""Staging written anew with the records only that its batch owns.

Belongs here: which staged rows those are. Does not: when it is worth it (``retention.py``).
Imported lazily: needs polars.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from landing.batch import staging
from landing.batch.records import RecordTable, current_rows
from landing.batch.staging import StagedPart, StagingLost
from landing.stores.base import ObjectStore

if TYPE_CHECKING:
    import psycopg


def compacted(
    conn: psycopg.Connection[Any],
    store: ObjectStore,
    table: RecordTable,
    batch_id: str,
    parts: Sequence[StagedPart],
    *,
    owned: int,
) -> tuple[StagedPart, ...]:
    """New parts, of names of their own, with the ``owned`` records of the batch; memory is bounded.

    Raises StagingLost when the parts are not what was staged or do not have all of them.
    """
    first = max(part.part for part in parts) + 1
    with staging.StagingWriter(store, table.pipeline, batch_id, first=first) as writer:
        for frame in staging.read_parts(store, parts):
            writer.add(current_rows(conn, table, frame, owner=batch_id))
        new = writer.finish()
    if (kept := sum(part.rows for part in new)) != owned:
        staging.remove(store, new)
        raise StagingLost(f"staging of {batch_id} has {kept} of the {owned} records of the batch")
    return new
