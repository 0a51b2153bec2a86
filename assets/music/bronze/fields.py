"""What a value of a song may be: cleaning, numbers, ranges, and the record that they make.

Belongs here: rules that hold for every format. Does not: the columns and their ranges
(``registry/bronze.py``), where a format keeps its values (``formats/``), nor which record of a song
is believed (``silver``).
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

from assets.frame.tables import Column
from assets.music.bronze.records import KEY_BYTES, fingerprint
from assets.music.registry.bronze import CONTENT, Format

#: Bytes of UTF-8. Million Song fields hold at most 1,024.
NAME_BYTES = 8 * 1024
#: Genres, terms and tags are keys of tables.
GENRE_BYTES = 1024
LYRICS_BYTES = 1024 * 1024

_N = TypeVar("_N", int, float)

_TRACK_ID = re.compile(r"TR[0-9A-Z]{16}")
_ID = re.compile(r"[!-~]{1,100}")
#: Digits that a float would not keep all of.
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
#: How R, numpy and others write that there is no number.
_NO_NUMBER = frozenset({"", "na", "nan", "none", "null"})

#: Which id names a record of a format, the best first; the fingerprint when it has none of them.
_KEYS: dict[str, tuple[str, ...]] = {
    "hdf5": ("track_id", "song_id"),
    "extract": ("track_id", "song_id"),
    "song_list": (),
    "song_object": ("track_id", "song_id"),
    "lyrics": (),
    "musixmatch": ("track_id",),
}


class BadValueError(Exception):
    """A value that no song can have: the row is rejected with ``reason`` and ``detail``."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail[:500]


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

_IDS = frozenset({"song_id", "track_id", "artist_id"})
_TEXT_BYTES = {"genre": GENRE_BYTES, "lyrics_text": LYRICS_BYTES}
#: Columns that are made of the others.
_MADE = frozenset({"format", "fingerprint"})
#: Columns whose values the formats make themselves.
LISTS = tuple(column.name for column in CONTENT if column.fields)


def text(column: str, value: object, *, limit: int = NAME_BYTES) -> str | None:
    """Without NULs, lines ended by LF, stripped; None for what is then empty.

    Bytes must be UTF-8 (``bad_encoding``); ``limit`` is in bytes (``too_long``).
    """
    if value is None:
        return None
    if isinstance(value, bytes):
        value = _decoded(column, value)
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise BadValueError("bad_text", f"{column} is a {type(value).__name__}")
    if "\x00" in value:
        value = value.replace("\x00", "")
    if "\r" in value:
        value = value.replace("\r\n", "\n").replace("\r", "\n")
    value = value.strip()
    size = len(value) if value.isascii() else _utf8_size(column, value)
    if size > limit:
        raise BadValueError("too_long", f"{column} has {size} bytes, at most {limit}")
    return value or None


def identifier(column: str, value: object) -> str | None:
    """An id: 1 to 100 printable ASCII characters without white space, else ``bad_id``."""
    found = text(column, value)
    if found is not None and not _ID.fullmatch(found):
        raise BadValueError("bad_id", f"{column} is {found[:100]!r}")
    return found


def number(column: str, value: object) -> float | None:
    """A finite number from a number or its decimal text; ``bad_number`` for anything else."""
    if isinstance(value, str):
        value = _parsed(column, value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValueError("bad_number", f"{column} is {value!r:.100}")
    try:
        found = float(value)
    except OverflowError as error:
        raise BadValueError("bad_number", f"{column} is too large") from error
    if math.isnan(found):
        return None
    if math.isinf(found):
        raise BadValueError("bad_number", f"{column} is {found}")
    return found


def integer(column: str, value: object) -> int | None:
    """A whole number, also when given as a float (6.0); ``bad_number`` for 6.5."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = number(column, value)
    if found is None:
        return None
    if not found.is_integer():
        raise BadValueError("bad_number", f"{column} is {found}, not a whole number")
    return int(found)


def track_id_in(key: str) -> str | None:
    """The track id that an object's name is, whatever its folder and suffix."""
    stem = key.rpartition("/")[2].partition(".")[0]
    return stem if _TRACK_ID.fullmatch(stem) else None


def record(form: Format, raw: Mapping[str, object]) -> dict[str, Any]:
    """A record: columns of records.SCHEMA that have a value, without the hash.

    ``raw`` maps columns to values as a file has them; LISTS are taken as they are. Raises
    BadValueError, also for a row that identifies no song (``no_identity``).
    """
    found: dict[str, Any] = {"format": form}
    for column, value in raw.items():
        if value is not None and (kept := _RULES[column](column, value)) is not None:
            found[column] = kept
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


def _decoded(column: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadValueError(
            "bad_encoding", f"{column}: {error.reason} at byte {error.start}"
        ) from error


def _utf8_size(column: str, value: str) -> int:
    try:
        return len(value.encode())
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can escape
        raise BadValueError("bad_encoding", f"{column}: lone surrogate") from error


def _parsed(column: str, value: str) -> float | None:
    try:
        found = float(value)
    except ValueError:
        if value.strip().lower() in _NO_NUMBER:
            return None
        raise BadValueError("bad_number", f"{column} is {value[:100]!r}") from None
    # Python also takes 1_000 and digits of other scripts.
    if "_" in value or not value.isascii():
        raise BadValueError("bad_number", f"{column} is {value[:100]!r}")
    return found


def _in_range(column: str, value: _N | None, bounds: _Range) -> _N | None:
    if value is None or value in bounds.unknown:
        return None
    if bounds.low <= value <= bounds.high and value > bounds.above:
        return value
    raise BadValueError("out_of_range", f"{column} is {value}")


def _integer_rule(bounds: _Range) -> Callable[[str, object], int | None]:
    low, high, unknown = bounds.low, bounds.high, bounds.unknown

    def rule(column: str, value: object) -> int | None:
        # Most values are what they should be; this is called some ten times a row.
        if type(value) is int and low <= value <= high and value not in unknown:
            return value
        return _in_range(column, integer(column, value), bounds)

    return rule


def _float_rule(bounds: _Range) -> Callable[[str, object], float | None]:
    low, high, above, unknown = bounds.low, bounds.high, bounds.above, bounds.unknown

    def rule(column: str, value: object) -> float | None:
        if type(value) is float and low <= value <= high and value > above and value not in unknown:
            return value
        return _in_range(column, number(column, value), bounds)

    return rule


def _as_it_is(_: str, value: object) -> object:
    return value


def _rule(column: Column) -> Callable[[str, object], object]:
    if column.fields:
        return _as_it_is
    if column.type in _INTEGERS:
        return _integer_rule(_range(column, *_INTEGERS[column.type]))
    if column.type == "double precision":
        return _float_rule(_range(column, -sys.float_info.max, sys.float_info.max))
    if column.name in _IDS:
        return identifier
    return partial(text, limit=_TEXT_BYTES.get(column.name, NAME_BYTES))


_RULES = {column.name: _rule(column) for column in CONTENT if column.name not in _MADE}

#: Columns that a file may give.
GIVEN = frozenset(_RULES)
