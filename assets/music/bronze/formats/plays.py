"""The Echo Nest's taste profile: who played which song how often, ``user<TAB>song<TAB>plays``.

Belongs here: lines of this format, and the one record that stands for a file of them. Does not: the
facts in Postgres (``assets/music/plays``), lines of other formats (``lines.py``).
Source: http://millionsongdataset.com/tasteprofile (``train_triplets.txt``, 48 million lines, and
``kaggle_visible_evaluation_triplets.txt``): a user of 40 hex digits, a Million Song song id and a
count, no header.

A record per line would cost the ledger more than the line. A file is one record instead, which
says how many pairs of user and song it holds, and of which content; the pairs are read again from
the file's copy. Of a pair that a file has twice the last line counts, the others are superseded.
A version with rejected lines takes nothing back: it is a record beside that of the last whole one.
Imported lazily: needs polars and numpy.
"""

from __future__ import annotations

import codecs
import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Self

import polars as pl  # noqa: TID253

from assets.formats.values import BadValueError
from assets.music.bronze.formats import lines
from assets.music.bronze.formats.rows import Rows
from landing.batch.chunks import Chunk

if TYPE_CHECKING:
    import numpy as np

#: What is looked at at once: some 60,000 lines.
BLOCK_BYTES = 4 * 1024 * 1024
_FIELDS = 3
_USER = re.compile(r"[0-9a-f]{40}")
_SONG = re.compile(r"SO[0-9A-Z]{16}")
_COUNT = re.compile(r"0|[1-9][0-9]*")
_GOOD = r"[0-9a-f]{40}\tSO[0-9A-Z]{16}\t[1-9][0-9]{0,8}"
_GOOD_LINE = re.compile(_GOOD)
#: Where the parts of a good line are; user and song together are its pair.
_USER_AT, _SONG_AT, _PLAYS_AT, _PAIR = (0, 40), (41, 18), 60, (0, 59)

#: Pairs that are held in memory, and files over which more of them are spread.
HELD_PAIRS = 500_000
_FILES = 64


def recognises(head: bytes) -> bool:
    """Whether a file begins like this."""
    return lines.recognises(head, lambda line: _GOOD_LINE.fullmatch(line) is not None)


def read_plays(stream: BinaryIO) -> Iterator[Chunk]:
    """Chunks of rejected lines, and a last one with the record that stands for all others.

    The record's line is the one behind the last.
    """
    content, accepted, rejected, end = hashlib.sha256(), 0, 0, 1
    with _Pairs() as pairs:
        for block in blocks(stream, content):
            if len(block.lines):
                accepted += len(block.lines)
                pairs.add(block.lines["text"].str.slice(*_PAIR))
            rejected, end = rejected + len(block.rejected), block.end
            if len(block.rejected):
                yield block.rejected.take()
        repeated = pairs.repeated()
    if not accepted:
        return
    digest, held = content.hexdigest(), accepted - repeated
    key = f"plays:{digest[:16]}" if rejected else "plays"
    said = {"sha256": digest, "pairs": held, "repeated": repeated, "rejected": rejected}
    rows = Rows()
    rows.accept(end, {"record_key": key, "format": "plays", "plays": [said]}, "")
    yield replace(rows.take(), stands_for=held, superseded=repeated)


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive lines of a file: the good ones, ``text`` and ``line`` from 1, and the others.

    ``end`` is the number of the line behind them.
    """

    lines: pl.DataFrame
    rejected: Rows
    end: int

    @property
    def facts(self) -> pl.DataFrame:
        """The good ones as ``user_id``, ``song_id``, ``plays`` and ``line``."""
        text = pl.col("text")
        return self.lines.select(
            text.str.slice(*_USER_AT).alias("user_id"),
            text.str.slice(*_SONG_AT).alias("song_id"),
            text.str.slice(_PLAYS_AT).cast(pl.Int32).alias("plays"),
            "line",
        )


def blocks(stream: BinaryIO, content: Any = None) -> Iterator[Block]:
    """All lines but the blank ones, in order and in bounded memory.

    ``content`` is a hash of hashlib, which is given the bytes of the file.
    """
    number = 1
    for piece in _whole_lines(stream, content):
        data = piece.removeprefix(codecs.BOM_UTF8) if number == 1 else piece
        block = _block(data, number)
        number = block.end
        yield block


def _whole_lines(stream: BinaryIO, content: Any) -> Iterator[bytes]:
    """The file in pieces of whole lines; of an overlong one the beginning, as one line."""
    rest, skips = b"", False
    while data := stream.read(BLOCK_BYTES):
        if content is not None:
            content.update(data)
        if skips:
            _, ended, data = data.partition(b"\n")
            skips = not ended
        data = rest + data
        end = data.rfind(b"\n") + 1
        if end:
            yield data[:end]
        rest = data[end:]
        if len(rest) > lines.LINE_BYTES:
            yield rest[: lines.LINE_BYTES + 1]
            rest, skips = b"", True
    if rest:
        yield rest


def _block(data: bytes, number: int) -> Block:
    """The lines of a piece, of which the first is of this ``number``."""
    ended = data.removesuffix(b"\n")
    # What is no UTF-8 makes a line no good one, whatever stands for it.
    text = pl.Series("text", [ended.decode(errors="replace")]).str.split("\n").explode()
    if b"\r" in ended:
        text = text.str.strip_suffix("\r")
    good = text.str.contains(f"^{_GOOD}$")
    end = number + len(text)
    found = pl.DataFrame([text, pl.int_range(number, end, eager=True).alias("line")])
    rejected = Rows()
    if not good.all():
        raw = ended.split(b"\n")
        for place in (~good).arg_true():
            _reject(rejected, number + place, raw[place])
        found = found.filter(good)
    return Block(found, rejected, end)


def _reject(rejected: Rows, number: int, raw: bytes) -> None:
    if raw.strip():
        try:
            _require(raw)
        except BadValueError as error:
            rejected.reject(number, error.reason, error.detail, raw)


def _require(raw: bytes) -> None:
    """Raises BadValueError with what is wrong with a line that is no good one."""
    if len(raw) > lines.LINE_BYTES:
        detail = f"a line above the {lines.LINE_BYTES} bytes that are looked into"
        raise BadValueError("line_too_long", detail)
    try:
        fields = raw.decode().removesuffix("\r").split("\t")
    except UnicodeDecodeError as error:
        raise BadValueError("bad_encoding", f"{error.reason} at byte {error.start}") from error
    if len(fields) != _FIELDS:
        raise BadValueError("bad_line", f"{len(fields)} fields, expected user, song and plays")
    user, song, plays = fields
    if not _USER.fullmatch(user):
        raise BadValueError("bad_id", f"user is {user[:100]!r}, not 40 hex digits")
    if not _SONG.fullmatch(song):
        raise BadValueError("bad_id", f"song_id is {song[:100]!r}, not one of Million Song's")
    reason = "out_of_range" if _COUNT.fullmatch(plays) else "bad_number"
    raise BadValueError(reason, f"plays is {plays[:100]!r}, not a whole number of 1 to 9 digits")


class _Pairs:
    """How many pairs were there before, in bounded memory; use as a context manager.

    Of each pair 128 bits of hash are kept: among a hundred million pairs two of one hash are a
    chance in 10^22. Many are spread over files by their hash, each of which fits into memory.
    """

    def __init__(self) -> None:
        self._held: list[np.ndarray[Any, Any]] = []
        self._count = 0
        self._files: list[IO[bytes]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, pairs: pl.Series) -> None:
        """Take these into account."""
        import numpy as np

        hashes = [pairs.hash(seed).to_numpy() for seed in (1, 2)]
        self._held.append(np.column_stack(hashes))
        self._count += len(pairs)
        if self._count >= HELD_PAIRS:
            self._spread()

    def repeated(self) -> int:
        """How many of all pairs are no first ones."""
        import numpy as np

        if not self._files:
            return _repeated(np.concatenate(self._held)) if self._held else 0
        self._spread()
        found = 0
        for file in self._files:
            file.seek(0)
            found += _repeated(np.frombuffer(file.read(), dtype=np.uint64).reshape(-1, 2))
        return found

    def _spread(self) -> None:
        import numpy as np

        if not self._files:
            for _ in range(_FILES):
                made = tempfile.TemporaryFile(prefix="quintet-")  # noqa: SIM115 - the stack's
                self._files.append(self._stack.enter_context(made))
        if not self._held:
            return
        held = np.concatenate(self._held)
        self._held, self._count = [], 0
        place = held[:, 0] % _FILES
        held = held[np.argsort(place, kind="stable")]
        ends = np.cumsum(np.bincount(place.astype(np.int64), minlength=_FILES))
        for file, part in zip(self._files, np.split(held, ends[:-1]), strict=True):
            file.write(part.tobytes())


def _repeated(hashes: np.ndarray[Any, Any]) -> int:
    import numpy as np

    held = hashes[np.argsort(hashes[:, 0])]
    alike = np.flatnonzero(held[1:, 0] == held[:-1, 0])
    if not len(alike):
        return 0
    # Of the few whose first halves are alike, the second ones tell.
    some = held[np.union1d(alike, alike + 1)]
    return len(some) - len(np.unique(some, axis=0))
