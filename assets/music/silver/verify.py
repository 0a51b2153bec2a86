"""Whether the star schema holds a batch: read back inside the batch's own transaction.

Belongs here: the figures of the check ``holds_the_batch``. Does not: the load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assets.music.silver.sources import Intake
from assets.sinks.result import SAMPLE, Verification

if TYPE_CHECKING:
    import psycopg

_MISSING_RECORDS = """
SELECT i.record_key FROM incoming i
LEFT JOIN music.song_source s USING (record_key) WHERE s.record_key IS NULL
"""
_DIFFERING_RECORDS = """
SELECT i.record_key FROM incoming i
JOIN music.song_source s USING (record_key) WHERE s.row_hash <> i.row_hash
"""
_MISSING_SONGS = """
SELECT t.song_key FROM touched_song t
LEFT JOIN music.fact_song f USING (song_key) LEFT JOIN music.song_lyrics l USING (song_key)
WHERE t.sources > 0 AND (f.song_key IS NULL OR l.song_key IS NULL)
"""
_DIFFERING_SONGS = """
SELECT t.song_key FROM touched_song t JOIN music.fact_song f USING (song_key)
WHERE t.sources > 0 AND (f.sources <> t.sources OR (f.artist_key IS NOT NULL AND NOT EXISTS (
    SELECT FROM music.bridge_song_artist b
    WHERE b.song_key = f.song_key AND b.artist_key = f.artist_key AND b.position = 1)))
"""
_UNEXPECTED_SONGS = """
SELECT t.song_key FROM touched_song t JOIN music.fact_song f USING (song_key) WHERE t.sources = 0
"""


def verify(conn: psycopg.Connection[Any], intake: Intake) -> Verification:
    """Every record is there with its hash, every song of theirs is whole, and no other is left.

    References between tables need no look: the database keeps them.
    """
    arrived = "music.song_source" if intake.first else "incoming"
    row = conn.execute(f"SELECT count(*) FROM {arrived}").fetchone()
    short = abs(intake.records - (row[0] if row else 0))
    missing = _keys(conn, _MISSING_SONGS)
    differing = _keys(conn, _DIFFERING_SONGS)
    unexpected = _keys(conn, _UNEXPECTED_SONGS)
    if not intake.first:
        missing += _keys(conn, _MISSING_RECORDS)
        differing += _keys(conn, _DIFFERING_RECORDS)
    return Verification(
        expected=intake.records,
        missing=len(missing) + short,
        differing=len(differing),
        unexpected=len(unexpected),
        sample=tuple([*missing, *differing, *unexpected][:SAMPLE]),
    )


def _keys(conn: psycopg.Connection[Any], statement: str) -> list[str]:
    return [key for (key,) in conn.execute(statement)]
