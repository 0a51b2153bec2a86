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

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

import polars as pl  # noqa: TID253

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
#: Of which a table of something else, like a log of what was heard, has one at most beside an id.
_OF_SONGS = frozenset(
    ("artist_name", "tempo", "duration", "loudness", "song_hotttnesss", "album", "key", "mode")
)
_ENOUGH = 2


def columns(cells: list[str]) -> tuple[str, ...] | None:
    """The columns, all different, named as in a record where it has them; None for other CSV."""
    names = named(cells)
    has_id = any(name in names for name in _IDS)
    of_songs = "title" in names or len(_OF_SONGS & set(names)) >= _ENOUGH
    return names if has_id and of_songs else None


def read_extract(stream: BinaryIO, found: tuple[str, ...]) -> Iterator[Chunk]:
    """Chunks of records; ``line`` is the record's first line, the header's being 1.

    ``found`` is what :func:`columns` said of the header.
    """
    chunks = read_records(stream, found, named=named, keep_nuls=True)
    given = [name for name in found if name in fields.GIVEN and name not in fields.LISTS]
    for chunk in chunks:
        yield _checked(chunk, given)


def named(cells: list[str]) -> tuple[str, ...]:
    """Names as in a record where it has them; others, and what is there twice, by their number."""
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
    notes = {**chunk.notes, **made.notes}
    return replace(chunk, accepted=made.accepted, rejected=rejected, notes=notes)
