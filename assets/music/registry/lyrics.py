"""Lyrics and looked-up genres: what is known of every song, and what is asked again when.

Belongs here: these tables' columns. Does not: the star schema (``silver.py``), gold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from assets.frame.tables import Column, Reference, Table
from assets.music.registry import PIPELINE
from assets.music.registry.silver import ARTIST_KEY, SONG_KEY

_BRONZE, _SONGS = "bronze_records", "silver_songs"
_TO_SONG = Reference("fact_song", "song_key")
#: Of a question to a service: not asked yet, its two answers, or that nothing is known.
Status = Literal["pending", "found", "missing", "failed"]
_STATUS = Column("status", "text", "How asking went.", nullable=False, allowed=get_args(Status))


def _asked(asset: str) -> tuple[Column, ...]:
    """What is kept of questions to a service."""
    return (
        Column("attempts", "integer", "Questions that failed, or were answered.", nullable=False,
               minimum=0),
        Column("error", "text", "Last error."),
        Column("next_attempt_at", "timestamptz", "When it is asked again."),
        Column("updated_at", "timestamptz", f"When {asset} last wrote the row.", nullable=False),
    )  # fmt: skip


SONG_LYRICS = Table(
    PIPELINE,
    "song_lyrics",
    "Lyrics, one row per song.",
    ("song_key",),
    (
        replace(SONG_KEY, reference=_TO_SONG, sources=(f"{_SONGS}.song_key",)),
        _STATUS,
        Column("source", "text", "Where they were found.", allowed=("file", "service")),
        Column("source_record", "text", "Record that had them.",
               sources=(f"{_BRONZE}.record_key",)),
        Column("text", "text", "The lyrics, lines ended by LF.",
               sources=(f"{_BRONZE}.lyrics_text",)),
        Column("words", "jsonb", "Bag of words, where there is no text.",
               sources=(f"{_BRONZE}.lyrics_words",)),
        *_asked("song_lyrics"),
    ),
    asset="song_lyrics",
)  # fmt: skip

ARTIST_GENRE_LOOKUP = Table(
    PIPELINE,
    "artist_genre_lookup",
    "What the MusicBrainz-compatible service said of artists without any genre.",
    ("artist_key",),
    (
        replace(ARTIST_KEY, sources=(f"{_SONGS}.artist_key",)).required(),
        _STATUS,
        Column("genre", "text", "Genre that it gave."),
        *_asked("song_lyrics"),
    ),
    asset="song_lyrics",
)

LYRICS_CHANGED = Table(
    PIPELINE,
    "lyrics_changed",
    "Songs whose lyrics or genre changed outside any batch; gold and search are to follow.",
    ("song_key",),
    (
        replace(SONG_KEY, sources=(f"{_SONGS}.song_key",)),
        Column("changed_at", "timestamptz", "When it changed last.", nullable=False),
    ),
    asset="song_lyrics",
)

TABLES = (SONG_LYRICS, ARTIST_GENRE_LOOKUP, LYRICS_CHANGED)
