"""What search says of songs, read from Postgres.

Belongs here: which songs a batch concerns, their details and lyrics as they are now, and where they
were read. Does not: any index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.music.search.passages import Lyrics

if TYPE_CHECKING:
    import psycopg

    from landing.batch.delivery import Delivery
    from resources.postgres import PostgresResource

#: Songs per step: 1,000 songs with lyrics are some 2 MB.
PAGE_SONGS = 1_000

# Songs of touched artists and albums too: a name that changed is part of their rows.
_TOUCHED = """
CREATE TEMP TABLE touched_song AS
SELECT key FROM music.touched WHERE batch_id = %(batch)s AND kind = 'song'
UNION
SELECT b.song_key
FROM music.touched AS t JOIN music.bridge_song_artist AS b ON b.artist_key = t.key
WHERE t.batch_id = %(batch)s AND t.kind = 'artist'
UNION
SELECT g.song_key
FROM music.touched AS t JOIN music.song_details AS g ON g.album_key = t.key
WHERE t.batch_id = %(batch)s AND t.kind = 'album'
"""
_INDEX = "CREATE INDEX ON touched_song (key); ANALYZE touched_song"
_PAGE = """
SELECT key FROM touched_song WHERE key > %(after)s COLLATE "C" ORDER BY key LIMIT %(rows)s
"""
_SONGS = """
SELECT g.song_key, g.title, g.artist, g.artists, g.album, g.genre, g.year, g.row_hash,
    l.text, l.words
FROM music.song_details AS g
LEFT JOIN music.song_lyrics AS l ON l.song_key = g.song_key AND l.status = 'found'
WHERE g.song_key = ANY(%(keys)s)
ORDER BY g.song_key
"""
# The record that gave most of what is said of a song; of its lyrics, theirs.
_PLACE = """
SELECT s.source, s.line
FROM music.fact_song AS f LEFT JOIN music.song_lyrics AS l USING (song_key)
JOIN music.song_source AS s
    ON s.record_key IN (f.base_source, CASE WHEN %(lyrics)s THEN l.source_record END)
WHERE f.song_key = %(key)s
ORDER BY s.record_key = f.base_source LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Song:
    """One row of gold with the song's lyrics; ``year`` is None where it is unknown."""

    song_key: str
    title: str | None
    artist: str | None
    artists: tuple[str, ...]
    album: str | None
    genre: str | None
    year: int | None
    row_hash: str
    lyrics: Lyrics


@dataclass(frozen=True, slots=True)
class TouchedPages:
    """Keys of the songs that a batch concerns, gone ones included: in order, in pages.

    These are the touched songs and those of touched artists and albums. May be iterated again.
    """

    pg: PostgresResource
    batch_id: str
    rows: int = PAGE_SONGS

    def __iter__(self) -> Iterator[list[str]]:
        after = ""
        with self.pg.connect(autocommit=True) as connection:
            connection.execute(_TOUCHED, {"batch": self.batch_id})
            connection.execute(_INDEX)
            while True:
                parameters = {"after": after, "rows": self.rows}
                keys = [key for (key,) in connection.execute(_PAGE, parameters)]
                if keys:
                    yield keys
                if len(keys) < self.rows:
                    return
                after = keys[-1]


def read_songs(connection: psycopg.Connection[Any], keys: Sequence[str]) -> list[Song]:
    """Those of the songs that there are, in the order of their keys."""
    return [
        Song(
            key, title, artist, tuple(artists), album, genre, year or None, row_hash,
            Lyrics(text, words),
        )
        for key, title, artist, artists, album, genre, year, row_hash, text, words
        in connection.execute(_SONGS, {"keys": list(keys)})
    ]  # fmt: skip


def refusing(
    pg: PostgresResource, delivery: Delivery, *, lyrics: bool = False
) -> Callable[[str, str], None]:
    """Tells the delivery of a song that an index refuses, with the object and line of its record.

    Of the record that its lyrics are from, if it is the ``lyrics`` that are kept there.
    """

    def refuse(song_key: str, detail: str) -> None:
        with pg.connect() as connection:
            row = connection.execute(_PLACE, {"key": song_key, "lyrics": lyrics}).fetchone()
        delivery.refuse(song_key, detail, (row[0], row[1]) if row else (None, None))

    return refuse
