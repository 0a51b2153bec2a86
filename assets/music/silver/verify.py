"""Whether the star schema holds a batch: read back inside the batch's own transaction.

Belongs here: the figures of the check ``holds_the_batch``. Does not: the load.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assets.music.silver.sources import Intake
from assets.music.silver.statements import UNKNOWN
from assets.sinks.result import SAMPLE, Verification

if TYPE_CHECKING:
    import psycopg

# What is missing and what differs in one reading of the tables.
_RECORDS = """
SELECT i.record_key, s.record_key IS NULL FROM incoming i
LEFT JOIN music.song_source s USING (record_key)
WHERE s.row_hash IS DISTINCT FROM i.row_hash
"""
_SONGS = f"""
SELECT t.song_key, f.song_key IS NULL OR l.song_key IS NULL FROM touched_song t
LEFT JOIN music.fact_song f USING (song_key) LEFT JOIN music.song_lyrics l USING (song_key)
LEFT JOIN music.bridge_song_artist b
    ON b.song_key = f.song_key AND b.artist_key = f.artist_key AND b.position = 1
WHERE t.sources > 0 AND (l.song_key IS NULL OR f.sources IS DISTINCT FROM t.sources
    OR (f.artist_key <> {UNKNOWN} AND b.song_key IS NULL))
"""
_UNEXPECTED_SONGS = """
SELECT t.song_key FROM touched_song t JOIN music.fact_song f USING (song_key) WHERE t.sources = 0
"""
_WITHDRAWN = "SELECT record_key FROM music.song_source WHERE record_key = ANY(%s)"


def verify(
    conn: psycopg.Connection[Any], intake: Intake, withdrawn: Sequence[str] = ()
) -> Verification:
    """Every record is there with its hash, every song of theirs is whole, and no other is left.

    References between tables need no look: the database keeps them.
    """
    arrived = "music.song_source" if intake.first else "incoming"
    row = conn.execute(f"SELECT count(*) FROM {arrived}").fetchone()
    short = abs(intake.records - (row[0] if row else 0))
    found = conn.execute(_SONGS).fetchall()
    if not intake.first:
        found += conn.execute(_RECORDS).fetchall()
    missing = [key for key, absent in found if absent]
    differing = [key for key, absent in found if not absent]
    unexpected = [key for (key,) in conn.execute(_UNEXPECTED_SONGS)]
    unexpected += [key for (key,) in conn.execute(_WITHDRAWN, (list(withdrawn),))]
    return Verification(
        expected=intake.records,
        missing=len(missing) + short,
        differing=len(differing),
        unexpected=len(unexpected),
        sample=tuple([*missing, *differing, *unexpected][:SAMPLE]),
    )
