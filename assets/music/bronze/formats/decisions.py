"""An operator's word that two keys of songs are one song, or are two.

Belongs here: this layout, read and written. Does not: what follows (``silver/matching.py``).

A file like any other, as takedowns are. An entry is ``{"match": {"same": [KEY, KEY]}}`` or
``{"match": {"apart": [KEY, KEY]}}``; a ``why`` beside is for whoever reads the file.
Imported lazily: needs polars.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from assets.formats.values import BadValueError, identifier
from assets.music.bronze.records import KEY_BYTES
from assets.music.registry.bronze import Format

_FORMS: dict[str, Format] = {"same": "join", "apart": "split"}


def recognises(entry: Mapping[str, Any]) -> bool:
    """Whether an object has this layout."""
    return entry.keys() == {"match"} and isinstance(entry["match"], dict)


def record(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The record of one object: its key says it all. Raises BadValueError."""
    said = {word: entry["match"].get(word) for word in _FORMS if word in entry["match"]}
    if len(said) != 1:
        raise BadValueError("no_identity", "a match says either same or apart")
    [(word, keys)] = said.items()
    if not isinstance(keys, list) or len(keys) != 2:  # noqa: PLR2004  a pair
        raise BadValueError("no_identity", f"{word} takes two keys of songs")
    one, other = sorted(str(identifier("song_id", key)) for key in keys)
    if one == other or " " in one + other:
        raise BadValueError("bad_id", "two different keys without spaces are wanted")
    form = _FORMS[word]
    key = f"{form}:{one} {other}"
    if len(key) > KEY_BYTES:
        raise BadValueError("bad_id", f"the record's key has {len(key)} bytes")
    return {"format": form, "record_key": key}


def written(one: str, other: str, *, same: bool, why: str) -> bytes:
    """A file that says so of two keys."""
    word = "same" if same else "apart"
    return json.dumps([{"match": {word: [one, other], "why": why}}]).encode()
