"""Songs, artists and albums that may be one and are kept apart: what the audit lists for a person.

Belongs here: finding them, and whether crosswalks and records agree. Does not: what matches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assets.music.silver.statements import UNKNOWN

if TYPE_CHECKING:
    import psycopg

# Pairs on which an operator has decided are not listed any more.
_SONGS = """
SELECT match_key, string_agg(song_key, ' ' ORDER BY song_key) FROM (
    SELECT DISTINCT s.match_key, s.song_key
    FROM music.song_source s JOIN music.fact_song f USING (song_key)
    WHERE s.match_key IS NOT NULL AND NOT EXISTS (
        SELECT FROM music.song_source d
        WHERE d.format = 'split' AND s.song_key = ANY(string_to_array(
            split_part(d.record_key, ':', 3), ' ')))
) AS named
GROUP BY match_key HAVING count(*) > 1 ORDER BY match_key LIMIT %s
"""
_ARTISTS = rf"""
SELECT min(name), string_agg(artist_key, ' ' ORDER BY artist_key) FROM music.dim_artist
WHERE name IS NOT NULL AND artist_key <> {UNKNOWN}
GROUP BY regexp_replace(regexp_replace(lower(normalize(name, NFKD)), '^the\s|,\s*the\s*$', ''),
    '[^[:alnum:]]+', '', 'g')
HAVING count(*) > 1 ORDER BY 1 LIMIT %s
"""
_ALBUMS = """
SELECT min(a.name) || ' / ' || n.match_title, string_agg(n.own_key, ' ' ORDER BY n.own_key)
FROM music.album_name n JOIN music.dim_artist a USING (artist_key)
WHERE starts_with(n.own_key, 'r-')
GROUP BY n.artist_key, n.match_title HAVING count(*) > 1 ORDER BY 1, 2 LIMIT %s
"""
_DISAGREE = """
SELECT count(*) FROM music.song_source s LEFT JOIN music.song_match m USING (own_key)
WHERE s.song_key IS DISTINCT FROM coalesce(m.song_key, s.own_key)
"""
_CHAINED = """
SELECT (SELECT count(*) FROM music.song_match m JOIN music.song_match n ON n.own_key = m.song_key)
    + (SELECT count(*) FROM music.song_redirect r JOIN music.fact_song f ON f.song_key = r.old_key)
"""


# By the songs themselves, each with the key that the record of its album gives: titles are taken
# from the crosswalk, for folding is not the database's.
_ALBUMS_DISAGREE = f"""
WITH told AS (
    SELECT f.artist_key, f.album_key, s.album_release_id AS release_id FROM music.fact_song f
    JOIN music.song_source s ON s.record_key = coalesce(f.provenance ->> 'album', f.base_source)
    WHERE f.album_key <> {UNKNOWN}
), release AS (
    SELECT n.artist_key, n.match_title, min(t.release_id) AS release_id
    FROM music.album_name n JOIN (
        SELECT DISTINCT artist_key, release_id FROM told WHERE release_id > 0
    ) AS t ON t.artist_key = n.artist_key AND n.own_key = 'r-' || t.release_id
    GROUP BY n.artist_key, n.match_title
)
SELECT count(*) FROM (
    -- Titles that are another album than the smallest release id of the same artist and title.
    SELECT n.own_key FROM music.album_name n
    LEFT JOIN release r USING (artist_key, match_title)
    LEFT JOIN music.album_match m ON m.name_key = n.own_key
    WHERE starts_with(n.own_key, 'fp-') AND m.album_key IS DISTINCT FROM 'r-' || r.release_id
    -- Songs that are under another album than the one of their own id, or of their title.
    UNION ALL
    SELECT t.album_key FROM told t LEFT JOIN music.album_match m ON m.name_key = t.album_key
    WHERE CASE WHEN t.release_id > 0 THEN t.album_key <> 'r-' || t.release_id
        WHEN starts_with(t.album_key, 'r-') THEN NOT EXISTS (
            SELECT FROM music.album_match x JOIN music.album_name n ON n.own_key = x.name_key
            WHERE x.album_key = t.album_key AND n.artist_key = t.artist_key)
        ELSE m.name_key IS NOT NULL END
    -- Titles that no song gives, and keys of before that are albums.
    UNION ALL
    SELECT n.own_key FROM music.album_name n LEFT JOIN music.album_match m ON m.name_key = n.own_key
    WHERE NOT EXISTS (
        SELECT FROM told t WHERE t.artist_key = n.artist_key
            AND t.album_key = coalesce(m.album_key, n.own_key)
            AND starts_with(n.own_key, 'r-') = (coalesce(t.release_id, 0) > 0))
    UNION ALL
    SELECT old_key FROM music.album_redirect r JOIN music.dim_album d ON d.album_key = r.old_key
) AS wrong
"""


def likely_doubles(conn: psycopg.Connection[Any], limit: int) -> dict[str, list[tuple[str, str]]]:
    """By ``song``, ``artist`` and ``album``: those of one folded name, and the keys of each.

    At most ``limit`` of each, by name. Albums are those of several release ids.
    """
    listed = {"song": _SONGS, "artist": _ARTISTS, "album": _ALBUMS}
    return {kind: conn.execute(query, (limit,)).fetchall() for kind, query in listed.items()}


def disagreements(conn: psycopg.Connection[Any]) -> int:
    """Records and songs that are under another key than crosswalks say, and keys that lead on."""
    queries = (_DISAGREE, _CHAINED, _ALBUMS_DISAGREE)
    return sum(int(row[0]) for query in queries for row in conn.execute(query))
