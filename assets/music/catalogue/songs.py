"""Songs as a list, and all that is known of one.

Belongs here: their columns, filters and orders. Does not: search, the texts of lyrics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from assets.music.catalogue.sorting import sorted_by
from assets.music.search.similar_songs import UnknownSongError
from resources.keyset import By, Listing, where

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

LyricsStatus = Literal["pending", "found", "missing", "failed"]
SongSort = Literal[
    "song_key", "-song_key", "title", "-title", "artist", "-artist", "album", "-album", "year",
    "-year", "duration", "-duration", "tempo", "-tempo", "loudness", "-loudness",
    "song_hotttnesss", "-song_hotttnesss", "plays", "-plays", "updated_at", "-updated_at",
]  # fmt: skip
_KEY = By("song_key", "text")
_SORTS = {
    **{name: By(name, "text", nullable=True, long=True) for name in ("title", "artist", "album")},
    **{
        name: By(name, "double precision", nullable=True)
        for name in ("duration", "tempo", "loudness", "song_hotttnesss")
    },
    "year": By("year", "bigint", nullable=True),
    "plays": By("plays", "bigint"),
    "updated_at": By("updated_at", "timestamptz"),
}
#: The heaviest tags and the sources that are shown of one song.
_MOST = 100


@dataclass(frozen=True, slots=True)
class Song:
    """A song as gold has it; ``plays`` and ``listeners`` are 0 when no file tells of any."""

    song_key: str
    title: str | None
    artist: str | None
    artists: Sequence[str]
    artist_key: str | None
    album: str | None
    album_key: str | None
    genre: str | None
    year: int | None
    duration: float | None
    tempo: float | None
    loudness: float | None
    key: int | None
    mode: int | None
    time_signature: int | None
    song_hotttnesss: float | None
    track_ids: Sequence[str]
    lyrics_status: LyricsStatus
    has_lyrics: bool
    plays: int
    listeners: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class LyricsState:
    """How the search for a song's lyrics went.

    ``source`` is a file or the service; ``has_text`` says whether there are lines, or but a bag of
    words. What failed is asked again from ``next_attempt_at`` on.
    """

    status: LyricsStatus
    source: str | None
    source_record: str | None
    has_text: bool
    attempts: int
    error: str | None
    next_attempt_at: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class SongSource:
    """What of a file tells of the song: its record, and the object version and line of it."""

    record_key: str
    format: str
    source: str
    line: int


@dataclass(frozen=True, slots=True)
class SongDetails:
    """A song, its lyrics' state, all genres (its own first), its heaviest tags, and its files.

    ``base_source`` is its best record. At most 100 tags and sources.
    """

    song: Song
    lyrics: LyricsState | None
    genres: Sequence[str]
    tags: Sequence[str]
    base_source: str
    sources: Sequence[SongSource]


_SONGS = """
SELECT d.song_key, d.title, d.artist, d.artists, d.artist_key, d.album, d.album_key, d.genre,
    d.year, d.duration, d.tempo, d.loudness, d.key, d.mode, d.time_signature, d.song_hotttnesss,
    d.track_ids, d.lyrics_status, d.has_lyrics, coalesce(p.plays, 0) AS plays,
    coalesce(p.listeners, 0) AS listeners, d.updated_at
FROM music.song_details AS d LEFT JOIN music.song_plays AS p USING (song_key)
"""
_LYRICS = """
SELECT status, source, source_record, text IS NOT NULL, attempts, error, next_attempt_at,
    updated_at
FROM music.song_lyrics WHERE song_key = %s
"""
_LISTS = """
SELECT f.base_source,
    ARRAY(SELECT g.name FROM music.bridge_song_genre b JOIN music.dim_genre g USING (genre_key)
        WHERE b.song_key = f.song_key ORDER BY b.position, g.genre_key),
    ARRAY(SELECT t.tag FROM music.bridge_song_tag t WHERE t.song_key = f.song_key
        ORDER BY t.weight DESC NULLS LAST, t.tag LIMIT %(most)s)
FROM music.fact_song AS f WHERE f.song_key = %(song)s
"""
_SOURCES = """
SELECT record_key, format, source, line FROM music.song_source WHERE song_key = %s
ORDER BY rank, seq DESC, record_key LIMIT %s
"""


def songs(
    sort: SongSort = "song_key",
    *,
    genre: str | None = None,
    artist: str | None = None,
    artist_key: str | None = None,
    album_key: str | None = None,
    year: int | None = None,
    year_from: int | None = None,
    year_to: int | None = None,
    lyrics: LyricsStatus | None = None,
) -> Listing[Song]:
    """Songs for which all that is asked for holds.

    ``genre`` is compared without regard to case and spacing, ``artist`` with the names of all of a
    song's artists, as they are named; ``artist_key`` is that of any of them.
    """
    from assets.music.bronze.records import normalised

    filters, bound = where(
        {
            "d.genre IN (SELECT name FROM music.dim_genre WHERE genre_key = {})": (
                normalised(genre) if genre is not None else None
            ),
            "{} = ANY (d.artists)": artist,
            "d.song_key IN (SELECT song_key FROM music.bridge_song_artist WHERE artist_key = {})": (
                artist_key
            ),
            "d.album_key = {}": album_key,
            "d.year = {}": year,
            "d.year >= {}": year_from,
            "d.year <= {}": year_to,
            "d.lyrics_status = {}": lyrics,
        }
    )
    return Listing(Song, f"{_SONGS} {filters}", sorted_by(sort, _SORTS, _KEY), bound)


def details(connection: Connection, song_key: str) -> SongDetails:
    """All that is known of a song. Raises UnknownSongError."""
    filters, bound = where({"d.song_key = {}": song_key})
    found = Listing(Song, f"{_SONGS} {filters}", (_KEY,), bound).page(connection, 1).rows
    lists = connection.execute(_LISTS, {"song": song_key, "most": _MOST}).fetchone()
    if not found or lists is None:
        raise UnknownSongError(song_key)
    base, genres, tags = lists
    lyrics = connection.execute(_LYRICS, (song_key,)).fetchone()
    sources = connection.execute(_SOURCES, (song_key, _MOST)).fetchall()
    return SongDetails(
        found[0],
        LyricsState(*lyrics) if lyrics else None,
        genres,
        tags,
        base,
        [SongSource(*one) for one in sources],
    )
