"""Songs of the Last.fm dataset: a JSON object per file with tags and similar tracks.

Belongs here: the names of this layout. Does not: JSON (``json_text.py``), rules (``fields.py``).
Source: http://millionsongdataset.com/lastfm: ``{"artist", "timestamp", "similars": [[track id,
score], …], "tags": [[tag, count], …], "track_id", "title"}``, the track id being Million Song's and
counts texts from 0 to 100. The tag with the highest count is the genre, where no better source
has one; similar tracks are not kept.
Imported lazily: needs polars.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assets.music.bronze import fields


def recognises(entry: Mapping[str, Any]) -> bool:
    """Whether an object has this layout."""
    return "track_id" in entry and ("tags" in entry or "similars" in entry)


def record(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The record of one object. Raises BadValueError."""
    raw = {
        "track_id": fields.track_id(entry.get("track_id")),
        "title": entry.get("title"),
        "artist_name": entry.get("artist"),
        "genre": _first_tag(entry.get("tags")),
    }
    return fields.record("lastfm", raw)


def _first_tag(tags: object) -> str | None:
    """The tag with the highest count, the first of several; None of what are no tags."""
    found: list[tuple[float, str]] = []
    for tag in tags if isinstance(tags, list) else ():
        match tag:
            case [str(name), str() | int() | float() as count] if str(count).isdecimal():
                found.append((float(count), name))
    return max(found, key=lambda one: one[0])[1] if found else None
