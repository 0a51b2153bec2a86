"""Extracts of the Million Song Dataset as CSV, as R's write.csv and pandas' to_csv make them.

Belongs here: the columns' names and what R writes. Does not: CSV (``assets/formats``),
rules (``fields.py``).
Source: https://stat.ethz.ch/R-manual/R-devel/library/utils/html/write.table.html (text in double
quotes, quotes in it doubled, a first column without a name for row numbers, NA without quotes for
what is missing) and the field list in http://millionsongdataset.com/faq for the columns, ``tid``
being the track id. Arrays stand in a field as numpy prints them, ``[0.71054 2.71502 …]``, some
over several lines. They, ``topic`` and other columns that a record has not are ignored.
Imported lazily: needs polars.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

import polars as pl  # noqa: TID253

from assets.formats import sniffed
from assets.formats.csv_records import read_records
from assets.formats.values import BadValueError
from assets.music.bronze import fields
from assets.music.bronze.formats.rows import Rows
from landing.batch.chunks import Chunk

_OTHER_NAMES = {
    "tid": "track_id",
    "artist": "artist_name",
    "release": "album",
    "release_7digitalid": "album_release_id",
}
_IDS = ("track_id", "song_id")
#: What a CSV file of something else hardly has beside an id of a track or song.
_SONG_COLUMNS = frozenset(
    {"title", "artist_name", "tempo", "duration", "loudness", "song_hotttnesss", "album"}
)


def header(head: bytes) -> tuple[str, ...] | None:
    """The columns, all different, named as in a record where it has them; None for other CSV."""
    line = sniffed.first_line(head)
    try:
        cells = next(csv.reader([line.decode()], strict=True), [])
    except (UnicodeDecodeError, csv.Error):
        return None
    names = _named(cells)
    if not any(name in names for name in _IDS) or not _SONG_COLUMNS & set(names):
        return None
    return names


def read_extract(stream: BinaryIO, columns: tuple[str, ...]) -> Iterator[Chunk]:
    """Chunks of records; ``line`` is the record's first line, the header's being 1.

    ``columns`` is what :func:`header` found.
    """
    chunks = read_records(stream, columns, named=_named, keep_nuls=True)
    given = [name for name in columns if name in fields.GIVEN and name not in fields.LISTS]
    for chunk in chunks:
        yield _checked(chunk, given)


def _named(cells: list[str]) -> tuple[str, ...]:
    names: list[str] = []
    for number, cell in enumerate(cells):
        name = cell.strip().lower()
        name = _OTHER_NAMES.get(name, name)
        # Row numbers have no name; what is named twice is believed once.
        names.append(f"column {number}" if not name or name in names else name)
    return tuple(names)


def _checked(chunk: Chunk, given: list[str]) -> Chunk:
    rows = Rows()
    for *values, line, text in chunk.accepted.select(*given, "line", "text").iter_rows():
        raw = dict(zip(given, values, strict=True))
        if "NA" in values and '"NA"' not in text:
            raw = {name: None if value == "NA" else value for name, value in raw.items()}
        try:
            rows.accept(line, fields.record("extract", raw), text)
        except BadValueError as error:
            rows.reject(line, error.reason, error.detail, text.encode())
    made = rows.take()
    rejected = pl.concat([chunk.rejected, made.rejected]).sort("line")
    return replace(chunk, accepted=made.accepted, rejected=rejected)
