"""Genres of the Million Song Dataset's tracks as lines, ``track id<TAB>genre[<TAB>genre]``.

Belongs here: lines of this format. Does not: lines as such (``lines.py``), rules (``fields.py``),
which genre a song gets (``silver``).
Source: https://www.tagtraum.com/msd_genre_datasets.html (CD1, CD2 and CD2C: lines that begin with
``#`` are comments; CD1 has the genre of most votes and, where there is one, a minority's behind it)
and http://www.ifs.tuwien.ac.at/mir/msd/ (MAGD and MASD: one genre, no comments). All genres of a
line are kept, in its order. One track is in several of these files, which need not agree: each
is a source of its own.
Imported lazily: needs polars.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from assets.formats.values import BadValueError, text
from assets.music.bronze import fields
from assets.music.bronze.formats import lines
from landing.batch.chunks import Chunk

#: A genre has a letter: what is counted of a track is none.
_LINE = re.compile(r"TR[0-9A-Z]{16}\t(?=[^\t]*[^\W\d_])[^\t]+(\t(?=[^\t]*[^\W\d_])[^\t]+)?")
_MOST_FIELDS = 3


def recognises(head: bytes) -> bool:
    """Whether a file begins like this, comments apart."""
    return lines.recognises(head, lambda line: _LINE.fullmatch(line) is not None)


def read_genre_lines(stream: BinaryIO) -> Iterator[Chunk]:
    """Chunks of records; ``line`` is the line in the file, from 1."""
    return lines.read_lines(stream, record)


def record(line: str) -> dict[str, Any]:
    """The record of one line. Raises BadValueError."""
    track, *named = line.rstrip("\t").split("\t")
    if not 1 <= len(named) < _MOST_FIELDS:
        raise BadValueError(
            "bad_line", f"{1 + len(named)} fields, expected track and 1 or 2 genres"
        )
    genres = [text("genre", name, limit=fields.GENRE_BYTES) for name in named]
    if None in genres:
        raise BadValueError("bad_line", "a genre is empty")
    raw = {
        "track_id": lines.track_id(track),
        "genre": genres[0],
        "genres": [{"name": name} for name in genres],
    }
    return fields.record("genres", raw)
