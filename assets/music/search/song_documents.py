"""One Typesense document per song, with the song's key as its id.

Belongs here: the collection, what a song's document says, writing and reading them back. Does not:
the collection's fields (``registry/search.py``), the server (``assets/sinks/typesense.py``),
searching (``song_search.py``).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Container, Iterable, Sequence
from typing import TYPE_CHECKING

from assets.music.registry.search import SONGS
from assets.music.search.passages import words_text
from assets.music.search.song_rows import Song, read_songs
from assets.sinks.result import SinkResult, Verification, compared
from assets.sinks.typesense import Document, DocumentStore

if TYPE_CHECKING:
    from typesense.sync.client import Client

    from resources.postgres import PostgresResource


def store(client: Client, name: str) -> DocumentStore:
    """The collection of songs: counted by genre, year and artist, ordered by ``song_key``.

    The words of ``AC/DC``, ``Jay-Z`` and ``snake_case`` are found one by one, too.
    """
    return DocumentStore(
        client,
        name,
        SONGS,
        facets=frozenset({"artists", "genre", "year"}),
        sorted_by=frozenset({"song_key"}),
        separators=("/", "-", "_"),
    )


def write(
    pages: Iterable[Sequence[str]],
    documents: DocumentStore,
    pg: PostgresResource,
    refuse: Callable[[str, str], None] | None = None,
) -> SinkResult:
    """Upsert the songs of the pages of keys as they are now; delete those that are gone.

    ``refuse`` is told of songs that Typesense refuses while it takes others; such a song has no
    document, not even an older one. ``unchanged`` are songs that were there with the same hash.
    ``details``: with_lyrics. Raises as DocumentStore does.
    """
    started = time.monotonic()
    documents.ensure()
    written = unchanged = deleted = with_lyrics = 0
    refused: set[str] = set()

    def by_typesense(key: str, detail: str) -> None:
        refused.add(key)
        if refuse:
            refuse(key, detail)

    with pg.connect() as connection:
        for keys in pages:
            songs = read_songs(connection, keys)
            connection.commit()
            before = documents.stored(keys)
            made = [document(song) for song in songs]
            documents.upsert(made, by_typesense if refuse else None)
            held = {song.song_key for song in songs} - refused
            gone = sorted(before.keys() - held)
            documents.delete(gone)
            written += len(held)
            unchanged += sum(before.get(song.song_key) == song.row_hash for song in songs)
            deleted += len(gone)
            with_lyrics += sum("lyrics" in one or "stems" in one for one in made)
    return SinkResult(
        written, unchanged, deleted, time.monotonic() - started, {"with_lyrics": with_lyrics}
    )


def verify(
    pages: Iterable[Sequence[str]],
    documents: DocumentStore,
    pg: PostgresResource,
    refused: Container[str] = (),
) -> Verification:
    """Every song that there is has a document with its hash, and no song that is gone has one.

    Nor has one of the ``refused``.
    """
    total = Verification()
    with pg.connect() as connection:
        for keys in pages:
            songs = read_songs(connection, keys)
            expected = {s.song_key: s.row_hash for s in songs if s.song_key not in refused}
            connection.commit()
            absent = [key for key in keys if key not in expected]
            total = total.plus(compared(expected, documents.stored(keys), absent))
    return total


def document(song: Song) -> Document:
    """The song as a document: fields without a value are left out."""
    text = (song.lyrics.text or "").strip()
    fields = {
        "id": song.song_key,
        "song_key": song.song_key,
        "title": song.title,
        "artist": song.artist,
        "artists": list(song.artists),
        "album": song.album,
        "genre": song.genre,
        "genre_code": genre_code(song.genre) if song.genre else None,
        "year": song.year,
        "lyrics": text or None,
        # Most frequent first.
        "stems": (words_text(song.lyrics.words or ()) or None) if not text else None,
        "row_hash": song.row_hash,
    }
    return {field: value for field, value in fields.items() if value is not None}


def genre_code(genre: str) -> str:
    """32 hex digits for a genre, whatever its case and spacing.

    Filters name a genre by it: Typesense has no escape for a backtick within a value, and takes
    ``R&B`` and ``RB`` for equal.
    """
    from assets.music.bronze.records import normalised

    return hashlib.sha256(normalised(genre).encode()).hexdigest()[:32]
