"""What a value of a song may be, by its column, and the record that the values make.

Belongs here: rules that hold for every format. Does not: the columns and their ranges
(``registry/bronze.py``), what any value may be (``assets/formats/values.py``), where a format keeps
its values (``formats/``), nor which record of a song is believed (``silver``).
Imported lazily: needs polars.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from assets.formats.values import BadValueError, identifier, integer, number, text
from assets.frame.tables import Column
from assets.music.bronze.records import KEY_BYTES, fingerprint
from assets.music.registry.bronze import CONTENT, Format

#: Bytes of UTF-8. Genres, terms and tags are keys of tables.
GENRE_BYTES = 1024
LYRICS_BYTES = 1024 * 1024

_N = TypeVar("_N", int, float)

_TRACK_ID = re.compile(r"TR[0-9A-Z]{16}")
#: Which id names a record of a format, the best first; the fingerprint when it has none of them.
_KEYS: dict[str, tuple[str, ...]] = {
    "hdf5": ("track_id", "song_id"),
    "extract": ("track_id", "song_id"),
    "song_list": (),
    "song_object": ("track_id", "song_id"),
    "lyrics": (),
    "musixmatch": ("track_id",),
    "spotify": ("track_id",),
    "unique_tracks": ("track_id",),
    "genres": ("track_id",),
    "lastfm": ("track_id",),
}


@dataclass(frozen=True, slots=True)
class _Range:
    """Bounds of a number; ``above`` is an open lower bound. ``unknown`` values mean no value."""

    low: float
    high: float
    above: float
    unknown: frozenset[float]


def _range(column: Column, low: float, high: float) -> _Range:
    return _Range(
        low if column.minimum is None else column.minimum,
        high if column.maximum is None else column.maximum,
        -math.inf if column.above is None else column.above,
        _UNKNOWN.get(column.name, frozenset()),
    )


#: What stands for no value. 0 is how Million Song writes an unknown year, a tempo that was not
#: found, and a danceability or energy that was not analysed; -1 an unknown key, mode or release.
_UNKNOWN: dict[str, frozenset[float]] = {
    **dict.fromkeys(("year", "tempo", "danceability", "energy"), frozenset({0.0})),
    **dict.fromkeys(("key", "mode"), frozenset({-1.0})),
    **dict.fromkeys(("album_release_id", "musixmatch_id"), frozenset({0.0, -1.0})),
}
#: The least and the most that a type holds.
_INTEGERS = {"smallint": (-(2**15), 2**15 - 1), "bigint": (-(2**63), 2**63 - 1)}
_FINITE = (-sys.float_info.max, sys.float_info.max)

_IDS = frozenset({"song_id", "track_id", "artist_id"})
#: Columns without which, or with another's value in which, it would be another song.
_NAMING = frozenset({"song_id", "track_id", "title", "artist_name"})
#: Under which a record lists the columns whose values could not be; no column itself.
BAD_VALUES = "bad_values"
_TEXT_BYTES = {"genre": GENRE_BYTES, "lyrics_text": LYRICS_BYTES}
#: Columns that are made of the others.
_MADE = frozenset({"format", "fingerprint"})
#: Columns whose values the formats make themselves.
LISTS = tuple(column.name for column in CONTENT if column.fields)


def track_id_in(key: str) -> str | None:
    """The track id that an object's name is, whatever its folder and suffix."""
    stem = key.rpartition("/")[2].partition(".")[0]
    return stem if _TRACK_ID.fullmatch(stem) else None


def track_id(value: object) -> str | None:
    """A track id of the Million Song dataset. Raises BadValueError (``bad_id``) for another."""
    found = identifier("track_id", value)
    if found is not None and not _TRACK_ID.fullmatch(found):
        raise BadValueError("bad_id", f"track_id is {found[:100]!r}, not one of Million Song's")
    return found


def record(form: Format, raw: Mapping[str, object]) -> dict[str, Any]:
    """A record: columns of records.SCHEMA that have a value, without the hash.

    ``raw`` maps columns to values as a file has them; LISTS are taken as they are. A value that
    cannot be, of a column that does not name the song, is none, and its column is listed under
    BAD_VALUES. A song of an artist may have an empty title. Raises BadValueError for any other, and
    for a row that identifies no song (``no_identity``).
    """
    found: dict[str, Any] = {"format": form}
    bad: list[str] = []
    for column, value in raw.items():
        if value is None:
            continue
        try:
            kept = _RULES[column](column, value)
        except BadValueError as error:
            if column in _NAMING or error.reason == "bad_encoding":
                raise
            bad.append(column)
            continue
        if kept is not None:
            found[column] = kept
    if bad:
        found[BAD_VALUES] = bad
    if raw.get("title") == "" and "artist_name" in found and not _IDS & found.keys():
        found["title"] = ""
    title = found.get("title")
    if title is not None:
        found["fingerprint"] = fingerprint(found.get("artist_name"), title, found.get("album"))
    found["record_key"] = _record_key(form, found)
    return found


def _record_key(form: Format, found: Mapping[str, Any]) -> str:
    for name in (*_KEYS[form], "fingerprint"):
        if name in found:
            key = f"{form}:{found[name]}"
            if len(key) > KEY_BYTES:
                raise BadValueError("bad_id", f"the record's key has {len(key)} bytes")
            return key
    raise BadValueError("no_identity", "neither song id, track id nor title")


def terms(
    column: str, names: Iterable[object], weights: Iterable[object]
) -> list[dict[str, Any]] | None:
    """Terms or tags with their weight or count, empty names left out; None when there are none."""
    found = [
        {"name": cleaned, "weight": number(column, weight)}
        for name, weight in zip(names, weights, strict=True)
        if (cleaned := text(column, name, limit=GENRE_BYTES)) is not None
    ]
    return found or None


def _in_range(column: str, value: _N | None, bounds: _Range) -> _N | None:
    if value is None or value in bounds.unknown:
        return None
    if bounds.low <= value <= bounds.high and value > bounds.above:
        return value
    raise BadValueError("out_of_range", f"{column} is {value}")


def _number_rule(
    kind: type[_N], cleaned: Callable[[str, object], _N | None], bounds: _Range
) -> Callable[[str, object], _N | None]:
    low, high, above, unknown = bounds.low, bounds.high, bounds.above, bounds.unknown

    def rule(column: str, value: object) -> _N | None:
        # Most values are what they should be; this is called some twenty times a row.
        if type(value) is kind and low <= value <= high and value > above and value not in unknown:
            return value
        return _in_range(column, cleaned(column, value), bounds)

    return rule


def _as_it_is(_: str, value: object) -> object:
    return value


def _rule(column: Column) -> Callable[[str, object], object]:
    if column.fields:
        return _as_it_is
    if column.type in _INTEGERS:
        return _number_rule(int, integer, _range(column, *_INTEGERS[column.type]))
    if column.type == "double precision":
        return _number_rule(float, number, _range(column, *_FINITE))
    if column.name in _IDS:
        return identifier
    if column.name in _TEXT_BYTES:
        return partial(text, limit=_TEXT_BYTES[column.name])
    return text


_RULES = {column.name: _rule(column) for column in CONTENT if column.name not in _MADE}

#: Columns that a file may give.
GIVEN = frozenset(_RULES)
