"""Tables of Spotify's track features as CSV, under Spotify's own ids.

Belongs here: the columns' names and what they hold. Does not: CSV (``assets/formats``), rules
(``fields.py``).
Source: https://developer.spotify.com/documentation/web-api/reference/get-audio-features and the
exports of it that are common: ``track_id`` or ``id`` (22 characters of base 62), ``track_name`` or
``name``, ``artists`` (several joined by ``;`` or ``,`` in brackets), ``album_name`` or ``album``,
``duration_ms``, ``key`` (0 to 11, or its name), ``mode`` (1 or Major, 0 or Minor), ``tempo``,
``loudness``, ``time_signature``. Other columns are ignored.
Imported lazily: needs polars.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

import polars as pl  # noqa: TID253

from assets.formats.csv_records import read_records
from assets.formats.values import BadValueError
from assets.music.bronze import fields
from assets.music.bronze.formats.rows import Rows
from landing.batch.chunks import Chunk

ID = re.compile(r"[0-9A-Za-z]{22}")
_NAMES = {
    "track_id": "track_id", "id": "track_id",
    "track_name": "title", "name": "title",
    "artists": "artist_name", "artist_name": "artist_name", "artist": "artist_name",
    "album_name": "album", "album": "album",
    "duration_ms": "duration", "key": "key", "mode": "mode", "tempo": "tempo",
    "loudness": "loudness", "time_signature": "time_signature", "track_genre": "genre",
    "danceability": "danceability", "energy": "energy",
}  # fmt: skip
REQUIRED = ("track_id", "title", "artist_name", "duration")
#: Pitch classes, 0 = C: https://en.wikipedia.org/wiki/Pitch_class
_KEYS = {
    name: number
    for number, names in enumerate(
        ("C", "C# Db", "D", "D# Eb", "E", "F", "F# Gb", "G", "G# Ab", "A", "A# Bb", "B")
    )
    for name in names.split()
}
_MODES = {"major": 1, "minor": 0}
_LIST = re.compile(r"\[(.*)\]")


def columns(cells: list[str]) -> tuple[str, ...] | None:
    """What the columns of a header are called here; None where one that is required is missing."""
    names = named(cells)
    return names if set(REQUIRED) <= set(names) and "duration_ms" in map(_lowered, cells) else None


def named(cells: list[str]) -> tuple[str, ...]:
    """Our names of the columns; others, and what is there twice, by their number."""
    names: list[str] = []
    for number, cell in enumerate(cells):
        name = _NAMES.get(_lowered(cell), "")
        names.append(f"column {number}" if not name or name in names else name)
    return tuple(names)


def read_spotify(stream: BinaryIO, found: tuple[str, ...]) -> Iterator[Chunk]:
    """Chunks of records; ``found`` is what :func:`columns` said of the header."""
    given = [name for name in found if not name.startswith("column ")]
    for chunk in read_records(stream, given, named=named, keep_nuls=True):
        yield _checked(chunk, given)


def _checked(chunk: Chunk, given: list[str]) -> Chunk:
    rows = Rows()
    for *values, line, text in chunk.accepted.select(*given, "line", "text").iter_rows():
        try:
            rows.accept(line, record(dict(zip(given, values, strict=True))), text)
        except BadValueError as error:
            rows.reject(line, error.reason, error.detail, text.encode())
    made = rows.take()
    rejected = pl.concat([chunk.rejected, made.rejected]).sort("line")
    notes = {**chunk.notes, **made.notes}
    return replace(chunk, accepted=made.accepted, rejected=rejected, notes=notes)


def record(raw: dict[str, str | None]) -> dict[str, object]:
    """The record of one row. Raises BadValueError."""
    track_id = (raw["track_id"] or "").strip()
    if not ID.fullmatch(track_id):
        raise BadValueError("bad_id", f"track_id is {track_id[:100]!r}, not one of Spotify's")
    values: dict[str, object] = {**raw, "track_id": track_id}
    values["artist_name"] = _artists(raw["artist_name"])
    if duration := (raw["duration"] or "").strip():
        values["duration"] = _seconds(duration)
    for name, spelled in (("key", _KEYS), ("mode", _MODES)):
        text = (raw.get(name) or "").strip()
        known = {key.lower(): value for key, value in spelled.items()}
        values[name] = known.get(text.lower(), text or None)
    return fields.record("spotify", values)


def _artists(text: str | None) -> str | None:
    """Joined by ``;``, as we have them: Python's lists as text, too."""
    listed = _LIST.fullmatch((text or "").strip())
    if not listed:
        return text
    return ";".join(re.findall(r"""['"](.+?)['"](?:,|$)""", listed[1])) or None


def _seconds(milliseconds: str) -> float | str:
    try:
        return float(milliseconds) / 1000
    except ValueError:
        return milliseconds


def _lowered(cell: str) -> str:
    return cell.strip().lower()
