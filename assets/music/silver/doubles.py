"""Songs and artists that may be one and are kept apart: what the audit lists for a person.

Belongs here: finding them, and whether the crosswalk and the records agree. Does not: what matches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
_ARTISTS = r"""
SELECT min(name), string_agg(artist_key, ' ' ORDER BY artist_key) FROM music.dim_artist
WHERE name IS NOT NULL
GROUP BY regexp_replace(regexp_replace(lower(normalize(name, NFKD)), '^the\s|,\s*the\s*$', ''),
    '[^[:alnum:]]+', '', 'g')
HAVING count(*) > 1 ORDER BY 1 LIMIT %s
"""
_DISAGREE = """
SELECT count(*) FROM music.song_source s LEFT JOIN music.song_match m USING (own_key)
WHERE s.song_key IS DISTINCT FROM coalesce(m.song_key, s.own_key)
"""
_CHAINED = """
SELECT (SELECT count(*) FROM music.song_match m JOIN music.song_match n ON n.own_key = m.song_key)
    + (SELECT count(*) FROM music.song_redirect r JOIN music.fact_song f ON f.song_key = r.old_key)
"""


def likely_doubles(
    conn: psycopg.Connection[Any], limit: int
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Songs of one folded artist and title, and artists of one folded name: name and keys of each.

    At most ``limit`` of either, by name.
    """
    return (
        conn.execute(_SONGS, (limit,)).fetchall(),
        conn.execute(_ARTISTS, (limit,)).fetchall(),
    )


def disagreements(conn: psycopg.Connection[Any]) -> int:
    """Records that are under another song than the crosswalk says, and keys that lead on."""
    return sum(int(row[0]) for query in (_DISAGREE, _CHAINED) for row in conn.execute(query))
