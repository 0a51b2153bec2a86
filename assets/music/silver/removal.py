"""What nothing refers to any more is removed, and what a batch touched is written down.

Belongs here: songs, credits, artists, albums, genres, years without a song; ``music.touched``.
Does not: anything that songs say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assets.music.silver.genres import remove_unused

if TYPE_CHECKING:
    import psycopg

_SONGS = """
DELETE FROM music.fact_song f USING touched_song t WHERE t.sources = 0 AND f.song_key = t.song_key
"""
# Only what lost a song can have lost its last one: looking at all that was touched would read the
# tables whole.
_LEFT = """
CREATE TEMP TABLE left_artist ON COMMIT DROP AS SELECT DISTINCT artist_key FROM lost_credit;

CREATE TEMP TABLE left_album ON COMMIT DROP AS
SELECT DISTINCT o.album_key FROM old_fact o LEFT JOIN song s USING (song_key)
WHERE o.album_key IS NOT NULL AND s.album_key IS DISTINCT FROM o.album_key;

ANALYZE left_artist;
ANALYZE left_album
"""
_ORPHANS = """
DELETE FROM music.bridge_album_artist p
USING (
    SELECT album_key FROM left_album
    UNION SELECT album_key FROM old_fact JOIN lost_credit USING (song_key)
    WHERE album_key IS NOT NULL
) AS o
WHERE p.album_key = o.album_key AND NOT EXISTS (
    SELECT FROM music.fact_song f JOIN music.bridge_song_artist b USING (song_key)
    WHERE f.album_key = p.album_key AND b.artist_key = p.artist_key);

DELETE FROM music.bridge_artist_term b USING left_artist t
WHERE b.artist_key = t.artist_key AND NOT EXISTS (
    SELECT FROM music.bridge_song_artist s WHERE s.artist_key = t.artist_key);

DELETE FROM music.dim_artist d USING left_artist t
WHERE d.artist_key = t.artist_key AND NOT EXISTS (
    SELECT FROM music.bridge_song_artist s WHERE s.artist_key = t.artist_key);

DELETE FROM music.dim_album d USING left_album t
WHERE d.album_key = t.album_key AND NOT EXISTS (
    SELECT FROM music.fact_song f WHERE f.album_key = t.album_key);

DELETE FROM music.dim_date d
WHERE d.year_key IN (
        SELECT year_key FROM old_fact WHERE year_key <> 0
        EXCEPT SELECT year FROM song)
    AND NOT EXISTS (SELECT FROM music.fact_song f WHERE f.year_key = d.year_key)
"""
_TOUCHED = """
INSERT INTO music.touched (batch_id, kind, key)
SELECT %(batch)s, 'song', song_key FROM touched_song WHERE sources > 0
UNION ALL
SELECT %(batch)s, 'song', song_key FROM (
    SELECT song_key FROM old_fact JOIN touched_song USING (song_key) WHERE sources = 0
    UNION SELECT song_key FROM follower
    UNION SELECT song_key FROM shown_song
    EXCEPT SELECT song_key FROM touched_song WHERE sources > 0
) AS further
UNION ALL SELECT %(batch)s, 'artist', artist_key FROM touched_artist
UNION ALL SELECT %(batch)s, 'album', album_key FROM touched_album
"""


def remove_songs(conn: psycopg.Connection[Any]) -> int:
    """Remove the songs that have no record left, with their credits and lyrics."""
    return conn.execute(_SONGS).rowcount


def remove_orphans(conn: psycopg.Connection[Any]) -> None:
    """Remove what no song refers to any more, among what the batch touched."""
    conn.execute(_LEFT)
    conn.execute(_ORPHANS)
    remove_unused(
        conn,
        "SELECT genre_key FROM old_fact UNION SELECT old_genre FROM follower"
        " UNION SELECT genre_key FROM lost_genre",
    )


def note_touched(conn: psycopg.Connection[Any], batch_id: str) -> None:
    """Add the keys, old and new, to ``music.touched``; those of an earlier attempt stay."""
    row = conn.execute(
        "SELECT EXISTS (SELECT FROM music.touched WHERE batch_id = %s)", (batch_id,)
    ).fetchone()
    again = " ON CONFLICT DO NOTHING" if row and row[0] else ""
    conn.execute(_TOUCHED + again, {"batch": batch_id})
