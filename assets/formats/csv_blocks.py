"""A block of whole lines of CSV: each becomes a record, a reject or a blank.

Belongs here: the lines that polars may split as they are, all at once, and the others one by one.
Does not: reading (``csv_lines.py``), where a quoted field ends (``csv_quotes.py``).
Imported lazily: needs polars, pyarrow and numpy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np  # noqa: TID253
import polars as pl  # noqa: TID253
import pyarrow as pa  # noqa: TID253

from assets.formats.csv_header import Header
from assets.formats.csv_lines import KEPT_BYTES
from assets.formats.csv_quotes import OpenRecordError, UnclosedQuoteError, scan_record
from assets.formats.csv_rules import Limits
from landing.batch.chunks import REJECT_SCHEMA, Chunk, original_text

_LF, _CR, _COMMA, _QUOTE, _NUL = 10, 13, 44, 34, 0


@dataclass(slots=True)
class _Found:
    """What one block gave outside the vectorised path."""

    rows: list[tuple[int, str, list[str]]] = field(default_factory=list)
    rejects: list[tuple[int, str, str, bytes]] = field(default_factory=list)
    covered: list[tuple[int, int]] = field(default_factory=list)
    #: Offset from which an open record waits for more input.
    carry_from: int | None = None


class Block:
    """Whole lines, the first of which has the number ``line``.

    ``available`` are the bytes at hand with those behind the block, ``ended`` says that no more
    will come. ``keep_nuls`` takes NUL characters for data.
    """

    def __init__(
        self,
        block: bytes,
        line: int,
        header: Header,
        limits: Limits,
        *,
        keep_nuls: bool,
        available: int,
        ended: bool,
    ) -> None:
        self._bytes, self._line = block, line
        self._header, self._limits, self._keep_nuls = header, limits, keep_nuls
        self._available, self._ended = available, ended
        self._data = np.frombuffer(block, dtype=np.uint8)
        self._ends = np.flatnonzero(self._data == _LF) + 1
        self._starts = np.concatenate((np.zeros(1, dtype=np.int64), self._ends[:-1]))

    def parse(self) -> tuple[Chunk, int]:
        """The records, and the offset up to which the block is used up.

        A record that is open at its end waits for more input.
        """
        data, block, starts, ends = self._data, self._bytes, self._starts, self._ends
        lengths = ends - starts
        special = lengths - 1 > self._limits.field_bytes
        special[_lines_with(data, starts, _QUOTE, block)] = True
        special[_undecodable(block, starts, ends)] = True
        found = self._special_records(np.flatnonzero(special))

        used = len(starts)
        if found.carry_from is not None:
            used = int(np.searchsorted(starts, found.carry_from))
        free = np.ones(len(starts), dtype=bool)
        free[used:] = False
        for first, after in found.covered:
            free[first:after] = False
        blank = (lengths == 1) | ((lengths == len(b"\r\n")) & (data[starts] == _CR))
        blank &= free
        free &= ~blank
        nul = np.zeros(len(starts), dtype=bool)
        if not self._keep_nuls:
            nul[_lines_with(data, starts, _NUL, block)] = True
        commas = np.add.reduceat((data == _COMMA).view(np.uint8), starts, dtype=np.int32)
        wanted = len(self._header.order) - 1
        spilled = (commas > wanted) & self._header.spills
        fast = free & ~nul & ((commas == wanted) | spilled)
        for index in np.flatnonzero(free & ~fast).tolist():
            raw = block[starts[index] : ends[index]]
            fields = int(commas[index]) + 1
            problem = ("nul_character", "") if nul[index] else self._miscount(fields)
            found.rejects.append((self._line + index, *problem, raw))
        accepted = self._fast_frame(fast, spilled)
        if found.rows:
            accepted = pl.concat([accepted, record_frame(self._header, found.rows)]).sort("line")
        chunk = Chunk(accepted, reject_frame(found.rejects), used, int(blank.sum()))
        return chunk, len(block) if used == len(starts) else int(starts[used])

    def _miscount(self, fields: int) -> tuple[str, str]:
        count = len(self._header.order)
        reason = "too_few_fields" if fields < count else "too_many_fields"
        return reason, f"{fields} fields, expected {count}"

    def _fast_frame(
        self,
        fast: np.ndarray[tuple[int], np.dtype[np.bool_]],
        spilled: np.ndarray[tuple[int], np.dtype[np.bool_]],
    ) -> pl.DataFrame:
        """Lines without quotes and defects, split by polars straight from the block's memory."""
        if not fast.any():
            return record_frame(self._header, [])
        block, starts, ends = self._bytes, self._starts, self._ends
        offsets = np.concatenate((starts[:1], ends))
        lines = pa.Array.from_buffers(
            pa.large_binary(), len(starts), [None, pa.py_buffer(offsets), pa.py_buffer(block)]
        )
        if not fast.all():
            lines = lines.filter(pa.array(fast))
        text = pl.Series("text", lines.view(pa.large_string())).str.strip_suffix("\n")
        if b"\r" in block:
            text = text.str.strip_suffix("\r")
        numbers = pl.Series("line", np.flatnonzero(fast) + self._line, dtype=pl.Int64)
        count = len(self._header.order)
        pieces = (
            text.str.splitn(",", count)
            if self._header.spills
            else text.str.split_exact(",", count - 1)
        )
        split = pieces.struct.unnest()
        split.columns = list(self._header.order)
        found = split.select(self._header.columns).with_columns(numbers, text)
        if self._header.marked:
            found = found.with_columns(pl.Series("repaired", spilled[fast], dtype=pl.Boolean))
        return found

    def _special_records(self, special: np.ndarray[tuple[int], np.dtype[np.int64]]) -> _Found:
        """Records that begin in the ``special`` lines, one by one."""
        block, starts, ends = self._bytes, self._starts, self._ends
        found, next_free = _Found(), 0
        for first in special.tolist():
            if first < next_free:
                continue
            start = int(starts[first])
            size = int(ends[first]) - start - 1
            if size > self._limits.line_bytes:
                # As if the line had not fitted into a block: what is said must not depend on it.
                found.covered.append((first, first + 1))
                raw = block[start : start + KEPT_BYTES] + b" "
                found.rejects.append(
                    (self._line + first, "field_too_large", too_long(size, self._limits), raw)
                )
                continue
            stop = min(len(block), start + self._limits.record_bytes)
            stop = max(stop, int(ends[first]))
            grows = (
                not self._ended
                and stop == len(block)
                and self._available - start <= self._limits.record_bytes
            )
            try:
                fields, end = scan_record(block, start, stop, grows=grows)
                after = int(np.searchsorted(ends, end)) + 1
            except OpenRecordError:
                found.carry_from = start
                break
            except UnclosedQuoteError as error:
                fields, end, after = [], int(ends[first]), first + 1
                problem: tuple[str, str] | None = ("unclosed_quote", str(error))
            else:
                problem = self._problem(fields)
            next_free = after
            found.covered.append((first, after))
            raw = block[start:end]
            if problem is None:
                text = raw.removesuffix(b"\n").removesuffix(b"\r").decode()
                values = [value.decode() for value in fields]
                found.rows.append((self._line + first, text, values))
            else:
                found.rejects.append((self._line + first, *problem, raw))
        return found

    def _problem(self, fields: list[bytes]) -> tuple[str, str] | None:
        limit = self._limits.field_bytes
        for number, value in enumerate(fields, start=1):
            if len(value) > limit:
                return "field_too_large", f"field {number} has {len(value)} bytes, limit {limit}"
        for number, value in enumerate(fields, start=1):
            try:
                value.decode()
            except UnicodeDecodeError as error:
                return "bad_encoding", f"field {number}: {error.reason} at byte {error.start}"
            if _NUL in value and not self._keep_nuls:
                return "nul_character", f"field {number}"
        return None if self._counts(fields) else self._miscount(len(fields))

    def _counts(self, fields: list[bytes]) -> bool:
        """Whether a record may have so many fields."""
        count = len(self._header.order)
        return len(fields) == count or (self._header.spills and len(fields) > count)


def _lines_with(
    data: np.ndarray[tuple[int], np.dtype[np.uint8]],
    starts: np.ndarray[tuple[int], np.dtype[np.int64]],
    byte: int,
    block: bytes,
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if byte not in block:
        return np.empty(0, dtype=np.int64)
    at = np.flatnonzero(data == byte)
    return np.unique(np.searchsorted(starts, at, side="right") - 1)


def _undecodable(
    block: bytes,
    starts: np.ndarray[tuple[int], np.dtype[np.int64]],
    ends: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> list[int]:
    try:
        block.decode()
    except UnicodeDecodeError:
        return [
            index
            for index, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True))
            if not _is_utf8(block[start:end])
        ]
    return []


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def record_frame(header: Header, rows: list[tuple[int, str, list[str]]]) -> pl.DataFrame:
    """Records by line, text and fields in the file's order, with the columns that are asked for."""
    count = len(header.order)
    repaired = [len(fields) > count for _, _, fields in rows]
    if header.spills:
        rows = [
            (line, text, [*fields[: count - 1], ",".join(fields[count - 1 :])])
            for line, text, fields in rows
        ]
    data: dict[str, pl.Series] = {
        name: pl.Series(name, [fields[at] for _, _, fields in rows], dtype=pl.String)
        for name, at in ((name, header.order.index(name)) for name in header.columns)
    }
    data["line"] = pl.Series("line", [line for line, _, _ in rows], dtype=pl.Int64)
    data["text"] = pl.Series("text", [text for _, text, _ in rows], dtype=pl.String)
    if header.marked:
        data["repaired"] = pl.Series("repaired", repaired, dtype=pl.Boolean)
    return pl.DataFrame(data)


def reject_frame(rejects: list[tuple[int, str, str, bytes]]) -> pl.DataFrame:
    """Rejects by line, reason, detail and original bytes, in order of lines."""
    rejects.sort(key=lambda reject: reject[0])
    rows = [
        (line, reason, detail or None, *original_text(raw)) for line, reason, detail, raw in rejects
    ]
    return pl.DataFrame(rows, schema=REJECT_SCHEMA, orient="row")


def too_long(size: int, limits: Limits) -> str:
    """What is said of a line of ``size`` bytes."""
    return f"a line of {size} bytes, at most {limits.line_bytes} are looked into"
