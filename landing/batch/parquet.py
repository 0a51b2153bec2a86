"""Parquet through unnamed temporary files: written and read in pieces, gone when the process is.

Belongs here: bounded-memory Parquet. Does not: what the columns are or where the files go.
Imported lazily: needs polars and pyarrow.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO, Any

import polars as pl  # noqa: TID253
import pyarrow as pa  # noqa: TID253
import pyarrow.parquet as pq  # noqa: TID253


class ParquetFile:
    """A Parquet file in the making, on unlinked disk space.

    Frames are gathered into row groups of ``group_rows`` rows or ``group_bytes`` in memory,
    whichever comes first.
    """

    def __init__(self, *, group_rows: int, group_bytes: int = 4 * 1024 * 1024) -> None:
        self.rows = 0
        self._group_rows = group_rows
        self._group_bytes = group_bytes
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="quintet-")  # noqa: SIM115 - close()
        self._writer: Any = None
        self._pending: list[pl.DataFrame] = []
        self._pending_rows = 0
        self._pending_bytes = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Append rows; every frame has the same columns and types."""
        for piece in frame.iter_slices(self._group_rows):
            self._pending.append(piece)
            self._pending_rows += len(piece)
            self._pending_bytes += int(piece.estimated_size())
            self.rows += len(piece)
            if self._pending_rows >= self._group_rows or self._pending_bytes >= self._group_bytes:
                self._flush()

    @property
    def bytes_written(self) -> int:
        """Bytes on disk so far, rows still gathered not included."""
        return self._file.tell()

    def finish(self) -> IO[bytes]:
        """Complete the file; it is returned at its start, and :meth:`close` still frees it."""
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Free the disk space."""
        self._file.close()

    def _flush(self) -> None:
        if not self._pending:
            return
        frame = pl.concat(self._pending, rechunk=True)
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._file,
                table.schema,
                compression="zstd",
                compression_level=1,
                write_statistics=False,
                # Of numbers a dictionary is as large as they are.
                use_dictionary=[one.name for one in table.schema if _is_text(one.type)],
            )
        self._writer.write_table(table, row_group_size=self._group_rows)
        # The pool would keep the freed pages of every group for the next one.
        pa.default_memory_pool().release_unused()


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def read_frames(file: IO[bytes], *, rows: int | None = None) -> Iterator[pl.DataFrame]:
    """The file's rows in order, at most ``rows`` at a time (a row group when None)."""
    reader = pq.ParquetFile(file, pre_buffer=False)
    for index in range(reader.num_row_groups):
        table = reader.read_row_group(index, use_threads=False)
        frame = pl.from_arrow(table)
        if not isinstance(frame, pl.DataFrame):
            raise TypeError("a row group is a table")
        yield from [frame] if rows is None else frame.iter_slices(rows)
