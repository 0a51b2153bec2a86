"""Staging: the accepted winners of a batch, as Parquet parts that every sink reads.

Belongs here: the parts' keys, writing and reading them. Does not: which rows win (``winners.py``).
A part is complete or absent; the ledger holds its rows, bytes and SHA-256, and reading verifies
them. Parts that no ledger row names are leftovers of a killed run and are never read.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Self

from landing.batch.failures import TransientError
from landing.stores.base import ObjectNotCurrent, ObjectStore

if TYPE_CHECKING:
    import polars as pl
    import psycopg

    from landing.batch.parquet import ParquetFile, ParquetFiles, Tally

#: Large: BigQuery opens each part, and most systems fetch it whole. Tests make it smaller.
PART_ROWS = 1_000_000
PART_BYTES = 64 * 1024 * 1024
GROUP_ROWS = 10_000
_COPY_BYTES = 1024 * 1024


class StagingLost(TransientError):
    """A part is missing or is not what the ledger says: the next attempt validates again."""


@dataclass(frozen=True, slots=True)
class StagedPart:
    """One part as the ledger keeps it; ``sha256`` is hex, of the whole object.

    ``tally`` counts its rows by what the pipeline's sinks want to know without reading it: None
    where the pipeline has no such thing, and where the part is older than it.
    """

    part: int
    key: str
    rows: int
    bytes: int
    sha256: str
    tally: Mapping[str, int] | None = field(default=None, hash=False)


def part_key(pipeline: str, batch_id: str, part: int) -> str:
    """Where a part lies in the pipeline's own bucket."""
    return f"staging/{pipeline}/{batch_id}/accepted-{part}.parquet"


class StagingWriter:
    """Writes a batch's parts one after another; use as a context manager.

    ``first`` is the number of the first part, above those that must stay for now.
    """

    def __init__(
        self,
        store: ObjectStore,
        pipeline: str,
        batch_id: str,
        *,
        first: int = 0,
        tally: Tally | None = None,
    ) -> None:
        self._first = first
        self._store = store
        self._pipeline = pipeline
        self._batch_id = batch_id
        self._parts: list[StagedPart] = []
        self._files = part_files(tally)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def add(self, frame: pl.DataFrame) -> None:
        """Append rows, in the order in which sinks shall see them."""
        for file in self._files.add(frame):
            self._put(file)

    def take(self, file: ParquetFile) -> None:
        """Append the rows of a file, which is a part as it is; it is closed."""
        for unfinished in self._files.finish():
            self._put(unfinished)
        self._put(file)

    def finish(self) -> tuple[StagedPart, ...]:
        """Put the last part and remove what an earlier, killed run left behind it."""
        for unfinished in self._files.finish():
            self._put(unfinished)
        leftover = self._next
        while self._store.stat(key := part_key(self._pipeline, self._batch_id, leftover)):
            self._store.delete(key)
            leftover += 1
        return tuple(self._parts)

    @property
    def _next(self) -> int:
        return self._first + len(self._parts)

    def _put(self, made: ParquetFile) -> None:
        with closing(made):
            self._put_open(made)

    def _put_open(self, made: ParquetFile) -> None:
        file = made.finish()
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # IO[bytes] has what is asked for
        size = file.tell()
        number = self._next
        key = part_key(self._pipeline, self._batch_id, number)
        file.seek(0)
        self._store.put(
            key,
            file,
            content_type="application/vnd.apache.parquet",
            metadata={"sha256": digest},
        )
        self._parts.append(StagedPart(number, key, made.rows, size, digest, made.tallied))


def part_files(tally: Tally | None = None) -> ParquetFiles:
    """Files that can become parts as they are."""
    from landing.batch.parquet import ParquetFiles

    return ParquetFiles(file_rows=PART_ROWS, file_bytes=PART_BYTES, step=GROUP_ROWS, tally=tally)


def read_parts(
    store: ObjectStore,
    parts: Sequence[StagedPart],
    *,
    rows: int = GROUP_ROWS,
    columns: Sequence[str] | None = None,
) -> Iterator[pl.DataFrame]:
    """Staged rows in order, at most ``rows`` at a time; one part is on local disk at a time.

    Raises StagingLost when a part is not what the ledger says.
    """
    from landing.batch.parquet import read_frames

    for part in parts:
        with tempfile.TemporaryFile(prefix="quintet-") as file:
            _fetch(store, part, file)
            yield from read_frames(file, rows=rows, columns=columns)


def intact(store: ObjectStore, parts: Sequence[StagedPart]) -> bool:
    """Whether every part is there and is what the ledger says."""
    try:
        for part in parts:
            _fetch(store, part, None)
    except StagingLost:
        return False
    return True


def remove(store: ObjectStore, parts: Sequence[StagedPart]) -> None:
    """Delete parts that the ledger does not name any more."""
    for part in parts:
        store.delete(part.key)


def missing(store: ObjectStore, parts: Sequence[StagedPart]) -> StagedPart | None:
    """The first part that is not there in its size; what is in it is not looked at."""
    for part in parts:
        version = store.stat(part.key)
        if version is None or version.size != part.bytes:
            return part
    return None


def load_parts(conn: psycopg.Connection[Any], batch_id: str) -> tuple[StagedPart, ...]:
    """The parts that the ledger holds, in order."""
    cursor = conn.execute(
        "SELECT part, key, rows, bytes, sha256, tally FROM landing.staged_part"
        " WHERE batch_id = %s ORDER BY part",
        (batch_id,),
    )
    return tuple(StagedPart(*row) for row in cursor)


def save_parts(conn: psycopg.Connection[Any], batch_id: str, parts: Sequence[StagedPart]) -> None:
    """Replace the batch's parts in the ledger."""
    conn.execute("DELETE FROM landing.staged_part WHERE batch_id = %s", (batch_id,))
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO landing.staged_part (batch_id, part, key, rows, bytes, sha256, tally)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [(batch_id, p.part, p.key, p.rows, p.bytes, p.sha256, _json(p.tally)) for p in parts],
        )


def _json(tally: Mapping[str, int] | None) -> Any:
    from psycopg.types.json import Jsonb

    return None if tally is None else Jsonb(dict(tally))


def _fetch(store: ObjectStore, part: StagedPart, file: IO[bytes] | None) -> None:
    """Copy a part to ``file``, if any, and verify it on the way."""
    version = store.stat(part.key)
    if version is None:
        raise StagingLost(f"{part.key} is missing")
    digest, size = hashlib.sha256(), 0
    try:
        with store.open(version) as stream:
            while data := stream.read(_COPY_BYTES):
                digest.update(data)
                size += len(data)
                if file is not None:
                    file.write(data)
    except ObjectNotCurrent as error:
        raise StagingLost(f"{part.key} was replaced while it was read") from error
    if (size, digest.hexdigest()) != (part.bytes, part.sha256):
        raise StagingLost(f"{part.key} is not what was staged: {size} of {part.bytes} bytes")
    if file is not None:
        file.flush()
        file.seek(0)
