"""CSV with defects, read as a stream: every physical line ends as a record, a reject or a blank.

Belongs here: what readers of a pipeline call, block after block. Does not: the stream
(``csv_lines``), the first line (``csv_header``), a block's lines (``csv_blocks``, ``csv_plain``),
quoted fields (``csv_quotes``), bounds and reasons (``csv_rules``), what a column or a value means.
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

import re
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from assets.formats.csv_blocks import Block, record_frame, reject_frame, too_long
from assets.formats.csv_header import Expected, Header, accepted
from assets.formats.csv_lines import Lines
from assets.formats.csv_rules import Limits
from landing.batch.chunks import Chunk

#: Given whole lines, the header and the first one's number: all of them as a chunk of the caller's
#: own columns, or None to have them looked at one by one.
Whole = Callable[[bytes, Header, int], Chunk | None]

DATE = re.compile(rb'\s*"?\d{4}-\d\d-\d\d')


def read_records(
    stream: BinaryIO,
    columns: Sequence[str],
    *,
    anchor: str,
    anchor_value: re.Pattern[bytes] = DATE,
    named: Callable[[list[str]], Sequence[str]] | None = None,
    keep_nuls: bool = False,
    spilling: str | None = None,
    limits: Limits | None = None,
    whole: Whole | None = None,
) -> Iterator[Chunk]:
    """Chunks of raw records: ``columns`` and ``text`` as strings, ``line`` of the first line.

    ``anchor`` is the column that in every good record begins with what ``anchor_value`` matches.
    ``named`` says what the columns are called, from the first line's fields, where they are not
    called what stands there. ``keep_nuls`` takes NUL characters for data. ``spilling`` is a text
    column whose commas were written without quotes: where it is the last one, it takes the fields
    beyond the header's, and the chunks have a column ``repaired``, true for such a record. Blocks
    that ``whole`` makes chunks of are theirs. Raises
    UnreadableObject (``bad_header``) when the first line does not name exactly ``columns``, in any
    order.
    """
    limits = limits or Limits()
    lines = Lines(stream, limits)
    first = lines.first()
    if first is None:
        return
    expected = Expected(tuple(columns), anchor, anchor_value, named or list, spilling)
    header = accepted(first, expected)
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
