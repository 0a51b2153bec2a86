"""Which of a batch's accepted rows are staged: the winners of their records, or every one.

Belongs here: what validation asks of either, for the rows of one batch. Does not: the order of
records (``winners.py``), and where rows and rejects go (``row_buffer.py``).
Imported lazily: needs polars.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl  # noqa: TID253

from landing.batch import origins, records, statuses, winners
from landing.batch.counts import RowCounts, UnbalancedCounts
from landing.batch.origins import ReadVersion
from landing.batch.reasons import duplicate
from landing.batch.records import Overruled, RecordTable
from landing.batch.winners import Mode

if TYPE_CHECKING:
    import psycopg

#: Superseded rows that a batch shows.
OVERRULED_SHOWN = 10
#: The event time of records that carry none: in one object the later line is the newer.
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of some rows: those that are staged, and those that become rejects.

    ``duplicates`` have ``reason``, ``detail`` and ``kept_line`` (the line of the row that stands
    for them) besides their own columns. A row may be in neither.
    """

    staged: pl.DataFrame
    duplicates: pl.DataFrame


#: Asked for all rows once, in the order in which they were offered, in pieces of any size.
Judge = Callable[[pl.DataFrame], Verdict]


class Decision(Protocol):
    """The decision on one batch: offered every row, then decided, then asked row by row."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns that it reads besides the pipeline's own, ``seq`` and ``line``."""
        ...

    @property
    def takes_all(self) -> bool:
        """Whether every row that is offered is staged, whatever else is."""
        ...

    def offer(self, rows: pl.DataFrame) -> None:
        """Take accepted rows into account."""
        ...

    def forget(self, seq: int) -> None:
        """Take the rows of one object version out again."""
        ...

    def decide(self, mode: Mode, versions: Sequence[ReadVersion]) -> dict[int, RowCounts]:
        """Decide on all rows, in the caller's transaction; counts by object version's sequence.

        ``versions`` are those that were read to their end.
        """
        ...

    def judge(self) -> AbstractContextManager[Judge]:
        """What was decided; while the context lasts, the connection may do nothing else."""
        ...

    def apply(self, batch_id: str) -> int:
        """Make the decision what later batches are decided against, in the transaction.

        Returns how many records were withdrawn: told by older versions of the batch's objects.
        """
        ...

    def overruled(self) -> tuple[Overruled, ...]:
        """Some of the rows to which a newer version says otherwise, once it is applied."""
        ...


class WinningRows:
    """Rows tell of records, of which each has one current row: ``winners.py`` has the rules."""

    needs = ("text",)
    takes_all = False

    def __init__(
        self, conn: psycopg.Connection[Any], table: RecordTable, key: str, event_time: str | None
    ) -> None:
        self._conn = conn
        self._table = table
        self._key = key
        self._event_time = event_time
        records.ensure(conn, table)
        winners.create_candidates(conn, table)

    def offer(self, rows: pl.DataFrame) -> None:
        """See :class:`Decision`."""
        happened = pl.col(self._event_time) if self._event_time else pl.lit(_NO_TIME)
        winners.add_candidates(
            self._conn,
            self._table,
            rows.with_columns(pl.col(self._key).alias("key"), happened.alias("event_time")),
        )

    def forget(self, seq: int) -> None:
        """See :class:`Decision`."""
        winners.forget_candidates(self._conn, seq)

    def decide(self, mode: Mode, versions: Sequence[ReadVersion]) -> dict[int, RowCounts]:
        """See :class:`Decision`."""
        if self._table.by_object and mode == "deliver":
            origins.note_versions(self._conn, versions)
        winners.decide(self._conn, self._table, mode)
        return statuses.count_statuses(self._conn)

    @contextmanager
    def judge(self) -> Iterator[Judge]:
        """See :class:`Decision`. The judge raises UnbalancedCounts when asked out of order."""
        with statuses.StatusReader(self._conn) as decisions:

            def judge(rows: pl.DataFrame) -> Verdict:
                decided = decisions.take(len(rows))
                if not decided.select("seq", "line").equals(rows.select("seq", "line")):
                    raise UnbalancedCounts("statuses and rows fell out of step")
                # By masks: a pipeline's rows may have a column of the name ``status``.
                twice = decided["status"] == "duplicate"
                duplicates = rows.filter(twice).with_columns(
                    decided["kept_line"].filter(twice),
                    pl.lit(duplicate(self._key).code).alias("reason"),
                )
                detail = pl.format("line {} is kept", "kept_line").alias("detail")
                written = rows.filter(decided["status"] == "written")
                return Verdict(written, duplicates.with_columns(detail))

            yield judge

    def apply(self, batch_id: str) -> int:
        """See :class:`Decision`."""
        winners.apply(self._conn, self._table, batch_id)
        if not self._table.by_object:
            return 0
        return origins.withdraw(self._conn, self._table, batch_id)

    def overruled(self) -> tuple[Overruled, ...]:
        """See :class:`Decision`."""
        return records.overruled(self._conn, self._table, OVERRULED_SHOWN)


class EveryRow:
    """Rows are facts: each is staged, whatever other rows say. Sinks know equal ones as one."""

    needs = ()
    takes_all = True

    def __init__(self) -> None:
        self._rows: Counter[int] = Counter()

    def offer(self, rows: pl.DataFrame) -> None:
        """See :class:`Decision`."""
        for seq, count in rows.get_column("seq").value_counts().iter_rows():
            self._rows[seq] += count

    def forget(self, seq: int) -> None:
        """See :class:`Decision`."""
        self._rows.pop(seq, None)

    def decide(self, _mode: Mode, _versions: Sequence[ReadVersion]) -> dict[int, RowCounts]:
        """See :class:`Decision`."""
        return {seq: RowCounts(read=rows, written=rows) for seq, rows in self._rows.items()}

    @contextmanager
    def judge(self) -> Iterator[Judge]:
        """See :class:`Decision`."""
        yield lambda rows: Verdict(rows, rows.clear())

    def apply(self, _batch_id: str) -> int:
        """Later batches are not decided against anything."""
        return 0

    def overruled(self) -> tuple[Overruled, ...]:
        """None: every row counts."""
        return ()
