"""What a validated batch can still give of what it has to: from its staging, else its objects.

Belongs here: whether the staging has all of it, taking from it what the objects no longer give, and
saying what is lost. Does not: the steps of a validation (``validation.py``).
A batch has to give the records that it owns, which are the current ones that its rows made, or of
facts every row. Imported lazily: needs polars.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

import polars as pl  # noqa: TID253

from landing.batch import staging
from landing.batch.counts import ObjectCounts
from landing.batch.failures import PermanentError
from landing.batch.parquet import ParquetFile, read_frames
from landing.batch.records import RecordTable
from landing.batch.staging import StagedPart, StagingLost
from landing.batch.validation_ledger import ValidationBatch
from landing.stores.base import ObjectStore

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

_GROUP_ROWS = 100_000
_OBJECTS_NAMED = 20


class RecordsLost(PermanentError):
    """Nothing that can be read gives all that the batch has to: it is left as it was.

    ``records`` are the current ones that are lost, 0 of facts.
    """

    def __init__(self, message: str, records: int = 0) -> None:
        super().__init__(message)
        self.records = records


def holds_facts(store: ObjectStore, batch: ValidationBatch, parts: Sequence[StagedPart]) -> bool:
    """Whether everything that the first validation staged is still there."""
    written = sum(version.counts.rows.written for version in batch.versions)
    return sum(part.rows for part in parts) >= written and staging.intact(store, parts)


def holds_records(
    conn: Connection,
    store: ObjectStore,
    table: RecordTable,
    batch_id: str,
    parts: Sequence[StagedPart],
) -> bool:
    """Whether the parts are what was staged and have every record that the batch owns."""
    with conn.transaction():
        conn.execute(
            'CREATE TEMP TABLE staged (key text COLLATE "C", row_hash text) ON COMMIT DROP'
        )
        try:
            for frame in staging.read_parts(store, parts):
                _copy(conn, "staged", frame.select(frame.columns[0], "row_hash"))
        except StagingLost:
            return False
        conn.execute("ANALYZE pg_temp.staged")
        row = conn.execute(
            f"""
            SELECT EXISTS (SELECT key, row_hash FROM {table.record} WHERE batch_id = %s
                EXCEPT SELECT key, row_hash FROM pg_temp.staged)
            """,
            (batch_id,),
        ).fetchone()
    return row == (False,)


class Remainder:
    """The records that a batch owns and its objects no longer give; use as a context manager.

    Made in the transaction in which they were decided. What the intact parts of its staging have of
    them is kept on local disk: new parts may then take the place of the old ones.
    """

    def __init__(
        self,
        conn: Connection,
        store: ObjectStore,
        table: RecordTable,
        batch_id: str,
        parts: Sequence[StagedPart],
    ) -> None:
        self._conn = conn
        self._file = ParquetFile(group_rows=_GROUP_ROWS)
        conn.execute(
            f"""
            CREATE TEMP TABLE remaining ON COMMIT DROP AS
            SELECT key, row_hash FROM {table.record} WHERE batch_id = %s
            EXCEPT SELECT key, c.row_hash
            FROM pg_temp.decided d JOIN pg_temp.candidate c USING (key, seq, line)
            WHERE d.status = 'written'
            """,
            (batch_id,),
        )
        self.lost = self._count()
        for part in parts if self.lost else ():
            try:
                for frame in staging.read_parts(store, [part]):
                    self._take(frame)
            except StagingLost:
                continue  # what it had is counted as lost
        self.lost = self._count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def rows(self) -> int:
        """How many records the staging gave."""
        return self._file.rows

    def frames(self) -> Iterator[pl.DataFrame]:
        """Their rows, as they were staged."""
        if self._file.rows:
            yield from read_frames(self._file.finish())

    def _take(self, frame: pl.DataFrame) -> None:
        key = frame.columns[0]
        taken = self._conn.execute(
            """
            DELETE FROM pg_temp.remaining r
            USING unnest(%s::text[], %s::text[]) AS s (key, row_hash)
            WHERE r.key = s.key AND r.row_hash = s.row_hash RETURNING r.key, r.row_hash
            """,
            (frame.get_column(key).to_list(), frame.get_column("row_hash").to_list()),
        ).fetchall()
        if taken:
            schema = {key: pl.String, "row_hash": pl.String}
            found = pl.DataFrame(taken, schema=schema, orient="row")
            self._file.add(frame.join(found, on=[key, "row_hash"], how="semi"))

    def _count(self) -> int:
        row = self._conn.execute("SELECT count(*) FROM pg_temp.remaining").fetchone()
        return int(row[0]) if row else 0


def require_records(batch: ValidationBatch, objects: Sequence[ObjectCounts], lost: int) -> None:
    """Raises RecordsLost when ``lost`` records of the batch come from nowhere any more."""
    if lost:
        raise RecordsLost(
            f"{lost:,} current records of batch {batch.batch_id} are in no sink's reach: its "
            f"staging does not have them, and {_unreadable(batch, objects) or _REJECTED}. Upload "
            "them once more: rows that say the same are then written",
            lost,
        )


def require_facts(batch: ValidationBatch, objects: Sequence[ObjectCounts]) -> None:
    """Raises RecordsLost when an object that gave rows at first cannot be read any more."""
    named = _unreadable(batch, objects)
    if named:
        raise RecordsLost(
            f"rows of batch {batch.batch_id} are in no sink's reach: its staging does not have "
            f"them, and {named}"
        )


_REJECTED = "its objects, read by today's rules, do not give them"


def _unreadable(batch: ValidationBatch, objects: Sequence[ObjectCounts]) -> str:
    """The objects that gave rows at first and are gone, superseded or rejected today."""
    gave = {v.seq for v in batch.versions if v.counts.rows.read > v.counts.rows.rejected}
    gone = [o for o in objects if o.seq in gave and o.outcome != "loaded"]
    named = ", ".join(
        f"{o.uri} is {o.outcome}" + (f" ({o.reason})" if o.reason else "")
        for o in gone[:_OBJECTS_NAMED]
    )
    more = len(gone) - _OBJECTS_NAMED
    return f"{named} and {more:,} more objects" if more > 0 else named


def _copy(conn: Connection, name: str, rows: pl.DataFrame) -> None:
    data = rows.write_csv(include_header=False, quote_style="always")
    with conn.cursor() as cursor, cursor.copy(f"COPY pg_temp.{name} FROM STDIN (FORMAT csv)") as to:
        to.write(data.encode())
