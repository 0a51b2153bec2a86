"""Songs of the Last.fm dataset: a JSON object per file with tags and similar tracks.

Belongs here: the names of this layout. Does not: JSON (``json_text.py``), rules (``fields.py``).
Source: http://millionsongdataset.com/lastfm: ``{"artist", "timestamp", "similars": [[track id,
score], …], "tags": [[tag, count], …], "track_id", "title"}``, the track ids being Million Song's,
counts texts from 0 to 100, scores from 0 to 1. The tag with the highest count is the genre, where
no better source has one.
Imported lazily: needs polars.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from assets.formats.values import BadValueError, number, text
from assets.music.bronze import fields

_MOST_COUNT = 100.0


def recognises(entry: Mapping[str, Any]) -> bool:
    """Whether an object has this layout."""
    return "track_id" in entry and ("tags" in entry or "similars" in entry)


def record(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The record of one object. Raises BadValueError."""
    tags, bad_tags = _pairs(entry.get("tags"), _tag)
    similars, bad_similars = _pairs(entry.get("similars"), _similar)
    first = max(tags, key=lambda tag: tag["weight"], default=None)
    raw = {
        "track_id": fields.track_id(entry.get("track_id")),
        "title": entry.get("title"),
        "artist_name": entry.get("artist"),
        "genre": first["name"] if first else None,
        "tags": tags or None,
        "similars": similars or None,
    }
    found = fields.record("lastfm", raw)
    bad = [name for name, any_bad in (("tags", bad_tags), ("similars", bad_similars)) if any_bad]
    if bad:
        found[fields.BAD_VALUES] = [*found.get(fields.BAD_VALUES, ()), *bad]
    return found


def _pairs(
    listed: object, read: Callable[[object, object], dict[str, Any]]
) -> tuple[list[dict[str, Any]], bool]:
    """What the pairs of a list are, in their order, and whether anything in it was none."""
    found, bad = [], listed is not None and not isinstance(listed, list)
    for pair in listed if isinstance(listed, list) else ():
        try:
            if not isinstance(pair, list) or len(pair) != 2:  # noqa: PLR2004
                bad = True
                continue
            found.append(read(*pair))
        except BadValueError:
            bad = True
    return found, bad


def _tag(name: object, count: object) -> dict[str, Any]:
    cleaned = text("tags", name, limit=fields.GENRE_BYTES)
    return {"name": _there(cleaned), "weight": _between(number("tags", count), _MOST_COUNT)}


def _similar(track: object, score: object) -> dict[str, Any]:
    return {
        "track_id": _there(fields.track_id(track)),
        "score": _between(number("similars", score), 1.0),
    }


def _there(value: str | None) -> str:
    if value is None:
        raise BadValueError("bad_text", "empty")
    return value


def _between(value: float | None, most: float) -> float:
    if value is None or not 0 <= value <= most:
        raise BadValueError("out_of_range", f"{value} is not 0 to {most:g}")
    return value
