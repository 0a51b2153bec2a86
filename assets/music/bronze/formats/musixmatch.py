"""musiXmatch: the official lyrics of the Million Song Dataset as bags of words.

Belongs here: lines of this format. Does not: rules of values (``fields.py``).
Source: the head of the files themselves and http://millionsongdataset.com/musixmatch: a line that
begins with ``#`` is a comment, the one that begins with ``%`` lists the words, comma-separated,
and every other one is ``track id,musiXmatch track id,index:count,…`` with indices from 1. Words
are stems (Porter2) and kept so. UTF-8 throughout.
Imported lazily: needs polars, pyarrow and numpy.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np  # noqa: TID253
import polars as pl  # noqa: TID253
import pyarrow as pa  # noqa: TID253

from assets.formats.values import BadValueError
from assets.music.bronze import fields
from assets.music.bronze.formats.lines import LINE_BYTES, lines_of, too_long
from assets.music.bronze.formats.rows import (
    CHUNK_BYTES,
    CHUNK_ROWS,
    Reject,
    frame,
    noted,
    reject_frame,
)
from assets.music.bronze.records import SCHEMA
from landing.batch.chunks import Chunk, original_text

_WORD_BYTES = 256
#: Numbers that NumPy reads exactly; counts are int32.
_TRACK = re.compile(r"([^,]*),([0-9]{1,18})((?:,[0-9]{1,9}:[0-9]{1,9})*)")
_PAIR = re.compile(r"([0-9]{1,9}):([0-9]{1,9})")


def recognises(head: bytes) -> bool:
    """Whether a file begins like this: comments and blank lines, then the words."""
    for line in head.removeprefix(codecs.BOM_UTF8).split(b"\n"):
        if line.startswith(b"%"):
            return b"," in line
        if not line.startswith(b"#") and line.strip():
            return False
    return False


def read_musixmatch(stream: BinaryIO) -> Iterator[Chunk]:
    """Chunks of records; ``line`` is the line in the file, from 1.

    A word's index beyond the words, or a line before there are any, is rejected (``bad_word``).
    """
    batch = _Batch([])
    for number, line, size in lines_of(stream):
        batch.lines += 1
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)  # noqa: PLW2901
        if size > LINE_BYTES:
            batch.reject(number, "line_too_long", too_long(size), line)
        elif line.startswith(b"%"):
            if batch.rows:
                yield batch.chunk()
                batch = _Batch([])
            batch.words = _vocabulary(line)
        elif not line.startswith(b"#") and line.strip():
            batch.take(number, line)
        if batch.full:
            yield batch.chunk()
            batch = _Batch(batch.words)
    if batch.lines:
        yield batch.chunk()


def _vocabulary(line: bytes) -> list[str]:
    """The words of a ``%`` line; one that can't be read stands as its bytes."""
    words = line.rstrip(b"\r").removeprefix(b"%").split(b",")
    return [
        word[:_WORD_BYTES].decode(errors="backslashreplace").replace("\x00", "").strip()
        for word in words
    ]


class _Batch:
    """Lines on their way into a chunk; their words are made in one go."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.lines = 0
        self._bytes = 0
        self._good: list[tuple[int, str, re.Match[str]]] = []
        self._rejects: list[Reject] = []

    @property
    def rows(self) -> int:
        """Lines that are or should be a track's."""
        return len(self._good) + len(self._rejects)

    @property
    def full(self) -> bool:
        """Whether it is time to make the chunk."""
        return self.rows >= CHUNK_ROWS or self._bytes >= CHUNK_BYTES

    def take(self, number: int, line: bytes) -> None:
        """A line that should be a track's."""
        self._bytes += len(line)
        try:
            text = line.decode().removesuffix("\r")
        except UnicodeDecodeError as error:
            self.reject(number, "bad_encoding", f"{error.reason} at byte {error.start}", line)
            return
        if found := _TRACK.fullmatch(text):
            self._good.append((number, text, found))
        else:
            self.reject(number, *_problem(text), line)

    def reject(self, number: int, reason: str, detail: str, line: bytes) -> None:
        """A bad line."""
        self._rejects.append((number, reason, detail, *original_text(line)))

    def chunk(self) -> Chunk:
        """What was taken."""
        counts = _Counts([found[3] for _, _, found in self._good], len(self.words))
        records, lines, texts = [], [], []
        bad = Counter[str]()
        for (number, text, found), known in zip(self._good, counts.known, strict=True):
            if not known:
                detail = f"a count of 0, or an index beyond the {len(self.words)} words"
                self.reject(number, "bad_word", detail, text.encode())
                continue
            try:
                raw = {"track_id": found[1], "musixmatch_id": int(found[2])}
                record = fields.record("musixmatch", raw)
                bad.update(record.pop(fields.BAD_VALUES, ()))
                records.append(record)
            except BadValueError as error:
                self.reject(number, error.reason, error.detail, text.encode())
                continue
            lines.append(number)
            texts.append(text)
        kept = set(lines)
        taken = [number in kept for number, _, _ in self._good]
        accepted = frame(records, lines, texts, counts.lists(self.words, taken))
        rejected = reject_frame(sorted(self._rejects))
        rows = len(accepted) + len(rejected)
        return Chunk(accepted, rejected, self.lines, self.lines - rows, noted(bad))


class _Counts:
    """Index and count of every word of some lines, ``,1:2,7:1`` each."""

    def __init__(self, lines: list[str], words: int) -> None:
        self._sizes = np.array([line.count(":") for line in lines], dtype=np.int64)
        numbers = np.zeros(0, dtype=np.int64)
        if self._sizes.any():
            listed = "".join(lines).replace(":", ",")[1:]
            numbers = np.fromstring(listed, dtype=np.int64, sep=",")
        self._index, self._count = numbers[0::2] - 1, numbers[1::2]
        bad = (self._index < 0) | (self._index >= words) | (self._count < 1)
        owners = np.repeat(np.arange(len(lines)), self._sizes)
        good = np.ones(len(lines), dtype=bool)
        good[owners[bad]] = False
        #: Whether all words of a line are.
        self.known: list[bool] = good.tolist()

    def lists(self, words: list[str], taken: list[bool]) -> pl.Series:
        """The words of the ``taken`` lines, null for none."""
        chosen = np.array(taken, dtype=bool)
        sizes = self._sizes[chosen]
        pairs = np.repeat(chosen, self._sizes)
        each = pl.DataFrame(
            {
                "word": pl.Series(words, dtype=pl.String).gather(self._index[pairs]),
                "count": pl.Series(self._count[pairs], dtype=pl.Int32),
            }
        )
        offsets = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(sizes)))
        lists = pa.LargeListArray.from_arrays(
            pa.array(offsets), each.to_struct().to_arrow(), mask=pa.array(sizes == 0)
        )
        return pl.Series("lyrics_words", lists, dtype=SCHEMA["lyrics_words"])


def _problem(text: str) -> tuple[str, str]:
    """Why a line is no track's."""
    parts = text.split(",")
    if len(parts) < 2 or not parts[1].isdecimal():  # noqa: PLR2004
        return "bad_line", "expected track id, musiXmatch id, index:count, …"
    wrong = next((part for part in parts[2:] if not _PAIR.fullmatch(part)), parts[1])
    return "bad_word", f"{wrong[:100]!r} is not index:count"
