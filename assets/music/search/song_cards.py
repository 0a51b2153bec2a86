"""What is said of songs beside their keys, for people.

Belongs here: reading it from gold. Does not: finding songs (``song_search.py``), their plays
(``assets.music.plays``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

_CARDS = """
SELECT song_key, title, artist, artists, album, genre, nullif(year, 0), duration, tempo, loudness,
    key, mode, time_signature, lyrics_status
FROM music.song_details WHERE song_key = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class SongCard:
    """A song as gold has it; None is unknown.

    ``duration`` is in seconds, ``tempo`` in beats a minute, ``loudness`` in dB; ``key`` is 0 to 11
    from C upwards, ``mode`` 1 for major.
    """

    song_key: str
    title: str | None
    artist: str | None
    artists: tuple[str, ...]
    album: str | None
    genre: str | None
    year: int | None
    duration: float | None
    tempo: float | None
    loudness: float | None
    key: int | None
    mode: int | None
    time_signature: int | None
    lyrics_status: str | None


def cards(connection: psycopg.Connection[Any], keys: Sequence[str]) -> dict[str, SongCard]:
    """Those of the songs that there are, by key."""
    rows = connection.execute(_CARDS, (list(keys),))
    found = (SongCard(*row) for row in rows)
    return {one.song_key: replace(one, artists=tuple(one.artists)) for one in found}
