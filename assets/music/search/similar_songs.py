"""Songs like a song: by what was measured of them, or by their lyrics.

Belongs here: what makes songs alike, and songs that can't be compared. Does not: searching passages
(``lyrics_search.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from assets.music.search.lyrics_search import nearest

if TYPE_CHECKING:
    import psycopg

    from assets.sinks.milvus import VectorStore

    Connection = psycopg.Connection[Any]

_MISSING_FEATURES = """
SELECT array_remove(ARRAY[
    CASE WHEN tempo IS NULL THEN 'tempo' END, CASE WHEN loudness IS NULL THEN 'loudness' END,
    CASE WHEN duration IS NULL THEN 'duration' END, CASE WHEN key IS NULL THEN 'key' END,
    CASE WHEN mode IS NULL THEN 'mode' END,
    CASE WHEN time_signature IS NULL THEN 'time_signature' END], NULL)
FROM music.song_details WHERE song_key = %s
"""


class UnknownSongError(LookupError):
    """There is no such song."""

    def __init__(self, song_key: str) -> None:
        super().__init__(f"no song {song_key!r}")
        self.song_key = song_key


class NothingToCompareError(LookupError):
    """The song lacks what the comparison is about."""


@dataclass(frozen=True, slots=True)
class SimilarSong:
    """A song like another one; ``value`` is what the answer is ordered by."""

    song_key: str
    value: float


def by_audio(connection: Connection, song_key: str, songs: int) -> tuple[SimilarSong, ...]:
    """By the distance of their measured features (``similar_by_audio.sql``), smallest first."""
    missing = _missing_features(connection, song_key)
    if missing:
        raise NothingToCompareError(f"song {song_key!r} has no {', '.join(missing)}")
    statement = resources.files("assets.music.search").joinpath("similar_by_audio.sql").read_bytes()
    rows = connection.execute(statement, {"song": song_key, "songs": songs})
    return tuple(SimilarSong(other, float(distance)) for other, distance in rows)


def by_lyrics(
    connection: Connection, lyrics: VectorStore, song_key: str, songs: int
) -> tuple[SimilarSong, ...]:
    """By the highest cosine of any passage of the one with any of the other, largest first."""
    _missing_features(connection, song_key)
    found = nearest(lyrics, song_key, songs)
    if found is None:
        raise NothingToCompareError(f"song {song_key!r} has no lyrics")
    return tuple(SimilarSong(hit.song_key, hit.score) for hit in found)


_BY_LISTENERS = """
SELECT s.song_key, max(b.score)
FROM music.bridge_song_similar b JOIN music.song_source s ON s.track_id = b.track_id
WHERE b.song_key = %(song)s AND s.song_key <> %(song)s
GROUP BY s.song_key ORDER BY round(max(b.score)::numeric, 6) DESC, s.song_key LIMIT %(songs)s
"""


def by_listeners(connection: Connection, song_key: str, songs: int) -> tuple[SimilarSong, ...]:
    """By the score that Last.fm gives the most alike of its tracks, largest first."""
    _missing_features(connection, song_key)
    known = "SELECT FROM music.bridge_song_similar WHERE song_key = %s LIMIT 1"
    if not connection.execute(known, (song_key,)).fetchall():
        raise NothingToCompareError(f"song {song_key!r} has no similar tracks of Last.fm")
    rows = connection.execute(_BY_LISTENERS, {"song": song_key, "songs": songs})
    return tuple(SimilarSong(other, float(score)) for other, score in rows)


def _missing_features(connection: Connection, song_key: str) -> list[str]:
    """Features that the song lacks. Raises UnknownSongError."""
    row = connection.execute(_MISSING_FEATURES, (song_key,)).fetchone()
    if row is None:
        raise UnknownSongError(song_key)
    return list(row[0])
