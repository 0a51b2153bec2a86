"""Which artist a name is: one of a known id, where a record says both, else one of its own.

Belongs here: ``music.artist_match``, and the songs to be made anew when what it says changes. Does
not: names and their own keys (``names.py``), what is left out of a name (``folding.py``).

A name is the artist whose id a record gives beside a name that folds to the same; of several ids of
one name, the first in order: nothing tells which of them is meant, and asking twice gives the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assets.music.silver import names

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

_FORGET = "DELETE FROM music.artist_match"
# Names whose artist may be another now: an id came to them, or went.
_CHANGED = """
CREATE TEMP TABLE changed_artist ON COMMIT DROP AS
WITH name AS (
    SELECT old_artist AS match_key FROM arrived WHERE NOT same AND old_artist IS NOT NULL
    UNION SELECT i.artist_match FROM incoming i JOIN arrived a USING (record_key)
        WHERE NOT a.same AND i.artist_id IS NOT NULL AND i.artist_match IS NOT NULL
)
SELECT m.name_key, m.artist_key AS old_key, coalesce(i.artist_id, m.name_key) AS new_key
FROM name JOIN music.artist_match m USING (match_key)
CROSS JOIN LATERAL (
    SELECT min(s.artist_id) AS artist_id FROM music.song_source s
    WHERE s.artist_match = m.match_key AND s.artist_id IS NOT NULL) AS i
WHERE m.artist_key <> coalesce(i.artist_id, m.name_key);

UPDATE music.artist_match m SET artist_key = c.new_key, matched_at = clock_timestamp()
FROM changed_artist c WHERE m.name_key = c.name_key;

INSERT INTO touched_song (song_key, sources)
SELECT DISTINCT f.song_key, f.sources
FROM changed_artist c JOIN music.bridge_song_artist b ON b.artist_key = c.old_key
JOIN music.fact_song f USING (song_key)
WHERE NOT EXISTS (SELECT FROM touched_song t WHERE t.song_key = f.song_key);
ANALYZE touched_song
"""
_UNKNOWN = """
SELECT DISTINCT ON (c.artist_key) c.artist_key, c.name FROM credit c
WHERE NOT EXISTS (SELECT FROM music.artist_match m WHERE m.name_key = c.artist_key)
    AND c.artist_key LIKE 'fp-%'
ORDER BY c.artist_key, c.name
"""
_LEARN = """
INSERT INTO music.artist_match (name_key, match_key, artist_key)
SELECT n.name_key, n.match_key, coalesce((
    SELECT min(s.artist_id) FROM music.song_source s
    WHERE s.artist_match = n.match_key AND s.artist_id IS NOT NULL), n.name_key)
FROM unnest(%s::text[], %s::text[]) AS n (name_key, match_key)
"""
_APPLY = """
UPDATE credit c SET artist_key = m.artist_key FROM music.artist_match m
WHERE m.name_key = c.artist_key AND m.artist_key <> c.artist_key
"""
# A name that joins two spellings of one artist credits them once, at the first place.
_ONCE = """
DELETE FROM credit c USING credit d
WHERE d.artist_name = c.artist_name AND d.artist_key = c.artist_key AND d.position < c.position
"""
_NUMBER = """
UPDATE credit c SET position = n.position, alone = n.alone
FROM (
    SELECT artist_name, artist_key,
        row_number() OVER (PARTITION BY artist_name ORDER BY position) AS position,
        count(*) OVER (PARTITION BY artist_name) = 1 AS alone
    FROM credit
) AS n
WHERE n.artist_name = c.artist_name AND n.artist_key = c.artist_key
    AND (n.position, n.alone) <> (c.position, c.alone)
"""


def settle(conn: Connection, *, first: bool) -> None:
    """Let names be the artists that records say now; songs of those that changed are touched."""
    conn.execute(_FORGET if first else _CHANGED)


def add_credits(conn: Connection, sources: str) -> None:
    """As names.add_credits, with the artist that each name is."""
    names.add_credits(conn, sources)
    unknown = conn.execute(_UNKNOWN).fetchall()
    if unknown:
        conn.execute(_LEARN, ([key for key, _ in unknown], _folded([name for _, name in unknown])))
    if conn.execute(_APPLY).rowcount and conn.execute(_ONCE).rowcount:
        conn.execute(_NUMBER)


def _folded(spelled: list[str]) -> list[str | None]:
    import polars as pl

    from assets.music.silver.folding import folded_artist

    column = pl.DataFrame({"name": spelled}, schema={"name": pl.String})
    return column.select(folded_artist(pl.col("name"))).to_series().to_list()
