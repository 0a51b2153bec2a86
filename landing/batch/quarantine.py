"""Quarantine: rejected rows and objects of a batch, with where, why and the original text.

Belongs here: one Parquet object per batch in the quarantine bucket and its ledger row. Does not:
the reasons themselves (``reasons.py``). Rows of a rejected object are not
known, so such an object has one entry with no line.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from landing.arrival.identity import ObjectVersion
from landing.batch.reasons import warn_of_unknown
from landing.stores.base import ObjectStore

if TYPE_CHECKING:
    import polars as pl
    import psycopg

GROUP_ROWS = 10_000
_COPY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class QuarantinedBatch:
    """What the ledger holds of one batch's quarantine; ``reasons`` counts entries per reason."""

    batch_id: str
    bucket: str
    key: str
    rows: int
    reasons: dict[str, int]
    written_at: datetime
    replayed_at: datetime | None


def quarantine_key(pipeline: str, batch_id: str) -> str:
    """Where a batch's rejects lie in the quarantine bucket."""
    return f"{pipeline}/{batch_id}.parquet"


class QuarantineWriter:
    """Gathers a batch's rejects on local disk and puts them as one object."""

    def __init__(self, known: Collection[str]) -> None:
        """``known`` are the reasons that may occur."""
        from landing.batch.parquet import ParquetFile

        self._known = known
        self._file = ParquetFile(group_rows=GROUP_ROWS)
        self.reasons: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def rows(self) -> int:
        """Entries so far."""
        return self._file.rows

    def add(self, version: ObjectVersion, rejects: pl.DataFrame) -> None:
        """Rejects of one object: landing.batch.chunks.REJECT_SCHEMA, ``kept_line`` may follow."""
        import polars as pl

        if rejects.is_empty():
            return
        counts = rejects.get_column("reason").value_counts().rows()
        self.reasons.update(dict(counts))
        warn_of_unknown(self.reasons, self._known)
        kept = pl.col("kept_line") if "kept_line" in rejects.columns else pl.lit(None, pl.Int64)
        self._file.add(
            rejects.select(
                pl.lit(version.uri).alias("source"),
                pl.lit(version.key).alias("key"),
                pl.lit(version.version).alias("version"),
                "line",
                "reason",
                "detail",
                kept.alias("kept_line"),
                "text",
                "truncated",
            )
        )

    def forget(self, version: ObjectVersion) -> None:
        """Take the rejects of one object out again, of which rows were added."""
        import polars as pl

        from landing.batch.parquet import ParquetFile, read_frames

        before, self._file = self._file, ParquetFile(group_rows=GROUP_ROWS)
        try:
            if not before.rows:
                return
            for frame in read_frames(before.finish()):
                own = pl.col("source") == version.uri
                gone = frame.filter(own).get_column("reason").value_counts().rows()
                self.reasons.subtract(dict(gone))
                self._file.add(frame.filter(~own))
        finally:
            before.close()
        self.reasons = +self.reasons

    def add_object(
        self, version: ObjectVersion, reason: str, detail: str, text: tuple[str, bool]
    ) -> None:
        """An object that was rejected as a whole; ``text`` is its beginning and whether cut."""
        import polars as pl

        from landing.batch.chunks import REJECT_SCHEMA

        row = (None, reason, detail, *text)
        self.add(version, pl.DataFrame([row], schema=REJECT_SCHEMA, orient="row"))

    def put(self, store: ObjectStore, pipeline: str, batch_id: str) -> str | None:
        """Write the object, complete or absent, and return its key; None without rejects."""
        key = quarantine_key(pipeline, batch_id)
        if not self.rows:
            store.delete(key)  # an earlier run that was killed may have seen other objects
            return None
        file = self._file.finish()
        store.put(
            key,
            file,
            content_type="application/vnd.apache.parquet",
        )
        return key


def save(
    conn: psycopg.Connection[Any], batch_id: str, bucket: str, key: str | None,
    writer: QuarantineWriter,
) -> None:  # fmt: skip
    """Note a batch's quarantine object in the ledger."""
    if key is None:
        conn.execute("DELETE FROM landing.quarantine WHERE batch_id = %s", (batch_id,))
        return
    conn.execute(
        """
        INSERT INTO landing.quarantine (batch_id, bucket, key, rows, reasons, written_at)
        VALUES (%s, %s, %s, %s, %s::jsonb, clock_timestamp())
        ON CONFLICT (batch_id) DO UPDATE SET bucket = excluded.bucket, key = excluded.key,
            rows = excluded.rows, reasons = excluded.reasons, written_at = excluded.written_at
        """,
        (batch_id, bucket, key, writer.rows, json.dumps(dict(sorted(writer.reasons.items())))),
    )


def quarantined(
    conn: psycopg.Connection[Any], pipeline: str | None = None, batch_id: str | None = None
) -> list[QuarantinedBatch]:
    """Batches with rejects, oldest first."""
    cursor = conn.execute(
        """
        SELECT q.batch_id, q.bucket, q.key, q.rows, q.reasons, q.written_at, q.replayed_at
        FROM landing.quarantine q JOIN landing.batch b USING (batch_id)
        WHERE (%(pipeline)s::text IS NULL OR b.pipeline = %(pipeline)s)
            AND (%(batch)s::text IS NULL OR b.batch_id = %(batch)s)
        ORDER BY q.batch_id
        """,
        {"pipeline": pipeline, "batch": batch_id},
    )
    return [QuarantinedBatch(*row) for row in cursor]


def read(store: ObjectStore, key: str, *, rows: int = GROUP_ROWS) -> Iterator[pl.DataFrame]:
    """A batch's rejects: source, key, version, line, reason, detail, kept_line, text, truncated.

    Raises KeyError when the object is not there.
    """
    from landing.batch.parquet import read_frames

    version = store.stat(key)
    if version is None:
        raise KeyError(key)
    with tempfile.TemporaryFile(prefix="quintet-") as file:
        with store.open(version) as stream:
            shutil.copyfileobj(stream, file, _COPY_BYTES)
        file.seek(0)
        yield from read_frames(file, rows=rows)


def mark_replayed(conn: psycopg.Connection[Any], batch_id: str) -> None:
    """Note that the batch's rejects were put back into the landing bucket, mended."""
    conn.execute(
        "UPDATE landing.quarantine SET replayed_at = now() WHERE batch_id = %s", (batch_id,)
    )
