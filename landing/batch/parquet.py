"""Parquet through unnamed temporary files: written and read in pieces, gone when the process is.

Belongs here: Parquet in bounded memory, in one file or as many as bounds make. Does not: what the
columns are or where the files go.
Imported lazily: needs polars and pyarrow.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

import polars as pl  # noqa: TID253
import pyarrow as pa  # noqa: TID253
import pyarrow.parquet as pq  # noqa: TID253

#: Counts rows by what a reader wants to know of a file before it reads it.
Tally = Callable[[pl.DataFrame], Mapping[str, int]]


class ParquetFile:
    """A Parquet file in the making, on unlinked disk space.

    Frames are gathered into row groups of ``group_rows`` rows or ``group_bytes`` in memory,
    whichever comes first. ``tallied`` is what ``tally`` says of all rows, None without one.
    """

    def __init__(
        self,
        *,
        group_rows: int,
        group_bytes: int = 4 * 1024 * 1024,
        tally: Tally | None = None,
    ) -> None:
        self.rows = 0
        self.tallied: Counter[str] | None = Counter() if tally else None
        self._tally = tally
        self._group_rows = group_rows
        self._group_bytes = group_bytes
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="quintet-")  # noqa: SIM115 - close()
        self._writer: Any = None
        self._pending: list[pl.DataFrame] = []
        self._pending_rows = 0
        self._pending_bytes = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Append rows; every frame has the same columns and types."""
        if self.tallied is not None and self._tally:
            self.tallied.update(self._tally(frame))
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


class ParquetFiles:
    """Rows in files one after the other, each of ``file_rows`` or about ``file_bytes`` at most.

    Bytes are looked at every ``step`` rows. A full file is the caller's to close.
    """

    def __init__(
        self, *, file_rows: int, file_bytes: int, step: int, tally: Tally | None = None
    ) -> None:
        self._file_rows, self._file_bytes, self._step = file_rows, file_bytes, step
        self._tally = tally
        self._file: ParquetFile | None = None

    def add(self, frame: pl.DataFrame) -> list[ParquetFile]:
        """Append rows; every frame has the same columns and types. The files that became full."""
        full: list[ParquetFile] = []
        offset = 0
        while offset < len(frame):
            if self._file is None:
                # Row groups are bounded by their bytes: many small ones are slow to write and read.
                self._file = ParquetFile(group_rows=self._file_rows, tally=self._tally)
            piece = frame.slice(offset, min(self._step, self._file_rows - self._file.rows))
            self._file.add(piece)
            offset += len(piece)
            if self._file.rows >= self._file_rows or self._file.bytes_written >= self._file_bytes:
                full += self.finish()
        return full

    def finish(self) -> list[ParquetFile]:
        """The file that is not full yet, if any; rows that are appended go into the next."""
        last, self._file = self._file, None
        return [last] if last else []

    def close(self) -> None:
        """Free the disk space of the file that is not full yet."""
        for file in self.finish():
            file.close()


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def read_frames(
    file: IO[bytes], *, rows: int | None = None, columns: Sequence[str] | None = None
) -> Iterator[pl.DataFrame]:
    """The file's rows in order, at most ``rows`` at a time (a row group when None)."""
    reader = pq.ParquetFile(file, pre_buffer=False)
    for index in range(reader.num_row_groups):
        table = reader.read_row_group(index, columns=columns and list(columns), use_threads=False)
        frame = pl.from_arrow(table)
        if not isinstance(frame, pl.DataFrame):
            raise TypeError("a row group is a table")
        yield from [frame] if rows is None else frame.iter_slices(rows)
