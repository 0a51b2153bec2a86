"""Million Song files in HDF5: one song per file, or many in an aggregate or summary file.

Belongs here: where this format keeps its values. Does not: rules (``fields.py``).
Source: the field list in http://millionsongdataset.com/faq and the getters in
https://github.com/tbertinmahieux/MSongsDB (PythonSrc/hdf5_getters.py): one compound row per song
in ``metadata/songs``, ``analysis/songs`` and ``musicbrainz/songs``; a song's terms start at
``idx_artist_terms`` in ``metadata/artist_terms`` and end where the next song's start, its tags
the same with ``idx_artist_mbtags``. Text is UTF-8 in fields of fixed size, padded with NULs.
Imported lazily: needs h5py and numpy.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np  # noqa: TID253
from h5py import h5f  # noqa: TID253

from assets.formats.hdf5 import (
    H5_ERRORS,
    Dataset,
    Limits,
    RefusedError,
    datasets,
    opened,
    said,
)
from assets.formats.values import BadValueError
from assets.music.bronze import fields
from assets.music.bronze.formats.rows import Rows
from landing.batch.chunks import Chunk, UnreadableObject

_Array = np.ndarray[tuple[int], np.dtype[Any]]

_SONGS = b"metadata/songs"
_ANALYSIS = b"analysis/songs"
_MUSICBRAINZ = b"musicbrainz/songs"

#: Columns of the three tables that a record has, under its own names.
_WANTED: dict[bytes, dict[str, str]] = {
    _SONGS: {
        **{name: name for name in (
            "song_id", "title", "artist_name", "artist_id", "artist_mbid", "artist_location",
            "artist_latitude", "artist_longitude", "song_hotttnesss", "genre",
        )},
        "release": "album",
        "release_7digitalid": "album_release_id",
    },
    _ANALYSIS: {
        name: name for name in (
            "track_id", "duration", "tempo", "loudness", "key", "key_confidence", "mode",
            "mode_confidence", "time_signature", "end_of_fade_in", "start_of_fade_out",
            "danceability", "energy",
        )
    },
    _MUSICBRAINZ: {"year": "year"},
}  # fmt: skip

#: Record's column, table and column of the offsets, names, weights or counts.
_LISTS = (
    (
        "artist_terms", _SONGS, "idx_artist_terms",
        b"metadata/artist_terms", b"metadata/artist_terms_weight",
    ),
    (
        "artist_mbtags", _MUSICBRAINZ, "idx_artist_mbtags",
        b"musicbrainz/artist_mbtags", b"musicbrainz/artist_mbtags_count",
    ),
)  # fmt: skip

#: Every dataset that is read, with the columns of the tables.
_READ: dict[bytes, frozenset[str]] = {
    **{
        path: frozenset((*columns, *(offsets for _, table, offsets, *_ in _LISTS if table == path)))
        for path, columns in _WANTED.items()
    },
    **{path: frozenset() for *_, names, weights in _LISTS for path in (names, weights)},
}


def read_hdf5(stream: BinaryIO, limits: Limits | None = None) -> Iterator[Chunk]:
    """Chunks of records; ``line`` is the song's row, from 1.

    Raises UnreadableObject before the first chunk: ``corrupt_hdf5``, ``not_a_song_file``,
    ``external_link``. A slice that can't be read later on becomes rejects, ``corrupt_hdf5``.
    """
    limits = limits or Limits()
    with opened(stream, limits) as file:
        songs = _song_file(file, limits)
        for first in range(0, songs.count, limits.slice_rows):
            after = min(first + limits.slice_rows, songs.count)
            rows = Rows()
            try:
                songs.read(first, after, rows)
            except H5_ERRORS as error:
                if first == 0:
                    raise UnreadableObject("corrupt_hdf5", said(error)) from error
                rows = Rows()
                for line in range(first + 1, after + 1):
                    rows.reject(line, "corrupt_hdf5", said(error), b"")
            yield rows.take()


def _song_file(file: h5f.FileID, limits: Limits) -> _SongFile:
    try:
        return _SongFile(datasets(file, _READ, limits), limits)
    except RefusedError as error:
        raise UnreadableObject(error.reason, str(error)) from error
    except TypeError as error:  # a type that numpy has no like of
        raise UnreadableObject("not_a_song_file", said(error)) from error
    except H5_ERRORS as error:
        raise UnreadableObject("corrupt_hdf5", said(error)) from error


@dataclass(frozen=True, slots=True)
class _Field:
    """Column ``at`` of a table; ``size`` is that of a text of fixed size, else 0."""

    at: int
    name: str
    column: str
    size: int


class _Table:
    """One of the three tables of songs."""

    def __init__(self, path: bytes, dataset: Dataset) -> None:
        self.path = path
        self.dataset = dataset
        names = dataset.dtype.names or ()
        self.columns = {name: at for at, name in enumerate(names)}
        self.fields = [
            _Field(self.columns[name], name, column, _text_size(dataset.dtype[name]))
            for name, column in _WANTED[path].items()
            if name in self.columns
        ]


def _text_size(dtype: np.dtype[Any]) -> int:
    return dtype.itemsize if dtype.kind == "S" else 0


class _List:
    """A dataset of names and one of weights, of which every song has a part."""

    def __init__(
        self,
        column: str,
        table: _Table,
        offsets: str,
        parts: tuple[Dataset, Dataset | None],
        limits: Limits,
    ) -> None:
        names, weights = parts
        self.column = column
        self.table = table
        self._offsets = offsets
        self._names = names
        self._weights = weights if weights is not None and weights.rows == names.rows else None
        self._limits = limits

    def read(self, table: _Array, count: int) -> Callable[[int], list[dict[str, Any]] | None]:
        """What gives the items of the song at an index of ``table``'s first ``count`` rows."""
        if not self._names.rows or (self._offsets not in self.table.columns and count > 1):
            return lambda _: None
        edges = self._edges(table, count)
        starts, ends = edges[:-1], edges[1:]
        good = (starts >= 0) & (starts <= ends) & (ends <= self._names.rows)
        good &= ends - starts <= self._limits.song_terms
        low = int(starts[good].min(initial=self._names.rows))
        high = int(ends[good].max(initial=0))
        together = low < high and high - low <= self._limits.slice_terms
        block = self._slice(low, high) if together else None

        def items(index: int) -> list[dict[str, Any]] | None:
            start, end = int(starts[index]), int(ends[index])
            if not good[index]:
                detail = f"{self._offsets} gives {start} to {end} of {self._names.rows}"
                raise BadValueError("bad_offsets", detail)
            if block is None:
                names, weights = self._slice(start, end)
            else:
                names, weights = (part[start - low : end - low] for part in block)
            return fields.terms(self.column, names, weights)

        return items

    def _edges(self, table: _Array, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Where the lists of ``count`` songs start, and where the last one ends."""
        if self._offsets not in self.table.columns:
            return np.array([0, self._names.rows])
        edges = table[self._offsets][: count + 1].astype(np.int64)
        return edges if len(edges) > count else np.append(edges, self._names.rows)

    def _slice(self, start: int, end: int) -> tuple[list[object], list[object]]:
        size = _text_size(self._names.dtype)
        names = [
            _text(name, size) if isinstance(name, bytes) else name
            for name in self._names.read(start, end).tolist()
        ]
        if self._weights is None:
            return names, [None] * len(names)
        return names, self._weights.read(start, end).tolist()


class _SongFile:
    """Tables of equally many songs, and lists that their offsets cut up."""

    def __init__(self, datasets: Mapping[bytes, Dataset], limits: Limits) -> None:
        songs = datasets.get(_SONGS)
        if songs is None or songs.dtype.names is None:
            raise RefusedError("not_a_song_file", "no compound dataset metadata/songs")
        if songs.rows > limits.songs:
            raise RefusedError("not_a_song_file", f"{songs.rows} songs, at most {limits.songs}")
        # Rows that nobody wrote would be rejected one by one, each for no byte of the file.
        if songs.rows > limits.slice_rows and songs.written() * 2 < songs.rows:
            detail = f"metadata/songs claims {songs.rows:,} rows and has {songs.written():,}"
            raise RefusedError("not_a_song_file", detail)
        self.count = songs.rows
        self._tables = [_Table(path, datasets[path]) for path in _WANTED if path in datasets]
        if not self._tables[0].fields:
            raise RefusedError("not_a_song_file", "metadata/songs has no column of a song")
        for table in self._tables:
            if table.dataset.dtype.names is None or table.dataset.rows != self.count:
                detail = f"{table.path.decode()} does not have one row for each of metadata/songs"
                raise RefusedError("not_a_song_file", detail)
        self._lists = [
            _List(column, table, offsets, (datasets[names], datasets.get(weights)), limits)
            for column, path, offsets, names, weights in _LISTS
            if names in datasets
            for table in self._tables
            if table.path == path
        ]

    def read(self, first: int, after: int, rows: Rows) -> None:
        """Songs ``first`` to ``after`` into ``rows``."""
        # One row more tells where the last song's terms end.
        behind = min(after + 1, self.count)
        tables = {table.path: table.dataset.read(first, behind) for table in self._tables}
        lists = [
            (found.column, found.read(tables[found.table.path], after - first))
            for found in self._lists
        ]
        tuples = [tables[table.path][: after - first].tolist() for table in self._tables]
        for index, parts in enumerate(zip(*tuples, strict=True)):
            raw: dict[str, object] = {}
            shown: dict[str, object] = {}
            for table, row in zip(self._tables, parts, strict=True):
                _collect(table.fields, row, raw, shown)
            text = json.dumps(shown, ensure_ascii=False, default=repr)
            try:
                for column, items in lists:
                    raw[column] = items(index)
                rows.accept(first + index + 1, fields.record("hdf5", raw), text)
            except BadValueError as error:
                rows.reject(first + index + 1, error.reason, error.detail, text.encode())


def _collect(
    wanted: Sequence[_Field],
    row: tuple[object, ...],
    raw: dict[str, object],
    shown: dict[str, object],
) -> None:
    """Values of a row: ``raw`` for the record, ``shown`` for people."""
    for found in wanted:
        value = row[found.at]
        if isinstance(value, bytes):
            value = _text(value, found.size)
        raw[found.column] = value
        if isinstance(value, bytes):
            value = value.decode(errors="backslashreplace")
        shown[found.name] = value


def _text(value: bytes, size: int) -> str | bytes:
    """As text; a character that was cut at the field's end is dropped. Bad bytes stay bytes."""
    try:
        if len(value) == size:
            return codecs.getincrementaldecoder("utf-8")().decode(value)
        return value.decode()
    except UnicodeDecodeError:
        return value
