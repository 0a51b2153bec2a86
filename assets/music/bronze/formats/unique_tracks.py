"""The Million Song Dataset's list of all tracks, ``unique_tracks.txt``.

Belongs here: lines of this format. Does not: lines as such (``lines.py``), rules (``fields.py``).
Source: http://millionsongdataset.com/pages/getting-dataset (Additional Files): a line per track,
``track id<SEP>song id<SEP>artist name<SEP>song title``, the separator being these five characters.
UTF-8; a title may be empty.
Imported lazily: needs polars.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from assets.formats.values import BadValueError
from assets.music.bronze import fields
from assets.music.bronze.formats import lines
from landing.batch.chunks import Chunk

_SEP = "<SEP>"
_FIELDS = 4
_SONG_ID = re.compile(r"SO[0-9A-Z]{16}")
_LINE = re.compile(r"TR[0-9A-Z]{16}<SEP>SO[0-9A-Z]{16}<SEP>.*<SEP>.*")


def recognises(head: bytes) -> bool:
    """Whether a file begins like this."""
    return lines.recognises(head, lambda line: _LINE.fullmatch(line) is not None)


def read_unique_tracks(stream: BinaryIO) -> Iterator[Chunk]:
    """Chunks of records; ``line`` is the line in the file, from 1."""
    return lines.read_lines(stream, record)


def record(line: str) -> dict[str, Any]:
    """The record of one line. Raises BadValueError."""
    parts = line.split(_SEP, _FIELDS - 1)
    if len(parts) != _FIELDS:
        raise BadValueError("bad_line", f"{len(parts)} fields, expected track, song, artist, title")
    track, song, artist, title = parts
    if not _SONG_ID.fullmatch(song):
        raise BadValueError("bad_id", f"song_id is {song[:100]!r}, not one of Million Song's")
    raw = {
        "track_id": lines.track_id(track),
        "song_id": song,
        "artist_name": artist,
        "title": title,
    }
    return fields.record("unique_tracks", raw)
