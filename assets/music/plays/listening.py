"""What was played: how often a song was, and which songs a listener plays most.

Belongs here: those two questions. Does not: writing plays (``load.py``), gold (``gold``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.music.search.similar_songs import UnknownSongError

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

_PLAYS = """
SELECT d.song_key, coalesce(p.plays, 0), coalesce(p.listeners, 0)
FROM music.song_details AS d LEFT JOIN music.song_plays AS p USING (song_key)
WHERE d.song_key = %s
"""
_TOP = """
SELECT i.song_key, sum(p.plays)::bigint AS plays
FROM music.counted_play AS p JOIN music.song_of_id AS i USING (song_id)
WHERE p.user_id = %s
GROUP BY i.song_key ORDER BY plays DESC, i.song_key LIMIT %s
"""
_KNOWN = "SELECT EXISTS (SELECT FROM music.fact_play WHERE user_id = %s)"


class UnknownListenerError(LookupError):
    """No file tells of this listener."""

    def __init__(self, user_id: str) -> None:
        super().__init__(f"no listener {user_id!r}")
        self.user_id = user_id


@dataclass(frozen=True, slots=True)
class SongPlays:
    """How often a song was played, and by how many; both 0 when no file says so."""

    song_key: str
    plays: int
    listeners: int


@dataclass(frozen=True, slots=True)
class PlayedSong:
    """A song that a listener played, and how often."""

    song_key: str
    plays: int


def plays_of(connection: Connection, song_key: str) -> SongPlays:
    """Plays and listeners of a song, as gold has them. Raises UnknownSongError."""
    row = connection.execute(_PLAYS, (song_key,)).fetchone()
    if row is None:
        raise UnknownSongError(song_key)
    return SongPlays(*row)


def top_songs(connection: Connection, user_id: str, songs: int) -> tuple[PlayedSong, ...]:
    """The songs that a listener played most. Raises UnknownListenerError."""
    rows = connection.execute(_TOP, (user_id, songs)).fetchall()
    if not rows and connection.execute(_KNOWN, (user_id,)).fetchone() == (False,):
        raise UnknownListenerError(user_id)
    return tuple(PlayedSong(*row) for row in rows)
