"""One song per file as a JSON object with Million Song names, the track id being the file's name.

Belongs here: the names of this layout. Does not: JSON (``json_text.py``), rules (``fields.py``).
Source: the subset of the Million Song fields that is common in teaching material on data lakes,
``{"num_songs", "artist_id", "artist_latitude", "artist_longitude", "artist_location",
"artist_name", "song_id", "title", "duration", "year"}``; the fields mean what they do in
http://millionsongdataset.com/faq (year 0 = unknown, coordinates null where unknown).
Imported lazily: needs polars.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assets.music.bronze import fields

_MARKS = ("song_id", "artist_name", "num_songs")
_COLUMNS = (
    "song_id",
    "track_id",
    "title",
    "artist_id",
    "artist_name",
    "artist_location",
    "artist_latitude",
    "artist_longitude",
    "duration",
    "year",
)


def recognises(entry: Mapping[str, Any]) -> bool:
    """Whether an object has this layout."""
    return any(name in entry for name in _MARKS)


def record(entry: Mapping[str, Any], track_id: str | None) -> dict[str, Any]:
    """The record of one object; ``track_id`` is the file name's. Raises BadValueError."""
    raw = {name: entry.get(name) for name in _COLUMNS}
    raw["track_id"] = track_id or raw["track_id"]
    return fields.record("song_object", raw)
