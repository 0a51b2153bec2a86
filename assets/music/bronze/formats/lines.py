"""Text files of one record per line: lines in bounded memory, and their records.

Belongs here: what holds for lines of any format. Does not: any format, rules (``fields.py``).
Imported lazily: needs polars.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from assets.formats.values import BadValueError
from assets.music.bronze import fields
from assets.music.bronze.formats.rows import Rows
from landing.batch.chunks import TEXT_BYTES, Chunk

_BLOCK_BYTES = 1024 * 1024
#: The longest line that is looked into; a track with 5,000 different words has some 40,000 bytes.
LINE_BYTES = 1024 * 1024
#: One byte too many makes the text count as cut.
_KEPT_BYTES = TEXT_BYTES + 1
#: Lines, comments apart, of which one must be a format's for the file to be.
_LOOKED_AT = 5


def recognises(head: bytes, of_format: Callable[[str], bool]) -> bool:
    """Whether one of the first whole lines that are no comment is of a format."""
    *whole, _ = (head.removeprefix(codecs.BOM_UTF8) + b"\n").split(b"\n")
    lines = [line for line in whole if line.strip() and not line.startswith(b"#")]
    return any(of_format(line.decode(errors="replace").strip()) for line in lines[:_LOOKED_AT])


def read_lines(stream: BinaryIO, record: Callable[[str], dict[str, Any]]) -> Iterator[Chunk]:
    """Chunks of records, ``line`` from 1; comments (``#``) and blank lines are none.

    ``record`` makes a line's, or raises BadValueError.
    """
    rows = Rows()
    for number, raw, size in lines_of(stream):
        line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        if size > LINE_BYTES:
            rows.reject(number, "line_too_long", too_long(size), line)
        elif line.strip() and not line.startswith(b"#"):
            try:
                text = line.decode().removesuffix("\r")
                rows.accept(number, record(text), text)
            except UnicodeDecodeError as error:
                detail = f"{error.reason} at byte {error.start}"
                rows.reject(number, "bad_encoding", detail, line)
            except BadValueError as error:
                rows.reject(number, error.reason, error.detail, line)
        if rows.full:
            yield rows.take()
    if len(rows):
        yield rows.take()


def track_id(text: str) -> str:
    """A track id, which must be there. Raises BadValueError (``bad_id``)."""
    found = fields.track_id(text)
    if found is None:
        raise BadValueError("bad_id", "there is no track id")
    return found


def too_long(size: int) -> str:
    """What is said of a line of so many bytes."""
    return f"a line of {size} bytes, at most {LINE_BYTES} are looked into"


def lines_of(stream: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Line number, line without its LF, and its size; of overlong ones only the beginning."""
    number, rest, dropped = 1, b"", 0
    while block := stream.read(_BLOCK_BYTES):
        *whole, tail = block.split(b"\n")
        for part in whole:
            line = rest + part if dropped == 0 else rest
            yield number, line, len(line) if dropped == 0 else dropped + len(part)
            number, rest, dropped = number + 1, b"", 0
        if dropped:
            dropped += len(tail)
        else:
            rest += tail
            if len(rest) > LINE_BYTES:
                rest, dropped = rest[:_KEPT_BYTES], len(rest)
    if rest:
        yield number, rest, dropped or len(rest)
