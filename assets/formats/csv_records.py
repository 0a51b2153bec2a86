"""CSV with defects, read as a stream: every physical line ends as a record, a reject or a blank.

Belongs here: what readers of a pipeline call, block after block. Does not: how the file is written
(``csv_dialect``), the stream (``csv_lines``), the first line (``csv_header``), a block's lines
(``csv_blocks``, ``csv_plain``), quoted fields (``csv_quotes``), bounds and reasons (``csv_rules``),
what a column or a value means.

RFC 4180 comes first: a quoted field may hold line breaks, and what looks like a record in it is a
part of it. Only where a quoted field cannot be one (text follows the closing quote, or there is
none within ``Limits.record_bytes`` or before the file's end) is the line that opened it rejected,
and reading goes on with the next. A quote inside an unquoted field is data, as Python's csv module
has it; so is a CR alone where other lines end with LF. Blank lines hold no record. Lines are
numbered from 1, the file's first.
Imported lazily: needs polars, pyarrow and numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

from assets.formats.csv_blocks import Block, record_frame, reject_frame, too_long
from assets.formats.csv_dialect import SEPARATOR_LINE, Dialect, read_as_usual
from assets.formats.csv_header import Expected, Header, accepted, lowered
from assets.formats.csv_lines import Lines
from assets.formats.csv_rules import Limits
from landing.batch.chunks import Chunk

#: Given whole lines, the header and the first one's number: all of them as a chunk of the caller's
#: own columns, or None to have them looked at one by one.
Whole = Callable[[bytes, Header, int], Chunk | None]


def read_records(
    stream: BinaryIO,
    columns: Sequence[str],
    *,
    named: Callable[[list[str]], Sequence[str]] = lowered,
    keep_nuls: bool = False,
    spilling: str | None = None,
    limits: Limits | None = None,
    whole: Whole | None = None,
) -> Iterator[Chunk]:
    """Chunks of raw records: ``columns`` and ``text`` as strings, ``line`` of the first line.

    ``named`` says what the columns are called, from the first line's fields; whatever is not among
    ``columns`` is ignored, with a note in the first chunk, as is how the file is written.
    ``keep_nuls`` takes NUL characters for data. ``spilling`` is a text column whose commas were
    written without quotes: where it is the last one, it takes the fields beyond the header's, and
    the chunks have a column ``repaired``, true for such a record. Blocks that ``whole`` makes
    chunks of are theirs.
    Raises UnreadableObject before the first chunk: ``bad_header`` when a column is missing
    or there twice, and as csv_dialect.read_as_usual does.
    """
    limits = limits or Limits()
    expected = Expected(tuple(columns), named, spilling)
    with read_as_usual(stream, expected.known) as (dialect, text):
        lines = Lines(text, limits)
        first = lines.first()
        if first is not None and SEPARATOR_LINE.fullmatch(first):
            first = lines.first()
        if first is None:
            return
        header = accepted(first, expected)
        notes = _notes(dialect, header)
        # What was exchanged would be in a chunk of the caller's own, too.
        usual = None if dialect.exchanged else whole
        for chunk in _chunks(lines, header, limits, usual, keep_nuls=keep_nuls):
            yield replace(
                chunk,
                accepted=dialect.as_written(chunk.accepted),
                rejected=dialect.as_written(chunk.rejected),
                notes=notes,
            )
            notes = {}


def _notes(dialect: Dialect, header: Header) -> dict[str, int]:
    notes = dict.fromkeys(dialect.notes, 1)
    if header.ignored:
        notes[f"ignored columns: {', '.join(header.ignored)}"[:500]] = 1
    return notes


def _chunks(
    lines: Lines, header: Header, limits: Limits, whole: Whole | None, *, keep_nuls: bool
) -> Iterator[Chunk]:
    while lines.rest or not lines.ended:
        lines.fill()
        cut = lines.rest.rfind(b"\n") + 1
        if cut:
            block = lines.rest[:cut]
            chunk, used = whole and whole(block, header, lines.number), cut
            if chunk is None:
                chunk, used = Block(
                    block,
                    lines.number,
                    header,
                    limits,
                    keep_nuls=keep_nuls,
                    available=len(lines.rest),
                    ended=lines.ended,
                ).parse()
            lines.rest = lines.rest[used:]
            lines.number += chunk.lines
            del block
            yield chunk
        elif len(lines.rest) > limits.line_bytes:
            yield _overlong(lines, header, limits)
        elif lines.ended and lines.rest:
            lines.rest += b"\n"


def _overlong(lines: Lines, header: Header, limits: Limits) -> Chunk:
    number = lines.number
    kept, size = lines.drop_overlong()
    # The byte too many makes the text count as cut.
    reject = (number, "field_too_large", too_long(size, limits), kept + b" ")
    return Chunk(record_frame(header, []), reject_frame([reject]), lines=1, blank_lines=0)
