"""What was decided of a batch's rows, as validation asks for it: counted, and row by row.

Belongs here: reading the temporary table ``decided``. Does not: deciding (``winners.py``).
"""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from landing.batch.counts import RowCounts

if TYPE_CHECKING:
    import polars as pl
    import psycopg


def count_statuses(conn: psycopg.Connection[Any]) -> dict[int, RowCounts]:
    """Rows per object version's sequence; ``rejected`` has the duplicates, ``read`` all."""
    cursor = conn.execute(
        """
        SELECT seq, count(*), count(*) FILTER (WHERE status = 'written'),
            count(*) FILTER (WHERE status = 'unchanged'),
            count(*) FILTER (WHERE status = 'superseded'),
            count(*) FILTER (WHERE status = 'duplicate')
        FROM pg_temp.decided GROUP BY seq
        """
    )
    return {seq: RowCounts(*counts) for seq, *counts in cursor}


class StatusReader:
    """The statuses in (seq, line) order, taken as they are needed; use as a context manager.

    The connection can do nothing else until the context is left.
    """

    def __init__(self, conn: psycopg.Connection[Any]) -> None:
        self._conn = conn
        self._stack = ExitStack()
        self._pending = b""

    def __enter__(self) -> Self:
        """Start the copy."""
        cursor = self._stack.enter_context(self._conn.cursor())
        self._copy = self._stack.enter_context(
            cursor.copy(
                "COPY (SELECT seq, line, status, kept_line FROM pg_temp.decided"
                " ORDER BY seq, line) TO STDOUT (FORMAT csv)"
            )
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while kind is None and self._copy.read():  # only then is the connection free again
            pass
        self._stack.__exit__(kind, error, traceback)

    def take(self, count: int) -> pl.DataFrame:
        """The next ``count`` statuses, fewer at the end.

        Columns: seq, line, status, kept_line (null unless the status is ``duplicate``).
        """
        import polars as pl

        parts, lines = [self._pending], self._pending.count(b"\n")
        while lines < count and (data := bytes(self._copy.read())):
            parts.append(data)
            lines += data.count(b"\n")
        text = b"".join(parts)
        end = len(text)
        for _ in range(lines - count):  # only if the server puts several rows in a message
            end = text.rindex(b"\n", 0, end - 1) + 1
        text, self._pending = text[:end], text[end:]
        schema = {"seq": pl.Int64, "line": pl.Int64, "status": pl.String, "kept_line": pl.Int64}
        if not text:
            return pl.DataFrame(schema=schema)
        return pl.read_csv(text, has_header=False, schema=schema)
