"""CSV with defects, read as a stream: every physical line ends as a record, a reject or a blank.

Belongs here: lines, encodings, field counts. Does not: where a quoted field ends (``csv_quotes``),
what a column or a value means.
A line ends with LF or CRLF; a lone CR is data. A quote inside an unquoted field is data, too, as
Python's csv module has it. Blank lines hold no record. Lines are numbered from 1, the header's.

A quoted field may hold line breaks. That it was never closed is told by any of: text follows the
closing quote; it is still open after ``Limits.record_lines`` lines or ``record_bytes`` bytes; a
whole line inside it is a record of its own (right number of fields, and where the anchor column
stands, what only stands there). Then only the line that opened it is rejected and reading goes on
with the next.
Imported lazily: needs polars, pyarrow and numpy.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np  # noqa: TID253
import polars as pl  # noqa: TID253
import pyarrow as pa  # noqa: TID253

from assets.formats.csv_quotes import OpenRecordError, UnclosedQuoteError, scan_record
from landing.batch.chunks import REJECT_SCHEMA, Chunk, UnreadableObject, original_text
from landing.batch.reasons import CORRECT_FILE, RejectReason

_LF, _CR, _COMMA, _QUOTE, _NUL = 10, 13, 44, 34, 0
DATE = re.compile(rb'\s*"?\d{4}-\d\d-\d\d')
#: A header longer than this is none.
_HEADER_BYTES = 64 * 1024
#: How much of an overlong line is kept for the quarantine.
_KEPT_BYTES = 64 * 1024


#: What :func:`read_records` rejects lines, records and files for.
CSV_REASONS = (
    RejectReason(
        "bad_header", "the first line does not name exactly the columns: the file", CORRECT_FILE
    ),
    RejectReason("bad_encoding", "not UTF-8"),
    RejectReason("nul_character", "a NUL in it"),
    RejectReason("too_few_fields", "fewer fields than the header has"),
    RejectReason("too_many_fields", "more fields than the header has"),
    RejectReason("field_too_large", "a field above 1 MiB, or a line above 8 MiB"),
    RejectReason(
        "unclosed_quote",
        "a quote that is not closed within 1,000 lines or 2 MiB; the next line is read anew",
        final="unclosed quote: among other rows it could swallow the next one; correct it",
    ),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what is held in memory, in bytes except ``record_lines``.

    ``line_bytes`` is the longest physical line that is looked into at all.
    """

    block_bytes: int = 1024 * 1024
    field_bytes: int = 1024 * 1024
    record_bytes: int = 2 * 1024 * 1024
    record_lines: int = 1_000
    line_bytes: int = 8 * 1024 * 1024


@dataclass(slots=True)
class _Found:
    """What one block gave outside the vectorised path."""

    rows: list[tuple[int, str, list[str]]] = field(default_factory=list)
    rejects: list[tuple[int, str, str, bytes]] = field(default_factory=list)
    covered: list[tuple[int, int]] = field(default_factory=list)
    #: Offset from which an open record waits for more input.
    carry_from: int | None = None


def read_records(
    stream: BinaryIO,
    columns: Sequence[str],
    *,
    anchor: str,
    anchor_value: re.Pattern[bytes] = DATE,
    named: Callable[[list[str]], Sequence[str]] | None = None,
    keep_nuls: bool = False,
    limits: Limits | None = None,
) -> Iterator[Chunk]:
    """Chunks of raw records: ``columns`` and ``text`` as strings, ``line`` of the first line.

    ``anchor`` is the column that in every good record begins with what ``anchor_value`` matches.
    ``named`` says what the columns are called, from the first line's fields, where they are not
    called what stands there. ``keep_nuls`` takes NUL characters for data. Raises UnreadableObject
    (``bad_header``) when the first line does not name exactly ``columns``, in any order.
    """
    header = _Header(tuple(columns), anchor, anchor_value, named or list)
    return _Reader(stream, header, limits or Limits(), keep_nuls=keep_nuls).chunks()


@dataclass(frozen=True, slots=True)
class _Header:
    """What the first line must say, and how records are told."""

    columns: tuple[str, ...]
    anchor: str
    anchor_value: re.Pattern[bytes]
    named: Callable[[list[str]], Sequence[str]]


class _Reader:
    def __init__(
        self, stream: BinaryIO, header: _Header, limits: Limits, *, keep_nuls: bool
    ) -> None:
        self._stream = stream
        self._header = header
        self._columns = header.columns
        self._limits = limits
        self._keep_nuls = keep_nuls
        self._order = header.columns
        self._anchor_at = 0
        self._line = 1
        self._tail = b""
        self._eof = False

    def chunks(self) -> Iterator[Chunk]:
        if not self._read_header():
            return
        while self._tail or not self._eof:
            self._fill()
            cut = self._tail.rfind(b"\n") + 1
            if cut:
                buffer, carry = self._tail, 0
                chunk, carry = self._block(buffer[:cut], len(buffer))
                self._tail = buffer[carry:]
                del buffer
                yield chunk
            elif len(self._tail) > self._limits.line_bytes:
                yield self._overlong()
            elif self._eof and self._tail:
                self._tail += b"\n"

    def _fill(self) -> None:
        """Read one more block behind the tail; short reads of a network stream are joined."""
        if self._eof:
            return
        parts, missing = [self._tail], self._limits.block_bytes
        while missing > 0:
            data = self._stream.read(missing)
            if not data:
                self._eof = True
                break
            parts.append(data)
            missing -= len(data)
        self._tail = b"".join(parts)
        unended = len(self._tail) - self._tail.rfind(b"\n") - 1
        if self._eof and 0 < unended <= self._limits.line_bytes:
            self._tail += b"\n"

    def _read_header(self) -> bool:
        self._fill()
        self._tail = self._tail.removeprefix(codecs.BOM_UTF8)
        while True:
            end = self._tail.find(b"\n", 0, _HEADER_BYTES)
            while end < 0 and not self._eof and len(self._tail) < _HEADER_BYTES:
                self._fill()
                end = self._tail.find(b"\n", 0, _HEADER_BYTES)
            if end < 0 and not self._tail:
                return False
            if end < 0:
                raise UnreadableObject(
                    "bad_header", "the first line is no header", original_text(self._tail)
                )
            line, self._tail = self._tail[: end + 1].rstrip(b"\r\n"), self._tail[end + 1 :]
            self._line += 1
            if line:
                self._accept_header(line)
                return True
            if not self._tail and self._eof:
                return False

    def _accept_header(self, line: bytes) -> None:
        text = original_text(line)
        try:
            fields = next(csv.reader([line.decode()], strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise UnreadableObject("bad_header", str(error), text) from error
        names = self._header.named([name.strip() for name in fields])
        if sorted(names) != sorted(self._columns):
            missing = sorted(set(self._columns) - set(names))
            unknown = sorted(set(names) - set(self._columns))
            detail = f"expected {', '.join(self._columns)}; missing {missing}, unknown {unknown}"
            raise UnreadableObject("bad_header", detail[:500], text)
        self._order = tuple(names)
        self._anchor_at = names.index(self._header.anchor)

    def _overlong(self) -> Chunk:
        """Drop the line at the front, reading on to its end; its beginning is kept."""
        kept, size = self._tail[:_KEPT_BYTES], 0
        while (end := self._tail.find(b"\n")) < 0 and not self._eof:
            size += len(self._tail)
            self._tail = b""
            self._fill()
        size += end if end >= 0 else len(self._tail)
        self._tail = self._tail[end + 1 :] if end >= 0 else b""
        # The byte too many makes the text count as cut.
        rejects = [(self._line, "field_too_large", self._too_long(size), kept + b" ")]
        self._line += 1
        return Chunk(self._frame([]), _reject_frame(rejects), lines=1, blank_lines=0)

    def _too_long(self, size: int) -> str:
        return f"a line of {size} bytes, at most {self._limits.line_bytes} are looked into"

    def _block(self, block: bytes, available: int) -> tuple[Chunk, int]:
        """Parse whole lines; also returns the offset up to which they are used up."""
        data = np.frombuffer(block, dtype=np.uint8)
        ends = np.flatnonzero(data == _LF) + 1
        starts = np.concatenate((np.zeros(1, dtype=np.int64), ends[:-1]))
        lengths = ends - starts
        special = lengths - 1 > self._limits.field_bytes
        special[_lines_with(data, starts, _QUOTE, block)] = True
        special[_undecodable(block, starts, ends)] = True
        found = self._special_records(block, starts, ends, np.flatnonzero(special), available)

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
        wanted = len(self._columns) - 1
        fast = free & ~nul & (commas == wanted)
        for index in np.flatnonzero(free & ~fast).tolist():
            line = block[starts[index] : ends[index]]
            fields = int(commas[index]) + 1
            problem = ("nul_character", "") if nul[index] else self._miscount(fields)
            found.rejects.append((self._line + index, *problem, line))
        accepted = self._fast_frame(block, starts, ends, fast)
        if found.rows:
            accepted = pl.concat([accepted, self._frame(found.rows)]).sort("line")
        chunk = Chunk(accepted, _reject_frame(found.rejects), used, int(blank.sum()))
        self._line += used
        return chunk, len(block) if used == len(starts) else int(starts[used])

    def _miscount(self, fields: int) -> tuple[str, str]:
        reason = "too_few_fields" if fields < len(self._columns) else "too_many_fields"
        return reason, f"{fields} fields, expected {len(self._columns)}"

    def _fast_frame(
        self,
        block: bytes,
        starts: np.ndarray[tuple[int], np.dtype[np.int64]],
        ends: np.ndarray[tuple[int], np.dtype[np.int64]],
        fast: np.ndarray[tuple[int], np.dtype[np.bool_]],
    ) -> pl.DataFrame:
        """Lines without quotes and defects, split by polars straight from the block's memory."""
        if not fast.any():
            return self._frame([])
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
        split = text.str.split_exact(",", len(self._columns) - 1).struct.unnest()
        split.columns = list(self._order)
        return split.select(self._columns).with_columns(numbers, text)

    def _frame(self, rows: list[tuple[int, str, list[str]]]) -> pl.DataFrame:
        at = [self._order.index(name) for name in self._columns]
        data: dict[str, pl.Series] = {
            name: pl.Series(name, [fields[i] for _, _, fields in rows], dtype=pl.String)
            for name, i in zip(self._columns, at, strict=True)
        }
        data["line"] = pl.Series("line", [line for line, _, _ in rows], dtype=pl.Int64)
        data["text"] = pl.Series("text", [text for _, text, _ in rows], dtype=pl.String)
        return pl.DataFrame(data)

    def _special_records(
        self,
        block: bytes,
        starts: np.ndarray[tuple[int], np.dtype[np.int64]],
        ends: np.ndarray[tuple[int], np.dtype[np.int64]],
        special: np.ndarray[tuple[int], np.dtype[np.int64]],
        available: int,
    ) -> _Found:
        """Records that begin in the ``special`` lines, one by one."""
        found, count, next_free = _Found(), len(starts), 0
        for first in special.tolist():
            if first < next_free:
                continue
            start, bound = int(starts[first]), first + self._limits.record_lines
            size = int(ends[first]) - start - 1
            if size > self._limits.line_bytes:
                # As if the line had not fitted into a block: what is said must not depend on it.
                found.covered.append((first, first + 1))
                raw = block[start : start + _KEPT_BYTES] + b" "
                found.rejects.append(
                    (self._line + first, "field_too_large", self._too_long(size), raw)
                )
                continue
            stop = int(ends[min(bound, count) - 1])
            stop = min(stop, start + self._limits.record_bytes)
            stop = max(stop, int(ends[first]))
            grows = (
                not self._eof
                and stop == len(block)
                and bound > count
                and available - start <= self._limits.record_bytes
            )
            try:
                fields, end = scan_record(block, start, stop, grows=grows)
                after = int(np.searchsorted(ends, end)) + 1
                for inside in range(first + 1, after - 1):
                    self._refuse_record_inside(block, int(starts[inside]), int(ends[inside]))
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
        if len(fields) != len(self._columns):
            return self._miscount(len(fields))
        return None

    def _refuse_record_inside(self, block: bytes, start: int, end: int) -> None:
        if block.count(b",", start, end) < len(self._columns) - 1:
            return
        try:
            fields, _ = scan_record(block, start, end, grows=False)
        except UnclosedQuoteError:
            return
        anchored = self._header.anchor_value.match
        if len(fields) == len(self._columns) and anchored(fields[self._anchor_at]):
            raise UnclosedQuoteError(
                "a quoted field is open at the end of the line, records follow"
            )


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


def _reject_frame(rejects: list[tuple[int, str, str, bytes]]) -> pl.DataFrame:
    rejects.sort(key=lambda reject: reject[0])
    rows = [
        (line, reason, detail or None, *original_text(raw)) for line, reason, detail, raw in rejects
    ]
    return pl.DataFrame(rows, schema=REJECT_SCHEMA, orient="row")
