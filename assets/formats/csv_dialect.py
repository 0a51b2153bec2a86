"""How a CSV file was written, and its text in the one way that we read.

Belongs here: telling compression, encoding, line ends and delimiter by the first bytes and lines;
the text as UTF-8 with commas and LF, and values as they were. Does not: what the header says
(``csv_header.py``), any record.

A delimiter and the comma are exchanged throughout, and so are CR and LF where lines end with CR
alone. Each is one byte that is part of no other character of UTF-8: exchanging them again gives a
value as it was written.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from assets.formats import sniffed
from assets.formats.gzipped import MAGIC as GZIP
from assets.formats.gzipped import plain
from landing.batch.chunks import UnreadableObject

if TYPE_CHECKING:
    import polars as pl

DELIMITERS = (",", ";", "\t", "|")
#: What Excel reads, and writes, before a header to name the delimiter; not a part of the table.
SEPARATOR_LINE = re.compile(rb'"?sep=(.)"?[\r\n]*', re.IGNORECASE)

_HEAD_BYTES = 64 * 1024
_ZIP = b"PK\x03\x04"
_UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)  # the former begins as UTF-16 does
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NAMES = {";": "semicolon", "\t": "tab", "|": "pipe"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file was written."""

    gzip: bool = False
    encoding: str = "UTF-8"
    delimiter: str = ","
    #: Whether lines end with CR alone.
    cr: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not as usual, in words."""
        said = {
            "gzip": self.gzip,
            self.encoding: self.encoding != "UTF-8",
            f"delimiter {_NAMES.get(self.delimiter)}": self.delimiter != ",",
            "lines end with CR": self.cr,
        }
        return tuple(note for note, holds in said.items() if holds)

    @property
    def exchanged(self) -> tuple[tuple[str, str], ...]:
        """Pairs of characters that the text which is read has in each other's place."""
        pairs = []
        if self.delimiter != ",":
            pairs.append((self.delimiter, ","))
        if self.cr:
            pairs.append(("\r", "\n"))
        return tuple(pairs)

    def line_as_written(self, line: bytes) -> bytes:
        """Bytes of the text that is read, in UTF-8 still, with its own delimiter and line ends."""
        return line.translate(_table(self.exchanged)) if self.exchanged else line

    def as_written(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame's texts with what was exchanged in its own place again."""
        import polars as pl

        there = [one for pair in self.exchanged for one in pair]
        back = [other for one, two in self.exchanged for other in (two, one)]
        if not there:
            return frame
        return frame.with_columns(pl.col(pl.String).str.replace_many(there, back))


@contextmanager
def read_as_usual(
    stream: BinaryIO, score: Callable[[list[str]], int]
) -> Iterator[tuple[Dialect, BinaryIO]]:
    """How a file is written, and its text with commas and LF in UTF-8.

    ``score`` tells of a header's fields how many of them are known: the delimiter is that by which
    most are (``len``, where it does not matter which). What cannot be decoded comes as bytes that
    are no UTF-8 either. Raises UnreadableObject: ``bad_gzip``, ``archive`` for a zip archive,
    ``bad_encoding`` for UTF-32.
    """
    head = sniffed.head(stream, len(_ZIP))
    if head == _ZIP:
        raise UnreadableObject("archive", "a zip archive; an Excel workbook is one, too")
    with plain(cast("BinaryIO", sniffed.Rejoined(head, stream))) as text:
        yield _recognised(text, score, gzip=head.startswith(GZIP))


def _recognised(
    text: IO[bytes], score: Callable[[list[str]], int], *, gzip: bool
) -> tuple[Dialect, BinaryIO]:
    head = sniffed.head(text, _HEAD_BYTES)
    whole: IO[bytes] = cast("IO[bytes]", sniffed.Rejoined(head, text))
    if head.startswith(_UTF32):
        raise UnreadableObject("bad_encoding", "UTF-32; UTF-8 and UTF-16 are read")
    utf16 = head.startswith(_UTF16)
    if utf16:
        whole = cast("IO[bytes]", _Decoded(whole))
        head = sniffed.head(whole, _HEAD_BYTES)
        whole = cast("IO[bytes]", sniffed.Rejoined(head, whole))
    cr = _ends_with_cr(head)
    if cr:
        head = head.translate(_table([("\r", "\n")]))
    dialect = Dialect(gzip, "UTF-16" if utf16 else "UTF-8", _delimiter(head, score), cr)
    if dialect.exchanged:
        whole = cast("IO[bytes]", _Exchanged(whole, _table(dialect.exchanged)))
    return dialect, cast("BinaryIO", whole)


def _ends_with_cr(head: bytes) -> bool:
    """Whether the first line that ends does so with CR alone: CR CR LF is a spoiled CR LF."""
    first = head.find(b"\r")
    if first < 0 or head.find(b"\n", 0, first) > -1:
        return False
    return not head.startswith((b"\r\n", b"\r\r\n"), first)


def _delimiter(head: bytes, score: Callable[[list[str]], int]) -> str:
    line = sniffed.first_line(head)
    if named := SEPARATOR_LINE.fullmatch(line):
        found = named[1].decode(errors="replace")
        return found if found in DELIMITERS else ","
    return max(DELIMITERS, key=lambda one: score(cells(line, one)))


def cells(line: bytes, delimiter: str = ",") -> list[str]:
    """A header's fields; none of what is no line of CSV."""
    try:
        return next(csv.reader([line.decode()], strict=True, delimiter=delimiter), [])
    except (UnicodeDecodeError, csv.Error):
        return []


def _table(pairs: Sequence[tuple[str, str]]) -> bytes:
    one, other = ("".join(side).encode() for side in zip(*pairs, strict=True))
    return bytes.maketrans(one + other, other + one)


class _Exchanged:
    """A stream in which bytes stand in each other's place."""

    def __init__(self, stream: IO[bytes], table: bytes) -> None:
        self._stream, self._table = stream, table

    def read(self, size: int) -> bytes:
        return self._stream.read(size).translate(self._table)


class _Decoded:
    """A stream of UTF-16 as UTF-8, read in pieces.

    Half a surrogate pair stays one, which is no UTF-8; of a cut off end a byte is left that is
    none.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-16")("surrogatepass")
        self._ended = False

    def read(self, size: int) -> bytes:
        while not self._ended:
            data = self._stream.read(max(size // 2, 4))
            self._ended = not data
            try:
                text = self._decoder.decode(data, final=self._ended)
            except UnicodeDecodeError:
                return b"\xff"
            if text:
                return text.encode("utf-8", "surrogatepass")
        return b""
