"""``music.song_source``: a batch's records in it, each under the key of its song.

Belongs here: what is new, what it replaces, the key that a record has of its own, which songs a
batch touches. Does not: which keys are one song (``identity``), what a song is made of (``songs``).

The key that a record has of its own is: its song id; else that of another record of its track that
has one; else, for all records of one track, the fingerprint of the best of them that has a title;
else, without a track, its own fingerprint; else none yet: the record waits for its track to arrive.
Its song is the one that this key matches (``identity``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.music.silver import identity
from assets.music.silver.precedence import BEST_FIRST
from assets.music.silver.statements import SAID, SOURCE, UNKNOWN, listed

if TYPE_CHECKING:
    import polars as pl
    import psycopg

_EMPTY = f"""
SELECT NOT EXISTS (SELECT FROM music.song_source) AND NOT EXISTS (SELECT FROM music.fact_song)
    AND NOT EXISTS (SELECT FROM music.dim_artist WHERE artist_key <> {UNKNOWN})
    AND NOT EXISTS (SELECT FROM music.dim_album WHERE album_key <> {UNKNOWN})
"""

_CREATE_INCOMING = f"""
CREATE TEMP TABLE incoming ON COMMIT DROP AS
SELECT {listed(SOURCE)} FROM music.song_source WITH NO DATA
"""

# A record that says the same again keeps the place where it was read first, whichever of the two
# batches is loaded first.
_ARRIVED = """
CREATE TEMP TABLE arrived ON COMMIT DROP AS
SELECT i.record_key, s.song_key AS old_key, s.own_key AS old_own, s.track_id AS old_track,
    s.record_key IS NOT NULL AS known,
    s.record_key IS NOT NULL AND s.row_hash = i.row_hash AND s.seq <= i.seq
        AND (s.match_key, s.artist_match) IS NOT DISTINCT FROM (i.match_key, i.artist_match)
        AS same,
    s.record_key IS NOT NULL AND s.row_hash = i.row_hash AND s.seq > i.seq AS earlier,
    CASE WHEN s.artist_id IS NOT NULL THEN s.artist_match END AS old_artist
FROM incoming i LEFT JOIN music.song_source s USING (record_key)
UNION ALL
SELECT record_key, s.song_key, s.own_key, s.track_id, true, false, false,
    CASE WHEN s.artist_id IS NOT NULL THEN s.artist_match END
FROM unnest(%s::text[]) AS w (record_key) JOIN music.song_source s USING (record_key)
"""
_DELETE_REPLACED = """
DELETE FROM music.song_source s USING arrived a
WHERE s.record_key = a.record_key AND a.known AND NOT a.same
"""
_NEWS = """
CREATE TEMP VIEW news AS
SELECT i.* FROM incoming i JOIN arrived a USING (record_key) WHERE NOT a.same
"""

# Tracks of the batch, old and new, with a record that does not say itself which song it is of.
_OPEN_TRACK = """
CREATE TEMP TABLE open_track ON COMMIT DROP AS
WITH track AS (
    SELECT track_id FROM news WHERE track_id IS NOT NULL
    UNION
    SELECT old_track FROM arrived WHERE known AND NOT same AND old_track IS NOT NULL
)
SELECT track_id FROM news WHERE track_id IS NOT NULL AND song_id IS NULL
UNION
SELECT track_id FROM track JOIN music.song_source USING (track_id) WHERE song_id IS NULL
"""
_FIRST_OPEN_TRACK = """
CREATE TEMP TABLE open_track ON COMMIT DROP AS
SELECT DISTINCT track_id FROM music.song_source WHERE track_id IS NOT NULL AND song_id IS NULL
"""
_TRACK_SONG = """
CREATE TEMP TABLE track_song ON COMMIT DROP AS
SELECT DISTINCT ON (track_id) track_id, coalesce(song_id, 'fp-' || fingerprint) AS song_key
FROM (
    SELECT track_id, song_id, fingerprint, title, rank, seq, record_key
    FROM open_track JOIN {source} USING (track_id)
    {and_news}
) AS candidate
WHERE song_id IS NOT NULL OR title IS NOT NULL
ORDER BY track_id, song_id IS NULL, {best_first}
"""
_AND_NEWS = """
    UNION ALL
    SELECT track_id, song_id, fingerprint, title, rank, seq, record_key
    FROM open_track JOIN news USING (track_id)
"""
_KEY = (
    "coalesce({0}.song_id, t.song_key,"
    " CASE WHEN {0}.title IS NOT NULL THEN 'fp-' || {0}.fingerprint END)"
)
_INSERT_NEWS = f"""
CREATE TEMP TABLE news_own (own_key text COLLATE "C") ON COMMIT DROP;
WITH inserted AS (
    INSERT INTO music.song_source (record_key, song_key, own_key, {listed(SAID)})
    SELECT n.record_key, {_KEY.format("n")}, {_KEY.format("n")}, {listed(SAID, "n")}
    FROM news n LEFT JOIN track_song t USING (track_id)
    RETURNING own_key
)
INSERT INTO news_own SELECT own_key FROM inserted
"""
_REKEYED = f"""
CREATE TEMP TABLE rekeyed ON COMMIT DROP AS
SELECT s.record_key, s.song_key AS old_key, s.own_key AS old_own, {_KEY.format("s")} AS new_key
FROM open_track o JOIN music.song_source s USING (track_id) LEFT JOIN track_song t USING (track_id)
WHERE s.own_key IS DISTINCT FROM {_KEY.format("s")}
"""
_REKEY = """
UPDATE music.song_source s SET song_key = r.new_key, own_key = r.new_key FROM rekeyed r
WHERE s.record_key = r.record_key
"""

# ``sources``: records that the song has now; 0 for a song that is no more, or was taken down.
_SOURCES = "CASE WHEN bool_or(s.format = 'takedown') THEN 0 ELSE count(s.record_key)::integer END"
_TOUCHED = f"""
CREATE TEMP TABLE touched_song ON COMMIT DROP AS
WITH touched AS (
    SELECT old_key AS song_key FROM arrived
    UNION SELECT s.song_key FROM incoming JOIN music.song_source s USING (record_key)
    UNION SELECT old_key FROM rekeyed
    UNION SELECT new_key FROM rekeyed
    UNION SELECT old_key FROM remapped
    UNION SELECT new_key FROM remapped
)
SELECT song_key, {_SOURCES} AS sources
FROM touched LEFT JOIN music.song_source s USING (song_key)
WHERE song_key IS NOT NULL
GROUP BY song_key
"""
_FIRST_TOUCHED = """
CREATE TEMP TABLE touched_song ON COMMIT DROP AS
SELECT song_key, count(*)::integer AS sources FROM music.song_source
WHERE song_key IS NOT NULL GROUP BY song_key
"""


@dataclass(frozen=True, slots=True)
class Intake:
    """What arrived. ``first``: the star schema was empty, so that nothing has to be looked up."""

    first: bool
    records: int
    unchanged: int
    #: Whether a record came that says the same as before, from an earlier object than before.
    earlier: bool = False


def take(
    conn: psycopg.Connection[Any], chunks: Iterable[pl.DataFrame], withdrawn: Sequence[str] = ()
) -> Intake:
    """Put records into ``music.song_source``; temporary tables say what was touched.

    Records of the keys ``withdrawn`` are taken out: none of them is among ``chunks``.

    ``touched_song`` (song_key, sources) has the songs that records came to, stayed at or left;
    ``rekeyed`` and (unless first) ``arrived`` and ``incoming`` the records.
    """
    first = bool(_value(conn, _EMPTY))
    intake = _take_first(conn, chunks) if first else _take_more(conn, chunks, withdrawn)
    conn.execute("ANALYZE touched_song")
    return intake


def _take_first(conn: psycopg.Connection[Any], chunks: Iterable[pl.DataFrame]) -> Intake:
    from assets.music.silver.intake import copy_records

    records = copy_records(conn, chunks, "music.song_source")
    conn.execute("ANALYZE music.song_source (song_key, track_id, artist_id)")
    conn.execute(_FIRST_OPEN_TRACK)
    conn.execute("ANALYZE open_track")
    conn.execute(_TRACK_SONG.format(source="music.song_source", and_news="", best_first=BEST_FIRST))
    _rekey(conn)
    identity.settle(conn, first=True)
    conn.execute(_FIRST_TOUCHED)
    return Intake(first=True, records=records, unchanged=0)


def _take_more(
    conn: psycopg.Connection[Any], chunks: Iterable[pl.DataFrame], withdrawn: Sequence[str]
) -> Intake:
    from assets.music.silver.intake import copy_records

    conn.execute(_CREATE_INCOMING)
    records = copy_records(conn, chunks, "incoming")
    conn.execute("ANALYZE incoming (record_key, track_id, song_id)")
    conn.execute(_ARRIVED, (list(withdrawn),))
    conn.execute("ANALYZE arrived")
    conn.execute(_DELETE_REPLACED)
    conn.execute(_NEWS)
    conn.execute(_OPEN_TRACK)
    conn.execute("ANALYZE open_track")
    conn.execute(
        _TRACK_SONG.format(source="music.song_source", and_news=_AND_NEWS, best_first=BEST_FIRST)
    )
    conn.execute("ANALYZE track_song")
    conn.execute(_INSERT_NEWS)
    conn.execute("DROP VIEW news")
    _rekey(conn)
    identity.settle(conn, first=False)
    conn.execute(_TOUCHED)
    unchanged = _value(conn, "SELECT count(*) FROM arrived WHERE same")
    earlier = _value(conn, "SELECT EXISTS (SELECT FROM arrived WHERE earlier)")
    return Intake(first=False, records=records, unchanged=unchanged, earlier=earlier)


def _rekey(conn: psycopg.Connection[Any]) -> None:
    conn.execute(_REKEYED)
    conn.execute(_REKEY)


def _value(conn: psycopg.Connection[Any], statement: str) -> Any:
    row = conn.execute(statement).fetchone()
    return row[0] if row else None
