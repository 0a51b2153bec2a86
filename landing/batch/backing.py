"""Whether the current records could be given to a sink again: from staging, or from their objects.

Belongs here: looking, batch by batch, without reading what is there. Does not: reading it
(``rewriting.py``), or what Dagster shows of it.
A batch's staging backs its records when all parts are there, in their sizes, with rows enough.
Where it does not, each object version must be what its key holds, or have its copy. What is lost is
noted in the ledger: a row that says the same is then written, as if it were new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from landing.arrival.identity import ObjectVersion
from landing.batch import staging
from landing.batch.records import RecordTable
from landing.batch.validation_ledger import note_lost
from landing.stores.base import ObjectStore

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Unbacked:
    """Current records of one object version that can be read nowhere any more."""

    batch_id: str
    uri: str
    records: int


@dataclass(slots=True)
class Backing:
    """What was looked at: ``batches`` of the ``of`` that own current records, and their number."""

    of: int = 0
    batches: int = 0
    records: int = 0
    #: Objects that had to be looked for, since the staging did not do.
    objects: int = 0
    unbacked: list[Unbacked] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Records that nothing backs."""
        return sum(one.records for one in self.unbacked)


@dataclass(frozen=True, slots=True)
class Places:
    """Where a source's objects land, where its staging lies, and beside that a copy of each."""

    landing: ObjectStore
    staging: ObjectStore
    copy_key: Callable[[ObjectVersion], str] | None = None

    def has(self, version: ObjectVersion) -> bool:
        """Whether the version could be read."""
        current = self.landing.stat(version.key)
        if current is not None and current.version == version.version:
            return True
        if self.copy_key is None:
            return False
        return self.staging.stat(self.copy_key(version)) is not None


def backing(
    conn: Connection,
    places: Places,
    source: str,
    table: RecordTable,
    *,
    most_batches: int,
    most_objects: int,
    salt: str,
) -> Backing:
    """Look at some of a source's batches; another ``salt`` chooses others.

    ``most_objects`` bounds what is asked of the store beside one question per part: the batch that
    exceeds it is the last.
    """
    found = Backing()
    sample = conn.execute(
        f"""
        SELECT batch_id, count(*) OVER () FROM landing.batch b
        WHERE b.source = %s AND b.validated_at IS NOT NULL
            AND EXISTS (SELECT FROM {table.record} r WHERE r.batch_id = b.batch_id)
        ORDER BY hashtext(batch_id || %s), batch_id LIMIT %s
        """,
        (source, salt, most_batches),
    ).fetchall()
    for batch_id, of in sample:
        if found.objects >= most_objects:
            break
        found.of = of
        _look_at(conn, places, table, batch_id, found)
    return found


def _look_at(
    conn: Connection, places: Places, table: RecordTable, batch_id: str, found: Backing
) -> None:
    owned = conn.execute(
        f"""
        SELECT r.records, v.store, v.bucket, v.key, v.version, v.size, v.modified_at
        FROM (SELECT seq, count(*) AS records FROM {table.record}
            WHERE batch_id = %s GROUP BY seq) AS r
        JOIN landing.object_version v USING (seq) ORDER BY seq
        """,
        (batch_id,),
    ).fetchall()
    records = sum(row[0] for row in owned)
    found.batches += 1
    found.records += records
    parts = staging.load_parts(conn, batch_id)
    rows = sum(part.rows for part in parts)
    if rows >= records and staging.missing(places.staging, parts) is None:
        return
    lost = []
    for count, *version in owned:
        found.objects += 1
        one = ObjectVersion(*version)
        if not places.has(one):
            lost.append(Unbacked(batch_id, one.uri, count))
    found.unbacked += lost
    note_lost(conn, batch_id, sum(one.records for one in lost))
