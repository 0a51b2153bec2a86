"""Terms and tags of artists, and the genres of songs that follow from them.

Belongs here: ``bridge_artist_term``, ``dim_genre``, the choice of a genre. Does not: asking a
service (``assets/music/lyrics``).

A song's genre is its own where a record has one (the extracts do), else its artist's, by
``precedence.ARTIST_GENRES``: the tag with the highest count, the term with the highest weight, what
the lookup service said. Ties go to the first by name. Genres are kept normalised, so that ``Rock``
and ``rock`` are one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assets.music.silver import names
from assets.music.silver.precedence import ARTIST_GENRES, BEST_FIRST_BY
from assets.music.silver.statements import UNKNOWN, fact_hash, listed

if TYPE_CHECKING:
    import psycopg

_FIRST_ANY_TERMS = """
SELECT EXISTS (
    SELECT FROM music.song_source WHERE artist_terms IS NOT NULL OR artist_mbtags IS NOT NULL)
"""
_ANY_TERMS = """
SELECT EXISTS (
    SELECT FROM touched_song JOIN music.song_source s USING (song_key)
    WHERE s.artist_terms IS NOT NULL OR s.artist_mbtags IS NOT NULL
) OR EXISTS (SELECT FROM open_artist JOIN music.bridge_artist_term USING (artist_key))
"""


def _list_of(kind: str, column: str) -> str:
    """The whole list of the best record that has one, of any song of the artist."""
    return f"""
    SELECT artist_key, '{kind}' AS kind, item.name AS term, max(item.weight) AS weight
    FROM (
        SELECT DISTINCT ON (artist_key) artist_key, s.record_key
        FROM (SELECT song_key, artist_key, artist_id FROM credited WHERE alone) AS c
        JOIN open_artist USING (artist_key)
        JOIN music.song_source s USING (song_key)
        WHERE s.{column} IS NOT NULL AND s.artist_id IS NOT DISTINCT FROM c.artist_id
        ORDER BY artist_key, {listed(BEST_FIRST_BY, "s")}
    ) AS best
    JOIN music.song_source s USING (record_key)
    CROSS JOIN jsonb_to_recordset(s.{column}) AS item (name text, weight double precision)
    WHERE item.name <> ''
    GROUP BY artist_key, item.name
    """


_TERMS = f"""
CREATE TEMP TABLE term ON COMMIT DROP AS
{_list_of("term", "artist_terms")} UNION ALL {_list_of("mbtag", "artist_mbtags")};
ANALYZE term
"""
_DELETE_TERMS = """
DELETE FROM music.bridge_artist_term b USING open_artist t
WHERE b.artist_key = t.artist_key AND NOT EXISTS (
    SELECT FROM term n
    WHERE n.artist_key = b.artist_key AND n.kind = b.kind AND n.term = b.term
        AND n.weight IS NOT DISTINCT FROM b.weight)
"""
_INSERT_TERMS = """
INSERT INTO music.bridge_artist_term (artist_key, kind, term, weight)
SELECT artist_key, kind, term, weight FROM term n
WHERE NOT EXISTS (
    SELECT FROM music.bridge_artist_term b
    WHERE b.artist_key = n.artist_key AND b.kind = n.kind AND b.term = n.term)
"""

_ARTIST_SAID = """
CREATE TEMP TABLE artist_said ON COMMIT DROP AS
SELECT DISTINCT ON (artist_key) artist_key, name, origin
FROM (
    SELECT artist_key, term AS name, weight, 'artist_' || kind AS origin
    FROM touched_artist JOIN music.bridge_artist_term USING (artist_key)
    UNION ALL
    SELECT artist_key, genre, NULL, 'musicbrainz'
    FROM touched_artist JOIN music.artist_genre_lookup USING (artist_key)
    WHERE status = 'found' AND genre IS NOT NULL
) AS said
ORDER BY artist_key, array_position(%s::text[], origin), weight DESC NULLS LAST, name COLLATE "C"
"""
_ARTIST_GENRE = """
CREATE TEMP TABLE artist_genre ON COMMIT DROP AS
SELECT artist_key, p.key AS genre_key,
    jsonb_build_object('genre', origin || ':' || artist_key) AS origin
FROM artist_said JOIN plain p ON p.text = artist_said.name;
ANALYZE artist_genre
"""
_INSERT_GENRES = """
INSERT INTO music.dim_genre (genre_key, name)
SELECT DISTINCT genre_key, genre_key FROM ({used}) AS used (genre_key)
WHERE genre_key IS NOT NULL
    AND NOT EXISTS (SELECT FROM music.dim_genre d WHERE d.genre_key = used.genre_key)
"""
_OF_SONGS = """
SELECT coalesce(s.own_genre, g.genre_key) FROM song s LEFT JOIN artist_genre g USING (artist_key)
"""

# Songs that the batch did not touch and whose artist has another genre now; EXCEPT as in
# ``dimensions``.
_FOLLOWERS = f"""
CREATE TEMP TABLE follower ON COMMIT DROP AS
SELECT f.song_key, nullif(f.genre_key, {UNKNOWN}) AS old_genre, g.genre_key,
    (f.provenance - 'genre') || coalesce(g.origin, '{{}}') AS provenance
FROM (
    SELECT song_key FROM open_artist JOIN music.fact_song USING (artist_key)
    EXCEPT SELECT song_key FROM touched_song
) AS o
JOIN music.fact_song f USING (song_key) LEFT JOIN artist_genre g USING (artist_key)
WHERE (f.genre_key = {UNKNOWN} OR split_part(f.provenance ->> 'genre', ':', 1) = ANY (%s))
    AND (f.genre_key <> coalesce(g.genre_key, {UNKNOWN})
        OR f.provenance -> 'genre' IS DISTINCT FROM g.origin -> 'genre')
"""
_NO_FOLLOWERS = "CREATE TEMP TABLE follower (song_key text, old_genre text) ON COMMIT DROP"
_FOLLOWED = fact_hash("f", genre_key=f"coalesce(n.genre_key, {UNKNOWN})", provenance="n.provenance")
_FOLLOW = f"""
UPDATE music.fact_song f SET genre_key = coalesce(n.genre_key, {UNKNOWN}),
    provenance = n.provenance, row_hash = {_FOLLOWED}
FROM follower n WHERE f.song_key = n.song_key
"""
_REMOVE_GENRES = """
DELETE FROM music.dim_genre d
WHERE d.genre_key IN ({candidates})
    AND NOT EXISTS (SELECT FROM music.fact_song f WHERE f.genre_key = d.genre_key)
    AND NOT EXISTS (SELECT FROM music.bridge_song_genre b WHERE b.genre_key = d.genre_key)
"""


def write_terms(conn: psycopg.Connection[Any], *, first: bool) -> None:
    """Make ``bridge_artist_term`` say what the best record of each touched artist says."""
    row = conn.execute(_FIRST_ANY_TERMS if first else _ANY_TERMS).fetchone()
    if row and row[0]:
        conn.execute(_TERMS)
        conn.execute(_DELETE_TERMS)
        conn.execute(_INSERT_TERMS)


def choose_genres(conn: psycopg.Connection[Any]) -> None:
    """Temporary table ``artist_genre``; the genres that songs get are put in dim_genre."""
    conn.execute(_ARTIST_SAID, (list(ARTIST_GENRES),))
    names.add_plain(conn, "SELECT name FROM artist_said")
    conn.execute(_ARTIST_GENRE)
    conn.execute(_INSERT_GENRES.format(used=_OF_SONGS))


def let_songs_follow(conn: psycopg.Connection[Any], *, first: bool) -> int:
    """Give songs without a genre of their own their artist's; temporary table ``follower``."""
    if first:
        conn.execute(_NO_FOLLOWERS)
        return 0
    conn.execute(_FOLLOWERS, (list(ARTIST_GENRES),))
    conn.execute(_INSERT_GENRES.format(used="SELECT genre_key FROM follower"))
    return conn.execute(_FOLLOW).rowcount


def remove_unused(conn: psycopg.Connection[Any], candidates: str) -> None:
    """Remove the genres, of those that a query gives, that no song has."""
    conn.execute(_REMOVE_GENRES.format(candidates=candidates))
