"""Artists, albums and years of the touched songs, and who is on which album.

Belongs here: ``dim_artist``, ``dim_album``, ``dim_date``, ``bridge_album_artist``. Does not: terms
and genres (``genres``), removal of what nothing refers to any more (``removal``).

What is said of an artist (or an album) is fused over all its songs, by the same order as a song's
fields: a song's record is asked that gives the song its artist (its album).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assets.music.silver.artists import add_credits
from assets.music.silver.precedence import ALBUM, ARTIST, BEST_FIRST
from assets.music.silver.songs import CREDITS
from assets.music.silver.statements import UNKNOWN, listed

if TYPE_CHECKING:
    import psycopg

_OLD = f"""
SELECT f.song_key, nullif(f.artist_key, {UNKNOWN}) AS main_artist,
    nullif(f.album_key, {UNKNOWN}) AS album_key, nullif(f.genre_key, {UNKNOWN}) AS genre_key,
    f.year_key, coalesce(f.provenance ->> 'artist', f.base_source) AS artist_record,
    coalesce(f.provenance ->> 'album', f.base_source) AS album_record
FROM {{songs}} JOIN music.fact_song f USING (song_key)
"""
_NO_OLD = f"""
CREATE TEMP TABLE old_fact ON COMMIT DROP AS {_OLD.format(songs="touched_song")} WITH NO DATA;
ANALYZE old_fact
"""
_TOUCHED = f"""
CREATE TEMP TABLE touched_artist ON COMMIT DROP AS
SELECT artist_key FROM ({CREDITS}) AS c
UNION
SELECT b.artist_key FROM old_fact JOIN music.bridge_song_artist b USING (song_key);

CREATE TEMP TABLE touched_album ON COMMIT DROP AS
SELECT album_key FROM song WHERE album_key IS NOT NULL
UNION
SELECT album_key FROM old_fact WHERE album_key IS NOT NULL;

ANALYZE touched_artist;
ANALYZE touched_album
"""

# Artists of whom the batch says something new, so that all of their songs must be asked. Of the
# others every new song says what is known already (or less), and every song that is not new says
# all of it, by the same record as before, which is not older: what is chosen stays the same.
_OPEN = f"""
CREATE TEMP TABLE open_artist ON COMMIT DROP AS
WITH saying AS (
    SELECT s.song_key, s.artist_id AS artist_key, s.artist_name AS name, s.artist_mbid AS mbid,
        s.artist_location AS location, s.artist_latitude AS latitude,
        s.artist_longitude AS longitude, s.artist_record
    FROM song s WHERE s.artist_id IS NOT NULL
)
SELECT s.artist_key
FROM saying s LEFT JOIN old_fact o USING (song_key) LEFT JOIN music.dim_artist d USING (artist_key)
WHERE d.artist_key IS NULL
    OR CASE WHEN o.song_key IS NULL THEN
        coalesce(s.name <> d.name, s.name IS NOT NULL)
        OR coalesce(s.mbid <> d.mbid, s.mbid IS NOT NULL)
        OR coalesce(s.location <> d.location, s.location IS NOT NULL)
        OR coalesce(s.latitude <> d.latitude, s.latitude IS NOT NULL)
        OR coalesce(s.longitude <> d.longitude, s.longitude IS NOT NULL)
    ELSE s.artist_record <> o.artist_record
        OR (s.name, s.mbid, s.location, s.latitude, s.longitude)
            IS DISTINCT FROM (d.name, d.mbid, d.location, d.latitude, d.longitude)
    END
UNION
SELECT c.artist_key FROM song s JOIN credit c USING (artist_name) WHERE s.artist_id IS NULL
UNION
SELECT b.artist_key FROM old_fact JOIN music.bridge_song_artist b USING (song_key)
WHERE NOT EXISTS (
    SELECT FROM ({CREDITS}) AS c
    WHERE c.song_key = b.song_key AND c.artist_key = b.artist_key)
UNION
SELECT c.artist_key FROM ({CREDITS}) AS c JOIN music.song_source s USING (song_key)
WHERE s.artist_terms IS NOT NULL OR s.artist_mbtags IS NOT NULL
UNION
SELECT artist_key FROM touched_artist JOIN music.bridge_artist_term USING (artist_key);

ANALYZE open_artist;
"""

# The same of albums, which a song may also have left.
_OPEN_ALBUMS = """
CREATE TEMP TABLE open_album ON COMMIT DROP AS
WITH saying AS (
    SELECT s.song_key, s.album_key, s.album AS title, s.album_record,
        CASE WHEN s.album_release_id > 0 THEN s.album_release_id END AS release_id
    FROM song s WHERE s.album_key IS NOT NULL
)
SELECT s.album_key
FROM saying s LEFT JOIN old_fact o USING (song_key)
LEFT JOIN music.dim_album d ON d.album_key = s.album_key
WHERE d.album_key IS NULL
    OR CASE WHEN o.album_key IS DISTINCT FROM s.album_key THEN
        coalesce(s.title <> d.title, s.title IS NOT NULL)
        OR coalesce(s.release_id <> d.release_id, s.release_id IS NOT NULL)
    ELSE s.album_record <> o.album_record
        OR (s.title, s.release_id) IS DISTINCT FROM (d.title, d.release_id)
    END
UNION
SELECT o.album_key FROM old_fact o LEFT JOIN song s USING (song_key)
WHERE o.album_key IS NOT NULL AND s.album_key IS DISTINCT FROM o.album_key;

ANALYZE open_album
"""

_EVERY = """
CREATE TEMP TABLE open_artist ON COMMIT DROP AS SELECT artist_key FROM touched_artist;
CREATE TEMP TABLE open_album ON COMMIT DROP AS SELECT album_key FROM touched_album
"""

# Songs that the batch did not touch, of the artists and of the albums to be looked at. EXCEPT, for
# of "WHERE NOT EXISTS" the planner expects one row where a batch is as large as the catalogue, and
# compares every other song with every artist.
_OTHERS = f"""
CREATE TEMP TABLE artist_other ON COMMIT DROP AS
SELECT o.song_key, {listed(ARTIST, "s")}, s.rank, s.seq, s.record_key
FROM (
    SELECT song_key FROM open_artist JOIN music.bridge_song_artist USING (artist_key)
    EXCEPT SELECT song_key FROM touched_song
) AS o
JOIN music.fact_song f USING (song_key)
JOIN music.song_source s ON s.record_key = coalesce(f.provenance ->> 'artist', f.base_source);

CREATE TEMP TABLE album_other ON COMMIT DROP AS
SELECT f.album_key, {listed(ALBUM, "s")}, s.rank, s.seq, s.record_key
FROM (
    SELECT song_key FROM open_album JOIN music.fact_song USING (album_key)
    EXCEPT SELECT song_key FROM touched_song
) AS o
JOIN music.fact_song f USING (song_key)
JOIN music.song_source s ON s.record_key = coalesce(f.provenance ->> 'album', f.base_source)
"""

# What each record says of each artist that it credits. Of a name that joins several artists, the
# place and the ids may be any one's: they are not taken.
_CREDITED = f"""
CREATE TEMP VIEW credited AS
WITH said AS (
    SELECT song_key, {listed(ARTIST)}, artist_rank AS rank, artist_seq AS seq,
        artist_record AS record_key
    FROM song
    UNION ALL
    SELECT song_key, {listed(ARTIST)}, rank, seq, record_key FROM artist_other
)
SELECT song_key, artist_id AS artist_key, artist_id, artist_name AS name, artist_mbid AS mbid,
    artist_location AS location, artist_latitude AS latitude, artist_longitude AS longitude,
    rank, seq, record_key, TRUE AS alone
FROM said WHERE artist_id IS NOT NULL
UNION ALL
SELECT song_key, c.artist_key, NULL, c.name, CASE WHEN c.alone THEN artist_mbid END,
    CASE WHEN c.alone THEN artist_location END, CASE WHEN c.alone THEN artist_latitude END,
    CASE WHEN c.alone THEN artist_longitude END, rank, seq, record_key, c.alone
FROM said JOIN credit c USING (artist_name)
WHERE artist_id IS NULL
"""


def _first_said(name: str) -> str:
    return f"(array_agg({name} ORDER BY {BEST_FIRST}) FILTER (WHERE {name} IS NOT NULL))[1]"


_SAID_OF_ARTIST = ("name", "mbid", "location", "latitude", "longitude")
# Most songs of an artist say the same of it: grouped before anything is sorted.
_ARTISTS = f"""
CREATE TEMP TABLE artist ON COMMIT DROP AS
SELECT artist_key, CASE WHEN artist_key NOT LIKE 'fp-%' THEN artist_key END AS artist_id,
    {", ".join(f"{_first_said(name)} AS {name}" for name in _SAID_OF_ARTIST)}
FROM (
    SELECT artist_key, artist_id, {listed(_SAID_OF_ARTIST)}, rank, seq,
        min(record_key) AS record_key
    FROM credited JOIN open_artist USING (artist_key)
    GROUP BY artist_key, artist_id, {listed(_SAID_OF_ARTIST)}, rank, seq
) AS said
GROUP BY artist_key
"""
_ARTIST_COLUMNS = ("artist_id", *_SAID_OF_ARTIST)
_ALBUMS = f"""
CREATE TEMP TABLE album ON COMMIT DROP AS
SELECT album_key, {_first_said("title")} AS title,
    max(release_id) FILTER (WHERE release_id > 0) AS release_id
FROM (
    SELECT album_key, title, release_id, rank, seq, min(record_key) AS record_key
    FROM (
        SELECT album_key, album AS title, album_release_id AS release_id,
            album_rank AS rank, album_seq AS seq, album_record AS record_key
        FROM song JOIN open_album USING (album_key)
        UNION ALL
        SELECT album_key, album, album_release_id, rank, seq, record_key FROM album_other
    ) AS candidate (album_key, title, release_id, rank, seq, record_key)
    GROUP BY album_key, title, release_id, rank, seq
) AS said
GROUP BY album_key
"""
_ALBUM_COLUMNS = ("title", "release_id")


def _write(table: str, source: str, key: str, columns: tuple[str, ...]) -> tuple[str, str]:
    """Statements that update rows which differ and insert those that are new."""
    update = f"""
    UPDATE {table} t SET ({listed(columns)}) = ROW({listed(columns, "n")})
    FROM {source} n WHERE t.{key} = n.{key}
        AND ({listed(columns, "t")}) IS DISTINCT FROM ({listed(columns, "n")})
    """
    insert = f"""
    INSERT INTO {table} ({key}, {listed(columns)})
    SELECT {key}, {listed(columns)} FROM {source} n
    WHERE NOT EXISTS (SELECT FROM {table} t WHERE t.{key} = n.{key})
    """
    return update, insert


# A name that songs are shown under has changed: they are touched too.
_RENAMED = """
INSERT INTO shown_song
SELECT b.song_key FROM artist n JOIN music.dim_artist d USING (artist_key)
JOIN music.bridge_song_artist b USING (artist_key) WHERE d.name IS DISTINCT FROM n.name
UNION
SELECT f.song_key FROM album n JOIN music.dim_album d USING (album_key)
JOIN music.fact_song f USING (album_key) WHERE d.title IS DISTINCT FROM n.title
"""
_YEARS = """
INSERT INTO music.dim_date (year_key, year, decade)
SELECT DISTINCT s.year, s.year, s.year / 10 * 10 FROM song s
WHERE s.year IS NOT NULL AND NOT EXISTS (SELECT FROM music.dim_date d WHERE d.year_key = s.year)
"""


def create(conn: psycopg.Connection[Any]) -> None:
    """Empty temporary table ``old_fact``."""
    conn.execute(_NO_OLD)


def remember(conn: psycopg.Connection[Any], songs: str) -> None:
    """Add what the songs of a table were to the temporary table ``old_fact``."""
    conn.execute(f"INSERT INTO old_fact {_OLD.format(songs=songs)}")
    conn.execute("ANALYZE old_fact")


def find_touched(conn: psycopg.Connection[Any], *, first: bool, every: bool) -> None:
    """Temporary tables: artists and albums of the touched songs, those of ``old_fact`` included.

    ``open_artist`` and ``open_album`` are those to be looked at; all touched ones if ``every``.
    """
    conn.execute(_TOUCHED)
    conn.execute(_EVERY if first or every else _OPEN + _OPEN_ALBUMS)
    conn.execute("CREATE TEMP TABLE shown_song (song_key text) ON COMMIT DROP")
    conn.execute(_OTHERS)
    add_credits(conn, "artist_other")
    conn.execute(_CREDITED)


def write_dimensions(conn: psycopg.Connection[Any]) -> None:
    """Make artists, albums and years be what the songs say, before facts refer to them."""
    conn.execute(_ARTISTS)
    conn.execute(_ALBUMS)
    conn.execute("ANALYZE artist")
    conn.execute("ANALYZE album")
    conn.execute(_RENAMED)
    for statement in (
        *_write("music.dim_artist", "artist", "artist_key", _ARTIST_COLUMNS),
        *_write("music.dim_album", "album", "album_key", _ALBUM_COLUMNS),
    ):
        conn.execute(statement)
    conn.execute(_YEARS)


# Every artist of every song of an album, guests included.
_ALBUM_ARTISTS = f"""
INSERT INTO music.bridge_album_artist (album_key, artist_key)
SELECT DISTINCT s.album_key, c.artist_key FROM song s JOIN ({CREDITS}) AS c USING (song_key)
WHERE s.album_key IS NOT NULL AND NOT EXISTS (
    SELECT FROM music.bridge_album_artist b
    WHERE b.album_key = s.album_key AND b.artist_key = c.artist_key)
"""


def write_album_artists(conn: psycopg.Connection[Any]) -> None:
    """Add the artists that are new on an album; ``removal`` takes away those who left."""
    conn.execute(_ALBUM_ARTISTS)
