"""The two search indexes: songs as documents in Typesense, passages of lyrics in Milvus.

Belongs here: their fields, and what those are made of. Does not: how they are filled and searched
(``assets.music.search``).
"""

from __future__ import annotations

from dataclasses import replace

from assets.frame.tables import Column, Table
from assets.music.registry import PIPELINE
from assets.music.registry.gold import SONG_DETAILS
from assets.music.registry.lyrics import SONG_LYRICS

_LYRICS = (f"{SONG_LYRICS.name}.text", f"{SONG_LYRICS.name}.words")


def _detail(name: str) -> Column:
    """A column of the song's details, as it is there."""
    return replace(SONG_DETAILS.column(name).read_from(SONG_DETAILS.name), reference=None)


def _of_lyrics(name: str, kind: str, description: str) -> Column:
    return Column(name, kind, description, nullable=False, sources=_LYRICS)


_SONG_KEY = _detail("song_key").named("song_key", "Key of the song.")

SONGS = Table(
    PIPELINE,
    "songs",
    "One document per song.",
    ("id",),
    (
        _SONG_KEY.named("id"),
        _SONG_KEY.named("song_key", "The same, to sort by."),
        _detail("title"),
        _detail("artist"),
        _detail("artists"),
        _detail("album"),
        _detail("genre"),
        _detail("genre").named("genre_code", "Stands for the genre in filters."),
        _detail("year"),
        replace(_of_lyrics("lyrics", "text", "Lyrics."), nullable=True),
        replace(
            _of_lyrics("stems", "text", "Stems of the lyrics' words, where there is no text."),
            nullable=True,
        ),
        _detail("row_hash"),
    ),
    asset="song_search",
)

PASSAGES = Table(
    PIPELINE,
    "passages",
    "One row per passage of a song's lyrics.",
    ("chunk_id",),
    (
        _SONG_KEY.named("chunk_id", "<song_key>#<number from 0>."),
        _SONG_KEY,
        _of_lyrics("passage", "bigint", "Number within the song, from 0."),
        _of_lyrics("kind", "text", "text, or words for a bag of words."),
        _of_lyrics("row_hash", "text", "128-bit BLAKE2b of all passages of the song, hex."),
        _of_lyrics("text", "text", "Whole verses, at most 600 characters."),
        _of_lyrics("sparse", "sparsevec", "Made of the text by the server, searched by BM25."),
        _of_lyrics("vector", "real[]", "Embedding of the text, 1,024 numbers compared by cosine."),
    ),
    asset="lyrics_vectors",
)
