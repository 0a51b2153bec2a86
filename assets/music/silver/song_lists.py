"""Of what songs have many: genres, tags and similar tracks, as their records say.

Belongs here: ``bridge_song_genre``, ``bridge_song_tag``, ``bridge_song_similar``. Does not: which
genre is a song's own (``songs``, ``genres``), which song a similar track is of: who asks looks into
``song_source``, where that may change without a record of this song.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assets.music.silver.precedence import BEST_FIRST
from assets.music.silver.statements import listed

if TYPE_CHECKING:
    import psycopg

_RECORDS = "touched_song JOIN music.song_source s USING (song_key)"
# Most records say nothing of the kind: those that do are looked for once.
_LISTING = f"""
CREATE TEMP TABLE listing ON COMMIT DROP AS
SELECT song_key, s.record_key, s.rank, s.seq, s.genre, s.genres, s.tags, s.similars
FROM {_RECORDS}
WHERE num_nonnulls(s.genre, s.genres, s.tags, s.similars) > 0;
ANALYZE listing (song_key)
"""
_SAYING = "listing s"
#: Names that become keys of genres.
GENRE_NAMES = f"""
SELECT g.name FROM {_RECORDS} CROSS JOIN LATERAL jsonb_to_recordset(s.genres) AS g (name text)
"""
# The order of a record's own list counts last: the best record's first genre is the song's.
_GENRES = f"""
SELECT song_key, genre_key,
    row_number() OVER (PARTITION BY song_key ORDER BY {BEST_FIRST}, place)::integer AS position,
    record_key AS source_record
FROM (
    SELECT DISTINCT ON (song_key, p.key) song_key, p.key AS genre_key, s.rank, s.seq, s.record_key,
        g.place
    FROM {_SAYING}
    CROSS JOIN LATERAL (
        SELECT s.genre, 0 WHERE s.genre IS NOT NULL
        UNION ALL
        SELECT item ->> 'name', place
        FROM jsonb_array_elements(s.genres) WITH ORDINALITY AS listed (item, place)
    ) AS g (name, place)
    JOIN plain p ON p.text = g.name
    ORDER BY song_key, p.key, s.rank, s.seq DESC, s.record_key, g.place
) AS said
"""
_TAGS = f"""
SELECT song_key, item.name AS tag, max(item.weight) AS weight
FROM {_SAYING} CROSS JOIN LATERAL
    jsonb_to_recordset(s.tags) AS item (name text, weight double precision)
GROUP BY song_key, item.name
"""
_SIMILARS = f"""
SELECT song_key, item.track_id, max(item.score) AS score
FROM {_SAYING} CROSS JOIN LATERAL
    jsonb_to_recordset(s.similars) AS item (track_id text, score double precision)
GROUP BY song_key, item.track_id
"""
_TABLES = {
    "bridge_song_genre": (("song_key", "genre_key", "position", "source_record"), _GENRES),
    "bridge_song_tag": (("song_key", "tag", "weight"), _TAGS),
    "bridge_song_similar": (("song_key", "track_id", "score"), _SIMILARS),
}
# What a query said of the touched songs is compared as whole rows: none that is equal is written.
_SAID = "CREATE TEMP TABLE said_{table} ON COMMIT DROP AS {query}; ANALYZE said_{table}"
_DELETE = """
DELETE FROM music.{table} b USING touched_song t
WHERE b.song_key = t.song_key AND NOT EXISTS (
    SELECT FROM said_{table} n WHERE {same})
"""
_INSERT = """
INSERT INTO music.{table} ({columns}) SELECT {columns} FROM said_{table}
ON CONFLICT ({key}) DO NOTHING
"""
_NEW_GENRES = """
INSERT INTO music.dim_genre (genre_key, name)
SELECT DISTINCT genre_key, genre_key FROM said_bridge_song_genre ON CONFLICT DO NOTHING
"""
_LOST_GENRES = """
CREATE TEMP TABLE lost_genre ON COMMIT DROP AS
SELECT b.genre_key FROM music.bridge_song_genre b JOIN touched_song USING (song_key)
EXCEPT SELECT genre_key FROM said_bridge_song_genre
"""


def write_lists(conn: psycopg.Connection[Any]) -> None:
    """Make the bridges say what the records of the touched songs say, after the facts.

    Temporary table ``lost_genre`` has genres that one of the songs may have been the last to have.
    """
    conn.execute(_LISTING)
    for table, (columns, query) in _TABLES.items():
        conn.execute(_SAID.format(table=table, query=query))
        if table == "bridge_song_genre":
            conn.execute(_LOST_GENRES)
            conn.execute(_NEW_GENRES)
        same = " AND ".join(f"n.{name} IS NOT DISTINCT FROM b.{name}" for name in columns)
        conn.execute(_DELETE.format(table=table, same=same))
        conn.execute(_INSERT.format(table=table, columns=listed(columns), key=listed(columns[:2])))
