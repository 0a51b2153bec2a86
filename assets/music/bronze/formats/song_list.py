"""Songs as a JSON array of flat objects: ``[{"title": …, "artist": …, "tempo": …}, …]``.

Belongs here: the names of this layout. Does not: JSON (``json_text.py``), rules (``fields.py``).
Source: the layout that exports of audio features commonly have; names and units are those of
Spotify's and The Echo Nest's track features (duration in seconds, tempo in beats per minute,
loudness in dB, key 0 = C to 11 = B, mode 1 = major), with ``lyrics`` null where there are none.
``key`` and ``mode`` are often floats. Several artists are joined by ``;`` in ``artist``.
Imported lazily: needs polars.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assets.music.bronze import fields

_COLUMNS = {
    "title": "title",
    "artist": "artist_name",
    "duration": "duration",
    "artist_location": "artist_location",
    "album": "album",
    "tempo": "tempo",
    "key": "key",
    "loudness": "loudness",
    "mode": "mode",
    "time_signature": "time_signature",
    "year": "year",
    "genre": "genre",
    "lyrics": "lyrics_text",
}
#: So many of the names make an entry a song even without title or artist.
_ENOUGH = 3
#: Names that what is no song does not have: paintings have a title, an artist and a year, too.
_OF_SONGS = frozenset(
    ("duration", "album", "tempo", "key", "loudness", "mode", "time_signature", "lyrics")
)


def recognises(entry: Mapping[str, Any]) -> bool:
    """Whether an object has this layout."""
    known = _COLUMNS.keys() & entry.keys()
    return bool(known & _OF_SONGS) and ({"title", "artist"} <= known or len(known) >= _ENOUGH)


def record(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The record of one object. Raises BadValueError."""
    return fields.record("song_list", {to: entry.get(name) for name, to in _COLUMNS.items()})
