"""JSON files of songs: which layout an entry has, and its record.

Belongs here: telling the layouts apart, by entry. Does not: the layouts (``song_list.py``,
``song_object.py``, ``lyrics.py`` and others), syntax (``json_text.py``).
Imported lazily: needs polars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from assets.formats.json_text import Entry, read_document
from assets.formats.values import BadValueError
from assets.music.bronze.fields import track_id_in
from assets.music.bronze.formats import decisions, lastfm, lyrics, song_list, song_object, takedown
from assets.music.bronze.formats.rows import Rows
from landing.batch.chunks import Chunk, UnreadableObject, original_text


def read_json(stream: BinaryIO, key: str) -> Iterator[Chunk]:
    """Chunks of records; ``line`` is the entry's number in its array, or among the objects.

    ``key`` is the object's: a lone song object has its track id there. Before the first chunk
    raises UnreadableObject: ``bad_json`` when nothing could be parsed, ``unknown_format`` when
    none of the first chunk's entries is a song.
    """
    document = read_document(stream)
    track_id = None if document.array else track_id_in(key)
    rows, refusal = Rows(), _Refusal()
    for entry in document.entries:
        songlike = _take(entry, track_id, rows)
        refusal.count(entry, songlike=songlike)
        if rows.full:
            refusal.raise_if_due()
            yield rows.take()
    if len(rows):
        refusal.raise_if_due()
        yield rows.take()


_Recognises = Callable[[Mapping[str, Any]], bool]
_Reads = Callable[[Mapping[str, Any], str | None], dict[str, Any]]
#: In the order in which they are tried: a later one may take what an earlier one would.
_LAYOUTS: tuple[tuple[_Recognises, _Reads], ...] = (
    (takedown.recognises, lambda entry, _: takedown.record(entry)),
    (decisions.recognises, lambda entry, _: decisions.record(entry)),
    (lyrics.recognises, lambda entry, _: lyrics.record(entry)),
    (lastfm.recognises, lambda entry, _: lastfm.record(entry)),
    (song_object.recognises, song_object.record),
    (song_list.recognises, lambda entry, _: song_list.record(entry)),
)


class _Refusal:
    """Whether the object as a whole is none of ours, decided with the first chunk."""

    def __init__(self) -> None:
        self._first: Entry | None = None
        self._parsed = self._songlike = False

    def count(self, entry: Entry, *, songlike: bool) -> None:
        self._first = self._first or entry
        self._parsed |= entry.problem is None
        self._songlike |= songlike

    def raise_if_due(self) -> None:
        if self._songlike or self._first is None:
            return
        text = original_text(self._first.raw)
        if not self._parsed:
            raise UnreadableObject("bad_json", self._first.problem or "", text)
        raise UnreadableObject("unknown_format", self._looks_like(), text)

    def _looks_like(self) -> str:
        value = self._first.value if self._first else None
        if not isinstance(value, dict):
            return "JSON, but no entry is a song"
        names = ", ".join(map(str, list(value)[:10]))
        return f"JSON of {names}: no entry has a song's id, verses, or duration, tempo, album"[:500]


def _take(entry: Entry, track_id: str | None, rows: Rows) -> bool:
    """The entry as a row; returns whether it looked like a song."""
    if entry.problem is not None:
        rows.reject(entry.number, "bad_json", entry.problem, entry.raw)
        return False
    value = entry.value
    if not isinstance(value, dict):
        kind = type(value).__name__
        rows.reject(entry.number, "unknown_entry", f"a {kind}, no object", entry.raw)
        return False
    try:
        entry.text.isascii() or entry.text.encode()
        record = _record(value, track_id)
    except UnicodeEncodeError as error:
        detail = f"character {error.start + 1} of the entry is no UTF-8"
        rows.reject(entry.number, "bad_encoding", detail, entry.raw)
    except BadValueError as error:
        rows.reject(entry.number, error.reason, error.detail, entry.raw)
    else:
        if record is None:
            detail = f"an object with {', '.join(map(repr, list(value)[:10]))}"
            rows.reject(entry.number, "unknown_entry", detail[:500], entry.raw)
            return False
        rows.accept(entry.number, record, entry.text)
    return True


def _record(entry: Mapping[str, Any], track_id: str | None) -> dict[str, Any] | None:
    for recognises, read in _LAYOUTS:
        if recognises(entry):
            return read(entry, track_id)
    return None
