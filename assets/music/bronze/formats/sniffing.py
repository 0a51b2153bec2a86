"""A song file of any format: which one it is, and its records.

Belongs here: telling formats apart by what a file holds, never by its name. Does not: any format.
Imported lazily: needs polars, pyarrow, numpy and h5py.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

from assets.formats import sniffed
from assets.formats.hdf5 import is_hdf5
from assets.music.bronze.formats.extract import header, read_extract
from assets.music.bronze.formats.hdf5 import read_hdf5
from assets.music.bronze.formats.json_songs import read_json
from assets.music.bronze.formats.musixmatch import read_musixmatch, recognises
from landing.batch.chunks import Chunk, UnreadableObject, original_text

if TYPE_CHECKING:
    from landing.arrival.identity import ObjectVersion

#: How much of a file tells its format.
HEAD_BYTES = 256 * 1024


def read_records(stream: BinaryIO, version: ObjectVersion) -> Iterator[Chunk]:
    """Chunks with records.SCHEMA's columns, ``line`` (int64, from 1) and ``text`` (the original).

    ``line`` is the physical line of text files, else the number of the row or array entry. Memory
    is bounded whatever the file's size. Before its first chunk raises UnreadableObject:
    ``unknown_format``, ``bad_json``, ``corrupt_hdf5``, ``not_a_song_file``, ``external_link``,
    ``bad_header``.
    """
    head = sniffed.head(stream, HEAD_BYTES)
    whole = cast("BinaryIO", sniffed.Rejoined(head, stream))
    if is_hdf5(head):
        return read_hdf5(whole)
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text[:1] in {b"[", b"{"}:
        return read_json(whole, version.key)
    if recognises(head):
        return read_musixmatch(whole)
    if (columns := header(head)) is not None:
        return read_extract(whole, columns)
    detail = "neither HDF5, JSON, musiXmatch nor CSV of songs" if text else "an empty file"
    raise UnreadableObject("unknown_format", detail, original_text(head))
