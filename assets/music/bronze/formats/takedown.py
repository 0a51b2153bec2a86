"""An operator's word that a song is to be shown nowhere: by its key, or by one of its tracks.

Belongs here: this layout, read and written. Does not: what becomes of the song (``silver``), and
whole files that are taken down (``bronze/taken_down.py``).

It is a file like any other, so that it is remembered and ordered as every file is, and is taken
back by a version that no longer says it. An entry is ``{"takedown": {"song": KEY}}`` or
``{"takedown": {"track": ID}}``; a ``why`` beside is for whoever reads the file.
Imported lazily: needs polars.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from assets.formats.values import BadValueError, identifier
from assets.music.bronze import fields

_NAMED = re.compile(r"fp-([0-9a-f]{32})")


def recognises(entry: Mapping[str, Any]) -> bool:
    """Whether an object has this layout."""
    return entry.keys() == {"takedown"} and isinstance(entry["takedown"], dict)


def record(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The record of one object. Raises BadValueError (``no_identity``, ``bad_id``)."""
    said = entry["takedown"]
    song = identifier("song_id", said.get("song"))
    track = fields.track_id(said.get("track"))
    if (song is None) == (track is None):
        raise BadValueError("no_identity", "a takedown names either a song or a track")
    found: dict[str, Any] = {"format": "takedown", "record_key": f"takedown:{song or track}"}
    if song is None:
        return {**found, "track_id": track}
    # Of a song without an id the name is its key.
    named = _NAMED.fullmatch(song)
    if named:
        return {**found, "fingerprint": named[1], "title": ""}
    return {**found, "song_id": song}


def written(song_key: str, track_ids: Iterable[str], why: str) -> bytes:
    """A file that takes a song down, under whichever key its tracks come to have one."""
    entries = [{"song": song_key}, *({"track": track} for track in track_ids)]
    return json.dumps([{"takedown": {**entry, "why": why}} for entry in entries]).encode()
