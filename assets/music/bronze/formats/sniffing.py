"""A song file of any format: which one it is, and its records.

Belongs here: telling formats apart by what a file holds, never by its name. Does not: any format.
Imported lazily: needs polars, pyarrow, numpy and h5py.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, cast

from assets.formats import sniffed
from assets.formats.csv_dialect import cells, read_as_usual
from assets.formats.gzipped import plain
from assets.formats.hdf5 import is_hdf5
from assets.music.bronze.formats import extract, genre_lines, plays, spotify, unique_tracks
from assets.music.bronze.formats.hdf5 import read_hdf5
from assets.music.bronze.formats.json_songs import read_json
from assets.music.bronze.formats.musixmatch import read_musixmatch, recognises
from landing.batch.chunks import Chunk, UnreadableObject, original_text
from landing.batch.origins import of_object

if TYPE_CHECKING:
    from landing.arrival.identity import ObjectVersion

#: How much of a file tells its format.
HEAD_BYTES = 256 * 1024
#: A line of musiXmatch's table of stems.
_STEM = re.compile(rb"[^\r\n]{1,100}<SEP>[^\r\n]{1,100}\r?(\n|$)")
#: Columns of a table that is none of songs, of which so many are named.
_NAMED = 8


def read_records(stream: BinaryIO, version: ObjectVersion) -> Iterator[Chunk]:
    """Chunks with records.SCHEMA's columns, ``line`` (int64, from 1) and ``text`` (the original).

    Each record belongs to its object: what two files say of one song are two records.

    ``line`` is the physical line of text files, else the number of the row or array entry. Memory
    is bounded whatever the file's size; one that is compressed with gzip is read all the same.
    Before its first chunk raises UnreadableObject: ``unknown_format``, ``bad_json``,
    ``corrupt_hdf5``, ``not_a_song_file``, ``external_link``, ``bad_header``, ``bad_gzip``.
    """
    with plain(stream) as text:
        for chunk in _read(cast("BinaryIO", text), version.key):
            yield replace(chunk, accepted=of_object(chunk.accepted, "record_key", version.key))


def _read(stream: BinaryIO, key: str) -> Iterator[Chunk]:
    head = sniffed.head(stream, HEAD_BYTES)
    whole = cast("BinaryIO", sniffed.Rejoined(head, stream))
    if is_hdf5(head):
        return read_hdf5(whole)
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text[:1] in {b"[", b"{"}:
        return read_json(whole, key)
    if (by_line := _by_line(head, whole)) is not None:
        return by_line
    header = _header(head)
    if (columns := spotify.columns(header)) is not None:
        return spotify.read_spotify(whole, columns)
    if (columns := extract.columns(header)) is not None:
        return extract.read_extract(whole, columns)
    raise UnreadableObject("unknown_format", _looks_like(text, header), original_text(head))


def _by_line(head: bytes, whole: BinaryIO) -> Iterator[Chunk] | None:
    """The records of a file that has one per line, without a header; None for any other."""
    if recognises(head):
        return read_musixmatch(whole)
    if unique_tracks.recognises(head):
        return unique_tracks.read_unique_tracks(whole)
    if plays.recognises(head):
        return plays.read_plays(whole)
    if genre_lines.recognises(head):
        return genre_lines.read_genre_lines(whole)
    return None


def _header(head: bytes) -> list[str]:
    """The first line's fields, if it may be one of CSV."""
    with read_as_usual(io.BytesIO(head), _known) as (_, text):
        return cells(sniffed.first_line(sniffed.head(text, HEAD_BYTES)))


def _known(fields: list[str]) -> int:
    """How many of a header's columns some format of songs has."""
    named = [*extract.named(fields), *spotify.named(fields)]
    return sum(not name.startswith("column ") for name in named)


def _looks_like(text: bytes, header: list[str]) -> str:
    if not text:
        return "an empty file"
    if _STEM.match(text):
        return "musiXmatch's table of stems and words: it has no songs, and search needs none"
    if len(header) < 2:  # noqa: PLR2004  one field may be anything
        return "neither HDF5, JSON, musiXmatch nor CSV of songs"
    named = ", ".join(header[:_NAMED])
    return (
        f"CSV of {named}: songs need track_id or song_id and a title or two of their figures, or"
        " Spotify's track_id, track_name, artists and duration_ms"
    )[:500]
