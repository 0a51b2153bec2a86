"""``music.fact_song`` and its artists: one row per song, its fields from the best of its records.

Belongs here: choosing fields (temporary table ``song``), writing facts and credits. Does not: the
dimensions that they refer to, which must be there before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.music.silver.names import ALBUM_FINGERPRINT
from assets.music.silver.precedence import ALBUM, ARTIST, BEST_FIRST, FUSED, GIVEN_BY
from assets.music.silver.statements import FACT, FEATURES, UNKNOWN, fact_hash, listed

if TYPE_CHECKING:
    import psycopg

# Songs with one record, which are most: no choice to make.
_OF_ONE = f"""
SELECT s.song_key, 1 AS sources, s.record_key AS base_source, '{{{{}}}}'::jsonb AS provenance,
    CASE WHEN s.track_id IS NULL THEN '{{{{}}}}' ELSE ARRAY[s.track_id::text] END AS track_ids,
    {listed(FUSED, "s")}, {listed(ARTIST, "s")}, {listed(ALBUM, "s")},
    s.rank AS artist_rank, s.seq AS artist_seq, s.record_key AS artist_record,
    s.rank AS album_rank, s.seq AS album_seq, s.record_key AS album_record
FROM {{songs}} t JOIN music.song_source s USING (song_key)
WHERE t.sources = 1
"""


def _place(conditions: Sequence[str]) -> str:
    """The first place at which the first condition holds, else the next."""
    return f"coalesce({', '.join(f'min(n) FILTER (WHERE {one})' for one in conditions)})"


def _of_several(songs: str) -> str:
    """Per song arrays in the order of belief; a field is taken at the first place that has it."""
    places = {name: _place(conditions) for name, conditions in GIVEN_BY.items()}
    arrays = ("record_key", "rank", "seq", *FUSED, *ARTIST, *ALBUM)
    picked = [f"all_{name}[at_{name}] AS {name}" for name in FUSED]
    for group, columns in (("artist", ARTIST), ("album", ALBUM)):
        picked += [f"all_{name}[at_{group}] AS {name}" for name in columns]
    for group in ("artist", "album"):
        picked += [
            f"all_rank[at_{group}] AS {group}_rank",
            f"all_seq[at_{group}] AS {group}_seq",
            f"all_record_key[at_{group}] AS {group}_record",
        ]
    origins = ", ".join(
        f"'{name}', CASE WHEN at_{name} > 1 THEN all_record_key[at_{name}] END" for name in places
    )
    return f"""
    SELECT song_key, sources, all_record_key[1] AS base_source,
        jsonb_strip_nulls(jsonb_build_object({origins})) AS provenance,
        track_ids, {", ".join(picked)}
    FROM (
        SELECT song_key, count(*)::integer AS sources,
            coalesce(array_agg(DISTINCT track_id::text COLLATE "C")
                FILTER (WHERE track_id IS NOT NULL), '{{}}') AS track_ids,
            {", ".join(f"{place} AS at_{name}" for name, place in places.items())},
            {", ".join(f"array_agg({name} ORDER BY n) AS all_{name}" for name in arrays)}
        FROM (
            SELECT s.*,
                row_number() OVER (PARTITION BY song_key ORDER BY {BEST_FIRST})::integer AS n
            FROM {songs} t JOIN music.song_source s USING (song_key)
            WHERE t.sources > 1
        ) AS ranked
        GROUP BY song_key
    ) AS fused
    """


_KEYED = """
SELECT p.*, k.artist_key,
    CASE WHEN p.album_release_id > 0 THEN 'r-' || p.album_release_id
        WHEN a.key IS NOT NULL THEN {album} END AS album_key,
    g.key AS own_genre
FROM ({picked}) AS p
LEFT JOIN credit c ON c.artist_name = p.artist_name AND c.position = 1 AND p.artist_id IS NULL
LEFT JOIN plain a ON a.text = p.album AND coalesce(p.album_release_id, 0) <= 0
LEFT JOIN plain g ON g.text = p.genre
CROSS JOIN LATERAL (SELECT coalesce(p.artist_id, c.artist_key) AS artist_key) AS k
"""
_CREATE = "CREATE TEMP TABLE song ON COMMIT DROP AS {keyed} WITH NO DATA"
_INSERT = "INSERT INTO song {keyed}"


def _keyed(picked: str) -> str:
    album = ALBUM_FINGERPRINT.format(artist_key="k.artist_key", title="a.key")
    return _KEYED.format(album=album, picked=picked)


def create(conn: psycopg.Connection[Any]) -> None:
    """Empty temporary table ``song``."""
    conn.execute(_CREATE.format(keyed=_keyed(_OF_ONE.format(songs="touched_song"))))


def fuse(conn: psycopg.Connection[Any], songs: str) -> None:
    """Put songs that have records into ``song``, with keys and choices.

    ``songs`` is a table with the columns of ``touched_song``; names must be in ``credit`` and
    ``plain``. An album has the key here that it has by itself (``albums``).
    """
    conn.execute(_INSERT.format(keyed=_keyed(_OF_ONE.format(songs=songs))))
    row = conn.execute(f"SELECT EXISTS (SELECT FROM {songs} WHERE sources > 1)").fetchone()
    if row and row[0]:
        conn.execute(_INSERT.format(keyed=_keyed(_of_several(songs))))
    conn.execute("ANALYZE song (song_key, artist_key, album_key)")


# -- facts -------------------------------------------------------------------------------------

_FACT_ROWS = f"""
SELECT s.song_key, s.title, coalesce(s.artist_key, {UNKNOWN}) AS artist_key,
    coalesce(s.album_key, {UNKNOWN}) AS album_key,
    coalesce(s.own_genre, g.genre_key, {UNKNOWN}) AS genre_key,
    coalesce(s.year, 0)::smallint AS year_key, s.track_ids, {listed(FEATURES, "s")},
    s.sources, s.base_source,
    CASE WHEN s.own_genre IS NULL AND g.origin IS NOT NULL
        THEN s.provenance || g.origin ELSE s.provenance END AS provenance
FROM song s LEFT JOIN artist_genre g USING (artist_key)
"""
_HASHED = f"SELECT f.*, {fact_hash('f')} AS row_hash FROM ({_FACT_ROWS}) AS f"
_INSERT_ALL = f"INSERT INTO music.fact_song ({listed(FACT)}, row_hash) {_HASHED}"
_COMPARE = f"""
CREATE TEMP TABLE fact ON COMMIT DROP AS
SELECT n.*, o.row_hash AS old_hash
FROM ({_HASHED}) AS n LEFT JOIN music.fact_song o USING (song_key)
"""
_UPDATE_CHANGED = f"""
UPDATE music.fact_song f
SET ({listed(FACT[1:])}, row_hash) = ROW({listed(FACT[1:], "n")}, n.row_hash)
FROM fact n WHERE f.song_key = n.song_key AND n.old_hash <> n.row_hash
"""
_INSERT_NEW = f"""
INSERT INTO music.fact_song ({listed(FACT)}, row_hash)
SELECT {listed(FACT)}, row_hash FROM fact WHERE old_hash IS NULL
"""

# -- credits -----------------------------------------------------------------------------------

#: All credits of the fused songs: song_key, artist_key, position.
CREDITS = """
SELECT song_key, artist_key, 1::smallint AS position FROM song
WHERE artist_id IS NOT NULL
UNION ALL
SELECT s.song_key, c.artist_key, c.position FROM song s JOIN credit c USING (artist_name)
WHERE s.artist_id IS NULL
"""
_INSERT_CREDITS = f"INSERT INTO music.bridge_song_artist (song_key, artist_key, position) {CREDITS}"
_SAME_CREDIT = "x.song_key = y.song_key AND x.artist_key = y.artist_key AND x.position = y.position"
_NO_LOST_CREDITS = "CREATE TEMP TABLE lost_credit (song_key text, artist_key text) ON COMMIT DROP"
_DELETE_CREDITS = f"""
WITH deleted AS (
    DELETE FROM music.bridge_song_artist x USING touched_song t
    WHERE x.song_key = t.song_key AND NOT EXISTS (
        SELECT FROM ({CREDITS}) AS y WHERE {_SAME_CREDIT})
    RETURNING x.song_key, x.artist_key
)
INSERT INTO lost_credit SELECT song_key, artist_key FROM deleted
"""
# Not "WHERE NOT EXISTS": on tables that were analyzed while empty that scans what it inserts.
_INSERT_MISSING_CREDITS = f"{_INSERT_CREDITS} ON CONFLICT (song_key, artist_key) DO NOTHING"


@dataclass(frozen=True, slots=True)
class Facts:
    """Songs by what became of them."""

    new: int
    changed: int
    unchanged: int


def write_facts(conn: psycopg.Connection[Any], *, first: bool) -> Facts:
    """Make ``music.fact_song`` say what ``song`` says; rows that are equal are not written."""
    if first:
        return Facts(conn.execute(_INSERT_ALL).rowcount, 0, 0)
    total = conn.execute(_COMPARE).rowcount
    conn.execute("ANALYZE fact (song_key, old_hash)")
    changed = conn.execute(_UPDATE_CHANGED).rowcount
    new = conn.execute(_INSERT_NEW).rowcount
    return Facts(new, changed, total - new - changed)


def write_credits(conn: psycopg.Connection[Any], *, first: bool) -> None:
    """Make ``music.bridge_song_artist`` say who made the songs of ``song``.

    Temporary table ``lost_credit`` (song_key, artist_key) has those that are no more.
    """
    conn.execute(_NO_LOST_CREDITS)
    if first:
        conn.execute(_INSERT_CREDITS)
        return
    conn.execute(_DELETE_CREDITS)
    conn.execute(_INSERT_MISSING_CREDITS)
